"""DRAM bytes of a plan: pure functions of where tensors are and how operations are blocked.

This is the one place that turns placements into bytes.  The planner sums them to choose, lowering attaches them
to commands, and the engines must move exactly them.
"""

from __future__ import annotations

import itertools
import operator
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from wavecore.common.names import Name
from wavecore.hardware.specs import Accelerator, ArraySpec
from wavecore.plan.blocking import Blocking, LoopOrder, block, needs
from wavecore.plan.model import Group, Plan
from wavecore.plan.placement import Direction, Place, PlacedOperation, PlacedRead, groups_of, place_group
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import OperandRole, Tensor, TensorClass


class When(Name):
    """The iterations of a group in which a transfer takes place."""

    ALWAYS = "always"
    FIRST = "first"  # what is held on chip is read once
    AFTER_FIRST = "after_first"  # partial sums of earlier iterations
    LAST = "last"  # what is held on chip is written once


@dataclass(frozen=True, slots=True)
class Transfer:
    """``nbytes`` of a tensor between DRAM and the global buffer, over all passes of one command.

    It is reported under ``traffic_class``: the tensor's own, but everything that an update moves is `optimizer`.
    ``packed_bytes`` are what it moves over DRAM, where the tensor is compressed there.
    """

    tensor: Tensor
    nbytes: int
    write: bool
    role: OperandRole = OperandRole.SIDE
    when: When = When.ALWAYS
    update: bool = False
    packed_bytes: int | None = None

    @property
    def dram_bytes(self) -> int:
        """The bytes that pass through DRAM's pins."""
        return self.nbytes if self.packed_bytes is None else self.packed_bytes

    @property
    def traffic_class(self) -> TensorClass:
        """The class under which the bytes are reported."""
        return TensorClass.OPTIMIZER if self.update else self.tensor.tensor_class

    def happens(self, iteration: int, iterations: int) -> bool:
        """Whether the transfer takes place in this iteration (from 0) of so many."""
        if self.when is When.ALWAYS:
            return True
        if self.when is When.FIRST:
            return iteration == 0
        if self.when is When.AFTER_FIRST:
            return iteration > 0
        return iteration == iterations - 1


def transfers(
    placed: PlacedOperation, blocking: Blocking, samples: int, held: frozenset[str] = frozenset()
) -> Iterator[Transfer]:
    """What one command moves over DRAM: its reads, then its writes."""
    passes = {
        OperandRole.LEFT: blocking.left_passes,
        OperandRole.RIGHT: blocking.right_passes,
        OperandRole.SIDE: 1,
    }
    for read in placed.reads:
        times = samples if read.tensor.batched else 1
        if read.tensor.name in held:
            yield _read(read, times, When.FIRST)
        elif read.place is Place.LOADED:
            yield _read(read, times)
        elif read.place is Place.STREAMED:
            yield _read(read, times * read.passes * passes[read.role])
    for write in placed.writes:
        if not write.stored:
            continue
        times = samples if write.tensor.batched else 1
        kept = write.tensor.name in held
        if placed.operation.accumulates and not write.tensor.batched and not kept:
            yield _result(write.tensor, times, False, When.AFTER_FIRST)
        yield _result(write.tensor, times, True, When.LAST if kept else When.ALWAYS)


def _read(read: PlacedRead, times: int, when: When = When.ALWAYS) -> Transfer:
    """A read of an operand, or of a sample of it or a part of that, so many times."""
    packed = None if read.tensor.packed_bytes is None else read.dram_bytes * times
    return Transfer(read.tensor, read.nbytes * times, False, read.role, when, packed_bytes=packed)


def _result(tensor: Tensor, times: int, write: bool, when: When = When.ALWAYS) -> Transfer:
    """A transfer of all of a result, or of a sample of it, so many times; it is read where it is added to."""
    packed = None if tensor.packed_bytes is None else tensor.packed_bytes * times
    return Transfer(tensor, tensor.nbytes * times, write, when=when, packed_bytes=packed)


def share(total: int, part: int, parts: int) -> int:
    """The ``part``-th of ``parts`` nearly equal pieces of ``total``; they add up exactly."""
    return total * (part + 1) // parts - total * part // parts


def update_transfers(placed: PlacedOperation, core: int, cores: int) -> Iterator[Transfer]:
    """What one core moves to update its share of a layer: every core's gradient, and the optimizer's state."""
    for read in placed.reads:
        size = share(read.tensor.nbytes, core, cores)
        copies = cores if read.tensor.tensor_class is TensorClass.WEIGHT_GRADIENT else 1
        yield Transfer(read.tensor, size * copies, False, update=True)
    for write in placed.writes:
        whole = write.tensor.packed_bytes
        packed = None if whole is None else share(whole, core, cores)
        yield Transfer(write.tensor, share(write.tensor.nbytes, core, cores), True, update=True, packed_bytes=packed)


def sub_batches(group: Group, batch_per_core: int) -> list[int]:
    """Samples of each iteration of a group."""
    full, rest = divmod(batch_per_core, group.sub_batch)
    return [group.sub_batch] * full + ([rest] if rest else [])


def held_bytes(placed: Iterable[PlacedOperation], held: frozenset[str]) -> int:
    """Buffer space of the tensors that a direction of a group holds over its iterations."""
    if not held:
        return 0
    used = {read.tensor.name: read.tensor.nbytes for op in placed for read in op.reads}
    used |= {write.tensor.name: write.tensor.nbytes for op in placed for write in op.writes}
    return sum(used[name] for name in held if name in used)


def linear_traffic(placed: PlacedOperation, rereads: bool = False) -> tuple[int, int, int]:
    """DRAM bytes of an operation that `blocking` lets read everything once, when nothing is held.

    (per sample, per iteration, in every iteration but the first).  With ``rereads`` recurrent weights are read in every
    time step.
    """
    times = max(1, placed.operation.time_steps) if rereads else 1
    per_sample = per_iteration = after_first = 0
    for read in placed.reads:
        if read.place is not Place.RESIDENT:
            size = read.dram_bytes * (read.passes if read.place is Place.STREAMED else 1)
            if read.tensor.batched:
                per_sample += size
            else:
                per_iteration += size * (times if read.role is OperandRole.RIGHT else 1)
    for write in placed.writes:
        if write.tensor.batched:
            per_sample += write.tensor.dram_bytes * write.stored
        else:
            per_iteration += write.tensor.dram_bytes
            after_first += write.tensor.dram_bytes * placed.operation.accumulates
    return per_sample, per_iteration, after_first


Moved = Counter[tuple[TensorClass, bool]]
"""DRAM bytes by class and whether they are written."""


@dataclass(frozen=True, slots=True)
class _LinearTransfers:
    """Transfers of one class, direction and time: bytes for every sample, and for every iteration."""

    kind: tuple[TensorClass, bool]
    when: When
    sample_bytes: int
    iteration_bytes: int


@lru_cache(maxsize=1 << 12)
def _linear(placed: tuple[PlacedOperation, ...], held: frozenset[str]) -> tuple[_LinearTransfers, ...]:
    """What operations that read every operand once move, whatever the sub-batch."""
    fixed: Counter[tuple[tuple[TensorClass, bool], When]] = Counter()
    grown: Counter[tuple[tuple[TensorClass, bool], When]] = Counter()
    once = Blocking(LoopOrder.SWEEPS, 0)
    for samples, total in ((0, fixed), (1, grown)):
        for operation in placed:
            for move in transfers(operation, once, samples, held):
                total[(move.traffic_class, move.write), move.when] += move.dram_bytes
    return tuple(_LinearTransfers(*key, nbytes - fixed[key], fixed[key]) for key, nbytes in grown.items())


@lru_cache(maxsize=1 << 12)
def _ways(placed: tuple[PlacedOperation, ...], array: ArraySpec) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Of each operation of a placement, its `needs` with what is live: bytes a sample, and at any sub-batch."""
    return tuple(
        tuple((operation.live_bytes + way.per_sample_bytes, way.fixed_bytes) for way in needs(operation, array))
        for operation in placed
    )


def group_traffic(
    group: Group, placed: tuple[PlacedOperation, ...], accelerator: Accelerator, batch_per_core: int
) -> Moved:
    """DRAM bytes of one core for a group in one direction, by class and whether they are written."""
    total: Moved = Counter()
    sizes = sub_batches(group, batch_per_core)
    largest = sizes[0]
    space = accelerator.core.global_buffer_bytes - held_bytes(placed, group.held)
    once = [
        any(sample * largest + fixed <= space for sample, fixed in ways) for ways in _ways(placed, accelerator.array)
    ]
    repeated = {
        When.ALWAYS: (batch_per_core, len(sizes)),
        When.FIRST: (sizes[0], 1),
        When.AFTER_FIRST: (batch_per_core - sizes[0], len(sizes) - 1),
        When.LAST: (sizes[-1], 1),
    }
    simple = placed if all(once) else tuple(itertools.compress(placed, once))
    for part in _linear(simple, group.held):
        samples, iterations = repeated[part.when]
        total[part.kind] += part.sample_bytes * samples + part.iteration_bytes * iterations
    for operation in itertools.compress(placed, map(operator.not_, once)):
        for samples in dict.fromkeys(sizes):
            blocking = block(operation, accelerator.array, samples, space)
            for move in transfers(operation, blocking, samples, group.held):
                times = sum(
                    size == samples and move.happens(iteration, len(sizes)) for iteration, size in enumerate(sizes)
                )
                total[move.traffic_class, move.write] += move.dram_bytes * times
    return total


@lru_cache(maxsize=1 << 12)
def _update_traffic(placed: tuple[PlacedOperation, ...], cores: int) -> Moved:
    """DRAM bytes of all cores' updates."""
    total: Moved = Counter()
    for operation in placed:
        for core in range(cores):
            for move in update_transfers(operation, core, cores):
                total[move.traffic_class, move.write] += move.dram_bytes
    return total


def plan_traffic(training: TrainingGraph, plan: Plan, accelerator: Accelerator) -> Moved:
    """DRAM bytes of a whole step, all cores together, by class and whether they are written."""
    space, cores = accelerator.core.global_buffer_bytes, accelerator.chip.cores
    # what is remembered holds the plan, so that no other can have its identity
    key = (id(plan), space, cores, accelerator.array)
    found: tuple[Plan, Moved] = training.memory.recall(
        "traffic", key, lambda: (plan, _plan_traffic(training, plan, accelerator))
    )
    return found[1]


def _plan_traffic(training: TrainingGraph, plan: Plan, accelerator: Accelerator) -> Moved:
    cores = accelerator.chip.cores
    total: Moved = Counter()
    for direction in (Direction.FORWARD, Direction.BACKWARD):
        for group in groups_of(plan, direction):
            placed = place_group(training, group, direction, plan.normalization_passes)
            for key, nbytes in group_traffic(group, placed, accelerator, plan.batch_per_core).items():
                total[key] += nbytes * cores
    for group in plan.groups:
        placed = place_group(training, group, Direction.UPDATE, plan.normalization_passes)
        for key, nbytes in _update_traffic(placed, cores).items():
            total[key] += nbytes
    return total
