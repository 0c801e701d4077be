"""Group normalization: statistics of each sample's channel groups, so that sub-batches stay independent.

Lane operations per element, counted from the formulas (one fp32 multiply-add each):

* statistics: sum, sum of squares = 2; normalize: one scale-and-shift = 1;
* backward reductions: x_hat, sum of dy*x_hat, sum of dy = 3; dx = a*dy + b*x + c = 2.

Each of the two sweeps reads the tensors again unless they are held on chip.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import ClassVar

from wavecore.network.compute import VectorPass
from wavecore.network.layers.base import Expansion, LayerKind, LayerRole, LayerRules, Parameter, PhaseSpec, Saved, only
from wavecore.network.shapes import Shape

STATISTICS_BITS = 64  # fp32 mean and reciprocal deviation of a group


@dataclass(frozen=True, slots=True)
class GroupNorm(LayerKind):
    """Group normalization with ``groups`` groups of channels, scale and shift for each channel."""

    kind: ClassVar[str] = "norm"
    groups: int


def group_norm(channels: int) -> GroupNorm:
    """Return the group normalization that replaces a batch normalization of ``channels``.

    32 groups, the default of Wu and He ("Group Normalization", arXiv 1803.08494); where 32 does not divide
    the channels, the largest number that divides both.  It has as many parameters as the batch normalization,
    but its statistics are of one sample, so that the sub-batches of a mini-batch stay independent.
    """
    return GroupNorm(gcd(channels, 32))


def _infer(norm: GroupNorm, inputs: tuple[Shape, ...]) -> Shape:
    shape = only(inputs)
    if norm.groups < 1 or shape.channels % norm.groups:
        raise ValueError(f"{norm.groups} groups do not divide {shape.channels} channels")
    return shape


def affine(norm: LayerKind, inputs: tuple[Shape, ...]) -> tuple[Parameter, ...]:
    """Return the scale and shift of each channel."""
    channels = only(inputs).channels
    return Parameter("scale", channels), Parameter("shift", channels)


def expand(norm: GroupNorm, inputs: tuple[Shape, ...], output: Shape) -> Expansion:
    """Return the two sweeps of each direction."""
    elements = output.elements
    return Expansion(
        forward=PhaseSpec(
            passes=(VectorPass(elements, 2), VectorPass(elements, 1)), reads_input=2, reads_weight=True, in_place=True
        ),
        data_gradient=PhaseSpec(
            passes=(VectorPass(elements, 3), VectorPass(elements, 2)),
            reads_input=2,
            reads_gradient=2,
            reads_weight=True,
            reads_saved=("statistics",),
            writes_weight_gradient=True,
            in_place=True,
        ),
        saved=(Saved("statistics", norm.groups * STATISTICS_BITS),),
    )


RULES = LayerRules(LayerRole.UNIT, _infer, affine, expand)
