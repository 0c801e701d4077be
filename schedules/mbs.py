"""Mini-batch serialization: sub-batches pass through groups of layers, so that tensors stay on chip between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from wavecore.schedules.interlayer import interlayer_groups

from wavecore.hardware.specs import Accelerator
from wavecore.plan.grouping import Candidate, Grouper, Rule
from wavecore.plan.model import Choices, Group, Plan
from wavecore.plan.partition import partition
from wavecore.plan.schedule import Schedule
from wavecore.training.graph import TrainingGraph

Piece = tuple[int, int]  # first and last unit


@dataclass(frozen=True, slots=True)
class _Cut:
    """A way to cut the network: DRAM bytes of forward and backward on one core, and the groups, written when chosen."""

    dram_bytes: int
    groups: Callable[[], Sequence[Group]]


def full_serialization(
    training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices
) -> Plan:
    """The whole network is one group; its largest layer sets the sub-batch, and what is larger still streams."""
    grouper = Grouper(training, accelerator, batch_per_core, choices)
    return grouper.plan("mbs-fs", lambda: _full_serialization(grouper).groups())


def mbs1(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices) -> Plan:
    """Layer groups, each with its own sub-batch; `il` and `mbs-fs` compete, so it is never worse than they are."""
    grouper = Grouper(training, accelerator, batch_per_core, choices)
    return grouper.plan("mbs1", lambda: _cheapest(grouper, _mbs1))


def mbs2(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices) -> Plan:
    """Groups of whole blocks with inter-branch reuse where that saves traffic; never worse than `mbs1`."""
    grouper = Grouper(training, accelerator, batch_per_core, choices)
    return grouper.plan("mbs2", lambda: _cheapest(grouper, _mbs2))


def _mbs2(grouper: Grouper) -> list[_Cut]:
    rules = [Rule.BRANCHES, Rule.BRANCHES_AND_SAVED, Rule.NEXT]
    return [*_grouped(grouper, rules, grouper.training.blocks), *_mbs1(grouper)]


def _mbs1(grouper: Grouper) -> list[_Cut]:
    candidates = interlayer_groups(grouper)
    moved = sum(candidate.dram_bytes for candidate in candidates)
    return [
        *_grouped(grouper, [Rule.NEXT], _units(grouper)),
        _full_serialization(grouper),
        _Cut(moved, lambda: [grouper.group(candidate) for candidate in candidates]),
    ]


def _units(grouper: Grouper) -> list[Piece]:
    return [(unit, unit) for unit in range(grouper.last + 1)]


def _runs(grouper: Grouper, pieces: Sequence[Piece]) -> list[tuple[bool, list[Piece]]]:
    """Runs of neighbouring pieces that need the whole mini-batch, or (False) through which sub-batches may pass."""
    units = grouper.training.units

    def needs_whole_batch(piece: Piece) -> bool:
        return any(unit.whole_batch for unit in units[piece[0] : piece[1] + 1])

    return [(whole, list(run)) for whole, run in groupby(pieces, needs_whole_batch)]


def _grouped(grouper: Grouper, rules: Sequence[Rule], pieces: Sequence[Piece]) -> list[_Cut]:
    """The best cut of the pieces, if there is one; what needs the whole mini-batch runs unit by unit."""
    candidates: list[Candidate] = []
    for whole, run in _runs(grouper, pieces):
        found = partition(grouper, run, [] if whole else rules)
        if found is None:
            return []
        candidates += found
    groups = [grouper.group(candidate, hold=True) for candidate in candidates]
    moved = sum(candidate.dram_bytes for candidate in candidates)
    return [_Cut(moved - sum(map(grouper.saved_bytes, groups)), lambda: groups)]


def _full_serialization(grouper: Grouper) -> _Cut:
    runs = _runs(grouper, _units(grouper))
    whole = grouper.cost(0, grouper.last, Rule.NEXT)
    if len(runs) > 1 and (whole is None or whole.sub_batch < grouper.batch):
        groups = _one_size(grouper, runs)
        return _Cut(sum(map(grouper.group_bytes, groups)), lambda: groups)
    if whole is not None:
        return _Cut(whole.dram_bytes, lambda: [grouper.group(whole)])
    size = grouper.batch if grouper.unsplit.any() else 1
    group = grouper.spill_until_fits(grouper.group(Candidate(0, grouper.last, Rule.NEXT, size, 0)))
    return _Cut(grouper.group_bytes(group), lambda: [group])


def _one_size(grouper: Grouper, runs: Sequence[tuple[bool, list[Piece]]]) -> list[Group]:
    """A group for each run that sub-batches may pass through, all of one size; the rest unit by unit."""
    groups: list[Group] = []
    for whole, run in runs:
        if whole:
            alone = (grouper.cost(first, last, Rule.NONE) for first, last in run)
            groups += (grouper.group(candidate) for candidate in alone if candidate is not None)
            continue
        together = Candidate(run[0][0], run[-1][1], Rule.NEXT, 1, 0)
        candidate = grouper.cost(together.first, together.last, Rule.NEXT)
        groups.append(
            grouper.spill_until_fits(grouper.group(together)) if candidate is None else grouper.group(candidate)
        )
    size = min(group.sub_batch for group in groups)
    whole_batch = {unit.name for unit in grouper.training.units if unit.whole_batch}
    return [group if whole_batch & set(group.units) else replace(group, sub_batch=size) for group in groups]


def _cheapest(grouper: Grouper, options_of: Callable[[Grouper], Sequence[_Cut]]) -> Sequence[Group]:
    """The groups that move the fewest DRAM bytes, the first of equals.

    Recurrent weights may have room to stay on chip where an option takes them to be read again: that is measured.  And
    what they need may cut sub-batches so small that the whole mini-batch moves less: that competes.
    """
    options = options_of(grouper)
    if not grouper.recurrent:
        return min(options, key=lambda option: option.dram_bytes).groups()
    whole = replace(grouper.choices, serialize_recurrent=False)
    options = [*options, *options_of(Grouper(grouper.training, grouper.accelerator, grouper.batch, whole))]
    return min((option.groups() for option in options), key=lambda groups: sum(map(grouper.group_bytes, groups)))


SCHEDULES = {
    "mbs-fs": Schedule("mbs-fs", "the whole network sub-batch by sub-batch, one size", full_serialization),
    "mbs1": Schedule("mbs1", "layer groups, each with its own sub-batch", mbs1),
    "mbs2": Schedule("mbs2", "mbs1 with inter-branch reuse", mbs2),
}
