"""Inter-layer reuse: a tensor stays on chip where the whole mini-batch of both its layers fits the buffer."""

from __future__ import annotations

from wavecore.grouping import NEVER, Candidate, Grouper, Rule
from wavecore.partition import group_costs
from wavecore.plan import Choices, Plan, Schedule
from wavecore.specs import Accelerator
from wavecore.training import TrainingGraph


def interlayer(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices) -> Plan:
    """Group neighbours whose footprints hold the whole mini-batch; everything else runs layer by layer."""
    grouper = Grouper(training, accelerator, batch_per_core, choices)
    return grouper.plan("il", lambda: [grouper.group(candidate) for candidate in interlayer_groups(grouper)])


def interlayer_groups(grouper: Grouper) -> list[Candidate]:
    """The groups of inter-layer reuse, with their costs.

    A run of layers that fit is one group as long as the mini-batch still fits all of them together.
    """
    costs = group_costs(grouper, [(unit, unit) for unit in range(grouper.last + 1)], Rule.NEXT)
    fits = (costs.sub_batches == grouper.batch) & (costs.dram_bytes < NEVER)
    groups: list[Candidate] = []
    for index, limit in enumerate(grouper.largest_sub_batches(Rule.NEXT)):
        whole = limit == grouper.batch
        first = index
        if groups and whole and groups[-1].rule is Rule.NEXT and fits[groups[-1].first, index]:
            first = groups.pop().first
        if whole and fits[first, index]:
            moved = int(costs.dram_bytes[first, index])
            groups.append(Candidate(first, index, Rule.NEXT, grouper.batch, moved))
            continue
        single = grouper.cost(index, index, Rule.NONE)
        assert single is not None  # streaming always works, or has raised SpaceError
        groups.append(single)
    return groups


SCHEDULES = {"il": Schedule("il", "archopt, keeping tensors whose whole mini-batch fits on chip", interlayer)}
