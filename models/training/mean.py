#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "numpy", "onnx==1.23.2", "onnxruntime==1.31.1", "safetensors==0.8.0", "tokenizers", "torch==2.15.0",
# ]
# ///
"""Writes the English model whose weights are the mean of those of several runs.

    mean.py --base model.safetensors --out FOLDER RUN RUN …

Each RUN is the --out folder of a run of train.py, the later ones going on from the earlier ones. Weights of runs that began
at the same place lie in one basin, and their mean is more often better than each of them than not (model soups: Wortsman
et al., ICML 2022, https://arxiv.org/abs/2203.05482).
"""

import argparse
from pathlib import Path

import torch

import export
from network import Encoder, Head
from trunks import ENGLISH


def read(base, folder):
    state, _ = ENGLISH.read(base)
    encoder, head = Encoder(ENGLISH), Head(ENGLISH)
    encoder.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    export.read(encoder, head, folder)
    return encoder, head


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--base", required=True, help="model.safetensors of all-MiniLM-L6-v2")
    parser.add_argument("--out", type=Path, required=True, help="where the model folders are written")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    options = parser.parse_args()
    runs = [read(options.base, folder) for folder in options.runs]
    for parts in zip(*runs):
        for each in zip(*(part.parameters() for part in parts)):
            each[0].data.copy_(sum(each) / len(each))
    export.write(*runs[0], options.out, options.base)


if __name__ == "__main__":
    main()
