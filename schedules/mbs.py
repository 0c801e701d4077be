"""Mini-batch serialization: sub-batches pass through groups of layers, so that tensors stay on chip between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from wavecore.schedules.interlayer import interlayer_groups

from wavecore.common.memo import remembered
from wavecore.hardware.specs import Accelerator
from wavecore.plan.group_costs import Candidate, GroupCostModel, planning_key
from wavecore.plan.grouping import bytes_saved_by_holding, spill_until_fits, write_group
from wavecore.plan.model import Choices, Group, Plan
from wavecore.plan.partition import Piece, partition
from wavecore.plan.residency import Rule
from wavecore.plan.schedule import Schedule
from wavecore.training.graph import TrainingGraph


@dataclass(frozen=True, slots=True)
class _Cut:
    """A way to cut the network: DRAM bytes of forward and backward on one core; ``groups`` writes it out."""

    dram_bytes: int
    groups: Callable[[], Sequence[Group]]


@remembered(key=planning_key)
def full_serialization(
    training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices
) -> Plan:
    """Run the whole network as one group, at the sub-batch of its largest layer.

    If not even one sample of that layer fits, its largest tensors go through DRAM.
    """
    costs = GroupCostModel(training, accelerator, batch_per_core, choices)
    return costs.plan("mbs-fs", _full_serialization(costs).groups())


@remembered(key=planning_key)
def mbs1(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices) -> Plan:
    """Cut the network into groups of layers, each with its own sub-batch.

    The groups of `il` and `mbs-fs` compete, so that the plan moves no more bytes than theirs.
    """
    costs = GroupCostModel(training, accelerator, batch_per_core, choices)
    return costs.plan("mbs1", _cheapest(costs, _mbs1))


@remembered(key=planning_key)
def mbs2(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices) -> Plan:
    """Cut the network into groups of whole blocks, with inter-branch reuse where that saves traffic.

    The groups of `mbs1` compete, so that the plan moves no more bytes than its.
    """
    costs = GroupCostModel(training, accelerator, batch_per_core, choices)
    return costs.plan("mbs2", _cheapest(costs, _mbs2))


def _mbs2(costs: GroupCostModel) -> list[_Cut]:
    rules = [Rule.BRANCHES, Rule.BRANCHES_AND_SAVED, Rule.NEXT]
    return [*_grouped(costs, rules, costs.training.blocks), *_mbs1(costs)]


def _mbs1(costs: GroupCostModel) -> list[_Cut]:
    candidates = interlayer_groups(costs)
    moved = sum(candidate.dram_bytes for candidate in candidates)
    return [
        *_grouped(costs, [Rule.NEXT], _units(costs)),
        _full_serialization(costs),
        _Cut(moved, lambda: [write_group(costs, candidate) for candidate in candidates]),
    ]


def _units(costs: GroupCostModel) -> list[Piece]:
    return [(unit, unit) for unit in range(costs.last + 1)]


def _runs(costs: GroupCostModel, pieces: Sequence[Piece]) -> list[tuple[bool, list[Piece]]]:
    """Return runs of neighbouring pieces: those that need the whole mini-batch (True), and those that do not."""
    units = costs.training.units

    def needs_whole_batch(piece: Piece) -> bool:
        return any(unit.whole_batch for unit in units[piece[0] : piece[1] + 1])

    return [(whole, list(run)) for whole, run in groupby(pieces, needs_whole_batch)]


def _grouped(costs: GroupCostModel, rules: Sequence[Rule], pieces: Sequence[Piece]) -> list[_Cut]:
    """Return the cheapest cut of the pieces, or none; pieces that need the whole mini-batch run unit by unit."""
    candidates: list[Candidate] = []
    for whole, run in _runs(costs, pieces):
        found = partition(costs, run, [] if whole else rules)
        if found is None:
            return []
        candidates += found
    groups = [write_group(costs, candidate, hold=True) for candidate in candidates]
    moved = sum(candidate.dram_bytes for candidate in candidates)
    return [_Cut(moved - sum(bytes_saved_by_holding(costs, group) for group in groups), lambda: groups)]


def _full_serialization(costs: GroupCostModel) -> _Cut:
    """Return the network as one group, or as groups of one sub-batch between layers that need the whole mini-batch."""
    runs = _runs(costs, _units(costs))
    whole = costs.cost(0, costs.last, Rule.NEXT)
    if len(runs) > 1 and (whole is None or whole.sub_batch < costs.batch):
        groups = _one_size(costs, runs)
        return _Cut(sum(map(costs.group_bytes, groups)), lambda: groups)
    if whole is not None:
        return _Cut(whole.dram_bytes, lambda: [write_group(costs, whole)])
    size = costs.batch if costs.unsplit.any() else 1
    group = spill_until_fits(costs, write_group(costs, Candidate(0, costs.last, Rule.NEXT, size, 0)))
    return _Cut(costs.group_bytes(group), lambda: [group])


def _one_size(costs: GroupCostModel, runs: Sequence[tuple[bool, list[Piece]]]) -> list[Group]:
    """Return a group for each run without need of the whole mini-batch, all of one sub-batch; others unit by unit."""
    groups: list[Group] = []
    for whole, run in runs:
        if whole:
            alone = (costs.cost(first, last, Rule.NONE) for first, last in run)
            groups += (write_group(costs, candidate) for candidate in alone if candidate is not None)
            continue
        together = Candidate(run[0][0], run[-1][1], Rule.NEXT, 1, 0)
        candidate = costs.cost(together.first, together.last, Rule.NEXT)
        groups.append(
            spill_until_fits(costs, write_group(costs, together))
            if candidate is None
            else write_group(costs, candidate)
        )
    size = min(group.sub_batch for group in groups)
    whole_batch = {unit.name for unit in costs.training.units if unit.whole_batch}
    return [group if whole_batch & set(group.units) else replace(group, sub_batch=size) for group in groups]


def _cheapest(costs: GroupCostModel, options_of: Callable[[GroupCostModel], Sequence[_Cut]]) -> Sequence[Group]:
    """Return the groups that move the fewest DRAM bytes, the first of equals.

    Where there are recurrent weights, groups are compared by the bytes that they really move: weights that were costed
    as read in every time step may have room to stay.  Options that run recurrent layers with the whole mini-batch
    compete too, since room for weights may cut sub-batches so small that they move more.
    """
    options = options_of(costs)
    if not costs.recurrent:
        return min(options, key=lambda option: option.dram_bytes).groups()
    whole = replace(costs.choices, serialize_recurrent=False)
    options = [*options, *options_of(GroupCostModel(costs.training, costs.accelerator, costs.batch, whole))]
    return min((option.groups() for option in options), key=lambda groups: sum(map(costs.group_bytes, groups)))


SCHEDULES = {
    "mbs-fs": Schedule("mbs-fs", "the whole network sub-batch by sub-batch, one size", full_serialization),
    "mbs1": Schedule("mbs1", "layer groups, each with its own sub-batch", mbs1),
    "mbs2": Schedule("mbs2", "mbs1 with inter-branch reuse", mbs2),
}
