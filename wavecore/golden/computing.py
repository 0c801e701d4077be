"""The array and vector queues: steps run when what they read is there, and commands end with their numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wavecore.golden.cores import Core
from wavecore.golden.operands import Array
from wavecore.golden.semantics import Given, evaluate, update
from wavecore.golden.stores import Cell, Copy, broken
from wavecore.golden.turns import Turn, delta, freed
from wavecore.plan.placement import Direction
from wavecore.plan.traffic import When
from wavecore.program.commands import Load, Store, Token, due

ACCUMULATED_STEPS = 2  # finished steps that the accumulators hold


def array_queue(core: Core) -> Iterator[bool]:
    """Multiply, step by step, what is there."""
    sequence = 0
    for turn in core.turns:
        if not turn.command.work.array_cycles:
            sequence += turn.command.steps
            continue
        core.at["array"] = turn.where
        for step in range(turn.command.steps):
            sequence += 1
            while (
                core.loaded < sequence
                or (turn.command.begins_time_step(step) and core.computed < sequence - 1)
                or core.multiplied - core.drained >= ACCUMULATED_STEPS
                or not _tokens(core, turn, step)
            ):
                yield False
            _check_reads(core, turn, step)
            core.multiplied += 1
            yield True
    core.at.pop("array", None)


def _tokens(core: Core, turn: Turn, step: int) -> bool:
    """Whether the waits of a step are satisfied."""

    def needed(token: Token) -> int:
        return due(token.flow, turn.command, step) + token.flow.sample_bytes * turn.first_sample

    return all(core.on_chip[turn.number, token.tensor] >= needed(token) for token in turn.command.waits) and all(
        core.in_dram[token.tensor] >= needed(token) for token in turn.command.overwrites
    )


def _check_reads(core: Core, turn: Turn, step: int) -> None:
    """Everything that the results so far depend on must be there."""
    if turn.segment.direction is Direction.UPDATE:
        return
    for name, needed in core.chip.needs(turn, step).items():
        streams = next((load for load in turn.command.loads if load.transfer.tensor.name == name), None)
        if streams is not None and not streams.posts:
            last = step == turn.command.steps - 1
            size = turn.bytes_of(core.tensors[name].nbytes)
            there = turn.arrived[name] if streams.flow.total == size or last else needed
        else:
            _check_awaited(core, turn, name, streams)
            there = core.buffer.find(turn.where, turn.key(name), turn.name).ready_bytes
        if there < needed:
            raise broken(f"{turn.where}, step {step}", f"reads {needed} bytes of {name}, of which {there} are there")


def _check_awaited(core: Core, turn: Turn, name: str, load: Load | None) -> None:
    """A tensor that a command finds on chip is one that it has waited for, whole."""
    awaited = sum(token.flow.total for token in turn.command.waits if token.tensor == turn.stays.get(name))
    if load is None and not awaited:
        raise broken(turn.where, f"reads {name}, which it neither loads nor waits for")
    if load is None and awaited < turn.bytes_of(core.tensors[name].nbytes):
        raise broken(turn.where, f"waits for {awaited} bytes of {name}, which has more")


def vector_queue(core: Core) -> Iterator[bool]:
    """Drain the array, run the sweeps, and with the last step of a command work out its results."""
    sequence = gemm_steps = 0
    for turn in core.turns:
        command = turn.command
        core.at["vector"] = turn.where
        gemm = command.work.array_cycles > 0
        for step in range(command.steps):
            sequence += 1
            gemm_steps += gemm
            while core.multiplied < gemm_steps if gemm else core.loaded < sequence or not _tokens(core, turn, step):
                yield False
            if not gemm:
                _check_reads(core, turn, step)
            core.drained = gemm_steps
            _produce(core, turn, step)
            core.buffer.used -= freed(command, step)
            core.computed += 1
            yield True
    core.at.pop("vector", None)


def _produce(core: Core, turn: Turn, step: int) -> None:
    """Make one step's results known, and on the last step make them."""
    command = turn.command
    for token in command.posts:
        new = delta(token.flow, command, step)
        core.on_chip[turn.number, token.tensor] += new
        resident = core.buffer.find(turn.where, turn.key(token.tensor))
        resident.ready_bytes += new
        for key in turn.covered:
            if new and token.tensor == turn.operation.writes[0]:
                core.buffer.residents[key].taken_by = turn.name
                core.buffer.residents[key].taken_bytes += new
    if step < command.steps - 1:
        return
    if turn.segment.direction is Direction.UPDATE:
        _update(core, turn)
        return
    given = Given(
        core.chip.data.labels[core.mine][turn.samples],
        {name: kept[core.mine][turn.samples] for name, kept in core.chip.data.kept.items()},
        core.chip.batch,
    )
    reads = {use.tensor: _operand(core, turn, use.tensor) for use in turn.operation.reads}
    results = evaluate(core.chip.meaning, turn.operation, reads, given)
    core.loss += float(results.pop("loss", np.zeros(1)).sum())
    for name, value in results.items():
        _deposit(core, turn, name, value)


def _operand(core: Core, turn: Turn, name: str) -> Array:
    """The numbers of a tensor, from where the command finds it."""
    if name in turn.loaded:
        return turn.loaded[name].fetch(turn.where, name)
    key = turn.key(name) if core.tensors[name].batched else turn.held(name)
    resident = core.buffer.find(turn.where, key, turn.name)
    if resident.values is None:
        raise broken(turn.where, f"reads {name} before it is there")
    return resident.values.fetch(turn.where, name)


def _deposit(core: Core, turn: Turn, name: str, value: Array) -> None:
    """Put a result where the command says: on chip, or beside the store that takes it away."""
    stores = [store for store in turn.command.stores if store.transfer.tensor.name == name]
    if not core.tensors[name].batched:
        if not stores:
            raise broken(turn.where, f"makes {name}, which it does not store")
        _accumulate(core, turn, name, value, stores[0])
        return
    posted = any(token.tensor == name for token in turn.command.posts)
    if posted:
        core.buffer.find(turn.where, turn.key(name)).values = Copy(Cell(value))
    elif not stores:
        raise broken(turn.where, f"makes {name}, which it neither keeps nor stores")
    if stores and turn.happens(stores[0]):
        cell = core.dram[name]
        if cell.values is None:
            empty = np.nan if value.dtype.kind == "f" else 0
            cell.values = np.full((core.chip.per_core, value.shape[1]), empty, dtype=value.dtype)
        cell.values[turn.samples] = value


def _accumulate(core: Core, turn: Turn, name: str, value: Array, store: Store) -> None:
    """Add a weight gradient to the partial sum of earlier iterations, in the buffer or from DRAM."""
    if store.transfer.when is When.LAST:
        held = core.buffer.find(turn.where, turn.held(name))
        total = value if held.values is None else held.values.fetch(turn.where, name) + value
        held.values = Copy(Cell(total))
        held.samples += turn.command.samples
        turn.results[name] = total
        return
    if turn.iteration:
        if name not in turn.loaded:
            raise broken(turn.where, f"adds to {name} of earlier iterations, which it does not load")
        value = value + turn.loaded[name].fetch(turn.where, name)
    turn.results[name] = value


def _update(core: Core, turn: Turn) -> None:
    """This core's share of a layer's weights and momentum."""
    gradient, (master, momentum) = (
        _operand(core, turn, f"{turn.command.unit}.{name}") for name in ("weight_gradient", "optimizer")
    )
    weight, velocity = update(gradient, master, momentum)
    turn.results[f"{turn.command.unit}.weight"] = weight
    turn.results[f"{turn.command.unit}.optimizer"] = np.stack([weight, velocity])
