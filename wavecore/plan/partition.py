"""The cheapest cut of a network into groups: a shortest path over the places to cut.

*Pieces* are grouped: single units or whole blocks.  What a piece needs of the buffer and moves over DRAM depends only
on which of its neighbours share its group, so the DRAM bytes of every group are a sum over its pieces, and its
sub-batch is a minimum.  `group_costs` puts the costs of all groups together from pieces that were measured once.  The
MBS paper merges neighbouring groups greedily; this is the optimum of the same costs (docs/model.md section 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wavecore.common.memo import remembered
from wavecore.hardware.dataflows import largest_tile
from wavecore.hardware.specs import ArraySpec
from wavecore.plan.group_costs import (
    DIRECTIONS,
    INFEASIBLE_BYTES,
    Candidate,
    GroupCostModel,
    GroupFootprint,
    Ints,
    group_footprint,
    linear_bytes,
)
from wavecore.plan.placement import operations_of
from wavecore.plan.residency import Rule
from wavecore.training.graph import TrainingGraph

Piece = tuple[int, int]
"""First and last unit."""


def partition(costs: GroupCostModel, pieces: Sequence[Piece], rules: Sequence[Rule]) -> list[Candidate] | None:
    """Return the cut of ``pieces`` into groups that moves the fewest DRAM bytes.

    Each group is under the best of ``rules``; a piece of a single unit may also stream the whole mini-batch.  None
    where some block fits in no group; units always do, since they can stream.
    """
    options = [_streamed(costs, pieces)]
    options += [group_costs(costs, pieces, rule, rereads) for rule in rules for rereads in costs.reread_options]
    moved = np.stack([option.dram_bytes for option in options])
    cheapest = moved.argmin(axis=0)  # the first of equals
    cut = _shortest_path(np.take_along_axis(moved, cheapest[None], axis=0)[0])
    if cut is None:
        return None
    return [options[cheapest[start, last]].candidate(pieces, start, last) for start, last in cut]


def _shortest_path(dram_bytes: Ints) -> list[tuple[int, int]] | None:
    """Return the first and last piece of each group of the cheapest cut, given the bytes of every group.

    best[e] = min over s <= e of best[s - 1] + bytes[s, e].  None where every cut has an infeasible group.
    """
    count = len(dram_bytes)
    best = np.full(count + 1, INFEASIBLE_BYTES, dtype=np.int64)
    best[0] = 0
    came_from = np.zeros(count + 1, dtype=np.int64)
    for start in range(count):
        if best[start] < INFEASIBLE_BYTES:
            ends = slice(start + 1, count + 1)
            total = best[start] + dram_bytes[start, start:]
            better = total < best[ends]
            best[ends][better] = total[better]
            came_from[ends][better] = start
    if best[count] >= INFEASIBLE_BYTES:
        return None
    groups: list[tuple[int, int]] = []
    end = count
    while end:
        groups.append((int(came_from[end]), end - 1))
        end = int(came_from[end])
    return groups[::-1]


@dataclass(frozen=True, slots=True)
class GroupCosts:
    """All groups of neighbouring pieces under one rule, by first and last piece: sub-batch and DRAM bytes.

    The bytes are `INFEASIBLE_BYTES` where not one sample fits, and below the diagonal.  ``rereads``: see `Candidate`.
    """

    rule: Rule
    rereads: bool
    sub_batches: Ints
    dram_bytes: Ints

    def candidate(self, pieces: Sequence[Piece], start: int, last: int) -> Candidate:
        """Return the group of pieces ``start`` to ``last``."""
        sub_batch, moved = int(self.sub_batches[start, last]), int(self.dram_bytes[start, last])
        return Candidate(pieces[start][0], pieces[last][1], self.rule, sub_batch, moved, self.rereads)


def _streamed(costs: GroupCostModel, pieces: Sequence[Piece]) -> GroupCosts:
    """Cost the pieces of a single unit as groups that stream the whole mini-batch."""
    units = costs.streamed_costs()
    moved = np.full((len(pieces), len(pieces)), INFEASIBLE_BYTES, dtype=np.int64)
    for index, (first, last) in enumerate(pieces):
        if first == last:
            moved[index, index] = units[first].dram_bytes
    return GroupCosts(Rule.NONE, False, np.full_like(moved, costs.batch), moved)


def group_costs(costs: GroupCostModel, pieces: Sequence[Piece], rule: Rule, rereads: bool = False) -> GroupCosts:
    """Cost all groups of ``pieces`` under one rule; ``rereads``: see `Candidate`.

    The largest sub-batch of a group is the smallest of its pieces'.  The group takes the smallest sub-batch that needs
    no more iterations than that one.
    """
    batch, count = costs.batch, len(pieces)
    array, passes = costs.accelerator.array, costs.choices.normalization_passes
    measured = _measure_pieces(costs.training, tuple(pieces), rule, rereads, passes, array)
    limits = np.full((count, count), batch, dtype=np.int64)
    for side, footprint in measured.footprints.items():
        own = footprint.largest_by_unit(count, costs.space_bytes, batch)
        here = _groups_with(limits, side)
        np.minimum(here, _by_group(own, side, measured.radius, np.minimum, INFEASIBLE_BYTES), out=here)
    limits[_has_unsplit(costs, pieces) & (limits < batch)] = 0
    iterations = -(-batch // np.maximum(limits, 1))
    feasible = np.tri(count, dtype=np.bool_).T & (limits > 0)
    moved = np.where(feasible, linear_bytes(measured.traffic, batch, iterations), INFEASIBLE_BYTES)
    return GroupCosts(rule, rereads, -(-batch // iterations), moved)


def _has_unsplit(costs: GroupCostModel, pieces: Sequence[Piece]) -> npt.NDArray[np.bool_]:
    """Return which groups, by first and last piece, have a unit that does not run in sub-batches."""
    before = np.concatenate([[0], np.cumsum([costs.unsplit[first : last + 1].any() for first, last in pieces])])
    found: npt.NDArray[np.bool_] = before[None, 1:] > before[:-1, None]
    return found


class _Side(NamedTuple):
    """How many neighbours of a piece are in its group, before and behind it; the radius means that many or more."""

    left: int
    right: int


def _groups_with(by_group: Ints, side: _Side) -> Ints:
    """Return the part of a table over groups (first, last piece) that can have a piece with these neighbours."""
    count = len(by_group)
    return by_group[: max(0, count - side.left - side.right), side.left + side.right :]


def _by_group(own: Ints, side: _Side, radius: int, combine: np.ufunc, neutral: int) -> Ints:
    """Combine over each group the values of those of its pieces that have just these neighbours in it.

    ``own`` has the values of all pieces (first axis) with the neighbours ``side``; the result has the groups of
    `_groups_with`.  Its entry [i, j] is of a group that begins ``left`` pieces before the i-th such piece and ends
    ``right`` pieces behind the j-th.  If ``left`` is less than the radius only the i-th can be meant, if ``right`` is
    only the j-th, else all from the i-th to the j-th.
    """
    own = own[side.left : len(own) - side.right] if side.left + side.right < len(own) else own[:0]
    first_only, last_only = side.left < radius, side.right < radius
    mask = np.eye(len(own), dtype=np.bool_) if first_only and last_only else np.tri(len(own), dtype=np.bool_).T
    values = own[:, None] if first_only else own[None]
    spread: Ints = np.where(mask.reshape(*mask.shape, *(1,) * (own.ndim - 1)), values, neutral)
    return spread if first_only or last_only else combine.accumulate(spread, axis=1)


def _longest_idle_run(training: TrainingGraph, pieces: Sequence[Piece]) -> int:
    """Return the most neighbouring pieces that have no operation in one of the directions."""
    longest = 0
    for direction in DIRECTIONS:
        run = 0
        for first, last in pieces:
            run = 0 if operations_of(training, first, last, direction) else run + 1
            longest = max(longest, run)
    return longest


@dataclass(frozen=True, slots=True)
class _MeasuredPieces:
    """The buffer bytes that pieces need and the DRAM bytes that they move, by their neighbours in the group.

    Neither depends on the size of the buffer.  The units of ``footprints`` are indices of pieces; ``traffic`` is the
    linear traffic (last axis) of all groups by first and last piece.
    """

    radius: int
    footprints: Mapping[_Side, GroupFootprint]
    traffic: Ints


@remembered(
    key=lambda pieces, rule, rereads, normalization_passes, array: (
        (pieces, rule, rereads, normalization_passes, largest_tile(array))
    )
)
def _measure_pieces(
    training: TrainingGraph,
    pieces: tuple[Piece, ...],
    rule: Rule,
    rereads: bool,
    normalization_passes: int,
    array: ArraySpec,
) -> _MeasuredPieces:
    """Measure every piece with every number of neighbours, up to the radius.

    A block sees the rest of its group through one value, and a unit under the rule ``next`` sees no farther than the
    units beside it.  Pieces without an operation in a direction are passed over, so the radius is one more than the
    longest run of them.
    """
    radius, count = 1 + _longest_idle_run(training, pieces), len(pieces)

    def alone(index: int, side: _Side) -> GroupFootprint:
        """Measure a piece in the smallest group with these neighbours, or in the whole network with no fewer."""
        window = (pieces[index - side.left][0], pieces[index + side.right][1])
        if side == (radius, radius):
            window = (0, len(training.units) - 1)
        return group_footprint(training, *window, rule, rereads, normalization_passes, array).of_units(*pieces[index])

    footprints = {}
    traffic = np.zeros((count, count, 3), dtype=np.int64)
    for side in (_Side(left, right) for left in range(radius + 1) for right in range(radius + 1)):
        indices = range(side.left, count - side.right)
        parts = [alone(index, side) for index in indices]
        footprints[side] = GroupFootprint.join(parts, indices)
        own = np.zeros((count, 3), dtype=np.int64)
        own[side.left : side.left + len(parts)] = np.reshape([part.total_traffic for part in parts], (-1, 3))
        here = _groups_with(traffic, side)
        np.add(here, _by_group(own, side, radius, np.add, 0), out=here)
    return _MeasuredPieces(radius, footprints, traffic)
