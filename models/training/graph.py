"""An encoder as an ONNX graph, in float32 or int8. Needs NumPy and onnx only, so that it can be built without PyTorch."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trunks import EPSILON, HEADS, STATE, WIDTH


class Graph:
    """An ONNX graph, node by node as ONNX Runtime fuses them best: opset 17, batch × sequence."""

    def __init__(self, state, int8):
        self.state, self.int8, self.nodes, self.constants, self.known = state, int8, [], [], set()

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

    def embedding(self, name, places, int8=True):
        table = self.state[name + ".weight"]
        if not (self.int8 and int8):
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


def encoder_graph(trunk, state, int8):
    """One text to `last_hidden_state`, whose mean is the embedding, and to what the comparer reads."""
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
    for n in range(trunk.layers):
        outputs.append(graph.layer(f"layers.{n}.", outputs[-1], hidden))
    outputs[-1] = last = graph.output("last_hidden_state")
    states = None
    for n, tap in enumerate(trunk.taps):
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
    graph = helper.make_graph(graph.nodes, trunk.encoder, tokens, outputs, graph.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model
