"""Convolutions, plain, grouped and depthwise, as implicit-im2col GEMMs (docs/model.md section 2)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, product
from operator import itemgetter
from typing import ClassVar

from wavecore.network.compute import BatchedDimension, Gemm, TrimmedProduct, VectorPass
from wavecore.network.layers.base import (
    Expansion,
    LayerKind,
    LayerRole,
    LayerRules,
    Parameter,
    PhaseSpec,
    backward_lookahead,
    forward_lookahead,
    only,
    pair,
    window,
)
from wavecore.network.shapes import Shape


@dataclass(frozen=True, slots=True)
class Conv(LayerKind):
    """A 2-D convolution to ``out_channels``; sizes are an int or (height, width)."""

    kind: ClassVar[str] = "conv"
    out_channels: int
    kernel: int | tuple[int, int] = 1
    stride: int | tuple[int, int] = 1
    padding: int | tuple[int, int] = 0
    groups: int = 1
    bias: bool = False


def _infer(conv: Conv, inputs: tuple[Shape, ...]) -> Shape:
    shape = only(inputs)
    if conv.groups < 1 or shape.channels % conv.groups or conv.out_channels % conv.groups:
        raise ValueError(
            f"{conv.groups} groups do not divide {shape.channels} input and {conv.out_channels} output channels"
        )
    kernel, stride, padding = pair(conv.kernel), pair(conv.stride), pair(conv.padding)
    return Shape(
        conv.out_channels,
        window(shape.height, kernel[0], stride[0], padding[0]),
        window(shape.width, kernel[1], stride[1], padding[1]),
    )


def _parameters(conv: Conv, inputs: tuple[Shape, ...]) -> tuple[Parameter, ...]:
    height, width = pair(conv.kernel)
    weight = Parameter("weight", only(inputs).channels // conv.groups * height * width * conv.out_channels)
    return (weight, Parameter("bias", conv.out_channels)) if conv.bias else (weight,)


@dataclass(frozen=True, slots=True)
class Member:
    """Positions of the input's gradient on one axis, ``range(first, ..., stride)``, which the same ``taps`` reach."""

    first: int
    taps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TapClass:
    """Positions on one axis whose gradients are one product: they read the same outputs, in the same order.

    Every one of the ``members`` has ``count`` positions, each a stride after the one before, and as many taps as the
    others.  Position number j of a member reads for each of its taps the output that position 0 reads, plus j.
    """

    count: int
    members: tuple[Member, ...]

    @property
    def taps(self) -> int:
        """Taps that reach each position."""
        return len(self.members[0].taps)

    @property
    def products(self) -> int:
        """Multiplications on this axis, per row of the other and pair of channels."""
        return self.count * self.taps * len(self.members)

    @property
    def weights(self) -> int:
        """Elements of the right operand on this axis, per pair of channels."""
        return self.taps * len(self.members)


@lru_cache(maxsize=4096)
def tap_classes(size: int, kernel: int, stride: int, padding: int) -> tuple[TapClass, ...]:
    """Return how the positions of an axis of ``size`` are computed in a data gradient, if any tap reaches them.

    Position i reads output (i + padding - r) / stride for every tap r for which that is a whole number.  Positions of
    one parity (residue modulo the stride) have the same such taps, so that one dense product computes them; near the
    edges it multiplies with outputs that do not exist.  That is what the forward pass does with its padding, and here
    too it is done while the axis does not take more products than forward, one for each output and tap.  Otherwise, or
    where it takes no more weights, positions with the same taps *inside* the output are computed together, and nothing
    outside is multiplied.
    """
    outputs = window(size, kernel, stride, padding)
    plain: list[tuple[int, Member]] = []
    exact: list[tuple[int, Member]] = []
    for residue in range(min(stride, size)):
        taps = tuple(tap for tap in range(kernel) if (residue + padding - tap) % stride == 0)
        positions = range(residue, size, stride)
        if taps:
            plain.append((len(positions), Member(residue, taps)))
        inside = ((i, tuple(tap for tap in taps if 0 <= i + padding - tap < outputs * stride)) for i in positions)
        for reached, run in groupby(inside, key=itemgetter(1)):
            firsts = [i for i, _ in run]
            if reached:
                exact.append((len(firsts), Member(firsts[0], reached)))
    parities, edges = (_with_equal_outputs(found, stride, padding) for found in (plain, exact))
    allowed = sum(each.products for each in parities) <= outputs * kernel
    return parities if allowed and _weights(parities) < _weights(edges) else edges


def _with_equal_outputs(found: list[tuple[int, Member]], stride: int, padding: int) -> tuple[TapClass, ...]:
    """Put together the runs of positions, each with their number, that read the same outputs."""
    classes: dict[tuple[int, tuple[int, ...]], list[Member]] = {}
    for count, member in found:
        outputs = tuple((member.first + padding - tap) // stride for tap in member.taps)
        classes.setdefault((count, outputs), []).append(member)
    return tuple(TapClass(count, tuple(members)) for (count, _), members in classes.items())


def _weights(classes: tuple[TapClass, ...]) -> int:
    return sum(each.weights for each in classes)


def gradient_classes(conv: Conv, shape: Shape) -> tuple[tuple[TapClass, TapClass], ...]:
    """Return the classes of rows and of columns of every product of a group's data gradient.

    The left operand has a row for each pair of their positions, and the outputs under each pair of taps.  The right one
    has a row for each output channel and pair of taps, and a column for each input channel and pair of members.
    """
    kernel, stride, padding = pair(conv.kernel), pair(conv.stride), pair(conv.padding)
    sizes = shape.height, shape.width
    rows, columns = (tap_classes(size, kernel[i], stride[i], padding[i]) for i, size in enumerate(sizes))
    return tuple(product(rows, columns))


def _data_gradient_gemms(conv: Conv, shape: Shape) -> tuple[Gemm, ...]:
    """Return the dense products of a data gradient, equal ones merged and the largest last."""
    counts: dict[tuple[int, int, int], int] = {}
    for rows, columns in gradient_classes(conv, shape):
        key = (rows.count * columns.count, rows.taps * columns.taps, len(rows.members) * len(columns.members))
        counts[key] = counts.get(key, 0) + conv.groups
    inner, outer = conv.out_channels // conv.groups, shape.channels // conv.groups
    gemms = (
        Gemm(pixels, inner * taps, outer * members, BatchedDimension.M, count)
        for (pixels, taps, members), count in counts.items()
    )
    return tuple(sorted(gemms, key=lambda gemm: gemm.m * gemm.k * gemm.n))


def _trimmed(conv: Conv, shape: Shape) -> tuple[TrimmedProduct, ...]:
    """Return the data gradient parity by parity, each position with the taps of its class, if any edges are apart.

    These are the multiply-accumulates of the classes, with every weight met once.
    """
    classes = gradient_classes(conv, shape)
    down, across = pair(conv.stride)
    parities: dict[tuple[int, int], list[tuple[int, Member, Member]]] = defaultdict(list)
    for rows, columns in classes:
        for y, x in product(rows.members, columns.members):
            parities[y.first % down, x.first % across].append((rows.count * columns.count, y, x))
    if len(parities) == sum(len(rows.members) * len(columns.members) for rows, columns in classes):
        return ()
    return tuple(_trimmed_product(conv, shape, found) for found in parities.values())


def _trimmed_product(conv: Conv, shape: Shape, found: list[tuple[int, Member, Member]]) -> TrimmedProduct:
    """Return the product of one parity, of which positions, each with their number, are reached by the given taps."""
    reached = [(count, frozenset(product(y.taps, x.taps))) for count, y, x in found]
    number = {tap: at for at, tap in enumerate(sorted(frozenset().union(*(taps for _, taps in reached))))}
    return TrimmedProduct(
        len(number),
        conv.out_channels // conv.groups,
        shape.channels // conv.groups,
        conv.groups,
        tuple((count, frozenset(number[tap] for tap in taps)) for count, taps in reached),
    )


def _expand(conv: Conv, inputs: tuple[Shape, ...], output: Shape) -> Expansion:
    shape = only(inputs)
    height, width = pair(conv.kernel)
    depth = shape.channels // conv.groups * height * width
    columns = conv.out_channels // conv.groups
    weights = depth * conv.out_channels
    stride, padding = pair(conv.stride)[0], pair(conv.padding)[0]
    ahead = forward_lookahead(shape, output, height, stride, padding)
    return Expansion(
        forward=PhaseSpec(
            gemms=(Gemm(output.pixels, depth, columns, BatchedDimension.M, conv.groups),),
            passes=(VectorPass(output.elements, 1),),
            reads_input=1,
            reads_weight=True,
            lookahead=ahead,
            groups=conv.groups,
        ),
        weight_gradient=PhaseSpec(
            gemms=(Gemm(depth, output.pixels, columns, BatchedDimension.K, conv.groups),),
            passes=(VectorPass(weights, 1, batched=False),),
            reads_input=1,
            reads_gradient=1,
            writes_weight_gradient=True,
            lookahead=ahead,
            groups=conv.groups,
        ),
        data_gradient=PhaseSpec(
            gemms=_data_gradient_gemms(conv, shape),
            passes=(VectorPass(shape.elements, 1),),
            reads_gradient=1,
            reads_weight=True,
            lookahead=backward_lookahead(shape, output, stride, padding),
            groups=conv.groups,
            trimmed=_trimmed(conv, shape),
        ),
    )


RULES = LayerRules(LayerRole.UNIT, _infer, _parameters, _expand)
