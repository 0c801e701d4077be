"""Adaptive average pooling: windows of nearly equal size that together cover an image of any size.

The windows are those of PyTorch's AdaptiveAvgPool2d: output ``i`` of ``count`` is the mean of the positions
from ``floor(i * size / count)`` up to, not including, ``ceil((i + 1) * size / count)``.  They overlap when
``count`` does not divide ``size``, and repeat positions when it is larger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wavecore.network.compute import VectorPass
from wavecore.network.layers.base import Expansion, LayerKind, LayerRole, LayerRules, PhaseSpec, only, pair
from wavecore.network.shapes import Shape


@dataclass(frozen=True, slots=True)
class AdaptiveAvgPool(LayerKind):
    """Average pooling to an output of ``size``, an int or (height, width), whatever the input's."""

    kind: ClassVar[str] = "adaptive_avg_pool"
    size: int | tuple[int, int]


def windows(size: int, count: int) -> list[range]:
    """Return the number of positions of each of the ``count`` windows along an axis of ``size``."""
    return [range(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _infer(pool: AdaptiveAvgPool, inputs: tuple[Shape, ...]) -> Shape:
    height, width = pair(pool.size)
    return Shape(only(inputs).channels, height, width)


def _expand(pool: AdaptiveAvgPool, inputs: tuple[Shape, ...], output: Shape) -> Expansion:
    shape = only(inputs)
    rows = sum(map(len, windows(shape.height, output.height)))
    columns = sum(map(len, windows(shape.width, output.width)))
    sweep = (VectorPass(shape.channels * rows * columns, 1),)
    return Expansion(
        forward=PhaseSpec(passes=sweep, reads_input=1), data_gradient=PhaseSpec(passes=sweep, reads_gradient=1)
    )


RULES = LayerRules(LayerRole.UNIT, _infer, expand=_expand)
