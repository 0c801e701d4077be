"""The store queue of a core: writes results to DRAM and frees buffer space, in program order."""

from __future__ import annotations

from collections.abc import Iterator

from wavecore.golden.cores import CoreState
from wavecore.golden.executed import ALL_ITERATIONS, ExecutedCommand, new_bytes
from wavecore.golden.stores import DramTensor, broken
from wavecore.plan.placement import Direction
from wavecore.plan.traffic import When
from wavecore.program.commands import Flow, Store


def store_queue(core: CoreState) -> Iterator[bool]:
    """Write results to DRAM and free space; yield True after each step and release, False while one waits."""
    for executed in core.commands:
        command = executed.command
        core.positions["store"] = executed.where
        for step in range(command.steps):
            while executed.computed_steps <= step:
                yield False
            for store in command.stores:
                if executed.happens(store):
                    _store(core, executed, store, step)
                if store.staged:
                    core.buffer.used -= new_bytes(store.flow, command, step)
            yield True
        _release(core, executed)
        yield True
    core.positions.pop("store", None)


def _store(core: CoreState, executed: ExecutedCommand, store: Store, step: int) -> None:
    """Write to DRAM what one step makes visible there; the values of an unbatched tensor follow at the last step.

    Raises InvariantError if the tensor has been overwritten before it was stored, or if samples come out of order.
    """
    tensor, command = store.transfer.tensor, executed.command
    visible_bytes = new_bytes(Flow(store.flow.total, store.visible), command, step)
    resident = core.buffer.residents.get(executed.key(tensor.name))
    if resident is not None and not store.staged:
        if resident.overwritten_bytes > resident.stored_bytes:
            raise broken(executed.where, f"stores {tensor.name}, which {resident.overwritten_by} has overwritten")
        resident.stored_bytes += visible_bytes
    core.in_dram_bytes[tensor.name] += visible_bytes
    dram_tensor = core.chip.shared.get(tensor.name) or core.dram[tensor.name]
    if tensor.batched and not step and dram_tensor.ready_bytes != tensor.nbytes * executed.first_sample:
        raise broken(executed.where, f"stores {tensor.name} from sample {executed.first_sample}, out of order")
    dram_tensor.ready_bytes += visible_bytes
    if executed.segment.direction is Direction.UPDATE:
        core.chip.updating.add(tensor.name)
    if step == command.steps - 1 and not tensor.batched:
        _write(core, executed, tensor.name, dram_tensor, store)


def _write(core: CoreState, executed: ExecutedCommand, name: str, dram_tensor: DramTensor, store: Store) -> None:
    """Put the values of an unbatched result into DRAM: this core's share of an updated tensor, or a weight gradient."""
    value = executed.results[name]
    if executed.segment.direction is Direction.UPDATE:
        cores, count = len(core.chip.cores), value.shape[-1]
        own_share = slice(count * core.index // cores, count * (core.index + 1) // cores)
        assert dram_tensor.values is not None
        dram_tensor.values[..., own_share] = value[..., own_share]
    else:
        held = store.transfer.when is When.LAST
        dram_tensor.values = value.copy()
        dram_tensor.samples += (
            core.buffer.find(executed.where, executed.held_key(name)).samples if held else executed.command.samples
        )


def _release(core: CoreState, executed: ExecutedCommand) -> None:
    """Free the space of a command that has ended: its stage, the tensors it releases, and its segment's held space.

    Raises InvariantError if a release states another size than the tensor has.
    """
    command = executed.command
    core.buffer.used -= command.stage_bytes
    for name, size in command.releases:
        resident = core.buffer.find(executed.where, executed.key(name), executed.name)
        if resident.space_bytes != size:
            raise broken(executed.where, f"releases {size} bytes of {name}, which has {resident.space_bytes}")
        del core.buffer.residents[executed.key(name)]
        core.buffer.used -= size
    for key in executed.overwritten.values():
        del core.buffer.residents[key]
    for use in executed.operation.reads if executed.operation.sums else ():
        term = core.buffer.residents.get(executed.key(use.tensor))
        if term is not None and not term.space_bytes:
            del core.buffer.residents[executed.key(use.tensor)]
    if executed.closes_segment:
        core.buffer.used -= executed.segment.held_bytes
        for key in [key for key in core.buffer.residents if key[:2] == (executed.segment_number, ALL_ITERATIONS)]:
            del core.buffer.residents[key]
