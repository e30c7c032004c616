"""Writes both networks as model folders: the encoder as an int8 ONNX graph, the comparer's weights as safetensors."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from tokenizers import Tokenizer

from network import EPSILON, HEADS, LAYERS, STATE, TAPS, WIDTH

MODELS = Path(__file__).resolve().parent.parent
TOKENIZER = MODELS / "question-encoder"
TOKENIZER_FILES = ["tokenizer.json", "config.json", "special_tokens_map.json", "tokenizer_config.json"]
LICENCE = "CC-BY-SA-4.0"


class Graph:
    """An ONNX graph, node by node as ONNX Runtime fuses them best: opset 17, batch × sequence."""

    def __init__(self, state, int8):
        self.int8, self.nodes, self.constants, self.known = int8, [], [], set()
        self.state = {name: tensor.detach().float().numpy() for name, tensor in state.items()}

    def constant(self, name, value):
        if name not in self.known:
            self.known.add(name)
            self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def node(self, op, *inputs, outputs=1, **attributes):
        names = [f"{op}_{len(self.nodes)}" + (f"_{n}" if outputs > 1 else "") for n in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, names[0], **attributes))
        return names if outputs > 1 else names[0]

    def output(self, name):
        """Names what the last node gives."""
        self.nodes[-1].output[0] = name
        return name

    def rounded(self, name, values, axis):
        """Symmetric int8 and one scale for each row (axis 1) or column (axis 0)."""
        scale = np.maximum(np.abs(values).max(axis, keepdims=True), 1e-12) / 127
        rounded = np.clip(np.round(values / scale), -127, 127).astype(np.int8)
        return self.constant(name + "_q", rounded), scale.astype(np.float32)

    def embedding(self, name, places):
        table = self.state[name + ".weight"]
        if not self.int8:
            return self.node("Gather", self.constant(name, table), places)
        rows, scale = self.rounded(name, table, 1)
        wide = self.node("Cast", self.node("Gather", rows, places), to=TensorProto.FLOAT)
        return self.node("Mul", wide, self.node("Gather", self.constant(name + "_scale", scale), places))

    def linear(self, name, x, scale=None, int8=True):
        weight, bias = self.state[name + ".weight"].T, self.state[name + ".bias"]
        if scale is not None:
            weight, bias = weight * scale, bias * scale
        if self.int8 and int8:
            rounded, scale = self.rounded(name, weight, 0)
            x, x_scale, x_zero = self.node("DynamicQuantizeLinear", x, outputs=3)
            scales = self.node("Mul", x_scale, self.constant(name + "_scale", scale[0]))
            zero = self.constant(name + "_zero", np.zeros(len(bias), np.int8))
            sums = self.node("MatMulInteger", x, rounded, x_zero, zero)
            product = self.node("Mul", self.node("Cast", sums, to=TensorProto.FLOAT), scales)
        else:
            product = self.node("MatMul", x, self.constant(name + ".wt", weight))
        return self.node("Add", product, self.constant(name + ".bb", bias))

    def norm(self, name, x, epsilon):
        weight = self.constant(name + ".w", self.state[name + ".weight"])
        bias = self.constant(name + ".b", self.state[name + ".bias"])
        return self.node("LayerNormalization", x, weight, bias, axis=-1, epsilon=epsilon)

    def gelu(self, x):
        one, half, root = (self.constant(n, np.float32(v)) for n, v in [("one", 1), ("half", 0.5), ("rt2", 2**0.5)])
        share = self.node("Add", self.node("Erf", self.node("Div", x, root)), one)
        return self.node("Mul", self.node("Mul", x, share), half)

    def heads(self, x, perm):
        shape = self.constant("hs", np.array([0, 0, HEADS, WIDTH // HEADS]))
        return self.node("Transpose", self.node("Reshape", x, shape), perm=perm)

    def layer(self, name, x, hidden):
        # The attention's scale is part of the weights of the query.
        scale = np.ones(3 * WIDTH, np.float32)
        scale[:WIDTH] = (WIDTH // HEADS) ** -0.5
        thirds = self.constant("sp", np.array([WIDTH] * 3))
        q, k, v = self.node("Split", self.linear(name + "qkv", x, scale), thirds, outputs=3, axis=-1)
        fit = self.node("MatMul", self.heads(q, [0, 2, 1, 3]), self.heads(k, [0, 2, 3, 1]))
        shares = self.node("Softmax", self.node("Add", fit, hidden), axis=-1)
        seen = self.node("Transpose", self.node("MatMul", shares, self.heads(v, [0, 2, 1, 3])), perm=[0, 2, 1, 3])
        seen = self.node("Reshape", seen, self.constant("ms", np.array([0, 0, WIDTH])))
        x = self.norm(name + "ln1", self.node("Add", self.linear(name + "o", seen), x), EPSILON)
        inner = self.linear(name + "f", self.gelu(self.linear(name + "i", x)))
        return self.norm(name + "ln2", self.node("Add", inner, x), EPSILON)


def encoder_graph(encoder, head, int8):
    """One text to `last_hidden_state`, whose mean is the embedding, and to what the comparer reads."""
    state = dict(encoder.state_dict()) | {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
    graph = Graph(state, int8)
    numbers = {n: graph.constant(f"i{n}", np.array([n])) for n in (0, 1, 2)}
    mask = graph.node("Cast", "attention_mask", to=TensorProto.FLOAT)
    apart = graph.node("Unsqueeze", mask, graph.constant("i12", np.array([1, 2])))
    absent = graph.node("Sub", graph.constant("one", np.float32(1)), apart)
    hidden = graph.node("Mul", absent, graph.constant("neg", np.float32(-1e4)))
    length = graph.node("Slice", graph.node("Shape", "input_ids"), numbers[1], numbers[2])
    # Every token is of the first type: its vector is part of the positions.
    positions = graph.constant("pos", graph.state["pos.weight"] + graph.state["typ.weight"][0])
    places = graph.node("Slice", positions, numbers[0], length, numbers[0])
    x = graph.norm("ln", graph.node("Add", graph.embedding("word", "input_ids"), places), EPSILON)
    outputs = [x]
    for n in range(LAYERS):
        outputs.append(graph.layer(f"layers.{n}.", outputs[-1], hidden))
    outputs[-1] = last = graph.output("last_hidden_state")
    states = None
    for n, tap in enumerate(TAPS):
        part = graph.linear(f"head.proj.{n}", outputs[tap])
        states = part if states is None else graph.node("Add", states, part)
    graph.norm("head.ln", states, 1e-5)
    graph.output("token_states")
    shown = graph.node("Mul", last, graph.node("Unsqueeze", mask, numbers[2]))
    count = graph.node("ReduceSum", mask, numbers[1], keepdims=1)
    mean = graph.node("Div", graph.node("ReduceSum", shown, numbers[1], keepdims=0), count)
    whole = graph.linear("head.ident", mean, int8=False)
    graph.node("Div", whole, graph.node("ReduceL2", whole, axes=[-1], keepdims=1))
    graph.output("identity")
    tokens = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "seq"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (
            ("last_hidden_state", ["batch", "seq", WIDTH]),
            ("token_states", ["batch", "seq", STATE]),
            ("identity", ["batch", STATE]),
        )
    ]
    graph = helper.make_graph(graph.nodes, "question-encoder", tokens, outputs, graph.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def entry(path):
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def write_manifest(folder, manifest):
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def write(encoder, head, models):
    """Writes `models`/question-encoder and `models`/question-comparer; their READMEs stay as they are."""
    folder = models / "question-encoder"
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(encoder_graph(encoder, head, int8=True), folder / "model.onnx")
    for name in TOKENIZER_FILES:
        if folder.resolve() != TOKENIZER:
            shutil.copyfile(TOKENIZER / name, folder / name)
    files = {name: entry(folder / name) for name in ["model.onnx", *TOKENIZER_FILES]}
    revision = files["model.onnx"]["sha256"][:12]
    write_manifest(folder, {
        "name": "question-encoder", "revision": revision, "dimensions": WIDTH, "max_tokens": 256, "pooling": "mean",
        "quantization": "dynamic", "token_states": True, "license": LICENCE,
        "source": "models/question-encoder/README.md",
        "session": {"optimization.disable_specified_optimizers": "SkipLayerNormFusion"}, "files": files,
    })
    folder = models / "question-comparer"
    folder.mkdir(parents=True, exist_ok=True)
    with_encoder = ("proj.", "ident.", "ln.")
    weights = {n: t.contiguous() for n, t in head.state_dict().items() if not n.startswith(with_encoder)}
    weights["temp"] = weights["temp"].reshape(1)
    save_file(weights, folder / "model.safetensors")
    weights = entry(folder / "model.safetensors")
    write_manifest(folder, {
        "name": "question-comparer", "revision": weights["sha256"][:12], "encoder": f"question-encoder@{revision}",
        "license": LICENCE, "source": "models/question-comparer/README.md", "files": {"model.safetensors": weights},
    })


def session(source):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


TEXTS = [
    ("How do I reset my password?", "How can I reset my password?"),
    ("How do I enable two-factor login?", "How do I disable two-factor login?"),
    ("Is the shop open on Sunday?", "is the shop opne on sunday"),
]


def agrees(encoder, head, models):
    """Whether the graphs say what torch says: the float one to rounding, the int8 one nearly."""
    tokenizer = Tokenizer.from_file(str(TOKENIZER / "tokenizer.json"))
    tokenizer.no_padding()
    float_graph = session(encoder_graph(encoder, head, int8=False).SerializeToString())
    int8_graph = session((models / "question-encoder" / "model.onnx").read_bytes())

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
