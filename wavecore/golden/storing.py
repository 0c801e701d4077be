"""The store queue: results go to DRAM, and space is given back in program order."""

from __future__ import annotations

from collections.abc import Iterator

from wavecore.golden.cores import CoreState
from wavecore.golden.instances import HELD, ExecutedCommand, delta
from wavecore.golden.stores import DramTensor, broken
from wavecore.plan.placement import Direction
from wavecore.plan.traffic import When
from wavecore.program.commands import Flow, Store


def store_queue(core: CoreState) -> Iterator[bool]:
    """Write DRAM, and give space back in program order."""
    sequence = 0
    for instance in core.instances:
        command = instance.command
        core.at["store"] = instance.where
        for step in range(command.steps):
            sequence += 1
            while core.computed < sequence:
                yield False
            for store in command.stores:
                if instance.happens(store):
                    _store(core, instance, store, step)
                if store.staged:
                    core.buffer.used -= delta(store.flow, command, step)
            yield True
        _release(core, instance)
    core.at.pop("store", None)


def _store(core: CoreState, instance: ExecutedCommand, store: Store, step: int) -> None:
    """Write one step's results to DRAM; the numbers go with the last of them."""
    tensor, command = store.transfer.tensor, instance.command
    seen = delta(Flow(store.flow.total, store.visible), command, step)
    resident = core.buffer.residents.get(instance.key(tensor.name))
    if resident is not None and not store.staged:
        if resident.taken_bytes > resident.left_bytes:
            raise broken(instance.where, f"stores {tensor.name}, which {resident.taken_by} has overwritten")
        resident.left_bytes += seen
    core.in_dram[tensor.name] += seen
    cell = core.chip.shared.get(tensor.name) or core.dram[tensor.name]
    if tensor.batched and not step and cell.ready_bytes != tensor.nbytes * instance.first_sample:
        raise broken(instance.where, f"stores {tensor.name} from sample {instance.first_sample}, out of order")
    cell.ready_bytes += seen
    if instance.segment.direction is Direction.UPDATE:
        core.chip.updating.add(tensor.name)
    if step == command.steps - 1 and not tensor.batched:
        _write(core, instance, tensor.name, cell, store)


def _write(core: CoreState, instance: ExecutedCommand, name: str, cell: DramTensor, store: Store) -> None:
    value = instance.results[name]
    if instance.segment.direction is Direction.UPDATE:
        cores, count = len(core.chip.cores), value.shape[-1]
        mine = slice(count * core.index // cores, count * (core.index + 1) // cores)
        assert cell.values is not None
        cell.values[..., mine] = value[..., mine]
    else:
        held = store.transfer.when is When.LAST
        cell.values = value.copy()
        cell.samples += (
            core.buffer.find(instance.where, instance.held(name)).samples if held else instance.command.samples
        )


def _release(core: CoreState, instance: ExecutedCommand) -> None:
    """End a command: give back what it and the tensors that die with it took."""
    command = instance.command
    core.buffer.used -= command.stage_bytes
    for name, size in command.releases:
        resident = core.buffer.find(instance.where, instance.key(name), instance.name)
        if resident.space_bytes != size:
            raise broken(instance.where, f"releases {size} bytes of {name}, which has {resident.space_bytes}")
        del core.buffer.residents[instance.key(name)]
        core.buffer.used -= size
    for key in instance.covered:
        del core.buffer.residents[key]
    for use in instance.operation.reads if instance.operation.sums else ():
        drained = core.buffer.residents.get(instance.key(use.tensor))
        if drained is not None and not drained.space_bytes:
            del core.buffer.residents[instance.key(use.tensor)]
    if instance.closes:
        core.buffer.used -= instance.segment.held_bytes
        for key in [key for key in core.buffer.residents if key[:2] == (instance.number, HELD)]:
            del core.buffer.residents[key]
