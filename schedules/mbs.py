"""Mini-batch serialization: sub-batches pass through groups of layers, so that tensors stay on chip between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wavecore.grouping import Candidate, Grouper, Rule
from wavecore.plan import Group, Plan, Schedule
from wavecore.schedules.interlayer import interlayer
from wavecore.specs import Accelerator
from wavecore.traffic import plan_traffic
from wavecore.training import TrainingGraph

NORMALIZATION_PASSES = 2


def full_serialization(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int) -> Plan:
    """The whole network is one group; its largest layer sets the sub-batch, and what is larger still streams."""
    grouper = Grouper(training, accelerator, batch_per_core, NORMALIZATION_PASSES)
    sub_batch = max(1, min(grouper.largest_sub_batches(Rule.NEXT)))
    whole = Candidate(0, grouper.last, Rule.NEXT, sub_batch, 0)
    return _plan("mbs-fs", training, batch_per_core, [grouper.squeeze(grouper.group(whole))])


def mbs1(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int) -> Plan:
    """Layer groups, each with its own sub-batch; never worse than `il` or `mbs-fs`, whose plans compete."""
    grouper = Grouper(training, accelerator, batch_per_core, NORMALIZATION_PASSES)
    return _cheapest("mbs1", training, accelerator, [
        *_grouped("mbs1", grouper, [Rule.NEXT]),
        full_serialization(training, accelerator, batch_per_core),
        interlayer(training, accelerator, batch_per_core),
    ])


def mbs2(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int) -> Plan:
    """`mbs1` with inter-branch reuse in every group where that saves traffic."""
    grouper = Grouper(training, accelerator, batch_per_core, NORMALIZATION_PASSES)
    rules = [Rule.BRANCHES, Rule.BRANCHES_AND_SAVED, Rule.NEXT]
    return _cheapest("mbs2", training, accelerator, [
        *_grouped("mbs2", grouper, rules),
        mbs1(training, accelerator, batch_per_core),
    ])


def _grouped(name: str, grouper: Grouper, rules: Sequence[Rule]) -> list[Plan]:
    """The greedy grouping of single units, and that of whole blocks: either may be stuck where the other is not."""
    units = [(unit, unit) for unit in range(grouper.last + 1)]
    plans = []
    for pieces in (units, grouper.training.blocks):
        groups = [grouper.group(candidate, hold=True) for candidate in grouper.merge(rules, pieces)]
        plans.append(_plan(name, grouper.training, grouper.batch, groups))
    return plans


def _plan(name: str, training: TrainingGraph, batch_per_core: int, groups: Sequence[Group]) -> Plan:
    return Plan(training.name, name, batch_per_core, True, tuple(groups), NORMALIZATION_PASSES)


def _cheapest(name: str, training: TrainingGraph, accelerator: Accelerator, plans: Sequence[Plan]) -> Plan:
    """The plan that moves the fewest DRAM bytes, the first of equals."""
    best = min(plans, key=lambda plan: plan_traffic(training, plan, accelerator).total())
    return replace(best, schedule=name)


SCHEDULES = {
    "mbs-fs": Schedule("mbs-fs", "the whole network sub-batch by sub-batch, one size", full_serialization),
    "mbs1": Schedule("mbs1", "layer groups, each with its own sub-batch", mbs1),
    "mbs2": Schedule("mbs2", "mbs1 with inter-branch reuse", mbs2),
}
