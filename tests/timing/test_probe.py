"""Is a probe told what happens in the cycles that a hand count says?  Programs here are made by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import pytest
from builders import command, load, machine, program, store

from wavecore.engines.event import run_events
from wavecore.engines.instances import CommandInstance
from wavecore.engines.probe import Cause, Probe, Probes, Queue, Signal
from wavecore.network.catalog import workload
from wavecore.program.commands import Command, Flow, StepProfile, Token
from wavecore.simulation import simulate

MACHINE = machine("memory.trefi=1 ms")  # no refresh during the test
MIB = 1 << 20


class Work(NamedTuple):
    start: int
    end: int
    command: str
    step: int
    nbytes: int
    tensor: str


class Wait(NamedTuple):
    start: int
    end: int
    cause: Cause
    tensor: str


class Log(Probe):
    """Writes everything down, by core and queue."""

    def __init__(self) -> None:
        self.told: dict[tuple[int, Queue], list[Work | Wait]] = {}
        self.posts: list[tuple[Queue, int, Signal]] = []
        self.requests: list[tuple[int, int, int, int, bool]] = []
        self.levels: list[tuple[int, int]] = []

    def worked(
        self,
        core: int,
        queue: Queue,
        start: int,
        end: int,
        instance: CommandInstance,
        step: int,
        nbytes: int = 0,
        tensor: str = "",
    ) -> None:
        self.told.setdefault((core, queue), []).append(Work(start, end, instance.command.name, step, nbytes, tensor))

    def waited(self, core: int, queue: Queue, start: int, end: int, signal: Signal) -> None:
        self.told.setdefault((core, queue), []).append(Wait(start, end, signal.cause, signal.tensor))

    def posted(self, core: int, queue: Queue, cycle: int, signal: Signal) -> None:
        self.posts.append((queue, cycle, signal))

    def requested(self, queue: int, start: int, end: int, address: int, nbytes: int, write: bool) -> None:
        self.requests.append((queue, start, end, nbytes, write))

    def occupied(self, core: int, cycle: int, used_bytes: int) -> None:
        self.levels.append((cycle, used_bytes))


def watch(*commands: Command, buffer_bytes: int = 10 * MIB) -> Log:
    log = Log()
    run_events(program(*commands, buffer_bytes=buffer_bytes), MACHINE, None, log)
    return log


def gemm(name: str, **changes: object) -> Command:
    work = {"array_cycles": 1000, "fill_cycles": 128, "drain_cycles": 254, "vector_cycles": 100}
    return command(name, work=work, steps=2, **changes)


def test_fill_issue_and_drain_of_a_gemm() -> None:
    log = watch(gemm("a"))
    assert log.told[0, "array"] == [
        Wait(0, 128, Cause.FILL, ""),
        Work(128, 628, "a", 0, 0, ""),
        Work(628, 1128, "a", 1, 0, ""),
    ]
    assert log.told[0, "vector"] == [
        Wait(0, 628, Cause.PRODUCTS, ""),
        Work(628, 678, "a", 0, 0, ""),
        Wait(678, 1128, Cause.PRODUCTS, ""),
        Wait(1128, 1382, Cause.DRAIN, ""),
        Work(1382, 1432, "a", 1, 0, ""),
    ]


def test_every_time_step_fills_and_drains() -> None:
    log = watch(gemm("a", time_steps=2))
    assert log.told[0, "array"] == [
        Wait(0, 128, Cause.FILL, ""),
        Work(128, 628, "a", 0, 0, ""),
        Wait(628, 932, Cause.RESULTS, ""),
        Wait(932, 1060, Cause.FILL, ""),
        Work(1060, 1560, "a", 1, 0, ""),
    ]
    assert log.told[0, "vector"] == [
        Wait(0, 628, Cause.PRODUCTS, ""),
        Wait(628, 882, Cause.DRAIN, ""),
        Work(882, 932, "a", 0, 0, ""),
        Wait(932, 1560, Cause.PRODUCTS, ""),
        Wait(1560, 1814, Cause.DRAIN, ""),
        Work(1814, 1864, "a", 1, 0, ""),
    ]


def test_a_second_gemm_needs_no_fill() -> None:
    waits = [told.cause for told in watch(gemm("a"), gemm("b")).told[0, "array"] if isinstance(told, Wait)]
    assert waits == [Cause.FILL]


def test_a_wait_ends_in_the_cycle_of_its_post() -> None:
    """The consumer's every step waits for a step of the producer's data."""
    token = Token("x", Flow(2, StepProfile.EVEN))
    made = command("make", work={"vector_cycles": 50}, steps=2, posts=(token,))
    log = watch(made, gemm("use", waits=(token,)))
    waits = [told for told in log.told[0, "array"] if isinstance(told, Wait) and told.cause is Cause.ON_CHIP]
    posts = [(queue, cycle) for queue, cycle, signal in log.posts if signal == Signal(0, Cause.ON_CHIP, "x")]
    assert posts == [("vector", 25), ("vector", 50)]
    assert waits[0] == Wait(0, 25, Cause.ON_CHIP, "x")


def test_loads_and_stores_name_what_they_move() -> None:
    log = watch(command("copy", work={"vector_cycles": 10}, steps=2, loads=(load(2 * MIB),), stores=(store(MIB),)))
    loads, stores = ([told for told in log.told[0, queue] if isinstance(told, Work)] for queue in ("load", "store"))
    assert [(told.step, told.nbytes, told.tensor) for told in loads] == [(0, MIB, "data"), (1, MIB, "data")]
    assert [(told.step, told.nbytes, told.tensor) for told in stores] == [
        (0, MIB // 2, "result"),
        (1, MIB // 2, "result"),
    ]
    assert sum(nbytes for *_, nbytes, write in log.requests if write) == MIB
    assert all(first[2] <= second[1] for first, second in pairwise(log.requests))  # the controller takes one at a time


def test_a_full_buffer_is_waited_for_and_never_overfull() -> None:
    one = command("one", work={"vector_cycles": 5000}, stage_bytes=MIB)
    log = watch(one, replace(one, name="two", loads=(load(1024),)), buffer_bytes=MIB + 4096)
    assert log.told[0, "load"][0] == Wait(0, 5000, Cause.SPACE, "")
    assert ("store", 5000, Signal(0, Cause.SPACE)) in log.posts
    assert max(used for _, used in log.levels) == MIB + 1024
    assert log.levels[-1][1] == 0


@pytest.mark.parametrize("schedule", ["baseline", "mbs2"])
def test_a_queue_always_works_or_waits(schedule: str) -> None:
    """What is told of a queue follows without gap from cycle 0: nothing is forgotten."""
    log, other = Log(), Log()
    run = simulate(workload("resnet18", image=32), schedule, MACHINE, batch=4, probe=Probes(log, other))
    for told in log.told.values():
        assert told[0].start == 0
        assert all(first.end == second.start for first, second in pairwise(told))
        assert told[-1].end <= run.step_cycles
    assert log.told == other.told
    assert log.levels == other.levels
