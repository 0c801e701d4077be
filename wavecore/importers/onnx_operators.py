"""ONNX operators: https://onnx.ai/onnx/operators, versions 1 to 23, of the domain ``ai.onnx``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from wavecore.importers import operators, sequences
from wavecore.importers.axes import permuted
from wavecore.importers.builder import ModelBuilder, OperatorReader
from wavecore.importers.folding import target
from wavecore.importers.model import Activation, OperatorNode, UnsupportedError
from wavecore.importers.operators import Pads, elements
from wavecore.network.layers import AvgPool, MaxPool
from wavecore.network.shapes import Shape


def _whole(values: Sequence[float]) -> list[int]:
    """Whole numbers of a constant; ValueError where they are not."""
    if not all(value.is_integer() for value in values):
        raise ValueError("has a size or an axis that is no whole number")
    return [int(value) for value in values]


def _window(build: ModelBuilder, node: OperatorNode, kernel: Sequence[int]) -> tuple[list[int], Pads]:
    """Stride and padding of a sliding window, worked out where they are only named (``auto_pad``)."""
    stride = node.wholes("strides", [1] * len(kernel))
    pads = node.wholes("pads", [0] * (2 * len(kernel)))
    auto = node.attributes.get("auto_pad", "NOTSET")
    if len(kernel) != 2 or len(stride) != 2 or len(pads) != 4:
        raise UnsupportedError("not two-dimensional", operators.PAIR)
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        return stride, _same_size(build.shape(build.image(node)), kernel, stride, auto == "SAME_UPPER")
    return stride, (0, 0, 0, 0) if auto == "VALID" else (pads[0], pads[1], pads[2], pads[3])


def _same_size(shape: Shape, kernel: Sequence[int], stride: Sequence[int], upper: bool) -> Pads:
    """Padding under which a window makes ceil(size / stride) positions, the odd one at the upper or lower end."""
    if min(stride) < 1:
        raise ValueError("has a stride below 1")
    sizes = (shape.height, shape.width)
    total = [max(0, (-(-size // s) - 1) * s + k - size) for size, k, s in zip(sizes, kernel, stride, strict=True)]
    less, more = [each // 2 for each in total], [-(-each // 2) for each in total]
    first, last = (less, more) if upper else (more, less)
    return first[0], first[1], last[0], last[1]


def _conv(build: ModelBuilder, node: OperatorNode) -> None:
    weight = build.fixed(node, 1)
    kernel = [] if weight is None else list(weight.dims[2:])
    stride, pads = _window(build, node, kernel)
    dilation, groups = node.wholes("dilations", (1, 1)), node.whole("group", 1)
    operators.convolution(build, node, stride=stride, pads=pads, dilation=dilation, groups=groups)


def _pool(kind: type[MaxPool] | type[AvgPool]) -> OperatorReader:
    def read(build: ModelBuilder, node: OperatorNode) -> None:
        kernel = node.wholes("kernel_shape")
        stride, pads = _window(build, node, kernel)
        dilation, up = node.wholes("dilations", (1, 1)), bool(node.whole("ceil_mode", 0))
        if any(name and build.uses[name] for name in node.outputs[1:]):
            raise UnsupportedError("whose indices are used", "poolings without unpooling")
        operators.pool(build, node, kind, kernel=kernel, stride=stride, pads=pads, round_up=up, dilation=dilation)

    return read


def _global(kind: type[MaxPool] | type[AvgPool]) -> OperatorReader:
    return lambda build, node: operators.adaptive_pool(build, node, kind, (1, 1))


def _gemm(build: ModelBuilder, node: OperatorNode) -> None:
    weight = build.fixed(node, 1)
    if weight is None or node.whole("transA", 0):
        raise UnsupportedError("of two activations, or of a transposed one", "linear layers")
    operators.linear(build, node, weight, 0 if node.whole("transB", 0) else 1)


def _matmul(build: ModelBuilder, node: OperatorNode) -> None:
    weight = build.fixed(node, 1)
    if weight is None:
        raise UnsupportedError("of two activations", "linear layers")
    operators.linear(build, node, weight, 1)


def _batch_norm(build: ModelBuilder, node: OperatorNode) -> None:
    operators.normalize(build, node, build.layered(node), build.fixed(node, 1))


def _group_norm(build: ModelBuilder, node: OperatorNode) -> None:
    operators.group_normalize(build, node, node.whole("num_groups", 0))


def _clip(build: ModelBuilder, node: OperatorNode) -> None:
    """Limits are inputs since version 11, attributes before."""
    least = [*elements(build.known(node, 1)), node.number("min", float("-inf"))][0]
    most = [*elements(build.known(node, 2)), node.number("max", float("inf"))][0]
    operators.relu(build, node, least, None if most == float("inf") else most)


def _dropout(build: ModelBuilder, node: OperatorNode) -> None:
    """The rate is an input since version 12, an attribute before."""
    rate = [*elements(build.known(node, 1)), node.number("ratio", 0.5)][0]
    operators.dropout(build, node, rate)


def _mean(build: ModelBuilder, node: OperatorNode) -> None:
    """Axes are an input since version 18, an attribute before."""
    axes = _whole(elements(build.known(node, 1))) or node.wholes("axes")
    operators.mean(build, node, axes, bool(node.whole("keepdims", 1)))


def _reshape(build: ModelBuilder, node: OperatorNode) -> None:
    wanted = _whole(elements(build.known(node, 1))) or node.wholes("shape")
    dims = build.activation(node).dims
    operators.reshape(build, node, target(dims, wanted, bool(node.whole("allowzero", 0))))


def _flatten(build: ModelBuilder, node: OperatorNode) -> None:
    dims = build.activation(node).dims
    axis = node.whole("axis", 1)
    if axis % len(dims) != 1:
        raise UnsupportedError("across samples", "a flatten of axis 1")
    operators.reshape(build, node, target(dims, (dims[0], -1)))


def _squeeze(build: ModelBuilder, node: OperatorNode) -> None:
    dims = build.activation(node).dims
    axes = _whole(elements(build.known(node, 1))) or node.wholes("axes")
    gone = {axis % len(dims) for axis in axes} or {axis for axis, size in enumerate(dims) if size == 1 and axis}
    operators.reshape(build, node, tuple(size for axis, size in enumerate(dims) if axis not in gone))


def _unsqueeze(build: ModelBuilder, node: OperatorNode) -> None:
    dims = list(build.activation(node).dims)
    axes = _whole(elements(build.known(node, 1))) or node.wholes("axes")
    for axis in sorted(axis % (len(dims) + len(axes)) for axis in axes):
        dims.insert(axis, 1)
    operators.reshape(build, node, tuple(dims))


def _concat(build: ModelBuilder, node: OperatorNode) -> None:
    operators.concat(build, node, node.whole("axis", 1))


def _transpose(build: ModelBuilder, node: OperatorNode) -> None:
    value = build.activation(node)
    build.give(node, permuted(value, node.wholes("perm", range(len(value.dims))[::-1])))


def _gather(build: ModelBuilder, node: OperatorNode) -> None:
    if node.whole("axis", 0):
        raise UnsupportedError("of another axis than the first", "embeddings")
    sequences.embedding(build, node)


_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
_PLAIN = {"clip": 0.0, "input_forget": 0, "activation_alpha": [], "activation_beta": []}


def _lstm(build: ModelBuilder, node: OperatorNode) -> None:
    """Inputs are the data, the weights for inputs and outputs, biases, lengths, h, c and peepholes."""
    reverse = _DIRECTIONS.get(str(node.attributes.get("direction", "forward")))
    if reverse is None or any(node.attributes.get(name, usual) != usual for name, usual in _PLAIN.items()):
        raise UnsupportedError("of another kind", "the attributes that PyTorch exports")
    if "activations" in node.attributes or build.value(node, 7) is not None:
        raise UnsupportedError("with functions of its own, or peepholes", "a plain LSTM")
    if build.value(node, 4) is not None:
        raise UnsupportedError("of sequences of several lengths", "sequences of one length")
    batch_first = bool(node.whole("layout", 0))
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
    """The module that a node stands for, or the layer of it: exporters write a node a layer."""
    path = node.path or "lstm"
    same = [each for each in build.nodes if each.operator == "LSTM" and each.path == node.path]
    return path if len(same) == 1 else f"{path}.l{same.index(node)}"


TABLE: Mapping[str, OperatorReader] = {
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
