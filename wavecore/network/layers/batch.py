"""Batch normalization: statistics of each channel over the mini-batch of a core, as in data-parallel training.

It sweeps over the data as group normalization does, but the first sweep must end for the whole mini-batch
before the second begins, forward and backward: no sub-batch can pass through alone.  What it saves, 8 bytes per channel
and mini-batch, is neglected: it is less than a thousandth of what it reads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from wavecore.network.layers.base import Expansion, LayerKind, LayerRole, LayerRules, only
from wavecore.network.layers.normalization import GroupNorm, affine, expand
from wavecore.network.shapes import Shape


@dataclass(frozen=True, slots=True)
class BatchNorm(LayerKind):
    """Batch normalization with scale and shift for each channel."""

    kind: ClassVar[str] = "batch_norm"


def _infer(norm: BatchNorm, inputs: tuple[Shape, ...]) -> Shape:
    return only(inputs)


def _expand(norm: BatchNorm, inputs: tuple[Shape, ...], output: Shape) -> Expansion:
    sweeps = expand(GroupNorm(output.channels), inputs, output)
    assert sweeps.data_gradient is not None
    return Expansion(
        forward=replace(sweeps.forward, whole_batch=True),
        data_gradient=replace(sweeps.data_gradient, reads_saved=(), whole_batch=True),
    )


RULES = LayerRules(LayerRole.UNIT, _infer, affine, _expand)
