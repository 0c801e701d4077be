"""How layers are grouped: the machinery that schedules share.

A *rule* says which tensors of a group stay on chip.  A group is costed by its DRAM bytes at the largest sub-batch
that its rule leaves room for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from wavecore.blocking import block, fits, needs
from wavecore.operations import TensorClass
from wavecore.placement import Direction, Place, PlacedOperation, place, place_group
from wavecore.plan import Choices, Group, Plan, Residency
from wavecore.specs import Accelerator
from wavecore.traffic import LinearTraffic, group_traffic, linear_traffic
from wavecore.training import TrainingGraph

DIRECTIONS = (Direction.FORWARD, Direction.BACKWARD)
_NEVER = 1 << 62  # bytes that no buffer has


class Rule(StrEnum):
    """Which tensors of a group stay on chip between its layers."""

    NONE = "none"  # every tensor goes through DRAM
    NEXT = "next"  # until the next layer is done
    BRANCHES = "branches"  # activations and gradients until the last branch has read them
    BRANCHES_AND_SAVED = "branches_and_saved"  # and, in backward, saved inputs that several branches read


@dataclass(frozen=True, slots=True)
class Candidate:
    """A group under a rule, at its largest sub-batch, and the DRAM bytes that it moves."""

    first: int
    last: int
    rule: Rule
    sub_batch: int
    dram_bytes: int


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a group needs and moves, whatever the buffer's size.

    ``per_sample_bytes`` and ``fixed_bytes`` have one row an operation and one column a way of running it with every
    operand read once.
    """

    per_sample_bytes: npt.NDArray[np.int64]
    fixed_bytes: npt.NDArray[np.int64]
    units: npt.NDArray[np.int64]
    forward_operations: int
    traffic: tuple[LinearTraffic, ...]

    def largest_sub_batches(self, space_bytes: int, most: int) -> npt.NDArray[np.int64]:
        """The largest sub-batch of each operation, at most ``most``; 0 where not one sample fits."""
        room = space_bytes - self.fixed_bytes
        samples = np.where(self.per_sample_bytes > 0, room // np.maximum(self.per_sample_bytes, 1), most)
        best: npt.NDArray[np.int64] = np.where(room >= 0, np.minimum(samples, most), 0).max(axis=1)
        return best

    def backward_bytes(self, samples: int) -> int:
        """What backward takes of the buffer at a sub-batch, at its fullest moment."""
        rows = slice(self.forward_operations, None)
        need = (self.per_sample_bytes[rows] * samples + self.fixed_bytes[rows]).min(axis=1)
        return int(need.max(initial=0))


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
    def _residencies(self) -> Mapping[tuple[Rule, Direction], Mapping[str, Residency]]:
        return {(rule, way): _residency(self.training, rule, way) for rule in Rule for way in DIRECTIONS}

    def placed(self, first: int, last: int, rule: Rule, direction: Direction) -> tuple[PlacedOperation, ...]:
        """Place a group under a rule."""
        residency = self._residencies[rule, direction]
        return place(self.training, first, last, direction, residency, self.normalization_passes)

    def footprint(self, first: int, last: int, rule: Rule) -> Footprint:
        """Measure a group under a rule; remembered with the graph, since no buffer size enters."""
        array = self.accelerator.array
        size = (array.rows, array.columns, array.tile_rows)
        key = ("footprint", first, last, rule, self.normalization_passes, size)
        found: Footprint | None = self.training.memory.get(key)
        if found is None:
            found = self.training.memory[key] = self._measure(first, last, rule)
        return found

    def _measure(self, first: int, last: int, rule: Rule) -> Footprint:
        index = self.training.unit_index
        both = [self.placed(first, last, rule, direction) for direction in DIRECTIONS]
        per_sample, fixed, units = [], [], []
        for operation in (*both[0], *both[1]):
            ways = needs(operation, self.accelerator.array)
            sizes = [operation.live_bytes + way.per_sample_bytes for way in ways]
            stages = [way.fixed_bytes for way in ways]
            per_sample.append(sizes if len(ways) > 1 else [*sizes, 0])
            fixed.append(stages if len(ways) > 1 else [*stages, _NEVER])
            units.append(index[operation.operation.unit])
        return Footprint(
            np.array(per_sample, dtype=np.int64).reshape(-1, 2),
            np.array(fixed, dtype=np.int64).reshape(-1, 2),
            np.array(units, dtype=np.int64),
            len(both[0]),
            tuple(linear_traffic(placed) for placed in both),
        )

    def largest_sub_batches(self, rule: Rule) -> list[int]:
        """Each unit's largest sub-batch inside the whole network, at most the mini-batch; 0 where none fits."""
        whole = self.footprint(0, self.last, rule)
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
        footprint = self.footprint(first, last, rule)
        limits = footprint.largest_sub_batches(self.space, self.batch)
        sub_batch = int(limits.min(initial=self.batch))
        if sub_batch == 0:
            return None
        iterations = -(-self.batch // sub_batch)
        nbytes = sum(traffic.total(self.batch, iterations) for traffic in footprint.traffic)
        balanced = -(-self.batch // iterations)  # no more iterations, and room for other things
        return Candidate(first, last, rule, balanced, nbytes)

    def _streamed(self, first: int, last: int) -> Candidate:
        """The whole mini-batch at once with every tensor in DRAM, as without serialization."""
        footprint = self.footprint(first, last, Rule.NONE)
        if footprint.largest_sub_batches(self.space, self.batch).min(initial=self.batch) == self.batch:
            nbytes = sum(traffic.total(self.batch, 1) for traffic in footprint.traffic)
            return Candidate(first, last, Rule.NONE, self.batch, nbytes)
        group = Group(self._names(first, last), self.batch)
        nbytes = 0
        for direction in DIRECTIONS:
            placed = place_group(self.training, group, direction, self.normalization_passes)
            nbytes += group_traffic(group, placed, self.accelerator, self.batch).total()
        return Candidate(first, last, Rule.NONE, self.batch, nbytes)

    def _names(self, first: int, last: int) -> tuple[str, ...]:
        return tuple(unit.name for unit in self.training.units[first : last + 1])

    def best(self, first: int, last: int, rules: Sequence[Rule]) -> Candidate | None:
        """The cheapest rule for a group; a single unit has no branches but may also stream the whole mini-batch."""
        tried = [rules[0], Rule.NONE] if first == last else rules
        found = [candidate for rule in tried if (candidate := self.cost(first, last, rule)) is not None]
        return min(found, key=lambda candidate: candidate.dram_bytes, default=None)

    def merge(self, rules: Sequence[Rule], pieces: Sequence[tuple[int, int]]) -> list[Candidate]:
        """MBS grouping (MODEL.md section 5): equal iterations first, then the merge that saves most, and again.

        ``pieces`` are what a group is made of, single units or whole blocks, as (first unit, last unit).
        """
        limits = self.largest_sub_batches(rules[0])
        iterations = []
        for first, last in pieces:
            limit = min(limits[first : last + 1])
            iterations.append(-(-self.batch // limit) if limit else 0)
        groups: list[Candidate] = []
        for start, stop in _runs(iterations):
            groups += self._one_or_many(pieces[start][0], pieces[stop][1], rules)
        while True:
            merges = []
            for index, (left, right) in enumerate(pairwise(groups)):
                merged = self.best(left.first, right.last, rules)
                if merged is not None:
                    merges.append((merged.dram_bytes - left.dram_bytes - right.dram_bytes, index, merged))
            if not merges or min(merges, key=lambda m: m[:2])[0] >= 0:
                return groups
            _, index, merged = min(merges, key=lambda m: m[:2])
            groups[index : index + 2] = [merged]

    def _one_or_many(self, first: int, last: int, rules: Sequence[Rule]) -> list[Candidate]:
        """The units as one group, or one by one where that moves less or no sample of the group fits."""
        whole = self.best(first, last, rules)
        if first == last and whole is not None:
            return [whole]
        found = [self.best(unit, unit, rules) for unit in range(first, last + 1)]
        single = [candidate for candidate in found if candidate is not None]
        apart = sum(candidate.dram_bytes for candidate in single)
        return single if whole is None or apart < whole.dram_bytes else [whole]

    def group(self, candidate: Candidate, *, hold: bool = False) -> Group:
        """Write a candidate out as a group of a plan, naming only the tensors that stay on chip.

        With ``hold``, room that is left in backward keeps weight gradients on chip over the iterations.
        """
        key = ("group", candidate.first, candidate.last, candidate.rule, self.normalization_passes)
        found: Group | None = self.training.memory.get(key)
        if found is None:
            found = self.training.memory[key] = self._write_out(candidate)
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
        footprint = self.footprint(candidate.first, candidate.last, candidate.rule)
        slack = self.space - footprint.backward_bytes(candidate.sub_batch)
        held: set[str] = set()
        for nbytes, name in self._gradients(candidate.first, candidate.last):
            if nbytes <= slack:
                held.add(name)
                slack -= nbytes
        return frozenset(held)

    def _gradients(self, first: int, last: int) -> list[tuple[int, str]]:
        """Weight gradients of some units, largest first."""
        tensors = self.training.tensors
        written = (
            tensors[name]
            for unit in self.training.units[first : last + 1]
            for op in unit.backward
            for name in op.writes
        )
        gradients = [t for t in written if t.tensor_class is TensorClass.WEIGHT_GRADIENT]
        return sorted(((t.nbytes, t.name) for t in gradients), reverse=True)

    def plan_bytes(self, plan: Plan) -> int:
        """DRAM bytes of a plan's forward and backward on one core."""
        return sum(
            group_traffic(
                group,
                place_group(self.training, group, way, plan.normalization_passes),
                self.accelerator,
                self.batch,
            ).total()
            for group in plan.groups
            for way in DIRECTIONS
        )

    def saved_bytes(self, group: Group) -> int:
        """DRAM bytes that holding weight gradients saves: each is read and written once less an iteration."""
        held = sum(self.training.tensors[name].nbytes for name in group.held)
        return 2 * held * (group.iterations(self.batch) - 1)

    def squeeze(self, group: Group) -> Group:
        """Send tensors of a group through DRAM, the largest first, until every operation has room."""
        array = self.accelerator.array
        first, last = (self.training.unit_index[name] for name in (group.units[0], group.units[-1]))
        squeezed: list[dict[str, Residency]] = []
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
            squeezed.append(residency)
        return replace(group, forward=squeezed[0], backward=squeezed[1])


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
        present |= {read.tensor.name for read in operation.reads if read.place != "streamed" and read.tensor.batched}
        present |= {write.tensor.name for write in operation.writes if write.kept and write.tensor.batched}
        if operation is at:
            return sorted(present)
        present -= set(operation.frees)
    return []


def _present(placed: PlacedOperation) -> set[str]:
    """Batched tensors that an operation finds or leaves on chip."""
    found = {read.tensor.name for read in placed.reads if read.place is not Place.STREAMED and read.tensor.batched}
    return found | {write.tensor.name for write in placed.writes if write.kept and write.tensor.batched}


def _runs(values: Sequence[int]) -> list[tuple[int, int]]:
    """First and last index of each run of equal values; zeros stand alone."""
    runs: list[tuple[int, int]] = []
    for index, value in enumerate(values):
        if runs and value and values[runs[-1][0]] == value:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return runs
