"""Pooling.  Max-pooling keeps the position of each maximum inside its window; average pooling keeps nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wavecore.network.compute import VectorPass
from wavecore.network.layers.base import (
    Expansion,
    LayerKind,
    LayerRole,
    LayerRules,
    PhaseSpec,
    Saved,
    backward_lookahead,
    forward_lookahead,
    only,
    pair,
    window,
)
from wavecore.network.shapes import Shape


@dataclass(frozen=True, slots=True)
class MaxPool(LayerKind):
    """Max-pooling; ``round_up`` keeps a last, partial window."""

    kind: ClassVar[str] = "max_pool"
    kernel: int | tuple[int, int]
    stride: int | tuple[int, int]
    padding: int | tuple[int, int] = 0
    round_up: bool = False


@dataclass(frozen=True, slots=True)
class AvgPool(LayerKind):
    """Average pooling."""

    kind: ClassVar[str] = "avg_pool"
    kernel: int | tuple[int, int]
    stride: int | tuple[int, int]
    padding: int | tuple[int, int] = 0
    round_up: bool = False


@dataclass(frozen=True, slots=True)
class GlobalAvgPool(LayerKind):
    """The mean of each channel."""

    kind: ClassVar[str] = "global_avg_pool"


def _infer(pool: MaxPool | AvgPool, inputs: tuple[Shape, ...]) -> Shape:
    shape = only(inputs)
    kernel, stride, padding = pair(pool.kernel), pair(pool.stride), pair(pool.padding)
    return Shape(
        shape.channels,
        window(shape.height, kernel[0], stride[0], padding[0], pool.round_up),
        window(shape.width, kernel[1], stride[1], padding[1], pool.round_up),
    )


def _ahead(pool: MaxPool | AvgPool, shape: Shape, output: Shape) -> tuple[int, int]:
    return forward_lookahead(shape, output, pair(pool.kernel)[0], pair(pool.stride)[0], pair(pool.padding)[0])


def _ahead_backward(pool: MaxPool | AvgPool, shape: Shape, output: Shape) -> tuple[int, int]:
    return backward_lookahead(shape, output, pair(pool.stride)[0], pair(pool.padding)[0])


def _expand_max(pool: MaxPool, inputs: tuple[Shape, ...], output: Shape) -> Expansion:
    taps = pair(pool.kernel)[0] * pair(pool.kernel)[1]
    index_bits = max(1, (taps - 1).bit_length())
    return Expansion(
        forward=PhaseSpec(
            passes=(VectorPass(output.elements, taps),),
            reads_input=1,
            lookahead=_ahead(pool, only(inputs), output),
        ),
        data_gradient=PhaseSpec(
            passes=(VectorPass(max(only(inputs).elements, output.elements), 1),),
            reads_gradient=1,
            reads_saved=("indices",),
            lookahead=_ahead_backward(pool, only(inputs), output),
        ),
        saved=(Saved("indices", output.elements * index_bits),),
    )


def _expand_average(pool: AvgPool, inputs: tuple[Shape, ...], output: Shape) -> Expansion:
    taps = pair(pool.kernel)[0] * pair(pool.kernel)[1]
    return Expansion(
        forward=PhaseSpec(
            passes=(VectorPass(output.elements, taps),),
            reads_input=1,
            lookahead=_ahead(pool, only(inputs), output),
        ),
        data_gradient=PhaseSpec(
            passes=(VectorPass(output.elements, taps),),
            reads_gradient=1,
            lookahead=_ahead_backward(pool, only(inputs), output),
        ),
    )


def _infer_global(pool: GlobalAvgPool, inputs: tuple[Shape, ...]) -> Shape:
    return Shape(only(inputs).channels)


def _expand_global(pool: GlobalAvgPool, inputs: tuple[Shape, ...], output: Shape) -> Expansion:
    sweep = (VectorPass(only(inputs).elements, 1),)
    return Expansion(
        forward=PhaseSpec(passes=sweep, reads_input=1), data_gradient=PhaseSpec(passes=sweep, reads_gradient=1)
    )


MAX_RULES = LayerRules(LayerRole.UNIT, _infer, expand=_expand_max)
AVERAGE_RULES = LayerRules(LayerRole.UNIT, _infer, expand=_expand_average)
GLOBAL_RULES = LayerRules(LayerRole.UNIT, _infer_global, expand=_expand_global)
