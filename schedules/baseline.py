"""The conventional schedules: every tensor between two layers goes through DRAM."""

from __future__ import annotations

from wavecore.common.memo import remembered
from wavecore.hardware.specs import Accelerator
from wavecore.plan.model import Choices, Group, Plan
from wavecore.plan.schedule import Schedule
from wavecore.training.graph import TrainingGraph


@remembered()
def _layer_by_layer(
    training: TrainingGraph, name: str, batch_per_core: int, double_buffering: bool, normalization_passes: int
) -> Plan:
    groups = tuple(Group((unit.name,), batch_per_core) for unit in training.units)
    passes, rewrites = normalization_passes, training.rewrites
    return Plan(training.name, name, batch_per_core, double_buffering, groups, passes, rewrites=rewrites)


def baseline(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices) -> Plan:
    """Run every layer by itself, with two-level GEMM blocking and one weight register in use."""
    return _layer_by_layer(training, "baseline", batch_per_core, False, choices.normalization_passes)


def archopt(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices) -> Plan:
    """Run as `baseline` does, with weight double buffering in the array."""
    return _layer_by_layer(training, "archopt", batch_per_core, True, choices.normalization_passes)


SCHEDULES = {
    "baseline": Schedule("baseline", "layer by layer through DRAM, two-level GEMM blocking", baseline),
    "archopt": Schedule("archopt", "baseline with weight double buffering in the array", archopt),
}
