"""What operations mean in layers, whichever format they come from; the formats' tables lead here.

A pooling whose window is the whole image is a global one; one whose windows are single positions is nothing, and so is
a dropout at a rate of 0.  Whether padding counts in an average moves no byte and no cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

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

Pads = tuple[int, int, int, int]  # top, left, bottom, right


def convolution(
    build: ModelBuilder,
    node: OperatorNode,
    *,
    stride: Sequence[int],
    pads: Pads,
    dilation: Sequence[int],
    groups: int,
) -> None:
    """A convolution of input 0 by the weight in input 1, with a bias in input 2 where there is one."""
    image, weight = build.image(node), build.fixed(node, 1)
    if weight is None or len(weight.dims) != 4 or len(stride) != 2 or len(dilation) != 2:
        raise UnsupportedError("not two-dimensional", PAIR)
    if any(step != 1 for step in dilation):
        raise UnsupportedError("dilated", "a network without dilated convolutions")
    out_channels, depth, *kernel = weight.dims
    shape = build.shape(image)
    if groups < 1 or depth * groups != shape.channels:
        raise ValueError(f"its weight takes {depth * groups} channels, and {shape.channels} come")
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
    """Whether there is a trained bias; zeros that an exporter filled in are none."""
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
    """Equal padding on opposite sides that gives the same output; told where that is not what the model says."""
    if max(*kernel, *stride, *pads) > LARGEST_WINDOW:
        raise ValueError(f"has a kernel, stride or padding above {LARGEST_WINDOW}")
    if min(*kernel, *stride) < 1 or min(pads) < 0:
        raise ValueError("has a kernel or stride below 1, or a negative padding")
    found = []
    for axis, size in enumerate((shape.height, shape.width)):
        begin, end = pads[axis], pads[axis + 2]
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
    if pads[:2] != pads[2:]:
        build.uneven.append(node.name)
    return one(found)


def one(pair: Sequence[int]) -> int | tuple[int, int]:
    """A pair as the layer kinds have it: an int where both are equal."""
    first, second = pair
    return first if first == second else (first, second)


def linear(build: ModelBuilder, node: OperatorNode, weight: Fixed, out_axis: int) -> None:
    """A linear layer over features by a matrix whose axis ``out_axis`` is the outputs, with a bias in input 2.

    Features are the last axis, of which a sequence has more.
    """
    value = build.activation(node)
    if len(weight.dims) != 2:
        raise UnsupportedError("by more than a matrix")
    if value.axes:
        check_features(value)
    elif len(value.dims) != 2:
        raise UnsupportedError(f"over {len(value.dims)} axes", "a flatten before it")
    inputs, outputs = weight.dims[1 - out_axis], weight.dims[out_axis]
    if inputs != value.dims[-1]:
        raise ValueError(f"its weight takes {inputs} features, and {value.dims[-1]} come")
    build.note_shared(node, 1)
    kind = Linear(outputs, has_bias(build, node, 2))
    build.layer(node, kind, value, dims=(*value.dims[:-1], outputs), axes=value.axes)


def normalize(build: ModelBuilder, node: OperatorNode, value: Activation, scale: Fixed | None) -> None:
    """A batch normalization, by the rule in force; ``scale`` is one of its parameters."""
    channels = build.shape(value).channels
    if scale is not None and prod(scale.dims) != channels:
        raise ValueError(f"its parameters are of {prod(scale.dims)} channels, and {channels} come")
    kind = BatchNorm() if build.rules.norm == "batch" else group_norm(channels)
    build.layer(node, kind, value, dims=value.dims)


def group_normalize(build: ModelBuilder, node: OperatorNode, groups: int) -> None:
    """A group normalization as it is."""
    value = build.layered(node)
    build.layer(node, GroupNorm(groups), value, dims=value.dims)


def instance_normalize(build: ModelBuilder, node: OperatorNode) -> None:
    """A normalization of each channel; over channels that a reshape has put together, it is one of groups."""
    value = build.activation(node)
    shape, dims = build.shape(value), value.dims
    if len(dims) < 3 or dims[1] < 1 or shape.channels % dims[1] or prod(dims[1:]) != shape.elements:
        raise UnsupportedError("over axes that are no image's")
    build.layer(node, GroupNorm(dims[1]), value, dims=dims)


def relu(build: ModelBuilder, node: OperatorNode, least: float = 0.0, most: float | None = None) -> None:
    """max(x, 0), cut off at ``most``."""
    if least != 0 or (most is not None and not 0 < most < float("inf")):
        raise UnsupportedError(f"from {least:g} to {'infinity' if most is None else f'{most:g}'}", "ReLU or ReLU6")
    value = build.elementwise(node)
    build.layer(node, ReLU(most), value, dims=value.dims, axes=value.axes)


def dropout(build: ModelBuilder, node: OperatorNode, rate: float) -> None:
    """Dropout; a step of training is costed, so it counts whatever mode it was exported in."""
    value = build.elementwise(node)
    if not 0 <= rate < 1:
        raise ValueError(f"drops a share of {rate:g}")
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
    """Max or average pooling."""
    image = build.image(node)
    if len(kernel) != 2 or len(stride) != 2 or any(step != 1 for step in dilation):
        raise UnsupportedError("not two-dimensional, or dilated", PAIR)
    shape = build.shape(image)
    padding = _padding(build, node, shape, kernel, stride, pads, round_up)
    if not any(pads) and {*kernel, *stride} == {1}:
        build.give(node, image)
    elif kind is AvgPool and not any(pads) and tuple(kernel) == (shape.height, shape.width):
        build.layer(node, GlobalAvgPool(), image)
    else:
        build.layer(node, kind(one(kernel), one(stride), padding, round_up), image)


def adaptive_pool(
    build: ModelBuilder, node: OperatorNode, kind: type[MaxPool] | type[AvgPool], size: Sequence[int]
) -> None:
    """Pooling to a given size."""
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
        pool(build, node, kind, kernel=kernel, stride=kernel, pads=(0, 0, 0, 0), round_up=False)


def mean(build: ModelBuilder, node: OperatorNode, axes: Sequence[int], keep: bool) -> None:
    """The mean of each channel."""
    image = build.image(node)
    if sorted(axis % 4 for axis in axes) != [2, 3]:
        raise UnsupportedError("over other axes than height and width", "the mean of each channel")
    pooled = build.add(node, GlobalAvgPool(), image)
    if keep:
        build.give(node, pooled)
    else:
        build.layer(node, Flatten(), pooled, dims=pooled.dims[:2])


def add(build: ModelBuilder, node: OperatorNode) -> None:
    """A sum of branches; or a bias, or the shift of a normalization, in an operation of its own."""
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
    """The scale of a normalization in an operation of its own."""
    if _constant(build, node) is None:
        raise UnsupportedError("of two branches")
    _absorb(build, node)


def _constant(build: ModelBuilder, node: OperatorNode) -> int | None:
    """The input of an operation on two that does not depend on the data, if there is one."""
    found = [index for index in range(2) if isinstance(build.value(node, index), Fixed)]
    return found[0] if found else None


def _absorb(build: ModelBuilder, node: OperatorNode) -> None:
    """Let the layer before have a parameter a channel: a normalization has, a convolution or a linear layer may."""
    at = _constant(build, node)
    assert at is not None
    value, parameter = build.elementwise(node, 1 - at), build.fixed(node, at)
    draft = build.drafts[value.layer]
    wanted: Dims = (draft.shape.channels, 1, 1)[: 1 if value.axes[-1:] == ("f",) else len(value.dims) - 1]
    if parameter is None or parameter.dims[-len(wanted) :] != wanted or prod(parameter.dims) != wanted[0]:
        if parameter is not None and parameter.origin is Origin.INPUT:
            raise UnsupportedError("of another input", ONE_INPUT)
        raise UnsupportedError("by a constant", "constants outside the network")
    if isinstance(draft.kind, Conv | Linear) and not draft.kind.bias and _is_bias(build, node, 1 - at):
        draft.kind = replace(draft.kind, bias=True)
    elif not isinstance(draft.kind, GroupNorm):
        raise UnsupportedError("by a constant", "constants outside the network")
    build.give(node, value)


def _is_bias(build: ModelBuilder, node: OperatorNode, index: int) -> bool:
    """Whether an operation adds to what nobody else reads."""
    return node.operator in ADDITIONS and build.uses[node.inputs[index]] == 1


def concat(build: ModelBuilder, node: OperatorNode, axis: int) -> None:
    """Concatenation along the channels."""
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
    """The same elements in other axes: a vector, an image of single positions, or channels put into groups."""
    value = build.activation(node)
    shape = build.shape(value)
    natural = (shape.channels, shape.height, shape.width)
    if prod(dims) != prod(value.dims):
        raise ValueError(f"{prod(value.dims)} elements do not fill {'x'.join(map(str, dims))}")
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
    """Whether a reshape puts neighbouring channels together, as before the normalization of groups."""
    return len(dims) == 3 and dims[1] > 0 and shape.channels % dims[1] == 0


def softmax(build: ModelBuilder, node: OperatorNode) -> None:
    """The softmax at the end belongs to the loss, which has one."""
    if build.uses[node.outputs[0]] > build.model.outputs.count(node.outputs[0]):
        raise UnsupportedError("inside the network")
    build.give(node, build.activation(node))


def same(build: ModelBuilder, node: OperatorNode) -> None:
    """What changes nothing, of the data or of what LSTMs begin with."""
    value = build.value(node, 0)
    build.give(node, value if isinstance(value, Fixed) else build.activation(node))


def elements(array: ConstantArray | None) -> list[float]:
    """All elements of a constant, none of one that is left out; 0.2 in fp32 is 0.2."""
    if array is not None and array.size > LARGEST_CONSTANT:
        raise ValueError(f"reads a constant of {array.size} elements, and {LARGEST_CONSTANT} are the most")
    return [] if array is None else [float(str(value)) for value in array.reshape(-1)]
