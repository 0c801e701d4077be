"""The table of PyTorch's operators, named as in `torch.export`: ``aten.`` and the name, without overload and ``_``.

An operator's tensors are its node's inputs, in the order of its schema; all other arguments are attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from wavecore.common.entry_points import OpenTable
from wavecore.importers import operators, sequences
from wavecore.importers.axes import permuted
from wavecore.importers.builder import ModelBuilder, OperatorReader
from wavecore.importers.model import Fixed, OperatorNode, Origin, UnsupportedError
from wavecore.importers.operators import Pads
from wavecore.network.layers import AvgPool, MaxPool


def _pair(value: Any) -> list[int]:
    """Return sizes per axis; a single size stands for both axes."""
    sizes = [value] if isinstance(value, int) else [int(size) for size in value]
    return sizes * 2 if len(sizes) == 1 else sizes


def _pads(padding: Sequence[int]) -> Pads:
    if len(padding) != 2:
        raise UnsupportedError("not two-dimensional", operators.PAIR)
    return Pads(padding[0], padding[1], padding[0], padding[1])


def _conv(build: ModelBuilder, node: OperatorNode) -> None:
    attributes = node.attributes
    stride, dilation = _pair(attributes["stride"]), _pair(attributes["dilation"])
    padding = attributes["padding"]
    if isinstance(padding, str):
        padding = _named_padding(build, node, padding)
    operators.convolution(
        build, node, stride=stride, pads=_pads(_pair(padding)), dilation=dilation, groups=attributes["groups"]
    )


def _named_padding(build: ModelBuilder, node: OperatorNode, name: str) -> list[int]:
    """Return the padding named ``valid`` (none) or ``same`` (half of an odd kernel on either side, at stride 1)."""
    weight = build.fixed(node, 1)
    kernel = [] if weight is None else weight.dims[2:]
    if name == "valid":
        return [0] * len(kernel)
    if any(size % 2 == 0 for size in kernel):
        raise UnsupportedError("with an even kernel and padding to the same size", "an odd kernel")
    return [size // 2 for size in kernel]


def _pool(kind: type[MaxPool] | type[AvgPool]) -> OperatorReader:
    def read(build: ModelBuilder, node: OperatorNode) -> None:
        kernel = _pair(node.attributes["kernel_size"])
        operators.pool(
            build,
            node,
            kind,
            kernel=kernel,
            stride=_pair(node.attributes["stride"] or kernel),
            pads=_pads(_pair(node.attributes["padding"])),
            round_up=node.attributes["ceil_mode"],
            dilation=_pair(node.attributes.get("dilation", 1)),
        )

    return read


def _adaptive(kind: type[MaxPool] | type[AvgPool]) -> OperatorReader:
    return lambda build, node: operators.adaptive_pool(build, node, kind, _pair(node.attributes["output_size"]))


def _linear(build: ModelBuilder, node: OperatorNode) -> None:
    weight = build.fixed(node, 1)
    assert weight is not None  # the schema requires it
    operators.linear(build, node, weight, 0)


def _batch_norm(build: ModelBuilder, node: OperatorNode) -> None:
    operators.normalize(build, node, build.layered(node), build.fixed(node, 1))


def _group_norm(build: ModelBuilder, node: OperatorNode) -> None:
    operators.group_normalize(build, node, node.attributes["num_groups"])


def _hardtanh(build: ModelBuilder, node: OperatorNode) -> None:
    operators.relu(build, node, node.attributes["min_val"], node.attributes["max_val"])


def _clamp(build: ModelBuilder, node: OperatorNode) -> None:
    least = node.attributes.get("min")
    operators.relu(build, node, float("-inf") if least is None else least, node.attributes.get("max"))


def _dropout(build: ModelBuilder, node: OperatorNode) -> None:
    operators.dropout(build, node, node.attributes["p"])


def _mean(build: ModelBuilder, node: OperatorNode) -> None:
    operators.mean(build, node, node.attributes["dim"] or range(4), node.attributes["keepdim"])


def _add(build: ModelBuilder, node: OperatorNode) -> None:
    if len(node.inputs) != 2 or node.attributes.get("alpha", 1) != 1:
        raise UnsupportedError("of a number or with alpha", "plain sums of branches")
    operators.add(build, node)


def _concat(build: ModelBuilder, node: OperatorNode) -> None:
    operators.concat(build, node, node.attributes["dim"])


def _reshape(build: ModelBuilder, node: OperatorNode) -> None:
    """Read any operator that only changes the axes, whose new sizes were traced."""
    operators.reshape(build, node, node.attributes["dims"])


def _permute(build: ModelBuilder, node: OperatorNode) -> None:
    """Read a permutation; the name of its order in the schema, ``dims``, replaces the sizes of the result."""
    build.give(node, permuted(build.activation(node), node.attributes["dims"]))


def _transpose(build: ModelBuilder, node: OperatorNode) -> None:
    value = build.activation(node)
    order = list(range(len(value.dims)))
    first, second = node.attributes.get("dim0", 0), node.attributes.get("dim1", 1)
    order[first], order[second] = order[second], order[first]
    build.give(node, permuted(value, order))


def _zeros(build: ModelBuilder, node: OperatorNode) -> None:
    """Read a tensor of zeros, such as the initial state of an LSTM."""
    build.give(node, Fixed(np.broadcast_to(np.zeros(()), node.attributes["dims"]), True, Origin.COMPUTED))


def _embedding(build: ModelBuilder, node: OperatorNode) -> None:
    if node.attributes["sparse"]:
        raise UnsupportedError("with sparse gradients", "sparse=False: gradients of embeddings are costed as dense")
    sequences.embedding(build, node)


def _lstm(build: ModelBuilder, node: OperatorNode) -> None:
    """Read an LSTM.

    Its inputs are the data, h, c, and for each layer and direction: input weight, recurrent weight, and their biases.
    """
    attributes = node.attributes
    if "batch_sizes" in attributes:
        raise UnsupportedError("of packed sequences", "sequences of one length")
    value = sequences.sequence(build, node, batch_first=attributes["batch_first"])
    for index in (1, 2):
        sequences.check_state(build, node, index, stored=False)
    reverse = (False, True) if attributes["bidirectional"] else (False,)
    each = 4 if attributes["has_biases"] else 2
    weights = range(3, len(node.inputs), each * len(reverse))
    if len(node.inputs) - 3 != attributes["num_layers"] * len(reverse) * each:
        raise UnsupportedError("with projections", "proj_size=0")
    build.note_shared(node, 3)
    found = []
    for index in weights:
        inputs, hidden = sequences.sizes(build.fixed(node, index), build.fixed(node, index + 1))
        bias = attributes["has_biases"]
        found.append(sequences.Recurrence(inputs=inputs, hidden=hidden, reverse=reverse, bias=bias))
    build.keep_state(node.outputs[1:])
    build.give(node, sequences.layers(build, node, value, found, attributes["dropout"]))


_TABLE: Mapping[str, OperatorReader] = {
    "aten.conv2d": _conv,
    "aten.linear": _linear,
    "aten.embedding": _embedding,
    "aten.lstm": _lstm,
    "aten.permute": _permute,
    **dict.fromkeys(("aten.transpose", "aten.t"), _transpose),
    **dict.fromkeys(("aten.zeros", "aten.zeros_like", "aten.new_zeros"), _zeros),
    "aten.batch_norm": _batch_norm,
    "aten.group_norm": _group_norm,
    "aten.instance_norm": operators.instance_normalize,
    "aten.relu": operators.relu,
    "aten.relu6": lambda build, node: operators.relu(build, node, 0.0, 6.0),
    "aten.hardtanh": _hardtanh,
    "aten.clamp": _clamp,
    "aten.clamp_min": _clamp,
    **dict.fromkeys(("aten.dropout", "aten.feature_dropout"), _dropout),
    "aten.max_pool2d": _pool(MaxPool),
    "aten.avg_pool2d": _pool(AvgPool),
    "aten.adaptive_avg_pool2d": _adaptive(AvgPool),
    "aten.adaptive_max_pool2d": _adaptive(MaxPool),
    "aten.mean": _mean,
    "aten.add": _add,
    "aten.cat": _concat,
    **dict.fromkeys((f"aten.{name}" for name in ("view", "reshape", "flatten", "squeeze", "unsqueeze")), _reshape),
    **dict.fromkeys(("aten.softmax", "aten.log_softmax"), operators.softmax),
    **dict.fromkeys((f"aten.{name}" for name in ("clone", "contiguous", "detach", "alias", "to")), operators.same),
}
TABLE = OpenTable(_TABLE, "wavecore.torch_operators", "OPERATORS", Callable)
"""What reads each operator: the table above, and those that other packages register."""
