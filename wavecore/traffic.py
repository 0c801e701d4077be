"""DRAM bytes of a plan: pure functions of where tensors are and how operations are blocked.

This is the one place that turns placements into bytes.  The planner sums them to choose, lowering attaches them
to commands, and the engines must move exactly them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from wavecore.blocking import Blocking, block
from wavecore.operations import Role, Tensor, TensorClass
from wavecore.placement import Direction, Place, PlacedOperation, place_group
from wavecore.plan import Group, Plan
from wavecore.specs import Accelerator
from wavecore.training import TrainingGraph


class When(StrEnum):
    """The iterations of a group in which a transfer takes place."""

    ALWAYS = "always"
    FIRST = "first"  # what is held on chip is read once
    AFTER_FIRST = "after_first"  # partial sums of earlier iterations
    LAST = "last"  # what is held on chip is written once


@dataclass(frozen=True, slots=True)
class Transfer:
    """``nbytes`` of a tensor between DRAM and the global buffer, over all passes of one command.

    It is reported under ``traffic_class``: the tensor's own, but everything that an update moves is `optimizer`.
    """

    tensor: Tensor
    nbytes: int
    write: bool
    role: Role = Role.SIDE
    when: When = When.ALWAYS
    update: bool = False

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
        Role.STREAMED: blocking.streamed_passes,
        Role.STATIONARY: blocking.stationary_passes,
        Role.SIDE: 1,
    }
    for read in placed.reads:
        size = read.tensor.nbytes * (samples if read.tensor.batched else 1)
        if read.tensor.name in held:
            yield Transfer(read.tensor, size, False, read.role, When.FIRST)
        elif read.place is Place.LOADED:
            yield Transfer(read.tensor, size, False, read.role)
        elif read.place is Place.STREAMED:
            yield Transfer(read.tensor, size * read.passes * passes[read.role], False, read.role)
    for write in placed.writes:
        if not write.stored:
            continue
        size = write.tensor.nbytes * (samples if write.tensor.batched else 1)
        kept = write.tensor.name in held
        if placed.operation.accumulates and not write.tensor.batched and not kept:
            yield Transfer(write.tensor, size, False, when=When.AFTER_FIRST)
        yield Transfer(write.tensor, size, True, when=When.LAST if kept else When.ALWAYS)


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
        yield Transfer(write.tensor, share(write.tensor.nbytes, core, cores), True, update=True)


def sub_batches(group: Group, batch_per_core: int) -> list[int]:
    """Samples of each iteration of a group."""
    full, rest = divmod(batch_per_core, group.sub_batch)
    return [group.sub_batch] * full + ([rest] if rest else [])


def held_bytes(placed: Iterable[PlacedOperation], held: frozenset[str]) -> int:
    """Buffer space of the tensors that a direction of a group holds over its iterations."""
    used = {read.tensor.name: read.tensor.nbytes for op in placed for read in op.reads}
    used |= {write.tensor.name: write.tensor.nbytes for op in placed for write in op.writes}
    return sum(used[name] for name in held if name in used)


def linear_traffic(placed: PlacedOperation) -> tuple[int, int, int]:
    """DRAM bytes of an operation that `blocking` lets read everything once, when nothing is held.

    (per sample, per iteration, in every iteration but the first).
    """
    per_sample = per_iteration = after_first = 0
    for read in placed.reads:
        if read.place is not Place.RESIDENT:
            size = read.tensor.nbytes * (read.passes if read.place is Place.STREAMED else 1)
            if read.tensor.batched:
                per_sample += size
            else:
                per_iteration += size
    for write in placed.writes:
        if write.tensor.batched:
            per_sample += write.tensor.nbytes * write.stored
        else:
            per_iteration += write.tensor.nbytes
            after_first += write.tensor.nbytes * placed.operation.accumulates
    return per_sample, per_iteration, after_first


def group_traffic(
    group: Group,
    placed: Sequence[PlacedOperation],
    accelerator: Accelerator,
    batch_per_core: int,
) -> Counter[tuple[TensorClass, bool]]:
    """DRAM bytes of one core for a group in one direction, by class and whether they are written."""
    total: Counter[tuple[TensorClass, bool]] = Counter()
    sizes = sub_batches(group, batch_per_core)
    space = accelerator.core.global_buffer_bytes - held_bytes(placed, group.held)
    for operation in placed:
        for samples in dict.fromkeys(sizes):
            blocking = block(operation, accelerator.array, samples, space)
            for transfer in transfers(operation, blocking, samples, group.held):
                times = sum(
                    size == samples and transfer.happens(iteration, len(sizes)) for iteration, size in enumerate(sizes)
                )
                total[transfer.traffic_class, transfer.write] += transfer.nbytes * times
    return total


def plan_traffic(training: TrainingGraph, plan: Plan, accelerator: Accelerator) -> Counter[tuple[TensorClass, bool]]:
    """DRAM bytes of a whole step, all cores together, by class and whether they are written."""
    cores = accelerator.chip.cores
    total: Counter[tuple[TensorClass, bool]] = Counter()
    for group in plan.groups:
        for direction in (Direction.FORWARD, Direction.BACKWARD):
            placed = place_group(training, group, direction, plan.normalization_passes)
            for key, nbytes in group_traffic(group, placed, accelerator, plan.batch_per_core).items():
                total[key] += nbytes * cores
        for operation in place_group(training, group, Direction.UPDATE, plan.normalization_passes):
            for core in range(cores):
                for transfer in update_transfers(operation, core, cores):
                    total[transfer.traffic_class, transfer.write] += transfer.nbytes
    return total
