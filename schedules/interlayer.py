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

    A run of layers that fit is one group as long as the mini-batch still fits all of them together, and, where there
    are recurrent weights, as long as these are not driven off the chip for it.
    """
    fits = [limit == grouper.batch for limit in grouper.largest_sub_batches(Rule.NEXT)]
    groups: list[Candidate] = []
    for index, fit in enumerate(fits):
        if groups and fit and groups[-1].rule is Rule.NEXT:
            longer = grouper.cost(groups[-1].first, index, Rule.NEXT)
            if longer is not None and longer.sub_batch == grouper.batch and _pays(grouper, groups[-1], longer, index):
                groups[-1] = longer
                continue
        groups.append(_alone(grouper, index, fit))
    return groups


def _alone(grouper: Grouper, unit: int, fit: bool) -> Candidate:
    """A unit with nothing beside it: on chip what fits, else streamed."""
    kept = grouper.cost(unit, unit, Rule.NEXT) if fit else None
    kept = kept if kept is not None and kept.sub_batch == grouper.batch else None
    if kept is not None and not kept.rereads:
        return kept
    streamed = grouper.cost(unit, unit, Rule.NONE)
    assert streamed is not None  # streaming always works, or has raised SpaceError
    return min(kept or streamed, streamed, key=lambda candidate: candidate.dram_bytes)


def _pays(grouper: Grouper, group: Candidate, longer: Candidate, unit: int) -> bool:
    """Whether a unit joins a group without moving more than it does alone, as it always does but for recurrence."""
    if not grouper.recurrent:
        return True
    return longer.dram_bytes <= group.dram_bytes + _alone(grouper, unit, True).dram_bytes


SCHEDULES = {"il": Schedule("il", "archopt, keeping tensors whose whole mini-batch fits on chip", interlayer)}
