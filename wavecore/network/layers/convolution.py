"""Convolutions, plain, grouped and depthwise, as implicit-im2col GEMMs (docs/model.md section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

from wavecore.network.compute import BatchedDimension, Gemm, VectorPass
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


def parity_taps(size: int, kernel: int, stride: int, padding: int) -> list[tuple[int, int]]:
    """Return, for each residue of the input position modulo ``stride``: (positions, kernel taps that reach them)."""
    classes = []
    for residue in range(min(stride, size)):
        positions = len(range(residue, size, stride))
        taps = sum((residue + padding - tap) % stride == 0 for tap in range(kernel))
        classes.append((positions, taps))
    return classes


def _data_gradient_gemms(conv: Conv, shape: Shape) -> tuple[Gemm, ...]:
    """Return one dense GEMM for each output parity, so that no inserted zero is multiplied; equal ones are merged."""
    kernel, stride, padding = pair(conv.kernel), pair(conv.stride), pair(conv.padding)
    rows = parity_taps(shape.height, kernel[0], stride[0], padding[0])
    columns = parity_taps(shape.width, kernel[1], stride[1], padding[1])
    counts: dict[tuple[int, int], int] = {}
    for (height, taps_y), (width, taps_x) in product(rows, columns):
        if taps_y * taps_x:
            key = (height * width, taps_y * taps_x)
            counts[key] = counts.get(key, 0) + conv.groups
    inner = conv.out_channels // conv.groups
    outer = shape.channels // conv.groups
    return tuple(
        Gemm(pixels, inner * taps, outer, BatchedDimension.M, count) for (pixels, taps), count in counts.items()
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
        ),
        weight_gradient=PhaseSpec(
            gemms=(Gemm(depth, output.pixels, columns, BatchedDimension.K, conv.groups),),
            passes=(VectorPass(weights, 1, batched=False),),
            reads_input=1,
            reads_gradient=1,
            writes_weight_gradient=True,
            lookahead=ahead,
        ),
        data_gradient=PhaseSpec(
            gemms=_data_gradient_gemms(conv, shape),
            passes=(VectorPass(shape.elements, 1),),
            reads_gradient=1,
            reads_weight=True,
            lookahead=backward_lookahead(shape, output, stride, padding),
        ),
    )


RULES = LayerRules(LayerRole.UNIT, _infer, _parameters, _expand)
