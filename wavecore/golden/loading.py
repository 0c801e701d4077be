"""The load queue: space is taken, and DRAM read, as far ahead as there is room."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wavecore.golden.cores import CoreState
from wavecore.golden.instances import ExecutedCommand, delta, taken
from wavecore.golden.operands import AnyArray
from wavecore.golden.stores import Copy, DramTensor, Resident, broken
from wavecore.plan.placement import Direction
from wavecore.plan.traffic import When
from wavecore.program.commands import After, Load, due, transfers_of
from wavecore.training.operations import Operation, TensorClass


def load_queue(core: CoreState) -> Iterator[bool]:
    """Take space and copy from DRAM, as far ahead as there is room."""
    for instance in core.instances:
        command = instance.command
        core.at["load"] = instance.where
        reserved = command.stage_bytes + sum(size for _, size in command.reserves)
        yield from _take(core, reserved + (instance.segment.held_bytes if instance.opens else 0))
        _settle(core, instance)
        for step in range(command.steps):
            yield from _take(core, taken(command, step))
            for load in command.loads:
                new = delta(load.flow, command, step, ahead=True)
                if new and instance.happens(load):
                    while not _stored(core, instance, load, step):
                        yield False
                    _load(core, instance, load, step, new)
            core.loaded += 1
            yield True
    core.at.pop("load", None)


def _take(core: CoreState, nbytes: int) -> Iterator[bool]:
    while not core.buffer.fits(nbytes):
        yield False
    core.buffer.take(nbytes)


def _settle(core: CoreState, instance: ExecutedCommand) -> None:
    """Give every tensor that comes on chip with a command its place."""
    command = instance.command
    arriving = [load.transfer.tensor.name for load in command.loads if load.posts]
    posted = [token.tensor for token in command.posts]
    for name, size in command.reserves:
        nbytes = instance.bytes_of(core.tensors[name].nbytes)
        if name not in arriving and name not in posted:
            raise broken(instance.where, f"reserves space for {name}, which it neither loads nor makes")
        if size != nbytes:
            raise broken(instance.where, f"reserves {size} bytes for {name}, which has {nbytes}")
        core.buffer.add(instance.where, instance.key(name), nbytes, size)
    reserved = {name for name, _ in command.reserves}
    for name in (*arriving, *posted):
        if name not in reserved:
            _settle_without_space(core, instance, name, name in arriving)
    for transfer in transfers_of(command):
        tensor = transfer.tensor
        if transfer.when in (When.FIRST, When.LAST) and instance.held(tensor.name) not in core.buffer.residents:
            core.buffer.add(instance.where, instance.held(tensor.name), tensor.nbytes, 0)


def _settle_without_space(core: CoreState, instance: ExecutedCommand, name: str, loaded: bool) -> None:
    """A result without space overwrites what dies in its operation, or drains into the sum that follows."""
    op, command = instance.operation, instance.command
    nbytes = instance.bytes_of(core.tensors[name].nbytes)
    released = {tensor for tensor, _ in command.releases}
    if name == op.writes[0] and not loaded:
        for old in op.in_place:
            resident = core.buffer.residents.get(instance.key(old))
            if (
                resident is None
                or instance.key(old)[2] in instance.later
                or old in released
                or not resident.space_bytes
            ):
                continue
            if resident.space_bytes != nbytes:
                raise broken(instance.where, f"{name} takes the place of {old}, which is not of its size")
            instance.covered.append(instance.key(old))
            core.buffer.add(instance.where, instance.key(name), nbytes, resident.space_bytes)
            return
    following = instance.following
    if following is not None and not loaded:
        adds = core.chip.operations[following.name]
        if adds.sums and any(use.tensor == name for use in adds.reads) and _joins(core, instance, adds, name):
            core.buffer.add(instance.where, instance.key(name), nbytes, 0)
            return
    raise broken(instance.where, f"puts {name} on chip, for which no space is reserved")


def _joins(core: CoreState, instance: ExecutedCommand, adds: Operation, name: str) -> bool:
    """Whether a sum has a term on chip, other than ``name``, that ``name`` can be added to."""
    others = (core.buffer.residents.get(instance.key(old)) for old in adds.in_place if old != name)
    return any(other is not None and other.space_bytes for other in others)


def _stored(core: CoreState, instance: ExecutedCommand, load: Load, step: int) -> bool:
    """Whether the tokens let a load read DRAM."""
    tensor = load.transfer.tensor
    if load.after is After.NOTHING:
        return True
    if load.after is After.ALL:
        return all(
            core.in_dram[tensor.name] >= core.gradient_stores[tensor.name] * tensor.nbytes for core in core.chip.cores
        )
    if not tensor.batched:
        return core.in_dram[tensor.name] >= tensor.nbytes * instance.iteration
    size = instance.bytes_of(tensor.nbytes)
    ready = size if load.flow.total > size or instance.command.time_steps else due(load.flow, instance.command, step)
    return core.in_dram[tensor.name] >= tensor.nbytes * instance.first_sample + ready


def _load(core: CoreState, instance: ExecutedCommand, load: Load, step: int, new: int) -> None:
    """Copy one step's bytes from DRAM; the numbers come with the last of them."""
    tensor = load.transfer.tensor
    instance.arrived[tensor.name] += new
    resident = _destination(core, instance, load)
    if instance.segment.direction is Direction.UPDATE:
        cells = _update_sources(core, instance, load)
    else:
        cells = [_source(core, instance, load)]
    if resident is not None:
        resident.ready_bytes += new
    if load.posts:
        core.on_chip[instance.number, load.posts] += new
    if due(load.flow, instance.command, step) < load.flow.total:
        return
    copy = Copy(cells[0], instance.samples) if tensor.batched else Copy(DramTensor(_total(cells)))
    if resident is not None:
        resident.values = copy
    else:
        instance.loaded[tensor.name] = copy


def _destination(core: CoreState, instance: ExecutedCommand, load: Load) -> Resident | None:
    """The resident tensor that a load fills; None where it streams."""
    name = load.transfer.tensor.name
    if load.posts:
        return core.buffer.find(instance.where, instance.key(name), instance.name)
    return core.buffer.find(instance.where, instance.held(name)) if load.transfer.when is When.FIRST else None


def _source(core: CoreState, instance: ExecutedCommand, load: Load) -> DramTensor:
    """The cell that a load reads, if what it reads is there."""
    tensor = load.transfer.tensor
    if tensor.tensor_class in (TensorClass.WEIGHT, TensorClass.OPTIMIZER) and not tensor.batched:
        if tensor.name in core.chip.updating:
            raise broken(instance.where, f"reads {tensor.name} after its update began")
        return core.chip.shared[tensor.name]
    cell, arrived = core.dram[tensor.name], instance.arrived[tensor.name]
    if tensor.batched:
        needed = tensor.nbytes * instance.first_sample + min(arrived, instance.bytes_of(tensor.nbytes))
    else:
        needed = tensor.nbytes * (instance.iteration - 1) + arrived
    if cell.ready_bytes < needed:
        raise broken(
            instance.where, f"reads {needed} bytes of {tensor.name} from DRAM, of which {cell.ready_bytes} are stored"
        )
    return cell


def _update_sources(core: CoreState, instance: ExecutedCommand, load: Load) -> list[DramTensor]:
    """Every core's complete gradient, or the optimizer's state."""
    name = load.transfer.tensor.name
    if name in core.chip.shared:
        return [core.chip.shared[name]]
    cells = [core.dram[name] for core in core.chip.cores]
    for other, cell in zip(core.chip.cores, cells, strict=True):
        if cell.samples != core.chip.per_core:
            what = f"reads {name} of core {other.index} with {cell.samples} of {core.chip.per_core} samples in it"
            raise broken(instance.where, what)
    return cells


def _total(cells: list[DramTensor]) -> AnyArray | None:
    """The sum of what several cores have stored."""
    values = [cell.values for cell in cells if cell.values is not None]
    if len(values) < len(cells):
        return None
    return values[0].copy() if len(values) == 1 else np.sum(np.stack(values), axis=0)
