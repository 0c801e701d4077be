"""The array and vector queues of a core: run steps when their operands are there, and compute at a command's end."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wavecore.golden.cores import CoreState
from wavecore.golden.executed import ExecutedCommand, freed_bytes, new_bytes
from wavecore.golden.operands import AnyArray
from wavecore.golden.semantics import SampleData, evaluate, update
from wavecore.golden.stores import Copy, DramTensor, broken
from wavecore.plan.placement import Direction
from wavecore.plan.traffic import When
from wavecore.program.commands import Load, Store, Token, due

ACCUMULATOR_STEPS = 2  # steps whose results the accumulators below the array can hold


def array_queue(core: CoreState) -> Iterator[bool]:
    """Run the array's queue; yield True after each and False while one waits.

    A step waits for its loads, its tokens, room in the accumulators, and in a recurrent layer for the time step before.
    """
    for executed, step in core.queues.get("array", ()):
        core.positions["array"] = executed.where
        while (
            executed.loaded_steps <= step
            or (executed.command.begins_time_step(step) and executed.computed_steps < step)
            or core.undrained_steps >= ACCUMULATOR_STEPS
            or not _waits_satisfied(core, executed, step)
        ):
            yield False
        _check_reads(core, executed, step)
        executed.multiplied_steps += 1
        core.undrained_steps += 1
        yield True
    core.positions.pop("array", None)


def _waits_satisfied(core: CoreState, executed: ExecutedCommand, step: int) -> bool:
    """Return whether enough bytes are posted on chip and in DRAM for a step to begin."""

    def needed(token: Token) -> int:
        return due(token.flow, executed.command, step) + token.flow.sample_bytes * executed.first_sample

    return all(
        core.on_chip_bytes[executed.segment_number, token.tensor] >= needed(token) for token in executed.command.waits
    ) and all(core.in_dram_bytes[token.tensor] >= needed(token) for token in executed.command.overwrites)


def _check_reads(core: CoreState, executed: ExecutedCommand, step: int) -> None:
    """Raise InvariantError if a batched operand is not there as far as the results of the steps so far depend on it."""
    if executed.segment.direction is Direction.UPDATE:
        return
    for (name, role), needed in core.chip.needed_bytes(executed, step).items():
        load = next((load for load in executed.command.loads if load.transfer.operand == (name, role)), None)
        if load is not None and not load.posts:
            last = step == executed.command.steps - 1
            size = executed.sub_batch_bytes(core.tensors[name].nbytes)
            available = executed.loaded_bytes[name, role] if load.flow.total == size or last else needed
        else:
            _check_awaited(core, executed, name, load)
            available = core.buffer.find(executed.where, executed.key(name), executed.name).ready_bytes
        if available < needed:
            raise broken(
                f"{executed.where}, step {step}", f"reads {needed} bytes of {name}, of which {available} are there"
            )


def _check_awaited(core: CoreState, executed: ExecutedCommand, name: str, load: Load | None) -> None:
    """Raise InvariantError if a command reads a tensor on chip that it does not load and does not await as a whole."""
    awaited = sum(
        token.flow.total for token in executed.command.waits if token.tensor == executed.token_names.get(name)
    )
    if load is None and not awaited:
        raise broken(executed.where, f"reads {name}, which it neither loads nor waits for")
    if load is None and awaited < executed.sub_batch_bytes(core.tensors[name].nbytes):
        raise broken(executed.where, f"waits for {awaited} bytes of {name}, which has more")


def vector_queue(core: CoreState) -> Iterator[bool]:
    """Drain the array or sweep a chunk, step by step, and compute a command's results at its last step.

    Yields True after each step and False while one waits.
    """
    for executed, step in core.queues.get("vector", ()):
        core.positions["vector"] = executed.where
        gemm = executed.command.work.chained
        while (
            executed.multiplied_steps <= step
            if gemm
            else executed.loaded_steps <= step or not _waits_satisfied(core, executed, step)
        ):
            yield False
        if gemm:
            core.undrained_steps -= 1
        else:
            _check_reads(core, executed, step)
        _produce(core, executed, step)
        core.buffer.used -= freed_bytes(executed.command, step)
        executed.computed_steps += 1
        yield True
    core.positions.pop("vector", None)


def _produce(core: CoreState, executed: ExecutedCommand, step: int) -> None:
    """Post the bytes that one step makes; at the last step compute the values of all results."""
    command = executed.command
    for token in command.posts:
        new = new_bytes(token.flow, command, step)
        core.on_chip_bytes[executed.segment_number, token.tensor] += new
        resident = core.buffer.result(executed.where, executed.key(token.tensor))
        resident.ready_bytes += new
        if new and token.tensor in executed.overwritten:
            old = core.buffer.residents[executed.overwritten[token.tensor]]
            old.overwritten_by = executed.name
            old.overwritten_bytes += new
    if step < command.steps - 1:
        return
    if executed.segment.direction is Direction.UPDATE:
        _update(core, executed)
        return
    sample_data = SampleData(
        core.chip.data.labels[core.sample_range][executed.sample_range],
        {name: kept[core.sample_range][executed.sample_range] for name, kept in core.chip.data.dropout_masks.items()},
        core.chip.batch,
    )
    reads = {use.tensor: _operand(core, executed, use.tensor) for use in executed.operation.reads}
    results = evaluate(core.chip.meaning, executed.operation, reads, sample_data)
    core.loss += float(results.pop("loss", np.zeros(1)).sum())
    for name, value in results.items():
        _deposit(core, executed, name, value)


def _operand(core: CoreState, executed: ExecutedCommand, name: str) -> AnyArray:
    """Return the values of an operand, loaded or in the buffer; raise InvariantError if there are none."""
    if name in executed.loaded_copies:
        return executed.loaded_copies[name].fetch(executed.where, name)
    key = executed.key(name) if core.tensors[name].batched else executed.held_key(name)
    resident = core.buffer.find(executed.where, key, executed.name)
    if resident.values is None:
        raise broken(executed.where, f"reads {name} before it is there")
    return resident.values.fetch(executed.where, name)


def _deposit(core: CoreState, executed: ExecutedCommand, name: str, value: AnyArray) -> None:
    """Put the values of a result into the buffer, into DRAM, or both, as the command posts and stores it.

    Batched values go to DRAM here, though their bytes count as stored only when the store queue has written them.
    Raises InvariantError if the command neither posts nor stores the result.
    """
    stores = [store for store in executed.command.stores if store.transfer.tensor.name == name]
    if not core.tensors[name].batched:
        if not stores:
            raise broken(executed.where, f"makes {name}, which it does not store")
        _accumulate(core, executed, name, value, stores[0])
        return
    posted = any(token.tensor == name for token in executed.command.posts)
    if posted:
        core.buffer.result(executed.where, executed.key(name)).values = Copy(DramTensor(value))
    elif not stores:
        raise broken(executed.where, f"makes {name}, which it neither keeps nor stores")
    if stores and executed.happens(stores[0]):
        dram_tensor = core.dram[name]
        if dram_tensor.values is None:
            empty = np.nan if value.dtype.kind == "f" else 0
            dram_tensor.values = np.full((core.chip.per_core, value.shape[1]), empty, dtype=value.dtype)
        dram_tensor.values[executed.sample_range] = value


def _accumulate(core: CoreState, executed: ExecutedCommand, name: str, value: AnyArray, store: Store) -> None:
    """Add a weight gradient to the partial sum of earlier iterations, which is in the buffer or loaded from DRAM.

    Raises InvariantError if a partial sum in DRAM is not loaded.
    """
    if store.transfer.when is When.LAST:
        held = core.buffer.find(executed.where, executed.held_key(name))
        total = value if held.values is None else held.values.fetch(executed.where, name) + value
        held.values = Copy(DramTensor(total))
        held.samples += executed.command.samples
        executed.results[name] = total
        return
    if executed.iteration:
        if name not in executed.loaded_copies:
            raise broken(executed.where, f"adds to {name} of earlier iterations, which it does not load")
        value = value + executed.loaded_copies[name].fetch(executed.where, name)
    executed.results[name] = value


def _update(core: CoreState, executed: ExecutedCommand) -> None:
    """Compute a layer's new weights and momentum; `storing` writes this core's share of them."""
    gradient, (master, momentum) = (
        _operand(core, executed, f"{executed.command.unit}.{name}") for name in ("weight_gradient", "optimizer")
    )
    weight, velocity = update(gradient, master, momentum)
    executed.results[f"{executed.command.unit}.weight"] = weight
    executed.results[f"{executed.command.unit}.optimizer"] = np.stack([weight, velocity])
