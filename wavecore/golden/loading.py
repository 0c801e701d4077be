"""The load queue of a core: takes buffer space and reads DRAM, as far ahead as space allows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wavecore.golden.cores import CoreState
from wavecore.golden.executed import ExecutedCommand, new_bytes, unreserved_bytes
from wavecore.golden.operands import AnyArray
from wavecore.golden.stores import Copy, DramTensor, Resident, broken
from wavecore.plan.placement import Direction
from wavecore.plan.traffic import When
from wavecore.program.commands import After, Load, due, transfers_of
from wavecore.training.operations import Operation, TensorClass


def load_queue(core: CoreState) -> Iterator[bool]:
    """Take space and read DRAM; yield True after each step and False while it waits for space or for stores."""
    for executed in core.commands:
        command = executed.command
        core.positions["load"] = executed.where
        reserved = command.stage_bytes + sum(size for _, size in command.reserves)
        yield from _take(core, reserved + (executed.segment.held_bytes if executed.opens_segment else 0))
        _place_tensors(core, executed)
        for step in range(command.steps):
            yield from _take(core, unreserved_bytes(command, step))
            for load in command.loads:
                new = new_bytes(load.flow, command, step, ahead=True)
                if new and executed.happens(load):
                    while not _stored(core, executed, load, step):
                        yield False
                    _load(core, executed, load, step, new)
            executed.loaded_steps += 1
            yield True
    core.positions.pop("load", None)


def _take(core: CoreState, nbytes: int) -> Iterator[bool]:
    """Yield False until ``nbytes`` of the buffer are free, then take them."""
    while not core.buffer.fits(nbytes):
        yield False
    core.buffer.take(nbytes)


def _place_tensors(core: CoreState, executed: ExecutedCommand) -> None:
    """Add every tensor to the buffer that a command loads for later commands, makes on chip, or holds.

    Raises InvariantError if a reservation is for no such tensor or not of its size, or if a tensor has no space.
    """
    command = executed.command
    arriving = [load.transfer.tensor.name for load in command.loads if load.posts]
    posted = [token.tensor for token in command.posts]
    for name, size in command.reserves:
        nbytes = executed.sub_batch_bytes(core.tensors[name].nbytes)
        if name not in arriving and name not in posted:
            raise broken(executed.where, f"reserves space for {name}, which it neither loads nor makes")
        if size != nbytes:
            raise broken(executed.where, f"reserves {size} bytes for {name}, which has {nbytes}")
        core.buffer.add(executed.where, executed.key(name), nbytes, size)
    reserved = {name for name, _ in command.reserves}
    for name in (*arriving, *posted):
        if name not in reserved:
            _place_without_reservation(core, executed, name, name in arriving)
    for transfer in transfers_of(command):
        tensor = transfer.tensor
        if transfer.when in (When.FIRST, When.LAST) and executed.held_key(tensor.name) not in core.buffer.residents:
            core.buffer.add(executed.where, executed.held_key(tensor.name), tensor.nbytes, 0)


def _place_without_reservation(core: CoreState, executed: ExecutedCommand, name: str, loaded: bool) -> None:
    """Add a tensor for which the command reserves no space.

    Either it overwrites an operand that no later command uses, or it is a term that the next command, a sum, adds to
    another one on chip.  Raises InvariantError if neither holds.
    """
    op, command = executed.operation, executed.command
    nbytes = executed.sub_batch_bytes(core.tensors[name].nbytes)
    released = {tensor for tensor, _ in command.releases}
    if not loaded:
        for old in op.may_overwrite(name):
            resident = core.buffer.residents.get(executed.key(old))
            if (
                resident is None
                or executed.key(old) in executed.overwritten.values()
                or executed.key(old)[2] in executed.later_tokens
                or old in released
                or not resident.space_bytes
            ):
                continue
            if resident.space_bytes != nbytes:
                raise broken(executed.where, f"{name} takes the place of {old}, which is not of its size")
            executed.overwritten[name] = executed.key(old)
            core.buffer.add(executed.where, executed.key(name), nbytes, resident.space_bytes)
            return
    following = executed.next_command
    if following is not None and not loaded:
        adds = core.chip.operations[following.name]
        if adds.sums and any(use.tensor == name for use in adds.reads) and _has_other_term(core, executed, adds, name):
            core.buffer.add(executed.where, executed.key(name), nbytes, 0)
            return
    raise broken(executed.where, f"puts {name} on chip, for which no space is reserved")


def _has_other_term(core: CoreState, executed: ExecutedCommand, adds: Operation, name: str) -> bool:
    """Return whether the sum ``adds`` has another term than ``name`` on chip, to which ``name`` can be added."""
    others = (core.buffer.residents.get(executed.key(old)) for old in adds.in_place if old != name)
    return any(other is not None and other.space_bytes for other in others)


def _stored(core: CoreState, executed: ExecutedCommand, load: Load, step: int) -> bool:
    """Return whether the stores that a load waits for have posted enough bytes."""
    tensor = load.transfer.tensor
    if load.after is After.NOTHING:
        return True
    if load.after is After.ALL:
        return all(
            core.in_dram_bytes[tensor.name] >= core.gradient_stores[tensor.name] * tensor.nbytes
            for core in core.chip.cores
        )
    if not tensor.batched:
        return core.in_dram_bytes[tensor.name] >= tensor.nbytes * executed.iteration
    size = executed.sub_batch_bytes(tensor.nbytes)
    ready = size if load.flow.total > size or executed.command.time_steps else due(load.flow, executed.command, step)
    return core.in_dram_bytes[tensor.name] >= tensor.nbytes * executed.first_sample + ready


def _load(core: CoreState, executed: ExecutedCommand, load: Load, step: int, new: int) -> None:
    """Read the ``new`` bytes of one step from DRAM; after the last bytes, note where the values are."""
    tensor = load.transfer.tensor
    executed.loaded_bytes[load.transfer.operand] += new
    resident = _destination(core, executed, load)
    if executed.segment.direction is Direction.UPDATE:
        dram_tensors = _update_sources(core, executed, load)
    else:
        dram_tensors = [_source(core, executed, load)]
    if resident is not None:
        resident.ready_bytes += new
    if load.posts:
        core.on_chip_bytes[executed.segment_number, load.posts] += new
    if due(load.flow, executed.command, step) < load.flow.total:
        return
    copy = Copy(dram_tensors[0], executed.sample_range) if tensor.batched else Copy(DramTensor(_total(dram_tensors)))
    if resident is not None:
        resident.values = copy
    else:
        executed.loaded_copies[tensor.name] = copy


def _destination(core: CoreState, executed: ExecutedCommand, load: Load) -> Resident | None:
    """Return the tensor in the buffer that a load fills, or None if the load is for its command alone."""
    name = load.transfer.tensor.name
    if load.posts:
        return core.buffer.find(executed.where, executed.key(name), executed.name)
    return core.buffer.find(executed.where, executed.held_key(name)) if load.transfer.when is When.FIRST else None


def _source(core: CoreState, executed: ExecutedCommand, load: Load) -> DramTensor:
    """Return the tensor that a load reads; raise InvariantError if its bytes are not stored, or if it is updated."""
    tensor = load.transfer.tensor
    if tensor.tensor_class in (TensorClass.WEIGHT, TensorClass.OPTIMIZER) and not tensor.batched:
        if tensor.name in core.chip.updating:
            raise broken(executed.where, f"reads {tensor.name} after its update began")
        return core.chip.shared[tensor.name]
    dram_tensor, loaded_bytes = core.dram[tensor.name], executed.loaded_bytes[load.transfer.operand]
    if tensor.batched:
        needed = tensor.nbytes * executed.first_sample + min(loaded_bytes, executed.sub_batch_bytes(tensor.nbytes))
    else:
        needed = tensor.nbytes * (executed.iteration - 1) + loaded_bytes
    if dram_tensor.ready_bytes < needed:
        raise broken(
            executed.where,
            f"reads {needed} bytes of {tensor.name} from DRAM, of which {dram_tensor.ready_bytes} are stored",
        )
    return dram_tensor


def _update_sources(core: CoreState, executed: ExecutedCommand, load: Load) -> list[DramTensor]:
    """Return what a load of the update reads: the shared optimizer state, or the weight gradient of every core.

    Raises InvariantError if a core's gradient lacks samples.
    """
    name = load.transfer.tensor.name
    if name in core.chip.shared:
        return [core.chip.shared[name]]
    dram_tensors = [core.dram[name] for core in core.chip.cores]
    for other, dram_tensor in zip(core.chip.cores, dram_tensors, strict=True):
        if dram_tensor.samples != core.chip.per_core:
            what = (
                f"reads {name} of core {other.index} with {dram_tensor.samples} of {core.chip.per_core} samples in it"
            )
            raise broken(executed.where, what)
    return dram_tensors


def _total(dram_tensors: list[DramTensor]) -> AnyArray | None:
    """Return the sum of the values in DRAM, None if any of them is missing."""
    values = [dram_tensor.values for dram_tensor in dram_tensors if dram_tensor.values is not None]
    if len(values) < len(dram_tensors):
        return None
    return values[0].copy() if len(values) == 1 else np.sum(np.stack(values), axis=0)
