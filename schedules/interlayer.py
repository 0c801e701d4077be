"""Inter-layer reuse: a tensor stays on chip where the whole mini-batch of both its layers fits the buffer."""

from __future__ import annotations

from collections.abc import Callable

from wavecore.hardware.specs import Accelerator
from wavecore.plan.grouping import INFEASIBLE_BYTES, Candidate, Grouper, Rule
from wavecore.plan.model import Choices, Plan
from wavecore.plan.partition import group_costs
from wavecore.plan.schedule import Schedule
from wavecore.training.graph import TrainingGraph


def interlayer(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices) -> Plan:
    """Group neighbours whose footprints hold the whole mini-batch; everything else runs layer by layer."""
    grouper = Grouper(training, accelerator, batch_per_core, choices)
    return grouper.plan("il", lambda: [grouper.group(candidate) for candidate in interlayer_groups(grouper)])


def interlayer_groups(grouper: Grouper) -> list[Candidate]:
    """The groups of inter-layer reuse, with their costs.

    A run of layers that fit is one group as long as the mini-batch still fits all of them together, and, where there
    are recurrent weights, as long as these are not driven off the chip for it.
    """
    kept = _kept(grouper)
    groups: list[Candidate] = []
    for unit, limit in enumerate(grouper.largest_sub_batches(Rule.NEXT)):
        alone = _alone(grouper, kept if limit == grouper.batch else None, unit)
        longer = None
        if groups and limit == grouper.batch and groups[-1].rule is Rule.NEXT:
            longer = kept(groups[-1].first, unit)
            if grouper.recurrent and longer is not None:
                longer = longer if longer.dram_bytes <= groups[-1].dram_bytes + alone.dram_bytes else None
        if longer is None:
            groups.append(alone)
        else:
            groups[-1] = longer
    return groups


CostOfGroup = Callable[[int, int], Candidate | None]
"""The group of some units, first to last, with the whole mini-batch on chip, if that fits."""


def _kept(grouper: Grouper) -> CostOfGroup:
    units = [(unit, unit) for unit in range(grouper.last + 1)]
    costs = [(rereads, group_costs(grouper, units, Rule.NEXT, rereads)) for rereads in grouper.modes]

    def kept(first: int, last: int) -> Candidate | None:
        found = [
            Candidate(first, last, Rule.NEXT, grouper.batch, int(each.dram_bytes[first, last]), rereads)
            for rereads, each in costs
            if each.sub_batches[first, last] == grouper.batch and each.dram_bytes[first, last] < INFEASIBLE_BYTES
        ]
        return min(found, key=lambda candidate: candidate.dram_bytes, default=None)

    return kept


def _alone(grouper: Grouper, kept: CostOfGroup | None, unit: int) -> Candidate:
    """A unit with nothing beside it: on chip what fits, else streamed."""
    found = None if kept is None else kept(unit, unit)
    if found is not None and not found.rereads:
        return found
    streamed = grouper.cost(unit, unit, Rule.NONE)
    assert streamed is not None  # streaming always works, or has raised SpaceError
    return min(found or streamed, streamed, key=lambda candidate: candidate.dram_bytes)


SCHEDULES = {"il": Schedule("il", "archopt, keeping tensors whose whole mini-batch fits on chip", interlayer)}
