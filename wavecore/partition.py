"""The cheapest cut of a network into groups: a shortest path over the places to cut.

Costs are local, so all groups that begin at one piece are costed together, from what each piece needs and moves with
so many of its neighbours in the group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavecore.grouping import DIRECTIONS, NEVER, Candidate, Footprint, Grouper, Ints, Rule, linear_bytes
from wavecore.placement import operations_of
from wavecore.training import TrainingGraph


def partition(grouper: Grouper, pieces: Sequence[tuple[int, int]], rules: Sequence[Rule]) -> list[Candidate]:
    """The cut of ``pieces``, single units or whole blocks, into groups that moves the fewest DRAM bytes.

    Shortest path over the places to cut; a single unit may also stream the whole mini-batch.  MODEL.md section 5
    merges greedily; this is the optimum of the same costs.
    """
    tables = [LocalCosts(grouper, pieces, rule) for rule in rules]
    count = len(pieces)
    best: list[int | None] = [0, *[None] * count]
    back: list[Candidate | None] = [None] * (count + 1)
    for start in range(count):
        reached = best[start]
        if reached is None:
            continue
        first, last = pieces[start]
        streamed = grouper.cost(first, last, Rule.NONE) if first == last else None
        if streamed is not None:
            _relax(best, back, start + 1, reached + streamed.dram_bytes, streamed)
        for table in tables:
            sub_batches, moved = table.groups_from(start)
            for offset in range(len(moved)):
                end = start + offset + 1
                total = reached + int(moved[offset])
                known = best[end]
                if known is None or total < known:
                    found = Candidate(
                        first, pieces[end - 1][1], table.rule, int(sub_batches[offset]), int(moved[offset])
                    )
                    _relax(best, back, end, total, found)
    return _walk_back(back, pieces)


def _relax(best: list[int | None], back: list[Candidate | None], end: int, total: int, found: Candidate) -> None:
    known = best[end]
    if known is None or total < known:
        best[end], back[end] = total, found


def _walk_back(back: Sequence[Candidate | None], pieces: Sequence[tuple[int, int]]) -> list[Candidate]:
    """The groups of the shortest path, first to last."""
    ends = {last: index + 1 for index, (_, last) in enumerate(pieces)}
    starts = {first: index for index, (first, _) in enumerate(pieces)}
    groups: list[Candidate] = []
    at = ends[pieces[-1][1]]
    while at:
        group = back[at]
        assert group is not None  # a single unit can always stream
        groups.append(group)
        at = starts[group.first]
    return groups[::-1]


class LocalCosts:
    """Costs of all groups of pieces under one rule, put together from pieces.

    What a piece needs and moves depends on the group only through which of its neighbours are in it: a block sees
    the rest through one value, and a unit under the rule ``next`` sees no farther than the units beside it.  Pieces
    without an operation in a direction are passed over, so the radius is one more than the longest run of them.
    """

    def __init__(self, grouper: Grouper, pieces: Sequence[tuple[int, int]], rule: Rule) -> None:
        self.rule = rule
        self._batch = grouper.batch
        self._radius = 1 + _longest_idle_run(grouper.training, pieces)
        self._limits: dict[tuple[int, int], Ints] = {}
        self._traffic: dict[tuple[int, int], Ints] = {}
        for left in range(self._radius + 1):
            for right in range(self._radius + 1):
                local = _local_footprint(grouper, pieces, rule, left, right, self._radius)
                limits = np.where(local.whole, grouper.batch, 0)
                own = local.footprint.largest_sub_batches(grouper.space, grouper.batch)
                np.minimum.at(limits, local.footprint.units, own)
                self._limits[left, right], self._traffic[left, right] = limits, local.traffic

    def _with_left(self, tables: Mapping[tuple[int, int], Ints], start: int, right: int) -> Ints:
        """Rows of the pieces from ``start`` on in a group that begins there, all with ``right`` neighbours behind."""
        rows = tables[self._radius, right][start:].copy()
        for left in range(min(self._radius, len(rows))):
            rows[left] = tables[left, right][start + left]
        return rows

    def groups_from(self, start: int) -> tuple[Ints, Ints]:
        """(balanced sub-batch, DRAM bytes) of the groups from piece ``start`` to itself, the next, and so on.

        Ends before the first group in which not one sample fits.
        """
        radius = self._radius
        limits = np.minimum.accumulate(self._with_left(self._limits, start, radius))
        traffic = np.cumsum(self._with_left(self._traffic, start, radius), axis=0)
        group_limits = np.full(len(limits), self._batch, dtype=np.int64)
        group_limits[radius:] = limits[:-radius] if len(limits) > radius else limits[:0]
        group_traffic_ = np.zeros_like(traffic)
        group_traffic_[radius:] = traffic[: max(len(traffic) - radius, 0)]
        for behind in range(radius):
            tail_limits = self._with_left(self._limits, start, behind)
            tail_traffic = self._with_left(self._traffic, start, behind)
            count = len(limits) - behind
            if count > 0:
                group_limits[behind:] = np.minimum(group_limits[behind:], tail_limits[:count])
                group_traffic_[behind:] += tail_traffic[:count]
        full = np.flatnonzero(limits == 0)
        stop = int(full[0]) + radius if full.size else len(limits)
        group_limits, group_traffic_ = group_limits[:stop], group_traffic_[:stop]
        fits_ = group_limits > 0
        iterations = -(-self._batch // np.maximum(group_limits, 1))
        moved = np.where(fits_, linear_bytes(group_traffic_, self._batch, iterations), NEVER)
        return -(-self._batch // iterations), moved


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
    """All pieces, each in a group that reaches so far to either side.

    The rows of ``footprint`` have pieces for units; ``whole`` says which pieces have so many neighbours at all.
    """

    footprint: Footprint
    traffic: Ints
    whole: npt.NDArray[np.bool_]


def _local_footprint(
    grouper: Grouper, pieces: Sequence[tuple[int, int]], rule: Rule, left: int, right: int, radius: int
) -> _Local:
    """Measure every piece with so many neighbours of its group on either side; remembered with the graph."""
    key = ("local", tuple(pieces), rule, left, right, radius, grouper.normalization_passes, grouper.array_size)
    found: _Local | None = grouper.training.memory.get(key)
    if found is not None:
        return found
    rows: list[tuple[Ints, Ints, Ints]] = []
    traffic = np.zeros((len(pieces), 3), dtype=np.int64)
    whole = np.zeros(len(pieces), dtype=np.bool_)
    for index, (first, last) in enumerate(pieces):
        if index < left or index + right >= len(pieces):
            continue
        inside = left == radius and right == radius
        window = (0, grouper.last) if inside else (pieces[index - left][0], pieces[index + right][1])
        group = grouper.footprint(*window, rule)
        own = (group.units >= first) & (group.units <= last)
        owner = np.full(int(own.sum()), index, dtype=np.int64)
        rows.append((group.per_sample_bytes[own], group.fixed_bytes[own], owner))
        traffic[index] = group.traffic[own].sum(axis=0)
        whole[index] = True
    empty = np.zeros((0, 2), dtype=np.int64)
    footprint = Footprint(
        np.concatenate([empty, *(row[0] for row in rows)]),
        np.concatenate([empty, *(row[1] for row in rows)]),
        np.zeros((0, 3), dtype=np.int64),
        np.concatenate([empty[:, 0], *(row[2] for row in rows)]),
        0,
    )
    found = grouper.training.memory[key] = _Local(footprint, traffic, whole)
    return found
