"""The referee sees: whatever token, residency or iteration is broken in a program, the interpreter refuses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from small_networks import NETWORKS, serialized

from wavecore.errors import InvariantError
from wavecore.golden.interpreter import interpret
from wavecore.golden.numbers import StepData, random_data
from wavecore.hardware.config import load_accelerator
from wavecore.network.graph import LayerGraph
from wavecore.plan.placement import Direction
from wavecore.program.commands import After, Command, Program, Segment, StepProfile
from wavecore.program.lower import lower
from wavecore.simulation import make_plan
from wavecore.training.graph import TrainingGraph
from wavecore.training.unroll import training_graph

BATCH = 10
ORDERS = 12  # seeds to try before a mutation counts as missed
Site = tuple[int, int, int]  # segment, iteration, position of the command
Mutation = Callable[[Command], Iterator[Command]]


@cache
def lowered(network: str, schedule: str, buffer_kib: int) -> tuple[LayerGraph, TrainingGraph, Program, StepData]:
    """A network under a schedule, or, without one, in iterations of two samples with gradients held on chip."""
    graph = NETWORKS[network]()
    training = training_graph(graph)
    accelerator = load_accelerator(overrides=[f"core.global_buffer={buffer_kib} KiB"])
    plan = make_plan(training, schedule, accelerator, BATCH // 2) if schedule else serialized(graph, BATCH // 2, 2)
    program = lower(training, plan, accelerator)
    return graph, training, program, random_data(graph, BATCH, np.float64)


def with_command(program: Program, site: Site, command: Command) -> Program:
    """The program with another command at a place of core 0."""
    number, iteration, position = site
    segments = list(program.cores[0])
    iterations = list(segments[number].iterations)
    samples, body = iterations[iteration]
    iterations[iteration] = samples, (*body[:position], command, *body[position + 1 :])
    segments[number] = replace(segments[number], iterations=tuple(iterations))
    return replace(program, cores=(tuple(segments), *program.cores[1:]))


def sites(program: Program) -> Iterator[tuple[Site, Command]]:
    for number, segment in enumerate(program.cores[0]):
        for iteration, (_, body) in enumerate(segment.iterations):
            for position, command in enumerate(body):
                yield (number, iteration, position), command


def dropping(field: str) -> Mutation:
    """Leave out one entry of a field of a command."""

    def mutate(command: Command) -> Iterator[Command]:
        entries: tuple[Any, ...] = getattr(command, field)
        for index in range(len(entries)):
            yield replace(command, **{field: entries[:index] + entries[index + 1 :]})

    return mutate


def changing(field: str, **changes: Any) -> Mutation:
    """Change one entry of a field of a command, where that is a change."""

    def mutate(command: Command) -> Iterator[Command]:
        entries: tuple[Any, ...] = getattr(command, field)
        for index, entry in enumerate(entries):
            if any(getattr(entry, name) != value for name, value in changes.items()):
                yield replace(command, **{field: (*entries[:index], replace(entry, **changes), *entries[index + 1 :])})

    return mutate


def notices(graph: LayerGraph, training: TrainingGraph, program: Program, data: StepData) -> bool:
    for seed in range(ORDERS):
        try:
            interpret(graph, training, program, data, seed=seed)
        except InvariantError:
            return True
    return False


EVERY = {
    "a wait": dropping("waits"),
    "a post": dropping("posts"),
    "a reservation": dropping("reserves"),
    "a release": dropping("releases"),
    "a load": dropping("loads"),
    "a store": dropping("stores"),
}


def in_training(program: Program, mutate: Mutation) -> list[tuple[Site, Command]]:
    """Mutants of forward and backward commands in which something that happens in their iteration is different."""
    found = []
    for site, command in sites(program):
        segment = program.cores[0][site[0]]
        if segment.direction is Direction.UPDATE:
            continue
        live = replace(
            command,
            loads=tuple(m for m in command.loads if m.transfer.happens(site[1], len(segment.iterations))),
            stores=tuple(m for m in command.stores if m.transfer.happens(site[1], len(segment.iterations))),
        )
        found += [(site, mutant) for mutant in mutate(live)]
    return found


def sample(found: list[Any], count: int = 8) -> list[Any]:
    assert found
    return found[:: max(1, len(found) // count)]


@pytest.mark.parametrize("network", ["residual", "inception"])
@pytest.mark.parametrize("mutation", EVERY)
def test_without_it_the_program_is_refused(mutation: str, network: str) -> None:
    graph, training, program, data = lowered(network, "mbs2", 64)
    for site, mutant in sample(in_training(program, EVERY[mutation])):
        assert notices(graph, training, with_command(program, site, mutant), data), (mutant.name, site)


def test_the_programs_themselves_are_accepted() -> None:
    for network in ("residual", "inception"):
        assert not notices(*lowered(network, "mbs2", 64))


def test_reading_dram_without_waiting_for_the_store_is_noticed() -> None:
    """Layer by layer, a forward load that does not wait reads what the layer before it is still to store."""
    graph, training, program, data = lowered("chain", "baseline", 512)
    unwaited = changing("loads", after=After.NOTHING)
    found = [
        (site, mutant)
        for site, mutant in in_training(program, unwaited)
        if program.cores[0][site[0]].direction is Direction.FORWARD
    ]
    for site, mutant in sample(found):
        assert notices(graph, training, with_command(program, site, mutant), data), (mutant.name, site)


def test_updating_before_every_core_is_done_is_noticed() -> None:
    graph, training, program, data = lowered("chain", "mbs2", 64)
    update = program.cores[0][-1]
    ((samples, body),) = update.iterations
    hasty = tuple(
        replace(command, loads=tuple(replace(load, after=After.NOTHING) for load in command.loads)) for command in body
    )
    segments = (*program.cores[0][:-1], replace(update, iterations=((samples, hasty),)))
    assert notices(graph, training, replace(program, cores=(segments, program.cores[1])), data)


@pytest.mark.parametrize("field", ["posts", "waits"])
def test_a_promise_that_runs_ahead_of_the_work_is_noticed(field: str) -> None:
    """A post that says all is there with the first step, or a wait that asks for nothing before the last.

    Where other tokens order the commands as well the promise does not matter, so not every one is noticed.
    """
    graph, training, program, data = lowered("residual", "mbs-fs", 512)
    profile = {"posts": StepProfile.AT_ONCE, "waits": StepProfile.AT_END}[field]

    def mutate(command: Command) -> Iterator[Command]:
        hasty = tuple(replace(t, flow=replace(t.flow, profile=profile, lookahead=0)) for t in getattr(command, field))
        if hasty and command.steps > 2 and command.name in ("norm2.forward", "conv2.forward", "conv3.forward"):
            yield replace(command, **{field: hasty})

    found = in_training(program, mutate)
    assert any(notices(graph, training, with_command(program, site, mutant), data) for site, mutant in found)


def overwriting() -> tuple[str, str, int]:
    """A program that waits for a tensor to leave before it is written over."""
    for network in NETWORKS:
        for buffer_kib in (64, 128, 512):
            for schedule in ("mbs1", "mbs2"):
                program = lowered(network, schedule, buffer_kib)[2]
                if any(command.overwrites for _, command in sites(program)):
                    return network, schedule, buffer_kib
    raise AssertionError("no small network overwrites what is also stored")


def test_overwriting_what_has_not_left_is_noticed() -> None:
    graph, training, program, data = lowered(*overwriting())
    found = in_training(program, dropping("overwrites"))
    assert any(notices(graph, training, with_command(program, site, mutant), data) for site, mutant in found)


def resized(segment: Segment, by: int) -> Segment:
    """A segment whose second iteration starts ``by`` samples later."""
    (first, body), *rest = segment.iterations
    return replace(segment, iterations=((first + by, body), *rest))


@pytest.mark.parametrize("by", [-1, 1])
def test_an_iteration_that_starts_elsewhere_is_noticed(by: int) -> None:
    graph, training, program, data = lowered("residual", "", 2048)
    numbers = [number for number, segment in enumerate(program.cores[0]) if len(segment.iterations) > 1]
    for number in numbers:
        segments = list(program.cores[0])
        segments[number] = resized(segments[number], by)
        assert notices(graph, training, replace(program, cores=(tuple(segments), program.cores[1])), data)
    assert numbers


def test_an_iteration_that_is_left_out_is_noticed() -> None:
    graph, training, program, data = lowered("residual", "", 2048)
    segments = [
        replace(segment, iterations=segment.iterations[1:]) if len(segment.iterations) > 1 else segment
        for segment in program.cores[0]
    ]
    assert notices(graph, training, replace(program, cores=(tuple(segments), program.cores[1])), data)


def test_held_space_that_is_not_reserved_is_noticed() -> None:
    graph, training, program, data = lowered("residual", "", 2048)
    segments = tuple(replace(segment, held_bytes=0) for segment in program.cores[0])
    assert notices(graph, training, replace(program, cores=(segments, program.cores[1])), data)


def test_the_message_names_the_command_and_the_tensor() -> None:
    graph, training, program, data = lowered("chain", "mbs2", 512)
    site, mutant = next(
        (site, mutant) for site, mutant in in_training(program, dropping("waits")) if mutant.name == "norm1.forward"
    )
    with pytest.raises(InvariantError) as caught:
        interpret(graph, training, with_command(program, site, mutant), data)
    assert str(caught.value) == (
        "core 0, norm1.forward, iteration 0: reads conv1, which it neither loads nor waits for; "
        "try: a report of this bug"
    )
