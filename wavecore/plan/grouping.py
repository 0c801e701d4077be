"""How layers are grouped: the machinery that schedules share.

A *rule* says which tensors of a group stay on chip.  A group is costed by its DRAM bytes at the largest sub-batch
that its rule leaves room for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from wavecore.common.names import Name
from wavecore.hardware.dataflows import largest_tile
from wavecore.hardware.dataflows.base import TileShape
from wavecore.hardware.specs import Accelerator
from wavecore.plan.blocking import block, fits, needs
from wavecore.plan.model import Choices, Group, Plan, Residency
from wavecore.plan.placement import Direction, Place, PlacedOperation, place, place_group
from wavecore.plan.traffic import group_traffic, linear_traffic
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import TensorClass

Ints = npt.NDArray[np.int64]
DIRECTIONS = (Direction.FORWARD, Direction.BACKWARD)
INFEASIBLE_BYTES = 1 << 62  # bytes that no buffer has


class Rule(Name):
    """Which tensors of a group stay on chip between its layers."""

    NONE = "none"  # every tensor goes through DRAM
    NEXT = "next"  # until the next layer is done
    BRANCHES = "branches"  # activations and gradients until the last branch has read them
    BRANCHES_AND_SAVED = "branches_and_saved"  # and, in backward, saved inputs that several branches read


@dataclass(frozen=True, slots=True)
class Candidate:
    """A group under a rule, at its largest sub-batch, and the DRAM bytes that it moves.

    One that ``rereads`` leaves no room for recurrent weights to stay on chip over the time steps; where there is
    room all the same, it moves less.
    """

    first: int
    last: int
    rule: Rule
    sub_batch: int
    dram_bytes: int
    rereads: bool = False


@dataclass(frozen=True)
class GroupFootprint:
    """What the operations of a group need and move, whatever the buffer's size.

    ``per_sample_bytes`` and ``fixed_bytes`` have one row an operation and one column a way of running it with every
    operand read once; ``traffic`` has the three numbers of `linear_traffic`; ``units`` says whose row it is.
    """

    per_sample_bytes: Ints
    fixed_bytes: Ints
    traffic: Ints
    units: Ints
    forward_operations: int

    @cached_property
    def moved(self) -> Ints:
        """The sum of all `traffic`."""
        total: Ints = self.traffic.sum(axis=0)
        return total

    @cached_property
    def _divisors(self) -> tuple[npt.NDArray[np.bool_], Ints]:
        return self.per_sample_bytes > 0, np.maximum(self.per_sample_bytes, 1)

    def largest_sub_batches(self, space_bytes: int, most: int) -> Ints:
        """The largest sub-batch of each operation, at most ``most``; 0 where not one sample fits."""
        room = space_bytes - self.fixed_bytes
        grows, divisors = self._divisors
        samples = np.where(grows, room // divisors, most)
        best: Ints = np.where(room >= 0, np.minimum(samples, most), 0).max(axis=1)
        return best

    def backward_bytes(self, samples: int) -> int:
        """What backward takes of the buffer at a sub-batch, at its fullest moment."""
        rows = slice(self.forward_operations, None)
        need = (self.per_sample_bytes[rows] * samples + self.fixed_bytes[rows]).min(axis=1)
        return int(need.max(initial=0))


def linear_bytes(traffic: Ints, samples: int, iterations: Ints) -> Ints:
    """DRAM bytes of groups, given the sums of their linear traffic (last axis) and their iterations."""
    moved: Ints = (
        traffic[..., 0] * samples + traffic[..., 1] * iterations + traffic[..., 2] * np.maximum(iterations - 1, 0)
    )
    return moved


class Grouper:
    """Costs groups of one training graph on one machine."""

    def __init__(
        self, training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices
    ) -> None:
        self.training = training
        self.accelerator = accelerator
        self.batch = batch_per_core
        self.choices = choices
        self.normalization_passes = choices.normalization_passes
        self.space = accelerator.core.global_buffer_bytes
        self._costs: dict[tuple[int, int, Rule], Candidate | None] = {}

    @cached_property
    def last(self) -> int:
        """Index of the last unit."""
        return len(self.training.units) - 1

    @cached_property
    def recurrent(self) -> bool:
        """Whether there are recurrent weights, which may stay on chip over the time steps, or be read in each."""
        return any(unit.recurrent for unit in self.training.units)

    @cached_property
    def unsplit(self) -> npt.NDArray[np.bool_]:
        """Which units run their time steps with the whole mini-batch or not at all, by the schedule's choice."""
        return np.array([unit.recurrent and not self.choices.serialize_recurrent for unit in self.training.units])

    @property
    def modes(self) -> tuple[bool, ...]:
        """Whether recurrent weights are read in every time step: both ways are tried where there are any."""
        return (False, True) if self.recurrent else (False,)

    @cached_property
    def array_size(self) -> TileShape:
        """What of the array decides what operations need of the buffer."""
        return largest_tile(self.accelerator.array)

    def plan(self, schedule: str, groups: Callable[[], Iterable[Group]]) -> Plan:
        """The plan of those groups; machines that differ in nothing that groups depend on share it."""

        def fresh() -> Plan:
            return Plan(
                self.training.name,
                schedule,
                self.batch,
                True,
                tuple(groups()),
                self.normalization_passes,
                rewrites=self.training.rewrites,
            )

        key = (schedule, self.space, self.array_size, self.batch, self.choices)
        found: Plan = self.training.memory.recall("plan", key, fresh)
        return found

    @cached_property
    def _residencies(self) -> Mapping[tuple[Rule, Direction], Mapping[str, Residency]]:
        return {(rule, way): _residency(self.training, rule, way) for rule in Rule for way in DIRECTIONS}

    def placed(self, first: int, last: int, rule: Rule, direction: Direction) -> tuple[PlacedOperation, ...]:
        """Place a group under a rule."""
        residency = self._residencies[rule, direction]
        return place(self.training, first, last, direction, residency, self.normalization_passes)

    def footprint(self, first: int, last: int, rule: Rule, rereads: bool = False) -> GroupFootprint:
        """Measure a group under a rule; remembered with the graph, since no buffer size enters."""
        key = (first, last, rule, rereads, self.normalization_passes, self.array_size)
        found: GroupFootprint = self.training.memory.recall(
            "footprint", key, lambda: self._measure(first, last, rule, rereads)
        )
        return found

    def _measure(self, first: int, last: int, rule: Rule, rereads: bool) -> GroupFootprint:
        index = self.training.unit_index
        both = [self.placed(first, last, rule, direction) for direction in DIRECTIONS]
        per_sample, fixed, traffic, units = [], [], [], []
        for operation in (*both[0], *both[1]):
            ways = needs(operation, self.accelerator.array, rereads)
            sizes = [operation.live_bytes + way.per_sample_bytes for way in ways]
            stages = [way.fixed_bytes for way in ways]
            per_sample.append(sizes if len(ways) > 1 else [*sizes, 0])
            fixed.append(stages if len(ways) > 1 else [*stages, INFEASIBLE_BYTES])
            traffic.append(linear_traffic(operation, rereads))
            units.append(index[operation.operation.unit])
        return GroupFootprint(
            np.array(per_sample, dtype=np.int64).reshape(-1, 2),
            np.array(fixed, dtype=np.int64).reshape(-1, 2),
            np.array(traffic, dtype=np.int64).reshape(-1, 3),
            np.array(units, dtype=np.int64),
            len(both[0]),
        )

    def largest_sub_batches(self, rule: Rule) -> list[int]:
        """Each unit's largest sub-batch inside the whole network, at most the mini-batch; 0 where none fits."""
        whole = self.footprint(0, self.last, rule, self.modes[-1])
        limits = np.full(self.last + 1, self.batch, dtype=np.int64)
        np.minimum.at(limits, whole.units, whole.largest_sub_batches(self.space, self.batch))
        return [int(limit) for limit in limits]

    def cost(self, first: int, last: int, rule: Rule) -> Candidate | None:
        """Cost a group under a rule; None where not even one sample fits."""
        key = (first, last, rule)
        if key not in self._costs:
            self._costs[key] = self._streamed(first, last) if rule is Rule.NONE else self._serialized(*key)
        return self._costs[key]

    def _serialized(self, first: int, last: int, rule: Rule) -> Candidate | None:
        found = []
        for rereads in self.modes:
            footprint = self.footprint(first, last, rule, rereads)
            sub_batch = int(footprint.largest_sub_batches(self.space, self.batch).min(initial=self.batch))
            if sub_batch == self.batch or (sub_batch and not self.unsplit[first : last + 1].any()):
                iterations = -(-self.batch // sub_batch)
                moved = linear_bytes(footprint.moved, self.batch, np.array(iterations))
                balanced = -(-self.batch // iterations)  # no more iterations, and room for other things
                found.append(Candidate(first, last, rule, balanced, int(moved), rereads))
        return min(found, key=lambda candidate: candidate.dram_bytes, default=None)

    def _streamed(self, first: int, last: int) -> Candidate:
        """The whole mini-batch at once with every tensor in DRAM, as without serialization."""
        footprint = self.footprint(first, last, Rule.NONE)
        if footprint.largest_sub_batches(self.space, self.batch).min(initial=self.batch) == self.batch:
            moved = int(linear_bytes(footprint.moved, self.batch, np.array(1)))
            return Candidate(first, last, Rule.NONE, self.batch, moved)
        moved = self.group_bytes(Group(self._names(first, last), self.batch))
        return Candidate(first, last, Rule.NONE, self.batch, moved)

    def streamed_costs(self) -> list[Candidate]:
        """Every unit alone, the whole mini-batch at once with every tensor in DRAM."""

        def stacked() -> tuple[GroupFootprint, Ints]:
            alone = [self.footprint(unit, unit, Rule.NONE) for unit in range(self.last + 1)]
            units = [np.full(len(each.units), unit, dtype=np.int64) for unit, each in enumerate(alone)]
            together = GroupFootprint(
                np.concatenate([each.per_sample_bytes for each in alone]),
                np.concatenate([each.fixed_bytes for each in alone]),
                np.concatenate([each.traffic for each in alone]),
                np.concatenate(units),
                0,
            )
            return together, np.array([each.moved for each in alone])

        key = ("alone", self.normalization_passes, self.array_size)
        together, traffic = self.training.memory.recall("footprint", key, stacked)
        limits = np.full(self.last + 1, self.batch, dtype=np.int64)
        np.minimum.at(limits, together.units, together.largest_sub_batches(self.space, self.batch))
        moved = linear_bytes(traffic, self.batch, np.ones(self.last + 1, dtype=np.int64))
        for unit in range(self.last + 1):
            if limits[unit] == self.batch:
                self._costs[unit, unit, Rule.NONE] = Candidate(unit, unit, Rule.NONE, self.batch, int(moved[unit]))
        found = [self.cost(unit, unit, Rule.NONE) for unit in range(self.last + 1)]
        return [candidate for candidate in found if candidate is not None]

    def _names(self, first: int, last: int) -> tuple[str, ...]:
        return tuple(unit.name for unit in self.training.units[first : last + 1])

    def group(self, candidate: Candidate, *, hold: bool = False) -> Group:
        """Write a candidate out as a group of a plan, naming only the tensors that stay on chip.

        With ``hold``, room that is left in backward keeps weight gradients on chip over the iterations.
        """
        key = (candidate.first, candidate.last, candidate.rule, self.normalization_passes)
        found: Group = self.training.memory.recall("group", key, lambda: self._write_out(candidate))
        group = replace(found, sub_batch=candidate.sub_batch)
        if hold and self.choices.hold_weight_gradients and group.iterations(self.batch) > 1:
            return replace(group, held=self._hold(candidate))
        return group

    def _write_out(self, candidate: Candidate) -> Group:
        residency: list[dict[str, Residency]] = []
        for direction in DIRECTIONS:
            placed = self.placed(candidate.first, candidate.last, candidate.rule, direction)
            table = self._residencies[candidate.rule, direction]
            residency.append({name: table[name] for name in sorted(set().union(*map(_present, placed)))})
        return Group(self._names(candidate.first, candidate.last), candidate.sub_batch, residency[0], residency[1])

    def _hold(self, candidate: Candidate) -> frozenset[str]:
        """The weight gradients that fit beside everything else in backward, largest first."""
        footprint = self.footprint(candidate.first, candidate.last, candidate.rule, candidate.rereads)
        slack = self.space - footprint.backward_bytes(candidate.sub_batch)
        held: set[str] = set()
        for nbytes, name in self._gradients(candidate.first, candidate.last):
            if nbytes <= slack:
                held.add(name)
                slack -= nbytes
        return frozenset(held)

    def _gradients(self, first: int, last: int) -> list[tuple[int, str]]:
        """Weight gradients of some units, largest first."""
        tensors, units = self.training.tensors, self.training.units[first : last + 1]

        def fresh() -> list[tuple[int, str]]:
            written = (tensors[name] for unit in units for op in unit.backward for name in op.writes)
            gradients = [t for t in written if t.tensor_class is TensorClass.WEIGHT_GRADIENT]
            return sorted(((t.nbytes, t.name) for t in gradients), reverse=True)

        found: list[tuple[int, str]] = self.training.memory.recall("gradients", (first, last), fresh)
        return found

    def group_bytes(self, group: Group) -> int:
        """DRAM bytes of a group's forward and backward on one core, however its operations have to be blocked."""
        moved = 0
        for direction in DIRECTIONS:
            placed = place_group(self.training, group, direction, self.normalization_passes)
            moved += group_traffic(group, placed, self.accelerator, self.batch).total()
        return moved

    def saved_bytes(self, group: Group) -> int:
        """DRAM bytes that holding weight gradients saves: each is read and written once less an iteration."""
        held = sum(self.training.tensors[name].nbytes for name in group.held)
        return 2 * held * (group.iterations(self.batch) - 1)

    def spill_until_fits(self, group: Group) -> Group:
        """Send tensors of a group through DRAM, the largest first, until every operation has room."""
        array = self.accelerator.array
        first, last = (self.training.unit_index[name] for name in (group.units[0], group.units[-1]))
        spilled: list[dict[str, Residency]] = []
        for direction, tensors in zip(DIRECTIONS, (group.forward, group.backward), strict=True):
            residency = dict(tensors)
            while True:
                placed = place(self.training, first, last, direction, residency, self.normalization_passes)
                tight = [op for op in placed if not fits(op, array, group.sub_batch, self.space)]
                if not tight:
                    break
                present = [name for name in _on_chip(placed, tight[0]) if name in residency]
                if not present:
                    block(tight[0], array, group.sub_batch, self.space)  # raises
                del residency[max(present, key=lambda name: (self.training.tensors[name].nbytes, name))]
            spilled.append(residency)
        return replace(group, forward=spilled[0], backward=spilled[1])


def _residency(training: TrainingGraph, rule: Rule, direction: Direction) -> Mapping[str, Residency]:
    """The residency that a rule gives to every batched tensor."""
    if rule is Rule.NONE:
        return {}
    kept: tuple[TensorClass, ...] = ()
    if rule is not Rule.NEXT:
        kept = (TensorClass.ACTIVATION, TensorClass.GRADIENT)
    if rule is Rule.BRANCHES and direction is Direction.BACKWARD:
        kept = (TensorClass.GRADIENT,)
    return {
        tensor.name: Residency.KEPT if tensor.tensor_class in kept else Residency.NEXT
        for tensor in training.tensors.values()
        if tensor.batched
    }


def _on_chip(placed: Iterable[PlacedOperation], at: PlacedOperation) -> list[str]:
    """Tensors that are on chip while ``at`` runs."""
    present: set[str] = set()
    for operation in placed:
        present |= _present(operation)
        if operation is at:
            return sorted(present)
        present -= set(operation.frees)
    return []


def _present(placed: PlacedOperation) -> set[str]:
    """Batched tensors that an operation finds or leaves on chip."""
    found = {read.tensor.name for read in placed.reads if read.place is not Place.STREAMED and read.tensor.batched}
    return found | {write.tensor.name for write in placed.writes if write.kept and write.tensor.batched}
