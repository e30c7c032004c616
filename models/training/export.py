"""Writes both networks as model folders: the encoder as an int8 ONNX graph, the comparer's weights as safetensors."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from safetensors.torch import load_file, save_file

import multilingual
from graph import encoder_graph
from multilingual import FILES, entry
from trunks import HEADS, MODELS, MULTILINGUAL, WIDTH

LICENCE = "CC-BY-SA-4.0"


def write_manifest(folder, manifest):
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def state_of(encoder, head):
    tensors = encoder.state_dict() | {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
    return {name: tensor.detach().float().numpy() for name, tensor in tensors.items()}


def write(encoder, head, models, base):
    """Writes the folders of the encoder and the comparer into `models`, and gives the encoder's graph; READMEs stay as they
    are. Of the multilingual encoder only what was tuned is written: multilingual.py makes the rest from `base`."""
    trunk, state = encoder.trunk, state_of(encoder, head)
    folder = models / trunk.encoder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        built = folder
        if trunk is MULTILINGUAL:
            built = Path(scratch)
            multilingual.pack(state, folder)
            multilingual.build(base, folder, built)
        else:
            onnx.save(encoder_graph(trunk, state, int8=True), folder / "model.onnx")
            for name in FILES[1:]:
                if folder.resolve() != MODELS / trunk.encoder:
                    shutil.copyfile(MODELS / trunk.encoder / name, folder / name)
        model, files = (built / "model.onnx").read_bytes(), {name: entry(built / name) for name in FILES}
    revision = files["model.onnx"]["sha256"][:12]
    write_manifest(folder, {
        "name": trunk.encoder, "revision": revision, "dimensions": WIDTH, "max_tokens": 256, "pooling": "mean",
        "quantization": "dynamic", "token_states": True, "scripts": trunk.scripts, "license": LICENCE,
        "source": f"models/{trunk.encoder}/README.md",
        "session": {"optimization.disable_specified_optimizers": "SkipLayerNormFusion"}, "files": files,
    })
    folder = models / trunk.comparer
    folder.mkdir(parents=True, exist_ok=True)
    with_encoder = ("proj.", "ident.", "ln.")
    weights = {n: t.contiguous() for n, t in head.state_dict().items() if not n.startswith(with_encoder)}
    weights["temp"] = weights["temp"].reshape(1)
    save_file(weights, folder / "model.safetensors")
    weights = entry(folder / "model.safetensors")
    write_manifest(folder, {
        "name": trunk.comparer, "revision": weights["sha256"][:12], "encoder": f"{trunk.encoder}@{revision}",
        "license": LICENCE, "source": f"models/{trunk.comparer}/README.md", "files": {"model.safetensors": weights},
    })
    return model


def read(encoder, head, models):
    """Loads what `write` wrote into `models`, as far as int8 kept it. A layer of the head that is not there begins as one
    that changes next to nothing."""
    trunk = encoder.trunk
    graph = onnx.load(models / trunk.encoder / "model.onnx").graph
    arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    state = {"typ.weight": np.zeros((2, WIDTH), np.float32), "pos.weight": arrays["pos"]}
    for name, array in arrays.items():
        layer = name.removesuffix("_q")
        if name == "word_q":
            state["word.weight"] = array * arrays["word_scale"]
        elif name.endswith("_q"):
            weight, bias = array * arrays[layer + "_scale"], arrays[layer + ".bb"].copy()
            if layer.endswith("qkv"):
                weight[:, :WIDTH] *= (WIDTH // HEADS) ** 0.5
                bias[:WIDTH] *= (WIDTH // HEADS) ** 0.5
            state[layer + ".weight"], state[layer + ".bias"] = weight.T, bias
        elif name.endswith(".wt"):
            layer = name.removesuffix(".wt")
            state[layer + ".weight"], state[layer + ".bias"] = array.T, arrays[layer + ".bb"]
        elif name.endswith(".w"):
            layer = name.removesuffix(".w")
            state[layer + ".weight"], state[layer + ".bias"] = array, arrays[layer + ".b"]
    tensors = {name: torch.tensor(np.ascontiguousarray(array)) for name, array in state.items()}
    encoder.load_state_dict({name: tensor for name, tensor in tensors.items() if not name.startswith("head.")})
    weights = {name.removeprefix("head."): tensor for name, tensor in tensors.items() if name.startswith("head.")}
    weights |= load_file(models / trunk.comparer / "model.safetensors")
    weights["temp"] = weights["temp"].reshape(())
    with torch.no_grad():
        for at, block in enumerate(head.blocks):
            if f"blocks.{at}.o.weight" not in weights:
                block.o.weight *= 0.01
                block.f.weight *= 0.01
                for norm in ("ln1", "ln2"):
                    for kind in ("weight", "bias"):
                        getattr(getattr(block, norm), kind).copy_(weights[f"blocks.{at - 1}.ln2.{kind}"])
    missing, unknown = head.load_state_dict(weights, strict=False)
    assert not unknown and all(name.startswith("blocks.") for name in missing), (missing, unknown)


def session(source):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


TEXTS = [
    ("How do I reset my password?", "How can I reset my password?"),
    ("How do I enable two-factor login?", "How do I disable two-factor login?"),
    ("Is the shop open on Sunday?", "is the shop opne on sunday"),
]


def agrees(encoder, head, tokenizer, int8_model):
    """Whether the graphs say what torch says: the float one to rounding, the int8 one nearly."""
    float_graph = session(encoder_graph(encoder.trunk, state_of(encoder, head), int8=False).SerializeToString())
    int8_graph = session(int8_model)

    def logit(first, second, read):
        return head(*read(first), *read(second)).item()

    def by_torch(text):
        ids = torch.tensor([tokenizer.encode(text).ids])
        mask = torch.ones_like(ids, dtype=torch.bool)
        states, whole = head.states(encoder(ids, mask), mask)
        return states, mask, whole

    def by_graph(graph):
        def read(text):
            ids = np.array([tokenizer.encode(text).ids])
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            states, whole = (torch.tensor(out) for out in graph.run(["token_states", "identity"], feed))
            return states, torch.ones(states.shape[:2], dtype=torch.bool), whole
        return read

    good = True
    with torch.no_grad():
        for first, second in TEXTS:
            wanted = logit(first, second, by_torch)
            exact, near = logit(first, second, by_graph(float_graph)), logit(first, second, by_graph(int8_graph))
            print(f"torch {wanted:.4f}, float graph {exact:.4f}, int8 graph {near:.4f}")
            good &= abs(wanted - exact) < 1e-3 and abs(wanted - near) < 0.5
    return good
