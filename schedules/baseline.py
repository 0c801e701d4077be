"""The conventional schedules: every tensor between two layers goes through DRAM."""

from __future__ import annotations

from wavecore.plan import Group, Plan, Schedule
from wavecore.specs import Accelerator
from wavecore.training import TrainingGraph


def _layer_by_layer(
    name: str, training: TrainingGraph, batch_per_core: int, weight_double_buffering: bool
) -> Plan:
    groups = tuple(Group((unit.name,), batch_per_core) for unit in training.units)
    return Plan(training.name, name, batch_per_core, weight_double_buffering, groups)


def baseline(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int) -> Plan:
    """Two-level GEMM blocking, one weight register in use."""
    return _layer_by_layer("baseline", training, batch_per_core, False)


def archopt(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int) -> Plan:
    """The same with weight double buffering in the array."""
    return _layer_by_layer("archopt", training, batch_per_core, True)


SCHEDULES = {
    "baseline": Schedule("baseline", "layer by layer through DRAM, two-level GEMM blocking", baseline),
    "archopt": Schedule("archopt", "baseline with weight double buffering in the array", archopt),
}
