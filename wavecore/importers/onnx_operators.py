"""The table of ONNX operators: https://onnx.ai/onnx/operators, versions 1 to 23, domain ``ai.onnx``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from wavecore.common.entry_points import OpenTable
from wavecore.importers import operators, sequences
from wavecore.importers.axes import permuted
from wavecore.importers.builder import ModelBuilder, OperatorReader
from wavecore.importers.folding import target
from wavecore.importers.model import Activation, OperatorNode, UnsupportedError
from wavecore.importers.operators import Pads, elements
from wavecore.network.layers import AvgPool, MaxPool
from wavecore.network.shapes import Shape


def _integers(values: Sequence[float]) -> list[int]:
    """Return the elements of a constant as integers; ValueError if one is not an integer."""
    if not all(value.is_integer() for value in values):
        raise ValueError("has a size or an axis that is not an integer")
    return [int(value) for value in values]


def _window(build: ModelBuilder, node: OperatorNode, kernel: Sequence[int]) -> tuple[list[int], Pads]:
    """Return the stride and padding of a sliding window, computing a padding that is only named (``auto_pad``)."""
    stride = node.integers("strides", [1] * len(kernel))
    pads = node.integers("pads", [0] * (2 * len(kernel)))
    auto = node.attributes.get("auto_pad", "NOTSET")
    if len(kernel) != 2 or len(stride) != 2 or len(pads) != 4:
        raise UnsupportedError("not two-dimensional", operators.PAIR)
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        return stride, _same_size(build.shape(build.image(node)), kernel, stride, auto == "SAME_UPPER")
    return stride, operators.NO_PADS if auto == "VALID" else Pads(*pads)


def _same_size(shape: Shape, kernel: Sequence[int], stride: Sequence[int], upper: bool) -> Pads:
    """Return the padding that gives ceil(size / stride) outputs; an odd position goes to the end if ``upper``."""
    if min(stride) < 1:
        raise ValueError("has a stride below 1")
    sizes = (shape.height, shape.width)
    total = [max(0, (-(-size // s) - 1) * s + k - size) for size, k, s in zip(sizes, kernel, stride, strict=True)]
    less, more = [each // 2 for each in total], [-(-each // 2) for each in total]
    first, last = (less, more) if upper else (more, less)
    return Pads(first[0], first[1], last[0], last[1])


def _conv(build: ModelBuilder, node: OperatorNode) -> None:
    weight = build.fixed(node, 1)
    kernel = [] if weight is None else list(weight.dims[2:])
    stride, pads = _window(build, node, kernel)
    dilation, groups = node.integers("dilations", (1, 1)), node.integer("group", 1)
    operators.convolution(build, node, stride=stride, pads=pads, dilation=dilation, groups=groups)


def _pool(kind: type[MaxPool] | type[AvgPool]) -> OperatorReader:
    def read(build: ModelBuilder, node: OperatorNode) -> None:
        kernel = node.integers("kernel_shape")
        stride, pads = _window(build, node, kernel)
        dilation, up = node.integers("dilations", (1, 1)), bool(node.integer("ceil_mode", 0))
        if any(name and build.uses[name] for name in node.outputs[1:]):
            raise UnsupportedError("whose indices are used", "pooling without unpooling")
        operators.pool(build, node, kind, kernel=kernel, stride=stride, pads=pads, round_up=up, dilation=dilation)

    return read


def _global(kind: type[MaxPool] | type[AvgPool]) -> OperatorReader:
    return lambda build, node: operators.adaptive_pool(build, node, kind, (1, 1))


def _gemm(build: ModelBuilder, node: OperatorNode) -> None:
    weight = build.fixed(node, 1)
    if weight is None or node.integer("transA", 0):
        raise UnsupportedError("of two activations, or of a transposed one", "linear layers")
    operators.linear(build, node, weight, 0 if node.integer("transB", 0) else 1)


def _matmul(build: ModelBuilder, node: OperatorNode) -> None:
    weight = build.fixed(node, 1)
    if weight is None:
        raise UnsupportedError("of two activations", "linear layers")
    operators.linear(build, node, weight, 1)


def _batch_norm(build: ModelBuilder, node: OperatorNode) -> None:
    operators.normalize(build, node, build.layered(node), build.fixed(node, 1))


def _group_norm(build: ModelBuilder, node: OperatorNode) -> None:
    operators.group_normalize(build, node, node.integer("num_groups", 0))


def _clip(build: ModelBuilder, node: OperatorNode) -> None:
    """Read a ReLU with limits: inputs since version 11, attributes before."""
    least = [*elements(build.known(node, 1)), node.number("min", float("-inf"))][0]
    most = [*elements(build.known(node, 2)), node.number("max", float("inf"))][0]
    operators.relu(build, node, least, None if most == float("inf") else most)


def _dropout(build: ModelBuilder, node: OperatorNode) -> None:
    """Read a dropout, whose rate is an input since version 12, an attribute before."""
    rate = [*elements(build.known(node, 1)), node.number("ratio", 0.5)][0]
    operators.dropout(build, node, rate)


def _mean(build: ModelBuilder, node: OperatorNode) -> None:
    """Read a mean, whose axes are an input since version 18, an attribute before."""
    axes = _integers(elements(build.known(node, 1))) or node.integers("axes")
    operators.mean(build, node, axes, bool(node.integer("keepdims", 1)))


def _reshape(build: ModelBuilder, node: OperatorNode) -> None:
    wanted = _integers(elements(build.known(node, 1))) or node.integers("shape")
    dims = build.activation(node).dims
    operators.reshape(build, node, target(dims, wanted, bool(node.integer("allowzero", 0))))


def _flatten(build: ModelBuilder, node: OperatorNode) -> None:
    dims = build.activation(node).dims
    axis = node.integer("axis", 1)
    if axis % len(dims) != 1:
        raise UnsupportedError("across samples", "a flatten of axis 1")
    operators.reshape(build, node, target(dims, (dims[0], -1)))


def _squeeze(build: ModelBuilder, node: OperatorNode) -> None:
    dims = build.activation(node).dims
    axes = _integers(elements(build.known(node, 1))) or node.integers("axes")
    removed = {axis % len(dims) for axis in axes} or {axis for axis, size in enumerate(dims) if size == 1 and axis}
    operators.reshape(build, node, tuple(size for axis, size in enumerate(dims) if axis not in removed))


def _unsqueeze(build: ModelBuilder, node: OperatorNode) -> None:
    dims = list(build.activation(node).dims)
    axes = _integers(elements(build.known(node, 1))) or node.integers("axes")
    for axis in sorted(axis % (len(dims) + len(axes)) for axis in axes):
        dims.insert(axis, 1)
    operators.reshape(build, node, tuple(dims))


def _concat(build: ModelBuilder, node: OperatorNode) -> None:
    operators.concat(build, node, node.integer("axis", 1))


def _transpose(build: ModelBuilder, node: OperatorNode) -> None:
    value = build.activation(node)
    build.give(node, permuted(value, node.integers("perm", range(len(value.dims))[::-1])))


def _gather(build: ModelBuilder, node: OperatorNode) -> None:
    if node.integer("axis", 0):
        raise UnsupportedError("along an axis other than the first", "embeddings")
    sequences.embedding(build, node)


_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
_PLAIN = {"clip": 0.0, "input_forget": 0, "activation_alpha": [], "activation_beta": []}


def _lstm(build: ModelBuilder, node: OperatorNode) -> None:
    """Read an LSTM, whose inputs are data, input weight, recurrent weight, bias, lengths, h, c and peepholes."""
    reverse = _DIRECTIONS.get(str(node.attributes.get("direction", "forward")))
    if reverse is None or any(node.attributes.get(name, usual) != usual for name, usual in _PLAIN.items()):
        raise UnsupportedError("with unsupported attributes", "the attributes that PyTorch exports")
    if "activations" in node.attributes or build.value(node, 7) is not None:
        raise UnsupportedError("with other activation functions or with peepholes", "a plain LSTM")
    if build.value(node, 4) is not None:
        raise UnsupportedError("of sequences of different lengths", "sequences of one length")
    batch_first = bool(node.integer("layout", 0))
    value = sequences.sequence(build, node, batch_first=batch_first)
    for index in (5, 6):
        sequences.check_state(build, node, index, stored=True)
    inputs, hidden = sequences.sizes(build.fixed(node, 1), build.fixed(node, 2))
    bias = operators.has_bias(build, node, 3)
    each = sequences.Recurrence(inputs=inputs, hidden=hidden, reverse=reverse, bias=bias)
    build.note_shared(node, 1)
    build.keep_state(node.outputs[1:])
    made = sequences.layer(build, replace(node, path=_lstm_path(build, node)), value, each)
    axes = ("n", "t", "d", "f") if batch_first else ("t", "d", "n", "f")
    counts = dict(zip("dftn", (len(reverse), hidden, build.shape(value).height), strict=False))
    counts["n"] = value.dims[value.axes.index("n")]
    build.give(node, Activation(made.layer, tuple(counts[axis] for axis in axes), axes))


def _lstm_path(build: ModelBuilder, node: OperatorNode) -> str:
    """Return the module of an LSTM node, followed by ``.l0``, ``.l1``, ... if the module has several nodes.

    Exporters write one node per layer of an LSTM.
    """
    path = node.path or "lstm"
    same = [each for each in build.nodes if each.operator == "LSTM" and each.path == node.path]
    return path if len(same) == 1 else f"{path}.l{same.index(node)}"


_TABLE: Mapping[str, OperatorReader] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Gather": _gather,
    "LSTM": _lstm,
    "Transpose": _transpose,
    "BatchNormalization": _batch_norm,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": operators.instance_normalize,
    "Relu": operators.relu,
    "Clip": _clip,
    "Dropout": _dropout,
    "MaxPool": _pool(MaxPool),
    "AveragePool": _pool(AvgPool),
    "GlobalMaxPool": _global(MaxPool),
    "GlobalAveragePool": _global(AvgPool),
    "ReduceMean": _mean,
    "Add": operators.add,
    "Sum": operators.add,
    "Mul": operators.scale,
    "Concat": _concat,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Softmax": operators.softmax,
    "LogSoftmax": operators.softmax,
    "Identity": operators.same,
    "Cast": operators.same,
}
TABLE = OpenTable(_TABLE, "wavecore.onnx_operators", "OPERATORS", Callable)
"""What reads each operator: the table above, and those that other packages register."""
