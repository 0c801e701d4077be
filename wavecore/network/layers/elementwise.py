"""Layers that touch each element once and keep one bit of it: fused into the pass that precedes them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from wavecore.network.layers.base import LayerKind, LayerRole, LayerRules, only
from wavecore.network.shapes import Shape


@dataclass(frozen=True, slots=True)
class ReLU(LayerKind):
    """max(x, 0), cut off at ``ceiling`` where one is given (ReLU6); its gradient needs one bit per element."""

    kind: ClassVar[str] = "relu"
    ceiling: float | None = None


@dataclass(frozen=True, slots=True)
class Dropout(LayerKind):
    """Dropout at ``rate``; one bit per element says whether it was kept."""

    kind: ClassVar[str] = "dropout"
    rate: float = 0.5


def _infer(layer: ReLU | Dropout, inputs: tuple[Shape, ...]) -> Shape:
    if isinstance(layer, Dropout) and not 0 <= layer.rate <= 1:
        raise ValueError(f"a rate of {layer.rate} is no share from 0 to 1")
    if isinstance(layer, ReLU) and layer.ceiling is not None and not 0 < layer.ceiling < math.inf:
        raise ValueError(f"a ceiling of {layer.ceiling} is no positive number")
    return only(inputs)


RULES = LayerRules(LayerRole.ELEMENTWISE, _infer, mask_bits=1, lane_operations=1)
