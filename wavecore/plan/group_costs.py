"""What a group of layers costs under a rule: its largest sub-batch, and the DRAM bytes that it then moves."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from wavecore.common.memo import remembered
from wavecore.hardware.dataflows import largest_tile
from wavecore.hardware.specs import Accelerator, ArraySpec
from wavecore.plan.blocking import needs
from wavecore.plan.model import Choices, Group, Plan
from wavecore.plan.placement import Direction, place_group
from wavecore.plan.residency import Rule, place_by_rule
from wavecore.plan.traffic import group_traffic, linear_traffic
from wavecore.training.graph import TrainingGraph

Ints = npt.NDArray[np.int64]
DIRECTIONS = (Direction.FORWARD, Direction.BACKWARD)
INFEASIBLE_BYTES = 1 << 62  # more than any buffer has


@dataclass(frozen=True, slots=True)
class Candidate:
    """Units ``first`` to ``last`` as a group under a rule, at its largest sub-batch, and the DRAM bytes that it moves.

    ``rereads``: the group is costed as if recurrent weights were read in every time step.  If they
    have room to stay nevertheless, the group moves fewer bytes than costed.
    """

    first: int
    last: int
    rule: Rule
    sub_batch: int
    dram_bytes: int
    rereads: bool = False


@dataclass(frozen=True)
class GroupFootprint:
    """The buffer bytes that the operations of a group need and the DRAM bytes that they move.

    Neither depends on the size of the buffer.  Arrays have one row for each operation.  ``per_sample_bytes`` and
    ``fixed_bytes`` of the buffer have one column for each way of running it with every operand read once
    (`blocking.needs`); ``traffic`` has the three columns of `LinearTraffic`; ``units`` is the unit of the row.  The
    first ``forward_operations`` rows are of forward.
    """

    per_sample_bytes: Ints
    fixed_bytes: Ints
    traffic: Ints
    units: Ints
    forward_operations: int

    @classmethod
    def join(cls, parts: Sequence[GroupFootprint], units: Sequence[int]) -> Self:
        """Stack footprints; all rows of a part get its entry of ``units`` for their unit."""
        owners = [np.full(len(part.units), unit, dtype=np.int64) for part, unit in zip(parts, units, strict=True)]
        return cls(
            np.concatenate([np.zeros((0, 2), dtype=np.int64), *(part.per_sample_bytes for part in parts)]),
            np.concatenate([np.zeros((0, 2), dtype=np.int64), *(part.fixed_bytes for part in parts)]),
            np.concatenate([np.zeros((0, 3), dtype=np.int64), *(part.traffic for part in parts)]),
            np.concatenate([np.zeros(0, dtype=np.int64), *owners]),
            0,
        )

    def of_units(self, first: int, last: int) -> GroupFootprint:
        """Return the rows of some of the units."""
        own = (self.units >= first) & (self.units <= last)
        forward = int(own[: self.forward_operations].sum())
        return GroupFootprint(
            self.per_sample_bytes[own], self.fixed_bytes[own], self.traffic[own], self.units[own], forward
        )

    @cached_property
    def total_traffic(self) -> Ints:
        """The sums of the three columns of ``traffic``."""
        total: Ints = self.traffic.sum(axis=0)
        return total

    @cached_property
    def _divisors(self) -> tuple[npt.NDArray[np.bool_], Ints]:
        return self.per_sample_bytes > 0, np.maximum(self.per_sample_bytes, 1)

    def largest_sub_batches(self, space_bytes: int, most: int) -> Ints:
        """Return the largest sub-batch of each operation, at most ``most``; 0 where not one sample fits."""
        room = space_bytes - self.fixed_bytes
        grows, divisors = self._divisors
        samples = np.where(grows, room // divisors, most)
        best: Ints = np.where(room >= 0, np.minimum(samples, most), 0).max(axis=1)
        return best

    def largest_by_unit(self, count: int, space_bytes: int, most: int) -> Ints:
        """Return the largest sub-batch of each of ``count`` units: the smallest of its operations'."""
        limits = np.full(count, most, dtype=np.int64)
        np.minimum.at(limits, self.units, self.largest_sub_batches(space_bytes, most))
        return limits

    def backward_bytes(self, samples: int) -> int:
        """Return the most that backward takes of the buffer at a sub-batch."""
        rows = slice(self.forward_operations, None)
        need = (self.per_sample_bytes[rows] * samples + self.fixed_bytes[rows]).min(axis=1)
        return int(need.max(initial=0))


def linear_bytes(traffic: Ints, samples: int, iterations: Ints) -> Ints:
    """Return the DRAM bytes of groups: s x samples + i x iterations + l x (iterations - 1).

    (s, i, l) are the sums of their operations' `LinearTraffic`, the last axis of ``traffic``.
    """
    moved: Ints = (
        traffic[..., 0] * samples + traffic[..., 1] * iterations + traffic[..., 2] * np.maximum(iterations - 1, 0)
    )
    return moved


def planning_key(accelerator: Accelerator, batch_per_core: int, choices: Choices) -> Hashable:
    """Return what the groups of a schedule depend on, beside the training graph."""
    return accelerator.core.global_buffer_bytes, largest_tile(accelerator.array), batch_per_core, choices


@remembered(
    key=lambda first, last, rule, rereads, normalization_passes, array: (
        (first, last, rule, rereads, normalization_passes, largest_tile(array))
    )
)
def group_footprint(
    training: TrainingGraph,
    first: int,
    last: int,
    rule: Rule,
    rereads: bool,
    normalization_passes: int,
    array: ArraySpec,
) -> GroupFootprint:
    """Measure units ``first`` to ``last`` as a group under a rule; ``rereads``: see `Candidate`."""
    forward, backward = (
        place_by_rule(training, first, last, rule, direction, normalization_passes) for direction in DIRECTIONS
    )
    per_sample, fixed = [], []
    for operation in (*forward, *backward):
        ways = [
            (operation.live_bytes + way.per_sample_bytes, way.fixed_bytes) for way in needs(operation, array, rereads)
        ]
        if len(ways) == 1:
            ways.append((0, INFEASIBLE_BYTES))
        per_sample.append([way[0] for way in ways])
        fixed.append([way[1] for way in ways])
    return GroupFootprint(
        np.array(per_sample, dtype=np.int64).reshape(-1, 2),
        np.array(fixed, dtype=np.int64).reshape(-1, 2),
        np.array([linear_traffic(each, rereads) for each in (*forward, *backward)], dtype=np.int64).reshape(-1, 3),
        np.array([training.unit_index[each.operation.unit] for each in (*forward, *backward)], dtype=np.int64),
        len(forward),
    )


@remembered(key=lambda normalization_passes, array: (normalization_passes, largest_tile(array)))
def _streamed_footprints(
    training: TrainingGraph, normalization_passes: int, array: ArraySpec
) -> tuple[GroupFootprint, Ints]:
    """Measure every unit alone with every tensor in DRAM: all rows, and the linear traffic of each unit."""
    alone = [
        group_footprint(training, unit, unit, Rule.NONE, False, normalization_passes, array)
        for unit in range(len(training.units))
    ]
    return GroupFootprint.join(alone, range(len(alone))), np.array([each.total_traffic for each in alone])


class GroupCostModel:
    """Costs groups of one training graph on one machine, for ``batch`` samples per core.

    A group is costed by its DRAM bytes at the largest sub-batch that its rule leaves room for.
    """

    def __init__(
        self, training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices
    ) -> None:
        self.training = training
        self.accelerator = accelerator
        self.batch = batch_per_core
        self.choices = choices
        self.space_bytes = accelerator.core.global_buffer_bytes
        self.last = len(training.units) - 1
        self._known: dict[tuple[int, int, Rule], Candidate | None] = {}

    @cached_property
    def recurrent(self) -> bool:
        """Whether there are recurrent weights, which may stay on chip over the time steps or be read in each."""
        return any(unit.recurrent for unit in self.training.units)

    @property
    def reread_options(self) -> tuple[bool, ...]:
        """The values of ``rereads`` to try: both where there are recurrent weights."""
        return (False, True) if self.recurrent else (False,)

    @cached_property
    def unsplit(self) -> npt.NDArray[np.bool_]:
        """Which units run only with the whole mini-batch, by the choice ``serialize_recurrent``."""
        return np.array([unit.recurrent and not self.choices.serialize_recurrent for unit in self.training.units])

    def footprint(self, first: int, last: int, rule: Rule, rereads: bool = False) -> GroupFootprint:
        """Measure a group under a rule."""
        passes, array = self.choices.normalization_passes, self.accelerator.array
        return group_footprint(self.training, first, last, rule, rereads, passes, array)

    def largest_sub_batches(self, rule: Rule) -> list[int]:
        """Return each unit's largest sub-batch inside the whole network, at most the mini-batch; 0 where none fits."""
        whole = self.footprint(0, self.last, rule, self.reread_options[-1])
        return [int(limit) for limit in whole.largest_by_unit(self.last + 1, self.space_bytes, self.batch)]

    def cost(self, first: int, last: int, rule: Rule) -> Candidate | None:
        """Cost a group under a rule; None where not even one sample fits."""
        key = (first, last, rule)
        if key not in self._known:
            self._known[key] = self._streamed(first, last) if rule is Rule.NONE else self._serialized(*key)
        return self._known[key]

    def _serialized(self, first: int, last: int, rule: Rule) -> Candidate | None:
        """Cost a group that runs in sub-batches.

        The sub-batch is the smallest that takes no more iterations than the largest one, so that room is left.
        """
        found = []
        for rereads in self.reread_options:
            footprint = self.footprint(first, last, rule, rereads)
            sub_batch = int(footprint.largest_sub_batches(self.space_bytes, self.batch).min(initial=self.batch))
            if sub_batch == self.batch or (sub_batch and not self.unsplit[first : last + 1].any()):
                iterations = -(-self.batch // sub_batch)
                moved = linear_bytes(footprint.total_traffic, self.batch, np.array(iterations))
                balanced = -(-self.batch // iterations)
                found.append(Candidate(first, last, rule, balanced, int(moved), rereads))
        return min(found, key=lambda candidate: candidate.dram_bytes, default=None)

    def _streamed(self, first: int, last: int) -> Candidate:
        """Cost a group that runs the whole mini-batch at once with every tensor in DRAM."""
        if first == last and self._streamed_bytes[first] < INFEASIBLE_BYTES:
            return Candidate(first, last, Rule.NONE, self.batch, int(self._streamed_bytes[first]))
        names = tuple(unit.name for unit in self.training.units[first : last + 1])
        return Candidate(first, last, Rule.NONE, self.batch, self.group_bytes(Group(names, self.batch)))

    @cached_property
    def _streamed_bytes(self) -> Ints:
        """DRAM bytes of every unit alone with every tensor in DRAM, if it has room to read every operand once."""
        together, traffic = _streamed_footprints(
            self.training, self.choices.normalization_passes, self.accelerator.array
        )
        limits = together.largest_by_unit(self.last + 1, self.space_bytes, self.batch)
        moved = linear_bytes(traffic, self.batch, np.ones(self.last + 1, dtype=np.int64))
        return np.where(limits == self.batch, moved, INFEASIBLE_BYTES)

    def streamed_costs(self) -> list[Candidate]:
        """Cost every unit alone, with the whole mini-batch at once and every tensor in DRAM."""
        found = (self.cost(unit, unit, Rule.NONE) for unit in range(self.last + 1))
        return [candidate for candidate in found if candidate is not None]

    def group_bytes(self, group: Group) -> int:
        """Return the DRAM bytes of a written group's forward and backward on one core, whatever its blocking."""
        moved = 0
        for direction in DIRECTIONS:
            placed = place_group(self.training, group, direction, self.choices.normalization_passes)
            moved += group_traffic(group, placed, self.accelerator, self.batch).total()
        return moved

    def plan(self, schedule: str, groups: Iterable[Group]) -> Plan:
        """Return the plan of a schedule with double buffering of weights."""
        passes, rewrites = self.choices.normalization_passes, self.training.rewrites
        return Plan(self.training.name, schedule, self.batch, True, tuple(groups), passes, rewrites=rewrites)
