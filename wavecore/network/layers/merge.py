"""Layers that join branches: residual additions and concatenations.

An addition passes its gradient to every input unchanged, so it has no backward operation of its own.  A
concatenation lays its inputs side by side: the layers that make them write them in place, so it costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wavecore.network.compute import VectorPass
from wavecore.network.layers.base import Expansion, LayerKind, LayerRole, LayerRules, PhaseSpec
from wavecore.network.shapes import Shape


@dataclass(frozen=True, slots=True)
class Add(LayerKind):
    """The elementwise sum of two or more equal shapes."""

    kind: ClassVar[str] = "add"


@dataclass(frozen=True, slots=True)
class Concat(LayerKind):
    """Concatenation along the channels."""

    kind: ClassVar[str] = "concat"


def _infer_add(add: Add, inputs: tuple[Shape, ...]) -> Shape:
    if len(inputs) < 2 or len(set(inputs)) > 1:
        raise ValueError(f"adds two or more equal shapes, not {', '.join(map(str, inputs))}")
    return inputs[0]


def _infer_concat(concat: Concat, inputs: tuple[Shape, ...]) -> Shape:
    if len(inputs) < 2 or len({(shape.height, shape.width) for shape in inputs}) > 1:
        raise ValueError(f"concatenates two or more equal images, not {', '.join(map(str, inputs))}")
    return Shape(sum(shape.channels for shape in inputs), inputs[0].height, inputs[0].width)


def _expand_add(add: Add, inputs: tuple[Shape, ...], output: Shape) -> Expansion:
    sweep = VectorPass(output.elements, len(inputs) - 1)
    return Expansion(forward=PhaseSpec(passes=(sweep,), reads_input=1, in_place=True, lookahead=(0, 1)))


ADD_RULES = LayerRules(LayerRole.UNIT, _infer_add, expand=_expand_add)
CONCAT_RULES = LayerRules(LayerRole.VIEW, _infer_concat)
