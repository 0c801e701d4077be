"""Inter-layer reuse: a tensor stays on chip where the whole mini-batch of both its layers fits the buffer."""

from __future__ import annotations

from wavecore.grouping import Grouper, Rule
from wavecore.plan import Group, Plan, Schedule
from wavecore.specs import Accelerator
from wavecore.training import TrainingGraph


def interlayer(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int) -> Plan:
    """Group neighbours whose footprints hold the whole mini-batch; everything else runs layer by layer."""
    grouper = Grouper(training, accelerator, batch_per_core, 2)
    fits = [limit == batch_per_core for limit in grouper.largest_sub_batches(Rule.NEXT)]
    groups: list[Group] = []
    first = 0
    for index in range(len(fits)):
        if index < grouper.last and fits[index] and fits[index + 1]:
            continue
        candidate = grouper.cost(first, index, Rule.NEXT if fits[index] else Rule.NONE)
        assert candidate is not None and candidate.sub_batch == batch_per_core
        groups.append(grouper.group(candidate))
        first = index + 1
    return Plan(training.name, "il", batch_per_core, True, tuple(groups))


SCHEDULES = {"il": Schedule("il", "archopt, keeping tensors whose whole mini-batch fits on chip", interlayer)}
