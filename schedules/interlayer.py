"""Inter-layer reuse: a tensor stays on chip where the whole mini-batch of both its layers fits the buffer."""

from __future__ import annotations

from wavecore.common.memo import remembered
from wavecore.hardware.specs import Accelerator
from wavecore.plan.group_costs import INFEASIBLE_BYTES, Candidate, GroupCostModel, planning_key
from wavecore.plan.grouping import write_group
from wavecore.plan.model import Choices, Plan
from wavecore.plan.partition import GroupCosts, group_costs
from wavecore.plan.residency import Rule
from wavecore.plan.schedule import Schedule
from wavecore.training.graph import TrainingGraph


@remembered(key=planning_key)
def interlayer(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices) -> Plan:
    """Group neighbours whose footprints hold the whole mini-batch; everything else runs layer by layer."""
    costs = GroupCostModel(training, accelerator, batch_per_core, choices)
    return costs.plan("il", [write_group(costs, candidate) for candidate in interlayer_groups(costs)])


def interlayer_groups(costs: GroupCostModel) -> list[Candidate]:
    """Return the groups of inter-layer reuse, with their costs.

    Neighbouring layers that fit are one group as long as the mini-batch still fits all of them together.  Where there
    are recurrent weights, a group grows only if that moves no more bytes, as it does when it drives them off the chip.
    """
    units = [(unit, unit) for unit in range(costs.last + 1)]
    options = [group_costs(costs, units, Rule.NEXT, rereads) for rereads in costs.reread_options]
    groups: list[Candidate] = []
    for unit, limit in enumerate(costs.largest_sub_batches(Rule.NEXT)):
        fits = limit == costs.batch
        alone = _alone(costs, options if fits else [], unit)
        longer = _longer(costs, options, groups[-1], alone) if groups and fits else None
        if longer is None:
            groups.append(alone)
        else:
            groups[-1] = longer
    return groups


def _longer(costs: GroupCostModel, options: list[GroupCosts], group: Candidate, alone: Candidate) -> Candidate | None:
    """Return a group with the next unit added, or None where that does not fit or does not pay."""
    if group.rule is not Rule.NEXT:
        return None
    longer = _kept(costs, options, group.first, alone.last)
    if costs.recurrent and longer is not None and longer.dram_bytes > group.dram_bytes + alone.dram_bytes:
        return None
    return longer


def _kept(costs: GroupCostModel, options: list[GroupCosts], first: int, last: int) -> Candidate | None:
    """Return the group of some units with the whole mini-batch on chip, or None where that does not fit."""
    found = [
        Candidate(first, last, Rule.NEXT, costs.batch, int(option.dram_bytes[first, last]), option.rereads)
        for option in options
        if option.sub_batches[first, last] == costs.batch and option.dram_bytes[first, last] < INFEASIBLE_BYTES
    ]
    return min(found, key=lambda candidate: candidate.dram_bytes, default=None)


def _alone(costs: GroupCostModel, options: list[GroupCosts], unit: int) -> Candidate:
    """Return a unit by itself: with its tensors on chip if they fit, else with all of them in DRAM.

    One that would read recurrent weights in every time step, to keep its tensors, competes with streaming them.
    """
    kept = _kept(costs, options, unit, unit)
    if kept is not None and not kept.rereads:
        return kept
    streamed = costs.cost(unit, unit, Rule.NONE)
    assert streamed is not None  # a unit can stream, or SpaceError was raised
    return min(kept or streamed, streamed, key=lambda candidate: candidate.dram_bytes)


SCHEDULES = {"il": Schedule("il", "archopt, keeping tensors whose whole mini-batch fits on chip", interlayer)}
