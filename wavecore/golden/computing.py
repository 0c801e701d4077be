"""The array and vector queues: steps run when what they read is there, and commands end with their numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wavecore.golden.cores import CoreState
from wavecore.golden.instances import ExecutedCommand, delta, freed
from wavecore.golden.operands import AnyArray
from wavecore.golden.semantics import Given, evaluate, update
from wavecore.golden.stores import Copy, DramTensor, broken
from wavecore.plan.placement import Direction
from wavecore.plan.traffic import When
from wavecore.program.commands import Load, Store, Token, due

ACCUMULATED_STEPS = 2  # finished steps that the accumulators hold


def array_queue(core: CoreState) -> Iterator[bool]:
    """Multiply, step by step, what is there."""
    sequence = 0
    for instance in core.instances:
        if not instance.command.work.chained:
            sequence += instance.command.steps
            continue
        core.at["array"] = instance.where
        for step in range(instance.command.steps):
            sequence += 1
            while (
                core.loaded < sequence
                or (instance.command.begins_time_step(step) and core.computed < sequence - 1)
                or core.multiplied - core.drained >= ACCUMULATED_STEPS
                or not _tokens(core, instance, step)
            ):
                yield False
            _check_reads(core, instance, step)
            core.multiplied += 1
            yield True
    core.at.pop("array", None)


def _tokens(core: CoreState, instance: ExecutedCommand, step: int) -> bool:
    """Whether the waits of a step are satisfied."""

    def needed(token: Token) -> int:
        return due(token.flow, instance.command, step) + token.flow.sample_bytes * instance.first_sample

    return all(
        core.on_chip[instance.number, token.tensor] >= needed(token) for token in instance.command.waits
    ) and all(core.in_dram[token.tensor] >= needed(token) for token in instance.command.overwrites)


def _check_reads(core: CoreState, instance: ExecutedCommand, step: int) -> None:
    """Everything that the results so far depend on must be there."""
    if instance.segment.direction is Direction.UPDATE:
        return
    for name, needed in core.chip.needs(instance, step).items():
        streams = next((load for load in instance.command.loads if load.transfer.tensor.name == name), None)
        if streams is not None and not streams.posts:
            last = step == instance.command.steps - 1
            size = instance.bytes_of(core.tensors[name].nbytes)
            there = instance.arrived[name] if streams.flow.total == size or last else needed
        else:
            _check_awaited(core, instance, name, streams)
            there = core.buffer.find(instance.where, instance.key(name), instance.name).ready_bytes
        if there < needed:
            raise broken(
                f"{instance.where}, step {step}", f"reads {needed} bytes of {name}, of which {there} are there"
            )


def _check_awaited(core: CoreState, instance: ExecutedCommand, name: str, load: Load | None) -> None:
    """A tensor that a command finds on chip is one that it has waited for, whole."""
    awaited = sum(token.flow.total for token in instance.command.waits if token.tensor == instance.stays.get(name))
    if load is None and not awaited:
        raise broken(instance.where, f"reads {name}, which it neither loads nor waits for")
    if load is None and awaited < instance.bytes_of(core.tensors[name].nbytes):
        raise broken(instance.where, f"waits for {awaited} bytes of {name}, which has more")


def vector_queue(core: CoreState) -> Iterator[bool]:
    """Drain the array, run the sweeps, and with the last step of a command work out its results."""
    sequence = gemm_steps = 0
    for instance in core.instances:
        command = instance.command
        core.at["vector"] = instance.where
        gemm = command.work.chained
        for step in range(command.steps):
            sequence += 1
            gemm_steps += gemm
            while core.multiplied < gemm_steps if gemm else core.loaded < sequence or not _tokens(core, instance, step):
                yield False
            if not gemm:
                _check_reads(core, instance, step)
            core.drained = gemm_steps
            _produce(core, instance, step)
            core.buffer.used -= freed(command, step)
            core.computed += 1
            yield True
    core.at.pop("vector", None)


def _produce(core: CoreState, instance: ExecutedCommand, step: int) -> None:
    """Make one step's results known, and on the last step make them."""
    command = instance.command
    for token in command.posts:
        new = delta(token.flow, command, step)
        core.on_chip[instance.number, token.tensor] += new
        resident = core.buffer.find(instance.where, instance.key(token.tensor))
        resident.ready_bytes += new
        for key in instance.covered:
            if new and token.tensor == instance.operation.writes[0]:
                core.buffer.residents[key].taken_by = instance.name
                core.buffer.residents[key].taken_bytes += new
    if step < command.steps - 1:
        return
    if instance.segment.direction is Direction.UPDATE:
        _update(core, instance)
        return
    given = Given(
        core.chip.data.labels[core.mine][instance.samples],
        {name: kept[core.mine][instance.samples] for name, kept in core.chip.data.kept.items()},
        core.chip.batch,
    )
    reads = {use.tensor: _operand(core, instance, use.tensor) for use in instance.operation.reads}
    results = evaluate(core.chip.meaning, instance.operation, reads, given)
    core.loss += float(results.pop("loss", np.zeros(1)).sum())
    for name, value in results.items():
        _deposit(core, instance, name, value)


def _operand(core: CoreState, instance: ExecutedCommand, name: str) -> AnyArray:
    """The numbers of a tensor, from where the command finds it."""
    if name in instance.loaded:
        return instance.loaded[name].fetch(instance.where, name)
    key = instance.key(name) if core.tensors[name].batched else instance.held(name)
    resident = core.buffer.find(instance.where, key, instance.name)
    if resident.values is None:
        raise broken(instance.where, f"reads {name} before it is there")
    return resident.values.fetch(instance.where, name)


def _deposit(core: CoreState, instance: ExecutedCommand, name: str, value: AnyArray) -> None:
    """Put a result where the command says: on chip, or beside the store that takes it away."""
    stores = [store for store in instance.command.stores if store.transfer.tensor.name == name]
    if not core.tensors[name].batched:
        if not stores:
            raise broken(instance.where, f"makes {name}, which it does not store")
        _accumulate(core, instance, name, value, stores[0])
        return
    posted = any(token.tensor == name for token in instance.command.posts)
    if posted:
        core.buffer.find(instance.where, instance.key(name)).values = Copy(DramTensor(value))
    elif not stores:
        raise broken(instance.where, f"makes {name}, which it neither keeps nor stores")
    if stores and instance.happens(stores[0]):
        cell = core.dram[name]
        if cell.values is None:
            empty = np.nan if value.dtype.kind == "f" else 0
            cell.values = np.full((core.chip.per_core, value.shape[1]), empty, dtype=value.dtype)
        cell.values[instance.samples] = value


def _accumulate(core: CoreState, instance: ExecutedCommand, name: str, value: AnyArray, store: Store) -> None:
    """Add a weight gradient to the partial sum of earlier iterations, in the buffer or from DRAM."""
    if store.transfer.when is When.LAST:
        held = core.buffer.find(instance.where, instance.held(name))
        total = value if held.values is None else held.values.fetch(instance.where, name) + value
        held.values = Copy(DramTensor(total))
        held.samples += instance.command.samples
        instance.results[name] = total
        return
    if instance.iteration:
        if name not in instance.loaded:
            raise broken(instance.where, f"adds to {name} of earlier iterations, which it does not load")
        value = value + instance.loaded[name].fetch(instance.where, name)
    instance.results[name] = value


def _update(core: CoreState, instance: ExecutedCommand) -> None:
    """This core's share of a layer's weights and momentum."""
    gradient, (master, momentum) = (
        _operand(core, instance, f"{instance.command.unit}.{name}") for name in ("weight_gradient", "optimizer")
    )
    weight, velocity = update(gradient, master, momentum)
    instance.results[f"{instance.command.unit}.weight"] = weight
    instance.results[f"{instance.command.unit}.optimizer"] = np.stack([weight, velocity])
