"""Add the layers that represent an operation, for all formats; the formats' tables call these functions.

An average pooling whose window is the whole image becomes a global one.  A pooling whose windows are single positions
adds no layer, nor does a dropout with a rate of 0.  Whether padding counts in an average is ignored: it changes neither
bytes nor cycles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import NamedTuple

from wavecore.importers.axes import check_features, regrouped
from wavecore.importers.builder import ModelBuilder
from wavecore.importers.folding import LARGEST_CONSTANT
from wavecore.importers.model import Activation, ConstantArray, Dims, Fixed, OperatorNode, Origin, UnsupportedError
from wavecore.network.layers import (
    AdaptiveAvgPool,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    Linear,
    MaxPool,
    ReLU,
)
from wavecore.network.layers.base import window
from wavecore.network.layers.normalization import group_norm
from wavecore.network.shapes import Shape

LARGEST_WINDOW = 1 << 10  # of kernels, strides and paddings, in positions
ONE_INPUT = "a model of one input, its data"
ADDITIONS = ("Add", "aten.add")
PAIR = "two-dimensional convolutions and poolings"


class Pads(NamedTuple):
    """Padding on each side of an image, in positions."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def even(self) -> bool:
        """Return whether opposite sides have equal padding."""
        return (self.top, self.left) == (self.bottom, self.right)


NO_PADS = Pads(0, 0, 0, 0)


def convolution(
    build: ModelBuilder,
    node: OperatorNode,
    *,
    stride: Sequence[int],
    pads: Pads,
    dilation: Sequence[int],
    groups: int,
) -> None:
    """Add a convolution of input 0 with the weight in input 1 and the bias, if any, in input 2.

    A convolution with a folded batch normalization gets a normalization behind it if the rules say ``restore``.
    """
    image, weight = build.image(node), build.fixed(node, 1)
    if weight is None or len(weight.dims) != 4 or len(stride) != 2 or len(dilation) != 2:
        raise UnsupportedError("not two-dimensional", PAIR)
    if any(step != 1 for step in dilation):
        raise UnsupportedError("dilated", "a network without dilated convolutions")
    out_channels, depth, *kernel = weight.dims
    shape = build.shape(image)
    if groups < 1 or depth * groups != shape.channels:
        raise ValueError(f"its weight takes {depth * groups} channels, but its input has {shape.channels}")
    padding = _padding(build, node, shape, kernel, stride, pads)
    kind = Conv(out_channels, one(kernel), one(stride), padding, groups, has_bias(build, node, 2))
    build.note_shared(node, 1)
    if node.folded:
        build.folded.append(node.name)
    if node.folded and build.rules.folded == "restore":
        plain = build.add(node, replace(kind, bias=False), image)
        normalize(build, replace(node, path=f"{node.path}_norm" if node.path else ""), plain, None)
    else:
        build.layer(node, kind, image)


def has_bias(build: ModelBuilder, node: OperatorNode, index: int) -> bool:
    """Return whether a node has a trained bias; zeros that an exporter computed do not count."""
    bias = build.fixed(node, index)
    return bias is not None and not (bias.origin is Origin.COMPUTED and bias.is_zero)


def _padding(
    build: ModelBuilder,
    node: OperatorNode,
    shape: Shape,
    kernel: Sequence[int],
    stride: Sequence[int],
    pads: Pads,
    round_up: bool = False,
) -> int | tuple[int, int]:
    """Return equal padding of opposite sides that gives the same output size.

    Records in ``build.uneven`` a node whose padding is unequal.  Raises UnsupportedError if no equal padding gives the
    same size, and ValueError for sizes out of range.
    """
    if max(*kernel, *stride, *pads) > LARGEST_WINDOW:
        raise ValueError(f"has a kernel, stride or padding above {LARGEST_WINDOW}")
    if min(*kernel, *stride) < 1 or min(pads) < 0:
        raise ValueError("has a kernel or stride below 1, or a negative padding")
    found = []
    sides = ((shape.height, pads.top, pads.bottom), (shape.width, pads.left, pads.right))
    for axis, (size, begin, end) in enumerate(sides):
        wanted = window(size + begin + end, kernel[axis], stride[axis], 0, round_up)
        even = next(
            (
                padding
                for padding in (-(-(begin + end) // 2), (begin + end) // 2)
                if begin == end or window(size, kernel[axis], stride[axis], padding, round_up) == wanted
            ),
            None,
        )
        if even is None:
            raise UnsupportedError(f"padded by {begin} before and {end} behind", "equal padding on opposite sides")
        found.append(even)
    if not pads.even:
        build.uneven.append(node.name)
    return one(found)


def one(pair: Sequence[int]) -> int | tuple[int, int]:
    """Return a pair as the layer kinds store it: an int if both are equal."""
    first, second = pair
    return first if first == second else (first, second)


def linear(build: ModelBuilder, node: OperatorNode, weight: Fixed, out_axis: int) -> None:
    """Add a linear layer over the last axis, the features, with a bias in input 2.

    ``weight`` is a matrix whose axis ``out_axis`` is the outputs.  The input is a vector or a sequence.
    """
    value = build.activation(node)
    if len(weight.dims) != 2:
        raise UnsupportedError("by a weight that is not a matrix")
    if value.axes:
        check_features(value)
    elif len(value.dims) != 2:
        raise UnsupportedError(f"over {len(value.dims)} axes", "a flatten before it")
    inputs, outputs = weight.dims[1 - out_axis], weight.dims[out_axis]
    if inputs != value.dims[-1]:
        raise ValueError(f"its weight takes {inputs} features, but its input has {value.dims[-1]}")
    build.note_shared(node, 1)
    kind = Linear(outputs, has_bias(build, node, 2))
    build.layer(node, kind, value, dims=(*value.dims[:-1], outputs), axes=value.axes)


def normalize(build: ModelBuilder, node: OperatorNode, value: Activation, scale: Fixed | None) -> None:
    """Add a batch normalization as ``build.rules`` says; ``scale`` is one of its parameters, if it is known."""
    channels = build.shape(value).channels
    if scale is not None and prod(scale.dims) != channels:
        raise ValueError(f"its parameters have {prod(scale.dims)} channels, but its input has {channels}")
    kind = BatchNorm() if build.rules.norm == "batch" else group_norm(channels)
    build.layer(node, kind, value, dims=value.dims)


def group_normalize(build: ModelBuilder, node: OperatorNode, groups: int) -> None:
    """Add a group normalization."""
    value = build.layered(node)
    build.layer(node, GroupNorm(groups), value, dims=value.dims)


def instance_normalize(build: ModelBuilder, node: OperatorNode) -> None:
    """Add an instance normalization as a group normalization with one group per channel that it reads.

    After a reshape that joins neighbouring channels, each of these groups is one such joined channel.
    """
    value = build.activation(node)
    shape, dims = build.shape(value), value.dims
    if len(dims) < 3 or dims[1] < 1 or shape.channels % dims[1] or prod(dims[1:]) != shape.elements:
        raise UnsupportedError("over axes that are not those of an image")
    build.layer(node, GroupNorm(dims[1]), value, dims=dims)


def relu(build: ModelBuilder, node: OperatorNode, least: float = 0.0, most: float | None = None) -> None:
    """Add max(x, 0), limited to ``most``; UnsupportedError for other limits."""
    if least != 0 or (most is not None and not 0 < most < float("inf")):
        raise UnsupportedError(f"from {least:g} to {'infinity' if most is None else f'{most:g}'}", "ReLU or ReLU6")
    value = build.elementwise(node)
    build.layer(node, ReLU(most), value, dims=value.dims, axes=value.axes)


def dropout(build: ModelBuilder, node: OperatorNode, rate: float) -> None:
    """Add a dropout.  It counts even if the model was exported for evaluation, since a training step is costed."""
    value = build.elementwise(node)
    if not 0 <= rate < 1:
        raise ValueError(f"has a dropout rate of {rate:g}, not from 0 to below 1")
    if rate == 0:
        build.give(node, value)
    else:
        build.layer(node, Dropout(rate), value, dims=value.dims, axes=value.axes)


def pool(
    build: ModelBuilder,
    node: OperatorNode,
    kind: type[MaxPool] | type[AvgPool],
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    pads: Pads,
    round_up: bool,
    dilation: Sequence[int] = (1, 1),
) -> None:
    """Add a max or average pooling."""
    image = build.image(node)
    if len(kernel) != 2 or len(stride) != 2 or any(step != 1 for step in dilation):
        raise UnsupportedError("not two-dimensional, or dilated", PAIR)
    shape = build.shape(image)
    padding = _padding(build, node, shape, kernel, stride, pads, round_up)
    if pads == NO_PADS and {*kernel, *stride} == {1}:
        build.give(node, image)
    elif kind is AvgPool and pads == NO_PADS and tuple(kernel) == (shape.height, shape.width):
        build.layer(node, GlobalAvgPool(), image)
    else:
        build.layer(node, kind(one(kernel), one(stride), padding, round_up), image)


def adaptive_pool(
    build: ModelBuilder, node: OperatorNode, kind: type[MaxPool] | type[AvgPool], size: Sequence[int]
) -> None:
    """Add a pooling to a given output size (height, width)."""
    image = build.image(node)
    shape = build.shape(image)
    sides = (shape.height, shape.width)
    if min(size) < 1:
        raise ValueError("pools to an empty image")
    if tuple(size) == sides:
        build.give(node, image)
    elif kind is AvgPool and tuple(size) == (1, 1):
        build.layer(node, GlobalAvgPool(), image)
    elif kind is AvgPool:
        build.layer(node, AdaptiveAvgPool(one(size)), image)
    elif any(side % count for side, count in zip(sides, size, strict=True)):
        raise UnsupportedError("to a size that does not divide the image's", "a max-pooling with a window")
    else:
        kernel = [side // count for side, count in zip(sides, size, strict=True)]
        pool(build, node, kind, kernel=kernel, stride=kernel, pads=NO_PADS, round_up=False)


def mean(build: ModelBuilder, node: OperatorNode, axes: Sequence[int], keep: bool) -> None:
    """Add the mean of each channel, as a global average pooling; ``keep`` keeps the axes of height and width."""
    image = build.image(node)
    if sorted(axis % 4 for axis in axes) != [2, 3]:
        raise UnsupportedError("over other axes than height and width", "the mean of each channel")
    pooled = build.add(node, GlobalAvgPool(), image)
    if keep:
        build.give(node, pooled)
    else:
        build.layer(node, Flatten(), pooled, dims=pooled.dims[:2])


def add(build: ModelBuilder, node: OperatorNode) -> None:
    """Add a sum of branches.  A sum with a constant becomes the bias or shift of the layer before it."""
    if _constant(build, node) is not None:
        _absorb(build, node)
        return
    values = [build.elementwise(node, index) for index in range(len(node.inputs))]
    if len({(value.dims, value.axes) for value in values}) != 1:
        raise UnsupportedError("of unequal shapes", "sums of equal shapes")
    if len(values) == 1:
        build.give(node, values[0])
    else:
        build.layer(node, Add(), *values, dims=values[0].dims, axes=values[0].axes)


def scale(build: ModelBuilder, node: OperatorNode) -> None:
    """Absorb the scale of a normalization that is a separate operation; UnsupportedError for other products."""
    if _constant(build, node) is None:
        raise UnsupportedError("of two branches")
    _absorb(build, node)


def _constant(build: ModelBuilder, node: OperatorNode) -> int | None:
    """Return the index of the first of two inputs that does not depend on the data; None if both do."""
    found = [index for index in range(2) if isinstance(build.value(node, index), Fixed)]
    return found[0] if found else None


def _absorb(build: ModelBuilder, node: OperatorNode) -> None:
    """Treat a constant with one value per channel as a parameter of the layer before.

    A group normalization has such parameters already; a convolution or linear layer without a bias gets one from a sum.
    Raises UnsupportedError in all other cases.
    """
    at = _constant(build, node)
    assert at is not None
    value, parameter = build.elementwise(node, 1 - at), build.fixed(node, at)
    draft = build.drafts[value.layer]
    wanted: Dims = (draft.shape.channels, 1, 1)[: 1 if value.axes[-1:] == ("f",) else len(value.dims) - 1]
    if parameter is None or parameter.dims[-len(wanted) :] != wanted or prod(parameter.dims) != wanted[0]:
        if parameter is not None and parameter.origin is Origin.INPUT:
            raise UnsupportedError("of another input", ONE_INPUT)
        raise UnsupportedError("by a constant", "a network without such constants")
    if isinstance(draft.kind, Conv | Linear) and not draft.kind.bias and _is_bias(build, node, 1 - at):
        draft.kind = replace(draft.kind, bias=True)
    elif not isinstance(draft.kind, GroupNorm):
        raise UnsupportedError("by a constant", "a network without such constants")
    build.give(node, value)


def _is_bias(build: ModelBuilder, node: OperatorNode, index: int) -> bool:
    """Return whether an operation is a sum, and the only reader of input ``index``."""
    return node.operator in ADDITIONS and build.uses[node.inputs[index]] == 1


def concat(build: ModelBuilder, node: OperatorNode, axis: int) -> None:
    """Add a concatenation along the channels, or the features of sequences."""
    values = [build.elementwise(node, index) for index in range(len(node.inputs))]
    first = values[0]
    forms = {(len(value.dims), value.axes) for value in values}
    along = first.axes.index("f") if "f" in first.axes else 1
    if len(forms) != 1 or axis % len(first.dims) != along:
        raise UnsupportedError("along another axis than the channels", "concatenation of channels")
    if len(values) == 1:
        build.give(node, first)
        return
    channels = sum(value.dims[along] for value in values)
    dims = (*first.dims[:along], channels, *first.dims[along + 1 :])
    build.layer(node, Concat(), *values, dims=dims, axes=first.axes)


def reshape(build: ModelBuilder, node: OperatorNode, dims: Dims) -> None:
    """Give the same elements other axes.

    Allowed are flattening, the axes of the layer's own output, joining neighbouring channels into groups, and for
    sequences what `regrouped` allows.  Raises UnsupportedError for others, and ValueError if the sizes do not fit.
    """
    value = build.activation(node)
    shape = build.shape(value)
    natural = (shape.channels, shape.height, shape.width)
    if prod(dims) != prod(value.dims):
        raise ValueError(f"{prod(value.dims)} elements do not fit the shape {'x'.join(map(str, dims))}")
    if value.axes:
        build.give(node, regrouped(build.shape(value), value, dims))
        return
    samples, *rest = dims or (0,)
    if samples != value.dims[0]:
        raise UnsupportedError("across samples", "shapes whose first axis is the samples")
    if tuple(rest) == value.dims[1:]:
        build.give(node, value)
    elif len(rest) == 1 and len(value.dims) == 4:
        build.layer(node, Flatten(), build.layered(node), dims=dims)
    elif tuple(rest) == natural or _is_grouped(dims, shape):
        build.give(node, Activation(value.layer, dims))
    else:
        raise UnsupportedError(f"to {'x'.join(map(str, dims))}", "flattening only")


def _is_grouped(dims: Dims, shape: Shape) -> bool:
    """Return whether a reshape joins neighbouring channels into groups, as before a normalization of groups."""
    return len(dims) == 3 and dims[1] > 0 and shape.channels % dims[1] == 0


def softmax(build: ModelBuilder, node: OperatorNode) -> None:
    """Add no layer for a softmax at the end, which the loss contains; UnsupportedError for one inside the network."""
    if build.uses[node.outputs[0]] > build.model.outputs.count(node.outputs[0]):
        raise UnsupportedError("inside the network")
    build.give(node, build.activation(node))


def same(build: ModelBuilder, node: OperatorNode) -> None:
    """Add no layer for an operation that changes nothing."""
    value = build.value(node, 0)
    build.give(node, value if isinstance(value, Fixed) else build.activation(node))


def elements(array: ConstantArray | None) -> list[float]:
    """Return all elements of a constant as floats; an empty list for an omitted one.

    Each element is converted through its shortest decimal form, so that 0.2 in fp32 becomes 0.2.  Raises ValueError for
    a constant of more than `LARGEST_CONSTANT` elements.
    """
    if array is not None and array.size > LARGEST_CONSTANT:
        raise ValueError(f"reads a constant of {array.size} elements, more than the limit of {LARGEST_CONSTANT}")
    return [] if array is None else [float(str(value)) for value in array.reshape(-1)]
