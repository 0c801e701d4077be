"""The store queue: results go to DRAM, and space is given back in program order."""

from __future__ import annotations

from collections.abc import Iterator

from wavecore.golden.cores import Core
from wavecore.golden.stores import Cell, broken
from wavecore.golden.turns import HELD, Turn, delta
from wavecore.plan.placement import Direction
from wavecore.plan.traffic import When
from wavecore.program.commands import Flow, Store


def store_queue(core: Core) -> Iterator[bool]:
    """Write DRAM, and give space back in program order."""
    sequence = 0
    for turn in core.turns:
        command = turn.command
        core.at["store"] = turn.where
        for step in range(command.steps):
            sequence += 1
            while core.computed < sequence:
                yield False
            for store in command.stores:
                if turn.happens(store):
                    _store(core, turn, store, step)
                if store.staged:
                    core.buffer.used -= delta(store.flow, command, step)
            yield True
        _release(core, turn)
    core.at.pop("store", None)


def _store(core: Core, turn: Turn, store: Store, step: int) -> None:
    """Write one step's results to DRAM; the numbers go with the last of them."""
    tensor, command = store.transfer.tensor, turn.command
    seen = delta(Flow(store.flow.total, store.visible), command, step)
    resident = core.buffer.residents.get(turn.key(tensor.name))
    if resident is not None and not store.staged:
        if resident.taken_bytes > resident.left_bytes:
            raise broken(turn.where, f"stores {tensor.name}, which {resident.taken_by} has overwritten")
        resident.left_bytes += seen
    core.in_dram[tensor.name] += seen
    cell = core.chip.shared.get(tensor.name) or core.dram[tensor.name]
    if tensor.batched and not step and cell.ready_bytes != tensor.nbytes * turn.first_sample:
        raise broken(turn.where, f"stores {tensor.name} from sample {turn.first_sample}, out of order")
    cell.ready_bytes += seen
    if turn.segment.direction is Direction.UPDATE:
        core.chip.updating.add(tensor.name)
    if step == command.steps - 1 and not tensor.batched:
        _write(core, turn, tensor.name, cell, store)


def _write(core: Core, turn: Turn, name: str, cell: Cell, store: Store) -> None:
    value = turn.results[name]
    if turn.segment.direction is Direction.UPDATE:
        cores, count = len(core.chip.cores), value.shape[-1]
        mine = slice(count * core.index // cores, count * (core.index + 1) // cores)
        assert cell.values is not None
        cell.values[..., mine] = value[..., mine]
    else:
        held = store.transfer.when is When.LAST
        cell.values = value.copy()
        cell.samples += core.buffer.find(turn.where, turn.held(name)).samples if held else turn.command.samples


def _release(core: Core, turn: Turn) -> None:
    """End a command: give back what it and the tensors that die with it took."""
    command = turn.command
    core.buffer.used -= command.stage_bytes
    for name, size in command.releases:
        resident = core.buffer.find(turn.where, turn.key(name), turn.name)
        if resident.space_bytes != size:
            raise broken(turn.where, f"releases {size} bytes of {name}, which has {resident.space_bytes}")
        del core.buffer.residents[turn.key(name)]
        core.buffer.used -= size
    for key in turn.covered:
        del core.buffer.residents[key]
    for use in turn.operation.reads if turn.operation.sums else ():
        drained = core.buffer.residents.get(turn.key(use.tensor))
        if drained is not None and not drained.space_bytes:
            del core.buffer.residents[turn.key(use.tensor)]
    if turn.closes:
        core.buffer.used -= turn.segment.held_bytes
        for key in [key for key in core.buffer.residents if key[:2] == (turn.number, HELD)]:
            del core.buffer.residents[key]
