"""The cheapest cut of a network into groups: a shortest path over the places to cut.

Costs are local, so all groups that begin at one piece are costed together, from what each piece needs and moves with
so many of its neighbours in the group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavecore.plan.grouping import (
    DIRECTIONS,
    INFEASIBLE_BYTES,
    Candidate,
    Grouper,
    GroupFootprint,
    Ints,
    Rule,
    linear_bytes,
)
from wavecore.plan.placement import operations_of
from wavecore.training.graph import TrainingGraph


def partition(grouper: Grouper, pieces: Sequence[tuple[int, int]], rules: Sequence[Rule]) -> list[Candidate] | None:
    """The cut of ``pieces``, single units or whole blocks, into groups that moves the fewest DRAM bytes.

    None where some block fits in no group; units always do, since they can stream.

    Shortest path over the places to cut; a single unit may also stream the whole mini-batch.  The MBS paper
    merges greedily; this is the optimum of the same costs (docs/model.md section 3).
    """
    count = len(pieces)
    streamed = _streamed(grouper, pieces)
    ways = [(rule, rereads) for rule in rules for rereads in grouper.modes]
    costs = [streamed[1], *(group_costs(grouper, pieces, *way) for way in ways)]
    moved = np.stack([each.dram_bytes for each in costs])
    cheapest = moved.argmin(axis=0)  # the first of equals
    least = np.take_along_axis(moved, cheapest[None], axis=0)[0]
    best = np.full(count + 1, INFEASIBLE_BYTES, dtype=np.int64)
    best[0] = 0
    came_from = np.zeros(count + 1, dtype=np.int64)
    for start in range(count):
        ends = slice(start + 1, count + 1)
        if best[start] >= INFEASIBLE_BYTES:
            continue
        total = best[start] + least[start, start:]
        better = total < best[ends]
        best[ends][better] = total[better]
        came_from[ends][better] = start
    if best[count] >= INFEASIBLE_BYTES:
        return None
    groups: list[Candidate] = []
    end = count
    while end:
        start, last = int(came_from[end]), end - 1
        option = int(cheapest[start, last])
        if option == 0:
            groups.append(streamed[0][start])
        else:
            sub_batch = int(costs[option].sub_batches[start, last])
            size = int(least[start, last])
            rule, rereads = ways[option - 1]
            groups.append(Candidate(pieces[start][0], pieces[last][1], rule, sub_batch, size, rereads))
        end = start
    return groups[::-1]


@dataclass(frozen=True, slots=True)
class GroupCosts:
    """All groups of neighbouring pieces, by first and last piece: balanced sub-batch and DRAM bytes.

    `INFEASIBLE_BYTES` bytes where a group is none, or not one sample fits.
    """

    sub_batches: Ints
    dram_bytes: Ints


def _streamed(grouper: Grouper, pieces: Sequence[tuple[int, int]]) -> tuple[dict[int, Candidate], GroupCosts]:
    """Pieces of a single unit, each as a group that streams the whole mini-batch."""
    units = grouper.streamed_costs()
    single = {index: units[first] for index, (first, last) in enumerate(pieces) if first == last}
    moved = np.full((len(pieces), len(pieces)), INFEASIBLE_BYTES, dtype=np.int64)
    for index, candidate in single.items():
        moved[index, index] = candidate.dram_bytes
    return single, GroupCosts(np.full_like(moved, grouper.batch), moved)


def group_costs(grouper: Grouper, pieces: Sequence[tuple[int, int]], rule: Rule, rereads: bool = False) -> GroupCosts:
    """Costs of all groups of ``pieces`` under one rule, put together from pieces; ``rereads``: see `Candidate`.

    What a piece needs and moves depends on the group only through which of its neighbours are in it: a block sees
    the rest through one value, and a unit under the rule ``next`` sees no farther than the units beside it.  Pieces
    without an operation in a direction are passed over, so the radius is one more than the longest run of them.
    """
    local = _local(grouper, pieces, rule, rereads)
    limits = np.full((len(pieces), len(pieces)), grouper.batch, dtype=np.int64)
    for (left, right), footprint in local.footprints.items():
        own = np.full(len(pieces), grouper.batch, dtype=np.int64)
        np.minimum.at(own, footprint.units, footprint.largest_sub_batches(grouper.space, grouper.batch))
        _lower_limits(limits, own, left, right, local.radius)
    limits[_together(grouper, pieces) & (limits < grouper.batch)] = 0
    iterations = -(-grouper.batch // np.maximum(limits, 1))
    moved = np.where(
        local.groups & (limits > 0), linear_bytes(local.traffic, grouper.batch, iterations), INFEASIBLE_BYTES
    )
    return GroupCosts(-(-grouper.batch // iterations), moved)


def _together(grouper: Grouper, pieces: Sequence[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    """Which groups, by first and last piece, have a unit that does not run in sub-batches."""
    before = np.concatenate([[0], np.cumsum([grouper.unsplit[first : last + 1].any() for first, last in pieces])])
    found: npt.NDArray[np.bool_] = before[None, 1:] > before[:-1, None]
    return found


def _lower_limits(limits: Ints, own: Ints, left: int, right: int, radius: int) -> None:
    """Lower the sub-batches of all groups (first, last piece) to those of the pieces with so many neighbours in them.

    ``own`` are the pieces' largest sub-batches with ``left`` and ``right`` neighbours, `radius` standing for more.
    """
    count = len(own)
    if left + right >= count:
        return
    here = limits[: count - left - right, left + right :]
    own = own[left : count - right]
    long_enough = np.tri(len(own), dtype=np.bool_).T
    if left < radius and right < radius:  # only groups of just this length have such a piece
        lowered = np.where(np.eye(len(own), dtype=np.bool_), own, INFEASIBLE_BYTES)
    elif left < radius:
        lowered = np.where(long_enough, own[:, None], INFEASIBLE_BYTES)
    elif right < radius:
        lowered = np.where(long_enough, own, INFEASIBLE_BYTES)
    else:
        lowered = np.minimum.accumulate(np.where(long_enough, own, INFEASIBLE_BYTES), axis=1)
    np.minimum(here, lowered, out=here)


def _group_traffic(own: Mapping[tuple[int, int], Ints], count: int, radius: int) -> Ints:
    """Linear traffic (last axis) of all groups by first and last piece, from that of pieces with their neighbours."""
    total = np.zeros((count, count, 3), dtype=np.int64)
    for (left, right), moved in own.items():
        size = count - left - right
        if size <= 0:
            continue
        here, piece = total[:size, left + right :], moved[left : left + size]
        if left < radius and right < radius:  # only groups of just this length have such a piece
            here[np.arange(size), np.arange(size)] += piece
            continue
        if left < radius:
            added = np.broadcast_to(piece[:, None], here.shape)
        elif right < radius:
            added = np.broadcast_to(piece, here.shape)
        else:  # all pieces from one with neighbours enough before it to one with enough behind it
            sums = np.cumsum(np.concatenate([np.zeros((1, 3), dtype=np.int64), piece]), axis=0)
            added = sums[1:] - sums[:-1, None]
        np.add(here, added, out=here, where=np.tri(size, dtype=np.bool_).T[..., None])
    return total


def _longest_idle_run(training: TrainingGraph, pieces: Sequence[tuple[int, int]]) -> int:
    """The most neighbouring pieces that have nothing to do in one of the directions."""
    longest = 0
    for direction in DIRECTIONS:
        run = 0
        for first, last in pieces:
            run = 0 if operations_of(training, first, last, direction) else run + 1
            longest = max(longest, run)
    return longest


@dataclass(frozen=True, slots=True)
class _Local:
    """What pieces need and move with so many neighbours (left, right) of their group, whatever the buffer's size.

    The rows of ``footprints`` have pieces for units; ``traffic`` is linear traffic of all groups by first and last
    piece, and ``groups`` says which of those are groups at all.
    """

    radius: int
    footprints: Mapping[tuple[int, int], GroupFootprint]
    traffic: Ints
    groups: npt.NDArray[np.bool_]


def _local(grouper: Grouper, pieces: Sequence[tuple[int, int]], rule: Rule, rereads: bool) -> _Local:
    """Measure every piece with every number of neighbours; remembered with the graph."""

    def fresh() -> _Local:
        count = len(pieces)
        radius = 1 + _longest_idle_run(grouper.training, pieces)
        sides = [(left, right) for left in range(radius + 1) for right in range(radius + 1)]
        measured = {side: _measure(grouper, pieces, (rule, rereads), *side, radius) for side in sides}
        traffic = _group_traffic({side: own for side, (_, own) in measured.items()}, count, radius)
        footprints = {side: footprint for side, (footprint, _) in measured.items()}
        return _Local(radius, footprints, traffic, np.tri(count, dtype=np.bool_).T)

    key = (tuple(pieces), rule, rereads, grouper.normalization_passes, grouper.array_size)
    found: _Local = grouper.training.memory.recall("local", key, fresh)
    return found


def _measure(
    grouper: Grouper, pieces: Sequence[tuple[int, int]], way: tuple[Rule, bool], left: int, right: int, radius: int
) -> tuple[GroupFootprint, Ints]:
    """Footprint and linear traffic of every piece that has so many neighbours in a group that has just those."""
    rows: list[tuple[Ints, Ints, Ints]] = []
    traffic = np.zeros((len(pieces), 3), dtype=np.int64)
    for index in range(left, len(pieces) - right):
        first, last = pieces[index]
        inside = left == radius and right == radius
        window = (0, grouper.last) if inside else (pieces[index - left][0], pieces[index + right][1])
        group = grouper.footprint(*window, *way)
        own = (group.units >= first) & (group.units <= last)
        owner = np.full(int(own.sum()), index, dtype=np.int64)
        rows.append((group.per_sample_bytes[own], group.fixed_bytes[own], owner))
        traffic[index] = group.traffic[own].sum(axis=0)
    empty = np.zeros((0, 2), dtype=np.int64)
    footprint = GroupFootprint(
        np.concatenate([empty, *(row[0] for row in rows)]),
        np.concatenate([empty, *(row[1] for row in rows)]),
        np.zeros((0, 3), dtype=np.int64),
        np.concatenate([empty[:, 0], *(row[2] for row in rows)]),
        0,
    )
    return footprint, traffic
