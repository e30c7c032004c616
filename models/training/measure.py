#!/usr/bin/env python3
"""Measures an encoder and its comparer, as they are shipped, on the domains that nothing was trained on.

    measure.py --trunk multilingual --base WHEEL --encoder ../../.deps/models/multilingual-encoder

For each language: how every wording ranks the plain questions of its family (ROC-AUC, and how often its own is first), by
the cosine of --base, by that of the encoder, and by the comparer; and how often its own question is among the nearest
four of the plain questions of all families of all languages.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from export import session
from families import corpus
from network import Encoder, Head, pooled
from trunks import MODELS, MULTILINGUAL, TRUNKS


class Base:
    """The cosine of what tuning began with, in float32."""

    def __init__(self, trunk, file):
        state, tokenizer = trunk.read(file)
        self.tokenizer, self.encoder = Tokenizer.from_str(tokenizer), Encoder(trunk)
        self.encoder.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})

    def embedding(self, text):
        ids = torch.tensor([self.tokenizer.encode(text).ids])
        mask = torch.ones_like(ids, dtype=torch.bool)
        return pooled(self.encoder(ids, mask)[-1], mask)[0].numpy()


class Shipped:
    """The encoder's graph and the comparer's weights."""

    def __init__(self, trunk, encoder, comparer):
        self.tokenizer, self.head = Tokenizer.from_file(str(encoder / "tokenizer.json")), Head(trunk)
        self.graph = session((encoder / "model.onnx").read_bytes())
        weights = load_file(comparer / "model.safetensors")
        weights["temp"] = weights["temp"].reshape(())
        self.head.load_state_dict(weights, strict=False)

    def read(self, text):
        """The embedding, and what the comparer reads."""
        ids = np.array([self.tokenizer.encode(text).ids])
        names = ["last_hidden_state", "token_states", "identity"]
        last, states, whole = self.graph.run(names, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        mean = last[0].mean(0)
        mask = torch.ones(states.shape[:2], dtype=torch.bool)
        return mean / np.linalg.norm(mean), (torch.from_numpy(states), mask, torch.from_numpy(whole))


class Control:
    """How wordings rank the plain questions of their families."""

    def __init__(self):
        self.own, self.others, self.first = [], [], []

    def add(self, scores, own):
        others = np.delete(scores, own)
        self.own.append(scores[own])
        self.others.extend(others)
        self.first.append(scores[own] > others.max())

    def __str__(self):
        ranks = np.argsort(np.argsort(np.concatenate([self.others, self.own])))[len(self.others):]
        area = (ranks.sum() - len(self.own) * (len(self.own) - 1) / 2) / (len(self.own) * len(self.others))
        return f"{area:.3f} / {np.mean(self.first):.3f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trunk", choices=TRUNKS, default="english")
    parser.add_argument("--base", required=True, help="as train.py has it")
    parser.add_argument("--encoder", type=Path, help="its folder, beside this one unless it is set")
    parser.add_argument("--part", choices=["calibration", "test"], default="test")
    parser.add_argument("--every", type=int, default=3, help="one of so many English families is taken")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    trunk = TRUNKS[options.trunk]
    base = Base(trunk, options.base)
    shipped = Shipped(trunk, options.encoder or MODELS / trunk.encoder, MODELS / trunk.comparer)
    families = corpus(options.part)[:: options.every]
    if trunk is MULTILINGUAL:
        families += corpus(options.part, languages=True)
    plain = [sibling[0] for family in families for sibling in family.siblings]
    cached_base = np.stack([base.embedding(text) for text in plain])
    read = [shipped.read(text) for text in plain]
    cached = np.stack([embedding for embedding, _ in read])
    controls, found, start = defaultdict(lambda: [Control() for _ in range(3)]), defaultdict(lambda: ([], [])), 0
    for family in families:
        here = slice(start, start + len(family.siblings))
        for own, sibling in enumerate(family.siblings):
            for wording in sibling[1:]:
                embedding, states = shipped.read(wording)
                cosines = cached_base @ base.embedding(wording), cached @ embedding
                logits = np.array([shipped.head(*states, *other).item() for _, other in read[here]])
                for control, scores in zip(controls[family.language], [cosines[0][here], cosines[1][here], logits]):
                    control.add(scores, own)
                for place, scores in zip(found[family.language], cosines):
                    place.append((scores > scores[start + own]).sum() < 4)
        start = here.stop
    print(f"{len(plain)} plain questions")
    print("| | wordings | cosine of the base | cosine | comparer | nearest four: base | encoder |")
    print("|---|---|---|---|---|---|---|")
    for language, three in controls.items():
        nearest = " | ".join(f"{np.mean(place):.3f}" for place in found[language])
        print(f"| {language} | {len(three[0].own)} | " + " | ".join(map(str, three)) + f" | {nearest} |", flush=True)


if __name__ == "__main__":
    main()
