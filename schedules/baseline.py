"""The conventional schedules: every tensor between two layers goes through DRAM."""

from __future__ import annotations

from wavecore.hardware.specs import Accelerator
from wavecore.plan.model import Choices, Group, Plan
from wavecore.plan.schedule import Schedule
from wavecore.training.graph import TrainingGraph


def _layer_by_layer(name: str, training: TrainingGraph, batch_per_core: int, double: bool, choices: Choices) -> Plan:
    def fresh() -> Plan:
        groups = tuple(Group((unit.name,), batch_per_core) for unit in training.units)
        passes = choices.normalization_passes
        return Plan(training.name, name, batch_per_core, double, groups, passes, rewrites=training.rewrites)

    plan: Plan = training.memory.recall("plan", (name, batch_per_core, choices.normalization_passes), fresh)
    return plan


def baseline(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices) -> Plan:
    """Two-level GEMM blocking, one weight register in use."""
    return _layer_by_layer("baseline", training, batch_per_core, False, choices)


def archopt(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices) -> Plan:
    """The same with weight double buffering in the array."""
    return _layer_by_layer("archopt", training, batch_per_core, True, choices)


SCHEDULES = {
    "baseline": Schedule("baseline", "layer by layer through DRAM, two-level GEMM blocking", baseline),
    "archopt": Schedule("archopt", "baseline with weight double buffering in the array", archopt),
}
