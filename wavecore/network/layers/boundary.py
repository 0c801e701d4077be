"""The two ends of a piece of a network: what it reads from the rest, and what it hands on to it.

Both move bytes through DRAM and compute nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wavecore.network.layers.base import LayerKind, LayerRole, LayerRules, only
from wavecore.network.shapes import Shape


@dataclass(frozen=True, slots=True)
class Inlet(LayerKind):
    """A value from outside, in DRAM when the step begins; its gradient is wanted there."""

    kind: ClassVar[str] = "inlet"
    shape: Shape


@dataclass(frozen=True, slots=True)
class Outlet(LayerKind):
    """Leaves a value to the outside, in DRAM; its gradient is there when backward begins."""

    kind: ClassVar[str] = "outlet"


def _infer_inlet(inlet: Inlet, inputs: tuple[Shape, ...]) -> Shape:
    if inputs:
        raise ValueError("comes from outside the network and reads nothing")
    if min(inlet.shape.channels, inlet.shape.height, inlet.shape.width) < 1:
        raise ValueError(f"has an empty shape {inlet.shape}")
    return inlet.shape


def _infer_outlet(outlet: Outlet, inputs: tuple[Shape, ...]) -> Shape:
    return only(inputs)


INLET_RULES = LayerRules(LayerRole.VIEW, _infer_inlet)
OUTLET_RULES = LayerRules(LayerRole.VIEW, _infer_outlet)
