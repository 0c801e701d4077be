"""Inter-layer reuse: a tensor stays on chip where the whole mini-batch of both its layers fits the buffer."""

from __future__ import annotations

from wavecore.grouping import Candidate, Grouper, Rule
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
    fits = [limit == grouper.batch for limit in grouper.largest_sub_batches(Rule.NEXT)]
    groups: list[Candidate] = []
    for index, fit in enumerate(fits):
        if groups and fit and groups[-1].rule is Rule.NEXT:
            longer = grouper.cost(groups[-1].first, index, Rule.NEXT)
            if longer is not None and longer.sub_batch == grouper.batch:
                groups[-1] = longer
                continue
        single = grouper.cost(index, index, Rule.NEXT) if fit else None
        if single is None or single.sub_batch < grouper.batch:
            single = grouper.cost(index, index, Rule.NONE)
        assert single is not None  # streaming always works, or has raised SpaceError
        groups.append(single)
    return groups


SCHEDULES = {"il": Schedule("il", "archopt, keeping tensors whose whole mini-batch fits on chip", interlayer)}
