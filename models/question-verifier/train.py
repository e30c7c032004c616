#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "numpy==2.4.6", "onnx==1.23.2", "onnxruntime==1.31.1", "safetensors==0.8.0", "tokenizers==0.23.3",
#   "torch==2.13.0",
# ]
# ///
"""Trains the cross-encoder and writes it as a model folder of Wellspring.

    train.py --check                              # a minute or two, needs no data: does all of this work here?
    train.py PAIRS --base MINILM --out FOLDER [--held-out PAIRS]

PAIRS are JSON lines {"a", "b", "label"} with an optional "weight", as training_pairs.py writes them; MINILM is a
folder with the model.safetensors of all-MiniLM-L6-v2 (README.md tells where from). Pairs, seed, versions and processor
decide the weights, to the last bits of rounding. Uses a GPU if torch sees one.

FOLDER then holds model.onnx (int8), model-float.onnx (to compare with), the tokenizer and manifest.json. Calibrations
belong to one model: fit one with `wellspring calibrate --from-scratch` before the new one decides anything.
"""

import argparse
import hashlib
import json
import math
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper
from tokenizers import Tokenizer
from torch import nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "training"))

from graph import Graph  # noqa: E402
from trunks import EPSILON, HEADS, MINILM_SHA256, POSITIONS, WIDTH, minilm  # noqa: E402

TOKENIZER_FILES = ["tokenizer.json", "config.json", "special_tokens_map.json", "tokenizer_config.json"]

LAYERS, INNER, VOCABULARY = 6, 1536, 30522
MAX_TOKENS = 96
BATCH = 64
LEARNING_RATE, HEAD_FACTOR, WEIGHT_DECAY, WARM_UP = 6e-5, 8, 0.01, 0.03


# The model. The names of its parameters are those of the shipped graph.


class Layer(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.qkv, self.o = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.i, self.f = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)
        self.ln1, self.ln2 = nn.LayerNorm(WIDTH, EPSILON), nn.LayerNorm(WIDTH, EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, mask):
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        seen = F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2)
        x = self.ln1(x + self.dropout(self.o(seen)))
        return self.ln2(x + self.dropout(self.f(F.gelu(self.i(x)))))


class CrossEncoder(nn.Module):
    def __init__(self, dropout=0.0):
        super().__init__()
        self.word, self.pos = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(POSITIONS, WIDTH)
        self.typ, self.ln = nn.Embedding(2, WIDTH), nn.LayerNorm(WIDTH, EPSILON)
        self.layers = nn.ModuleList(Layer(dropout) for _ in range(LAYERS))
        self.head = nn.Sequential(nn.Linear(2 * WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, 1))
        self.dropout = nn.Dropout(dropout)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, ids, mask, types):
        x = self.word(ids) + self.typ(types) + self.pos.weight[: ids.shape[1]]
        x = self.dropout(self.ln(x))
        for layer in self.layers:
            x = layer(x, mask[:, None, None, :].bool())
        shown = mask[:, :, None].to(x.dtype)
        mean = (x * shown).sum(1) / shown.sum(1)
        return self.head(torch.cat([x[:, 0], mean], -1)).float().squeeze(-1)

    def load_base(self, folder):
        file = Path(folder) / "model.safetensors"
        if hashlib.sha256(file.read_bytes()).hexdigest() != MINILM_SHA256:
            print(f"warning: {file} is not the file that the shipped model began with", file=sys.stderr)
        state = {name: torch.from_numpy(array) for name, array in minilm(file, LAYERS).items()}
        missing = self.load_state_dict(state, strict=False).missing_keys
        assert all(name.startswith("head.") for name in missing), missing


# Pairs and batches.


class Pairs:
    """Tokenized pairs, without those that are too long for the model."""

    def __init__(self, rows):
        tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()

        def tokens(first, second):
            return [(e.ids, e.type_ids) for e in tokenizer.encode_batch([(row[first], row[second]) for row in rows])]

        ways = list(zip(tokens("a", "b"), tokens("b", "a")))
        kept = [n for n, way in enumerate(ways) if len(way[0][0]) <= MAX_TOKENS]
        self.ways = [ways[n] for n in kept]
        self.labels = torch.tensor([float(rows[n]["label"]) for n in kept])
        self.weights = torch.tensor([float(rows[n].get("weight", 1)) for n in kept])

    @classmethod
    def read(cls, path):
        with open(path, encoding="utf-8") as lines:
            return cls([json.loads(line) for line in lines])

    def __len__(self):
        return len(self.ways)

    def length(self, n):
        return len(self.ways[n][0][0])

    def inputs(self, places, rng=None):
        """Ids, mask and types, padded; each pair in either order if there is an `rng`."""
        chosen = [self.ways[n][rng.randrange(2) if rng else 0] for n in places]
        longest = max(len(ids) for ids, _ in chosen)
        padded = [[row + [0] * (longest - len(row)) for row in rows] for rows in zip(*chosen)]
        mask = [[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in chosen]
        return torch.tensor(padded[0]), torch.tensor(mask), torch.tensor(padded[1])

    def batches(self, rng):
        """Every pair once, in batches of about one length."""
        order = rng.sample(range(len(self)), len(self))
        pools = [sorted(order[at : at + 50 * BATCH], key=self.length) for at in range(0, len(order), 50 * BATCH)]
        batches = [pool[at : at + BATCH] for pool in pools for at in range(0, len(pool), BATCH)]
        return rng.sample(batches, len(batches))


def train(model, pairs, count, rng, smoothing=0.0, device="cpu"):
    """Trains on `count` pairs; gives the losses of the batches."""
    model.to(device).train()
    head = list(model.head.parameters())
    body = [p for name, p in model.named_parameters() if not name.startswith("head.")]
    groups = [{"params": body, "lr": LEARNING_RATE}, {"params": head, "lr": HEAD_FACTOR * LEARNING_RATE}]
    optimizer = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY, fused=True)
    steps = max(1, math.ceil(count / BATCH))
    warm_up = max(1, round(WARM_UP * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm_up, max(0.0, (steps - step) / max(1, steps - warm_up)))
    )
    cpu = torch.cpu.get_capabilities()
    narrow = device != "cpu" or bool(cpu.get("avx512_bf16") or cpu.get("amx_bf16"))
    losses, started, waiting = [], time.monotonic(), []
    for step in range(steps):
        waiting = waiting or pairs.batches(rng)
        places = waiting.pop()
        with torch.autocast(device, torch.bfloat16, enabled=narrow):
            logits = model(*(tensor.to(device) for tensor in pairs.inputs(places, rng)))
        wanted = pairs.labels[places] * (1 - 2 * smoothing) + smoothing
        weights = pairs.weights[places].to(device)
        loss = F.binary_cross_entropy_with_logits(logits, wanted.to(device), weights)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            rate = (step + 1) * BATCH / (time.monotonic() - started)
            print(f"{(step + 1) * BATCH} pairs, loss {np.mean(losses[-100:]):.4f}, {rate:.0f}/s", flush=True)
    model.to("cpu").eval()
    return losses


def graph_of(model, int8):
    """The cross-encoder as an ONNX graph: two texts to one logit."""
    graph = Graph({name: tensor.detach().float().numpy() for name, tensor in model.state_dict().items()}, int8)
    numbers = {n: graph.constant(f"i{n}", np.array([n])) for n in (0, 1, 2)}
    mask = graph.node("Cast", "attention_mask", to=TensorProto.FLOAT)
    apart = graph.node("Unsqueeze", mask, graph.constant("i12", np.array([1, 2])))
    absent = graph.node("Sub", graph.constant("one", np.float32(1)), apart)
    hidden = graph.node("Mul", absent, graph.constant("neg", np.float32(-1e4)))
    length = graph.node("Slice", graph.node("Shape", "input_ids"), numbers[1], numbers[2])
    places = graph.node("Slice", graph.constant("pos", graph.state["pos.weight"]), numbers[0], length, numbers[0])
    x = graph.node("Add", graph.embedding("word", "input_ids"), graph.embedding("typ", "token_type_ids", int8=False))
    x = graph.norm("ln", graph.node("Add", x, places), EPSILON)
    for n in range(LAYERS):
        x = graph.layer(f"layers.{n}.", x, hidden)
    first = graph.node("Gather", x, graph.constant("zero", np.int64(0)), axis=1)
    shown = graph.node("Mul", x, graph.node("Unsqueeze", mask, numbers[2]))
    count = graph.node("ReduceSum", mask, numbers[1], keepdims=1)
    mean = graph.node("Div", graph.node("ReduceSum", shown, numbers[1], keepdims=0), count)
    x = graph.gelu(graph.linear("head.0", graph.node("Concat", first, mean, axis=-1), int8=False))
    graph.linear("head.2", x, int8=False)
    graph.output("logits")
    tokens = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "seq"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1])
    graph = helper.make_graph(graph.nodes, "question-verifier", tokens, [logits], graph.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def export(model, folder):
    """Writes the folder that CrossEncoder::from_dir loads, and model-float.onnx beside."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(graph_of(model, int8=False), folder / "model-float.onnx")
    onnx.save(graph_of(model, int8=True), folder / "model.onnx")
    for name in TOKENIZER_FILES:
        shutil.copyfile(HERE / name, folder / name)
    manifest = json.loads((HERE / "manifest.json").read_text())
    for name in manifest["files"]:
        data = (folder / name).read_bytes()
        manifest["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest["revision"] = manifest["files"]["model.onnx"]["sha256"][:12]
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


# Measuring.


def scores(file, pairs):
    """The logits of a graph and the processor's milliseconds for one pair, run one by one on one thread, as in use."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = ["input_ids", "attention_mask", "token_type_ids"]
    started, logits = time.process_time(), []
    for n in range(len(pairs)):
        feed = {name: tensor.numpy() for name, tensor in zip(names, pairs.inputs([n]))}
        logits.append(session.run(["logits"], feed)[0].item())
    return np.array(logits), 1000 * (time.process_time() - started) / max(1, len(pairs))


def roc_auc(logits, labels):
    """The share of pairs of a positive and a negative that stand in the right order; ties count half."""
    positive, negative = logits[labels > 0.5], np.sort(logits[labels <= 0.5])
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return below.sum() / 2 / len(positive) / len(negative)


def report(folder, pairs):
    for name in ("model-float.onnx", "model.onnx"):
        logits, cost = scores(Path(folder) / name, pairs)
        labels = pairs.labels.numpy()
        line = np.quantile(logits[labels > 0.5], 0.25)
        passed = (logits[labels <= 0.5] >= line).mean()
        print(f"{name}: {len(pairs)} pairs, ROC-AUC {roc_auc(logits, labels):.4f}, "
              f"negatives accepted where 75 % of the positives are {passed:.4f}, {cost:.2f} ms a pair")


CHECK = [
    ("How do I reset my password?", "How can I reset my password?", 1),
    ("How do I enable two-factor login?", "How do I disable two-factor login?", 0),
    ("What is the capital of France?", "The capital of France is what?", 1),
    ("What is the capital of France?", "What is the capital of Peru?", 0),
    ("Who wrote Hamlet?", "Please tell me who wrote hamlet", 1),
    ("Who wrote Hamlet?", "Who translated Hamlet?", 0),
    ("When did the war of 1812 end?", "In what year did the war of 1812 end?", 1),
    ("When did the war of 1812 end?", "When did the war of 1912 end?", 0),
    ("How far is it from Rome to Bari?", "How far is it from Bari to Rome, by train?", 0),
    ("Is the shop open on Sunday?", "is the shop opne on sunday", 1),
    ("Which foods contain iron?", "Which foods do not contain iron?", 0),
    ("Which foods contain iron?", "What foods contain iron?", 1),
]


def check(model, folder, rng):
    """Few steps on few pairs: the loss falls, both graphs load and say what torch says."""
    pairs = Pairs([{"a": a, "b": b, "label": label} for a, b, label in CHECK])
    losses = train(model, pairs, 40 * BATCH, rng)
    with torch.no_grad():
        wanted = torch.cat([model(*pairs.inputs([n])) for n in range(len(pairs))]).numpy()
    export(model, folder)
    full, _ = scores(folder / "model-float.onnx", pairs)
    rounded, _ = scores(folder / "model.onnx", pairs)
    close, alike = np.abs(full - wanted).max(), np.corrcoef(full, rounded)[0, 1]
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}; float graph differs from torch by {close:.1e}; "
          f"int8 correlates with float by {alike:.4f}")
    good = losses[-1] < losses[0] / 2 and close < 1e-2 and alike > 0.95
    print("check passed" if good else "check FAILED")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pairs", nargs="?", help="JSON lines to train on")
    parser.add_argument("--base", help="folder of all-MiniLM-L6-v2 (needed, except with --check)")
    parser.add_argument("--out", type=Path, help="folder to write")
    parser.add_argument("--held-out", help="JSON lines to measure on afterwards")
    parser.add_argument("--count", type=int, default=120_000, help="pairs to train on, again from the first if needed")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--smoothing", type=float, default=0.0, help="labels are this far from 0 and 1")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--check", action="store_true", help="try everything on a handful of pairs")
    options = parser.parse_args()
    if not options.check and not (options.pairs and options.base and options.out):
        parser.error("PAIRS, --base and --out are needed (or --check)")

    torch.manual_seed(options.seed)
    rng = random.Random(options.seed)
    model = CrossEncoder(options.dropout)
    if options.base:
        model.load_base(options.base)
    if options.check:
        with tempfile.TemporaryDirectory() as folder:
            sys.exit(0 if check(model, options.out or Path(folder), rng) else 1)

    pairs = Pairs.read(options.pairs)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"{len(pairs)} pairs, {pairs.labels.mean():.2f} of them positive, on {device}", flush=True)
    train(model, pairs, options.count, rng, options.smoothing, device)
    export(model, options.out)
    if options.held_out:
        report(options.out, Pairs.read(options.held_out))


if __name__ == "__main__":
    main()
