"""The pass that takes the statistics of a normalization in the drain of the product that makes its input.

The vector unit sums every channel's values, and their squares, while they pass from the array to the buffer: two lane
operations an element more in the drain, two sums for each lane that stay in its registers, and no sweep over the input
for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from wavecore.training.forward import plus
from wavecore.training.graph import FusedLayer, TrainingGraph
from wavecore.training.operations import Operation, Phase, Use

STATISTICS = ".statistics"


@dataclass(frozen=True)
class DrainStatistics:
    """Take the statistics of normalizations where their input leaves the array, if nothing else changes it there."""

    name: ClassVar[str] = "drain_statistics"

    def apply(self, training: TrainingGraph) -> TrainingGraph:
        """Return the graph with one sweep in every normalization whose input is a product's result."""
        takes = {norm.operation.reads[0].tensor: norm for norm in map(_norm, training.units) if norm is not None}
        makes = {unit.name for unit in training.units if _drains_plainly(unit)}
        pairs = {name: norm for name, norm in takes.items() if name in makes}
        readers = {norm.unit for norm in pairs.values()}
        return replace(training, units=tuple(_changed(unit, pairs, readers) for unit in training.units))


@dataclass(frozen=True, slots=True)
class _Norm:
    """The forward operation of a normalization that sweeps over its input for the statistics first."""

    unit: str
    operation: Operation

    @property
    def statistics(self) -> str:
        """The tensor that it saves them in."""
        return f"{self.unit}{STATISTICS}"


def _norm(unit: FusedLayer) -> _Norm | None:
    """Return the normalization of a unit, None if it is none of each sample's own statistics."""
    if len(unit.forward) != 1:
        return None
    (op,) = unit.forward
    sweeps_twice = not op.gemms and len(op.passes) == 2 and not op.whole_batch
    return _Norm(unit.name, op) if sweeps_twice and f"{unit.name}{STATISTICS}" in op.writes else None


def _drains_plainly(unit: FusedLayer) -> bool:
    """Whether a unit's result leaves the array as it is, with nothing fused that changes it, and not by time steps."""
    if len(unit.forward) != 1 or unit.fused:
        return False
    (op,) = unit.forward
    return bool(op.gemms and op.passes) and not op.time_steps and op.writes[:1] == (unit.name,)


def _changed(unit: FusedLayer, pairs: Mapping[str, _Norm], readers: set[str]) -> FusedLayer:
    """Return a unit that makes statistics, or reads them, or stays as it is."""
    norm = pairs.get(unit.name)
    if norm is None and unit.name not in readers:
        return unit
    (op,) = unit.forward
    assert op.phase is Phase.FORWARD
    if norm is not None:
        op = replace(
            op,
            writes=(*op.writes, norm.statistics),
            passes=plus(op.passes, norm.operation.passes[0].lane_operations),
        )
    else:
        source, *others = op.reads
        own = f"{unit.name}{STATISTICS}"
        op = replace(
            op,
            reads=(replace(source, passes=1), *others, Use(own)),
            writes=tuple(name for name in op.writes if name != own),
            passes=op.passes[1:],
        )
    return replace(unit, forward=(op,))


REWRITES: Mapping[str, type] = {DrainStatistics.name: DrainStatistics}
