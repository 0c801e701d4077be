"""Mini-batch serialization: sub-batches pass through groups of layers, so that tensors stay on chip between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wavecore.schedules.interlayer import interlayer_groups

from wavecore.grouping import Candidate, Grouper, Rule
from wavecore.partition import partition
from wavecore.plan import Choices, Group, Plan, Schedule
from wavecore.specs import Accelerator
from wavecore.training import TrainingGraph

Scored = tuple[int, Plan]  # DRAM bytes of forward and backward on one core, and the plan that moves them


def full_serialization(
    training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices
) -> Plan:
    """The whole network is one group; its largest layer sets the sub-batch, and what is larger still streams."""
    return _full_serialization(Grouper(training, accelerator, batch_per_core, choices))[1]


def mbs1(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices) -> Plan:
    """Layer groups, each with its own sub-batch; `il` and `mbs-fs` compete, so it is never worse than they are."""
    grouper = Grouper(training, accelerator, batch_per_core, choices)
    return _cheapest("mbs1", _mbs1(grouper))


def mbs2(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices) -> Plan:
    """Groups of whole blocks with inter-branch reuse where that saves traffic; never worse than `mbs1`."""
    grouper = Grouper(training, accelerator, batch_per_core, choices)
    rules = [Rule.BRANCHES, Rule.BRANCHES_AND_SAVED, Rule.NEXT]
    return _cheapest("mbs2", [_grouped(grouper, rules, training.blocks), *_mbs1(grouper)])


def _mbs1(grouper: Grouper) -> list[Scored]:
    units = [(unit, unit) for unit in range(grouper.last + 1)]
    candidates = interlayer_groups(grouper)
    interlayer = _plan(grouper, [grouper.group(candidate) for candidate in candidates])
    return [
        _grouped(grouper, [Rule.NEXT], units),
        _full_serialization(grouper),
        (sum(candidate.dram_bytes for candidate in candidates), interlayer),
    ]


def _grouped(grouper: Grouper, rules: Sequence[Rule], pieces: Sequence[tuple[int, int]]) -> Scored:
    candidates = partition(grouper, pieces, rules)
    groups = [grouper.group(candidate, hold=True) for candidate in candidates]
    moved = sum(candidate.dram_bytes for candidate in candidates)
    return moved - sum(map(grouper.saved_bytes, groups)), _plan(grouper, groups)


def _full_serialization(grouper: Grouper) -> Scored:
    whole = grouper.cost(0, grouper.last, Rule.NEXT)
    if whole is not None:
        return whole.dram_bytes, _plan(grouper, [grouper.group(whole)], "mbs-fs")
    group = grouper.squeeze(grouper.group(Candidate(0, grouper.last, Rule.NEXT, 1, 0)))
    return grouper.group_bytes(group), _plan(grouper, [group], "mbs-fs")


def _plan(grouper: Grouper, groups: Sequence[Group], name: str = "") -> Plan:
    return Plan(grouper.training.name, name, grouper.batch, True, tuple(groups), grouper.choices.normalization_passes)


def _cheapest(name: str, plans: Sequence[Scored]) -> Plan:
    """The plan that moves the fewest DRAM bytes, the first of equals."""
    return replace(min(plans, key=lambda scored: scored[0])[1], schedule=name)


SCHEDULES = {
    "mbs-fs": Schedule("mbs-fs", "the whole network sub-batch by sub-batch, one size", full_serialization),
    "mbs1": Schedule("mbs1", "layer groups, each with its own sub-batch", mbs1),
    "mbs2": Schedule("mbs2", "mbs1 with inter-branch reuse", mbs2),
}
