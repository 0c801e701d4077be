"""The load queue: space is taken, and DRAM read, as far ahead as there is room."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wavecore.golden.cores import Core
from wavecore.golden.operands import Array
from wavecore.golden.stores import Cell, Copy, Resident, broken
from wavecore.golden.turns import Turn, delta, taken
from wavecore.plan.placement import Direction
from wavecore.plan.traffic import When
from wavecore.program.commands import After, Load, due, transfers_of
from wavecore.training.operations import Operation, TensorClass


def load_queue(core: Core) -> Iterator[bool]:
    """Take space and copy from DRAM, as far ahead as there is room."""
    for turn in core.turns:
        command = turn.command
        core.at["load"] = turn.where
        reserved = command.stage_bytes + sum(size for _, size in command.reserves)
        yield from _take(core, reserved + (turn.segment.held_bytes if turn.opens else 0))
        _settle(core, turn)
        for step in range(command.steps):
            yield from _take(core, taken(command, step))
            for load in command.loads:
                new = delta(load.flow, command, step, ahead=True)
                if new and turn.happens(load):
                    while not _stored(core, turn, load, step):
                        yield False
                    _load(core, turn, load, step, new)
            core.loaded += 1
            yield True
    core.at.pop("load", None)


def _take(core: Core, nbytes: int) -> Iterator[bool]:
    while not core.buffer.fits(nbytes):
        yield False
    core.buffer.take(nbytes)


def _settle(core: Core, turn: Turn) -> None:
    """Give every tensor that comes on chip with a command its place."""
    command = turn.command
    arriving = [load.transfer.tensor.name for load in command.loads if load.posts]
    posted = [token.tensor for token in command.posts]
    for name, size in command.reserves:
        nbytes = turn.bytes_of(core.tensors[name].nbytes)
        if name not in arriving and name not in posted:
            raise broken(turn.where, f"reserves space for {name}, which it neither loads nor makes")
        if size != nbytes:
            raise broken(turn.where, f"reserves {size} bytes for {name}, which has {nbytes}")
        core.buffer.add(turn.where, turn.key(name), nbytes, size)
    reserved = {name for name, _ in command.reserves}
    for name in (*arriving, *posted):
        if name not in reserved:
            _settle_without_space(core, turn, name, name in arriving)
    for transfer in transfers_of(command):
        tensor = transfer.tensor
        if transfer.when in (When.FIRST, When.LAST) and turn.held(tensor.name) not in core.buffer.residents:
            core.buffer.add(turn.where, turn.held(tensor.name), tensor.nbytes, 0)


def _settle_without_space(core: Core, turn: Turn, name: str, loaded: bool) -> None:
    """A result without space overwrites what dies in its operation, or drains into the sum that follows."""
    op, command = turn.operation, turn.command
    nbytes = turn.bytes_of(core.tensors[name].nbytes)
    released = {tensor for tensor, _ in command.releases}
    if name == op.writes[0] and not loaded:
        for old in op.in_place:
            resident = core.buffer.residents.get(turn.key(old))
            if resident is None or turn.key(old)[2] in turn.later or old in released or not resident.space_bytes:
                continue
            if resident.space_bytes != nbytes:
                raise broken(turn.where, f"{name} takes the place of {old}, which is not of its size")
            turn.covered.append(turn.key(old))
            core.buffer.add(turn.where, turn.key(name), nbytes, resident.space_bytes)
            return
    following = turn.following
    if following is not None and not loaded:
        adds = core.chip.operations[following.name]
        if adds.sums and any(use.tensor == name for use in adds.reads) and _joins(core, turn, adds, name):
            core.buffer.add(turn.where, turn.key(name), nbytes, 0)
            return
    raise broken(turn.where, f"puts {name} on chip, for which no space is reserved")


def _joins(core: Core, turn: Turn, adds: Operation, name: str) -> bool:
    """Whether a sum has a term on chip, other than ``name``, that ``name`` can be added to."""
    others = (core.buffer.residents.get(turn.key(old)) for old in adds.in_place if old != name)
    return any(other is not None and other.space_bytes for other in others)


def _stored(core: Core, turn: Turn, load: Load, step: int) -> bool:
    """Whether the tokens let a load read DRAM."""
    tensor = load.transfer.tensor
    if load.after is After.NOTHING:
        return True
    if load.after is After.ALL:
        return all(
            core.in_dram[tensor.name] >= core.gradient_stores[tensor.name] * tensor.nbytes for core in core.chip.cores
        )
    if not tensor.batched:
        return core.in_dram[tensor.name] >= tensor.nbytes * turn.iteration
    size = turn.bytes_of(tensor.nbytes)
    ready = size if load.flow.total > size or turn.command.time_steps else due(load.flow, turn.command, step)
    return core.in_dram[tensor.name] >= tensor.nbytes * turn.first_sample + ready


def _load(core: Core, turn: Turn, load: Load, step: int, new: int) -> None:
    """Copy one step's bytes from DRAM; the numbers come with the last of them."""
    tensor = load.transfer.tensor
    turn.arrived[tensor.name] += new
    resident = _destination(core, turn, load)
    if turn.segment.direction is Direction.UPDATE:
        cells = _update_sources(core, turn, load)
    else:
        cells = [_source(core, turn, load)]
    if resident is not None:
        resident.ready_bytes += new
    if load.posts:
        core.on_chip[turn.number, load.posts] += new
    if due(load.flow, turn.command, step) < load.flow.total:
        return
    copy = Copy(cells[0], turn.samples) if tensor.batched else Copy(Cell(_total(cells)))
    if resident is not None:
        resident.values = copy
    else:
        turn.loaded[tensor.name] = copy


def _destination(core: Core, turn: Turn, load: Load) -> Resident | None:
    """The resident tensor that a load fills; None where it streams."""
    name = load.transfer.tensor.name
    if load.posts:
        return core.buffer.find(turn.where, turn.key(name), turn.name)
    return core.buffer.find(turn.where, turn.held(name)) if load.transfer.when is When.FIRST else None


def _source(core: Core, turn: Turn, load: Load) -> Cell:
    """The cell that a load reads, if what it reads is there."""
    tensor = load.transfer.tensor
    if tensor.tensor_class in (TensorClass.WEIGHT, TensorClass.OPTIMIZER) and not tensor.batched:
        if tensor.name in core.chip.updating:
            raise broken(turn.where, f"reads {tensor.name} after its update began")
        return core.chip.shared[tensor.name]
    cell, arrived = core.dram[tensor.name], turn.arrived[tensor.name]
    if tensor.batched:
        needed = tensor.nbytes * turn.first_sample + min(arrived, turn.bytes_of(tensor.nbytes))
    else:
        needed = tensor.nbytes * (turn.iteration - 1) + arrived
    if cell.ready_bytes < needed:
        raise broken(
            turn.where, f"reads {needed} bytes of {tensor.name} from DRAM, of which {cell.ready_bytes} are stored"
        )
    return cell


def _update_sources(core: Core, turn: Turn, load: Load) -> list[Cell]:
    """Every core's complete gradient, or the optimizer's state."""
    name = load.transfer.tensor.name
    if name in core.chip.shared:
        return [core.chip.shared[name]]
    cells = [core.dram[name] for core in core.chip.cores]
    for other, cell in zip(core.chip.cores, cells, strict=True):
        if cell.samples != core.chip.per_core:
            what = f"reads {name} of core {other.index} with {cell.samples} of {core.chip.per_core} samples in it"
            raise broken(turn.where, what)
    return cells


def _total(cells: list[Cell]) -> Array | None:
    """The sum of what several cores have stored."""
    values = [cell.values for cell in cells if cell.values is not None]
    if len(values) < len(cells):
        return None
    return values[0].copy() if len(values) == 1 else np.sum(np.stack(values), axis=0)
