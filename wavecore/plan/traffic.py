"""DRAM bytes of a plan, from where tensors are and how operations are blocked.

`transfers` is the one rule that turns a placed operation into bytes.  Planning sums its transfers to choose groups,
lowering attaches them to commands, and the engines must move exactly them.
"""

from __future__ import annotations

import itertools
import operator
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from wavecore.common.memo import remembered
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
    FIRST = "first"  # a read of a tensor that is held on chip from then on
    AFTER_FIRST = "after_first"  # a read of the partial sums that earlier iterations left in DRAM
    LAST = "last"  # the write of a tensor that was held on chip until then


@dataclass(frozen=True, slots=True)
class Transfer:
    """``nbytes`` of a tensor between DRAM and the global buffer, over all passes of one command.

    ``update`` marks the transfers of a weight update.  ``packed_bytes`` are what crosses DRAM's pins if the tensor is
    compressed there.
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
        """The bytes that cross DRAM's pins."""
        return self.nbytes if self.packed_bytes is None else self.packed_bytes

    @property
    def operand(self) -> tuple[str, OperandRole]:
        """The tensor's name, and how the command uses it."""
        return self.tensor.name, self.role

    @property
    def traffic_class(self) -> TensorClass:
        """The class under which the bytes are reported: `optimizer` for updates, else the tensor's own."""
        return TensorClass.OPTIMIZER if self.update else self.tensor.tensor_class

    def happens(self, iteration: int, iterations: int) -> bool:
        """Return whether the transfer takes place in ``iteration`` (from 0) of ``iterations``."""
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
    """Return what one command over ``samples`` samples moves over DRAM: its reads, then its writes.

    Tensors in ``held`` are read in the first iteration and written in the last.  A weight gradient that is not held is
    written as fp32 partial sums in every iteration, and read to be added to in every one but the first.
    """
    passes = {
        OperandRole.LEFT: blocking.left_passes,
        OperandRole.RIGHT: blocking.right_passes,
        OperandRole.SIDE: 1,
        OperandRole.DRAIN: 1,
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
    """Return ``times`` reads of an operand: of one sample of it (or a part of that), or of all if it is not batched."""
    packed = None if read.tensor.packed_bytes is None else read.dram_bytes * times
    return Transfer(read.tensor, read.nbytes * times, False, read.role, when, packed_bytes=packed)


def _result(tensor: Tensor, times: int, write: bool, when: When = When.ALWAYS) -> Transfer:
    """Return ``times`` transfers of one sample of a result, or of all of it if it is not batched."""
    packed = None if tensor.packed_bytes is None else tensor.packed_bytes * times
    return Transfer(tensor, tensor.nbytes * times, write, when=when, packed_bytes=packed)


def share(total: int, part: int, parts: int) -> int:
    """Return the ``part``-th (from 0) of ``parts`` nearly equal pieces, which add up to ``total``."""
    return total * (part + 1) // parts - total * part // parts


def update_transfers(placed: PlacedOperation, core: int, cores: int) -> Iterator[Transfer]:
    """Return what one core moves to update its share of a layer: all cores' gradients and the optimizer's state."""
    for read in placed.reads:
        size = share(read.tensor.nbytes, core, cores)
        copies = cores if read.tensor.tensor_class is TensorClass.WEIGHT_GRADIENT else 1
        yield Transfer(read.tensor, size * copies, False, update=True)
    for write in placed.writes:
        whole = write.tensor.packed_bytes
        packed = None if whole is None else share(whole, core, cores)
        yield Transfer(write.tensor, share(write.tensor.nbytes, core, cores), True, update=True, packed_bytes=packed)


def sub_batches(group: Group, batch_per_core: int) -> list[int]:
    """Return the samples of each iteration of a group."""
    full, rest = divmod(batch_per_core, group.sub_batch)
    return [group.sub_batch] * full + ([rest] if rest else [])


def held_bytes(placed: Iterable[PlacedOperation], held: frozenset[str]) -> int:
    """Return the buffer space of the tensors that a group holds over its iterations in one direction."""
    if not held:
        return 0
    used = {read.tensor.name: read.tensor.nbytes for op in placed for read in op.reads}
    used |= {write.tensor.name: write.tensor.nbytes for op in placed for write in op.writes}
    return sum(used[name] for name in held if name in used)


Moved = Counter[tuple[TensorClass, bool]]
"""DRAM bytes by class and whether they are written."""


@dataclass(frozen=True, slots=True)
class _LinearPart:
    """Transfers of one class, direction and time: bytes for every sample, and for every iteration."""

    kind: tuple[TensorClass, bool]
    when: When
    sample_bytes: int
    iteration_bytes: int


def _linear_parts(
    placed: Iterable[PlacedOperation], held: frozenset[str], right_passes: int = 1
) -> Iterator[_LinearPart]:
    """Return what operations move that read every operand once, or the right one ``right_passes`` times.

    Their transfers are linear in the samples: those of no sample are the part of an iteration, and the difference to
    those of one sample is the part of a sample.
    """
    once = Blocking(LoopOrder.SWEEPS, 0, right_passes=right_passes)
    of_none: Counter[tuple[tuple[TensorClass, bool], When]] = Counter()
    of_one: Counter[tuple[tuple[TensorClass, bool], When]] = Counter()
    for samples, total in ((0, of_none), (1, of_one)):
        for operation in placed:
            for move in transfers(operation, once, samples, held):
                total[(move.traffic_class, move.write), move.when] += move.dram_bytes
    for (kind, when), nbytes in of_one.items():
        fixed = of_none[kind, when]
        yield _LinearPart(kind, when, nbytes - fixed, fixed)


@lru_cache(maxsize=1 << 12)
def _linear(placed: tuple[PlacedOperation, ...], held: frozenset[str]) -> tuple[_LinearPart, ...]:
    return tuple(_linear_parts(placed, held))


class LinearTraffic(NamedTuple):
    """DRAM bytes of an operation per sample, per iteration, and per iteration after the first."""

    sample_bytes: int
    iteration_bytes: int
    later_iteration_bytes: int


@lru_cache(maxsize=1 << 15)
def linear_traffic(placed: PlacedOperation, rereads: bool = False) -> LinearTraffic:
    """Return what an operation moves that reads every operand once, when its group holds nothing.

    With ``rereads`` recurrent weights are read in every time step.
    """
    steps = max(1, placed.operation.time_steps) if rereads else 1
    parts = tuple(_linear_parts((placed,), frozenset(), steps))
    later = sum(part.iteration_bytes for part in parts if part.when is When.AFTER_FIRST)
    return LinearTraffic(
        sum(part.sample_bytes for part in parts), sum(part.iteration_bytes for part in parts) - later, later
    )


@lru_cache(maxsize=1 << 12)
def _needs_of_all(placed: tuple[PlacedOperation, ...], array: ArraySpec) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Return the `needs` of each operation with what is live: bytes per sample, and at any sub-batch.

    Without the rounds of a weight gradient: blocking may prefer another pass over an operand where they have room.
    """
    return tuple(
        tuple(
            (operation.live_bytes + way.per_sample_bytes, way.fixed_bytes)
            for way in needs(operation, array)
            if way.order is not LoopOrder.OUTPUT_STAYS
        )
        for operation in placed
    )


def group_traffic(
    group: Group, placed: tuple[PlacedOperation, ...], accelerator: Accelerator, batch_per_core: int
) -> Moved:
    """Return the DRAM bytes of one core for a group in one direction.

    Operations that have room to read every operand once are summed in closed form; the others are blocked.
    """
    sizes = sub_batches(group, batch_per_core)
    space = accelerator.core.global_buffer_bytes - held_bytes(placed, group.held)
    once = [
        any(sample * sizes[0] + fixed <= space for sample, fixed in ways)
        for ways in _needs_of_all(placed, accelerator.array)
    ]
    total = _linear_moved(_linear(tuple(itertools.compress(placed, once)), group.held), sizes)
    for operation in itertools.compress(placed, map(operator.not_, once)):
        total += _blocked_moved(operation, accelerator.array, space, sizes, group.held)
    return total


def _linear_moved(parts: Iterable[_LinearPart], sizes: list[int]) -> Moved:
    """Return the bytes of all iterations, given what is linear in them; ``sizes`` are their samples."""
    samples, iterations = sum(sizes), len(sizes)
    repeated = {
        When.ALWAYS: (samples, iterations),
        When.FIRST: (sizes[0], 1),
        When.AFTER_FIRST: (samples - sizes[0], iterations - 1),
        When.LAST: (sizes[-1], 1),
    }
    total: Moved = Counter()
    for part in parts:
        of_samples, of_iterations = repeated[part.when]
        total[part.kind] += part.sample_bytes * of_samples + part.iteration_bytes * of_iterations
    return total


def _blocked_moved(
    placed: PlacedOperation, array: ArraySpec, space_bytes: int, sizes: list[int], held: frozenset[str]
) -> Moved:
    """Return the bytes of all iterations of an operation, blocked for each size of a sub-batch."""
    total: Moved = Counter()
    for samples in dict.fromkeys(sizes):
        for move in transfers(placed, block(placed, array, samples, space_bytes), samples, held):
            times = sum(size == samples and move.happens(iteration, len(sizes)) for iteration, size in enumerate(sizes))
            total[move.traffic_class, move.write] += move.dram_bytes * times
    return total


@lru_cache(maxsize=1 << 12)
def _update_traffic(placed: tuple[PlacedOperation, ...], cores: int) -> Moved:
    """Return the DRAM bytes of all cores' updates."""
    total: Moved = Counter()
    for operation in placed:
        for core in range(cores):
            for move in update_transfers(operation, core, cores):
                total[move.traffic_class, move.write] += move.dram_bytes
    return total


def traffic_key(plan: Plan, accelerator: Accelerator) -> Hashable:
    """Return what the transfers of a plan depend on, besides its training graph."""
    return id(plan), accelerator.core.global_buffer_bytes, accelerator.chip.cores, accelerator.array


@remembered(key=traffic_key)
def plan_traffic(training: TrainingGraph, plan: Plan, accelerator: Accelerator) -> Moved:
    """Return the DRAM bytes of a whole step, all cores together."""
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
