"""How layers are grouped: the machinery that schedules share.

A *rule* says which tensors of a group stay on chip.  A group is costed by its DRAM bytes at the largest sub-batch
that its rule leaves room for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from wavecore.blocking import block, largest_sub_batch, least_bytes
from wavecore.operations import TensorClass
from wavecore.placement import Direction, PlacedOperation, place
from wavecore.plan import Group, Residency
from wavecore.specs import Accelerator
from wavecore.traffic import group_traffic, linear_traffic
from wavecore.training import TrainingGraph

DIRECTIONS = (Direction.FORWARD, Direction.BACKWARD)


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


class Grouper:
    """Costs groups of one training graph on one machine; what was costed once is remembered."""

    def __init__(
        self, training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, normalization_passes: int
    ) -> None:
        self.training = training
        self.accelerator = accelerator
        self.batch = batch_per_core
        self.normalization_passes = normalization_passes
        self.space = accelerator.core.global_buffer_bytes
        self._costs: dict[tuple[int, int, Rule], Candidate | None] = {}

    @cached_property
    def last(self) -> int:
        """Index of the last unit."""
        return len(self.training.units) - 1

    def residency(self, rule: Rule, direction: Direction) -> Mapping[str, Residency]:
        """The residency that a rule gives to every batched tensor."""
        if rule is Rule.NONE:
            return {}
        kept = {
            Rule.NEXT: (),
            Rule.BRANCHES: (TensorClass.ACTIVATION, TensorClass.GRADIENT),
            Rule.BRANCHES_AND_SAVED: (TensorClass.ACTIVATION, TensorClass.GRADIENT),
        }[rule]
        if direction is Direction.BACKWARD and rule is Rule.BRANCHES:
            kept = (TensorClass.GRADIENT,)
        return {
            tensor.name: Residency.KEPT if tensor.tensor_class in kept else Residency.NEXT
            for tensor in self.training.tensors.values()
            if tensor.batched
        }

    def placed(self, first: int, last: int, rule: Rule, direction: Direction) -> tuple[PlacedOperation, ...]:
        """Place a group under a rule."""
        return place(
            self.training, first, last, direction, self._residencies[rule, direction], self.normalization_passes
        )

    @cached_property
    def _residencies(self) -> Mapping[tuple[Rule, Direction], Mapping[str, Residency]]:
        return {(rule, way): self.residency(rule, way) for rule in Rule for way in DIRECTIONS}

    def largest_sub_batches(self, rule: Rule) -> list[int]:
        """Each unit's largest sub-batch inside the whole network, at most the mini-batch; 0 where none fits."""
        limits = [self.batch] * (self.last + 1)
        index = self.training.unit_index
        for direction in DIRECTIONS:
            for placed in self.placed(0, self.last, rule, direction):
                limit = largest_sub_batch(placed, self.accelerator.array, self.space)
                if limit is not None:
                    unit = index[placed.operation.unit]
                    limits[unit] = min(limits[unit], limit)
        return limits

    def cost(self, first: int, last: int, rule: Rule) -> Candidate | None:
        """Cost a group under a rule; None where not even one sample fits."""
        key = (first, last, rule)
        if key not in self._costs:
            self._costs[key] = self._streamed(first, last) if rule is Rule.NONE else self._serialized(*key)
        return self._costs[key]

    def _serialized(self, first: int, last: int, rule: Rule) -> Candidate | None:
        sub_batch = self.batch
        total = []
        for direction in DIRECTIONS:
            placed = self.placed(first, last, rule, direction)
            for operation in placed:
                limit = largest_sub_batch(operation, self.accelerator.array, self.space)
                if limit is not None:
                    sub_batch = min(sub_batch, limit)
            if sub_batch == 0:
                return None
            total.append(linear_traffic(placed))
        iterations = -(-self.batch // sub_batch)
        nbytes = sum(traffic.total(self.batch, iterations) for traffic in total)
        return Candidate(first, last, rule, sub_batch, nbytes)

    def _streamed(self, first: int, last: int) -> Candidate:
        """The whole mini-batch at once with every tensor in DRAM, as without serialization."""
        group = Group(self._names(first, last), self.batch)
        nbytes = 0
        for direction in DIRECTIONS:
            placed = self.placed(first, last, Rule.NONE, direction)
            nbytes += group_traffic(group, placed, self.accelerator, self.batch).total()
        return Candidate(first, last, Rule.NONE, self.batch, nbytes)

    def _names(self, first: int, last: int) -> tuple[str, ...]:
        return tuple(unit.name for unit in self.training.units[first : last + 1])

    def best(self, first: int, last: int, rules: Iterable[Rule]) -> Candidate | None:
        """The cheapest rule for a group; a single unit may also stream the whole mini-batch."""
        tried = [*rules, Rule.NONE] if first == last else list(rules)
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
            for index, (left, right) in enumerate(zip(groups, groups[1:], strict=False)):
                merged = self.best(left.first, right.last, rules)
                if merged is not None:
                    merges.append((merged.dram_bytes - left.dram_bytes - right.dram_bytes, index, merged))
            if not merges or min(merges, key=lambda m: m[:2])[0] >= 0:
                return groups
            _, index, merged = min(merges, key=lambda m: m[:2])
            groups[index : index + 2] = [merged]

    def _one_or_many(self, first: int, last: int, rules: Sequence[Rule]) -> list[Candidate]:
        """The units as one group, or one by one where no sample of the group fits."""
        whole = self.best(first, last, rules)
        if whole is not None:
            return [whole]
        return [self._must(unit, rules) for unit in range(first, last + 1)]

    def _must(self, unit: int, rules: Iterable[Rule]) -> Candidate:
        candidate = self.best(unit, unit, rules)
        assert candidate is not None  # a single unit can always stream, or has raised SpaceError
        return candidate

    def group(self, candidate: Candidate, *, hold: bool = False) -> Group:
        """Write a candidate out as a group of a plan, naming only the tensors that stay on chip.

        With ``hold``, room that is left in backward keeps weight gradients on chip over the iterations.
        """
        residency: list[dict[str, Residency]] = []
        for direction in DIRECTIONS:
            placed = self.placed(candidate.first, candidate.last, candidate.rule, direction)
            table = self._residencies[candidate.rule, direction]
            stay = sorted({name for operation in placed for name in operation.frees})
            residency.append({name: table[name] for name in stay})
        group = Group(
            self._names(candidate.first, candidate.last), candidate.sub_batch, residency[0], residency[1]
        )
        return self._hold(group, candidate) if hold and group.iterations(self.batch) > 1 else group

    def _hold(self, group: Group, candidate: Candidate) -> Group:
        """Hold the weight gradients that fit beside everything else, largest first."""
        placed = self.placed(candidate.first, candidate.last, candidate.rule, Direction.BACKWARD)
        gradients = sorted(
            {
                (write.tensor.nbytes, write.tensor.name)
                for operation in placed
                for write in operation.writes
                if write.tensor.tensor_class is TensorClass.WEIGHT_GRADIENT
            },
            reverse=True,
        )
        slack = min(self._slack(operation, group.sub_batch) for operation in placed)
        held: set[str] = set()
        for nbytes, name in gradients:
            if nbytes <= slack:
                held.add(name)
                slack -= nbytes
        return replace(group, held=frozenset(held))

    def _slack(self, placed: PlacedOperation, samples: int) -> int:
        stage = block(placed, self.accelerator.array, samples, self.space).stage_bytes
        return self.space - placed.live_bytes * samples - stage

    def squeeze(self, group: Group) -> Group:
        """Send tensors of a group through DRAM, the largest first, until every operation has room."""
        forward, backward = dict(group.forward), dict(group.backward)
        first, last = (self.training.unit_index[name] for name in (group.units[0], group.units[-1]))
        for direction, residency in zip(DIRECTIONS, (forward, backward), strict=True):
            while True:
                placed = place(self.training, first, last, direction, residency, self.normalization_passes)
                tight = [op for op in placed if least_bytes(op, self.accelerator.array, group.sub_batch) > self.space]
                if not tight:
                    break
                present = [name for name in _on_chip(placed, tight[0]) if name in residency]
                if not present:
                    block(tight[0], self.accelerator.array, group.sub_batch, self.space)  # raises
                del residency[max(present, key=lambda name: (self.training.tensors[name].nbytes, name))]
        return replace(group, forward=forward, backward=backward)


def _on_chip(placed: Sequence[PlacedOperation], at: PlacedOperation) -> list[str]:
    """Tensors that are on chip while ``at`` runs."""
    present: set[str] = set()
    for operation in placed:
        present |= {read.tensor.name for read in operation.reads if read.place != "streamed" and read.tensor.batched}
        present |= {write.tensor.name for write in operation.writes if write.kept and write.tensor.batched}
        if operation is at:
            return sorted(present)
        present -= set(operation.frees)
    return []


def _runs(values: Sequence[int]) -> list[tuple[int, int]]:
    """First and last index of each run of equal values; zeros stand alone."""
    runs: list[tuple[int, int]] = []
    for index, value in enumerate(values):
        if runs and value and values[runs[-1][0]] == value:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return runs

