"""Inter-layer reuse: a tensor stays on chip where the whole mini-batch of both its layers fits the buffer."""

from __future__ import annotations

from wavecore.grouping import Candidate, Grouper, Rule
from wavecore.plan import Choices, Plan, Schedule
from wavecore.specs import Accelerator
from wavecore.training import TrainingGraph


def interlayer(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices) -> Plan:
    """Group neighbours whose footprints hold the whole mini-batch; everything else runs layer by layer."""
    grouper = Grouper(training, accelerator, batch_per_core, choices)
    groups = tuple(grouper.group(candidate) for candidate in interlayer_groups(grouper))
    return Plan(training.name, "il", batch_per_core, True, groups, choices.normalization_passes)


def interlayer_groups(grouper: Grouper) -> list[Candidate]:
    """The groups of inter-layer reuse, with their costs."""
    fits = [limit == grouper.batch for limit in grouper.largest_sub_batches(Rule.NEXT)]
    groups: list[Candidate] = []
    first = 0
    for index in range(len(fits)):
        if index < grouper.last and fits[index] and fits[index + 1]:
            continue
        candidate = grouper.cost(first, index, Rule.NEXT if fits[index] else Rule.NONE)
        assert candidate is not None and candidate.sub_batch == grouper.batch
        groups.append(candidate)
        first = index + 1
    return groups


SCHEDULES = {"il": Schedule("il", "archopt, keeping tensors whose whole mini-batch fits on chip", interlayer)}
