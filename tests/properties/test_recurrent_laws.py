"""Which laws hold for recurrent networks of all shapes on all machines?"""

from __future__ import annotations

from functools import partial

import pytest
from builders import SCHEDULES, machine
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from wavecore.workloads.common import lstm

from wavecore.engines.event import run_events
from wavecore.errors import SpaceError
from wavecore.golden.verification import verify_workload
from wavecore.hardware.specs import Accelerator
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import Add, Concat, CrossEntropy, Dropout, Embedding, Linear, ReLU
from wavecore.network.shapes import Shape
from wavecore.plan.recurrence import recurrent_weights
from wavecore.plan.traffic import plan_traffic
from wavecore.program.commands import commands
from wavecore.program.lower import lower
from wavecore.simulation import make_plan, simulate
from wavecore.training.unroll import training_graph

law = partial(settings, deadline=None, suppress_health_check=list(HealthCheck))
schedules = st.sampled_from(sorted(SCHEDULES))
batches = st.integers(1, 7)
BUFFERS_KIB = (20, 28, 40, 56, 80, 128, 256, 1024, 10240)


@st.composite
def sequences(draw: st.DrawFn, most_hidden: int = 96, most_steps: int = 12) -> LayerGraph:
    """Words or numbers, up to three recurrent layers of one or two directions, and a loss a step."""
    steps = draw(st.integers(1, most_steps))
    if draw(st.booleans()):
        net = Network("random", Shape(1, steps))
        x = net(Embedding(draw(st.sampled_from([7, 300])), draw(st.integers(1, most_hidden))), net.input)
    else:
        net = Network("random", Shape(draw(st.integers(1, most_hidden)), steps))
        x = net.input
    for layer in range(draw(st.integers(1, 3))):
        x = draw(st.sampled_from([_alone, _both_ways, _residual]))(draw, net, x, f"lstm{layer}", most_hidden)
    net(CrossEntropy(), net(Linear(draw(st.sampled_from([2, 10, 200]))), x))
    return net.build()


def _alone(draw: st.DrawFn, net: Network, x: str, name: str, most: int) -> str:
    x = lstm(net, x, draw(st.integers(1, most)), name, reverse=draw(st.booleans()))
    return net(draw(st.sampled_from([Dropout(0.3), ReLU()])), x) if draw(st.booleans()) else x


def _both_ways(draw: st.DrawFn, net: Network, x: str, name: str, most: int) -> str:
    sizes = draw(st.integers(1, most // 2)), draw(st.integers(1, most // 2))
    halves = [
        lstm(net, x, size, f"{name}.{way}", reverse=way == "back")
        for size, way in zip(sizes, ("on", "back"), strict=True)
    ]
    return net(Concat(), *halves)


def _residual(draw: st.DrawFn, net: Network, x: str, name: str, most: int) -> str:
    size = net.shape(x).channels if net.shape(x).channels <= most else most
    y = lstm(net, x, size, name)
    return net(Add(), y, x) if net.shape(x) == net.shape(y) and x != net.input else y


def small(buffer_kib: int) -> Accelerator:
    return machine(f"core.global_buffer={buffer_kib} KiB", "array.rows=16", "array.columns=16", "array.tile_rows=32")


machines = st.builds(small, st.sampled_from(BUFFERS_KIB))


@law(max_examples=40)
@given(sequences(), machines, batches, schedules)
def test_both_engines_run_every_plan_and_move_what_it_says(
    network: LayerGraph, accelerator: Accelerator, batch: int, schedule: str
) -> None:
    """The product checks bytes, space, time and energy of every run; here both engines have to come to an end."""
    training = training_graph(network)
    cores = accelerator.chip.cores
    try:
        event, analytic = (
            simulate(training, schedule, accelerator, batch=batch * cores, engine=engine)
            for engine in ("event", "analytic")
        )
    except SpaceError:
        assume(False)
    assert event.dram_bytes == analytic.dram_bytes
    assert event.global_buffer_bytes.peak <= accelerator.core.global_buffer_bytes
    plan = make_plan(training, schedule, accelerator, batch)
    recurrent = sum(each.dram_read_bytes for each in recurrent_weights(training, plan, accelerator))
    assert event.dram_bytes.weight >= recurrent * cores


@law(max_examples=40)
@given(sequences(), machines, batches, schedules)
def test_time_steps_never_overlap(network: LayerGraph, accelerator: Accelerator, batch: int, schedule: str) -> None:
    """A core takes at least the fill, products, drain and last sweep of each time step, one after the other."""
    training = training_graph(network)
    try:
        program = lower(training, make_plan(training, schedule, accelerator, batch), accelerator)
    except SpaceError:
        assume(False)
    least = 0
    for _, _, _, each in commands(program):
        array, vector = each.work.stage("array"), each.work.stage("vector")
        if each.time_steps:
            ends = each.time_steps * (array.fill_cycles + array.drain_cycles)
            least += ends + array.cycles + vector.cycles * each.time_steps // each.steps - array.fill_cycles
    assert 0 < least <= run_events(program, accelerator).step_cycles


@law(max_examples=40)
@given(sequences(), batches, st.integers(0, len(BUFFERS_KIB) - 2), schedules)
def test_more_buffer_never_moves_more(network: LayerGraph, batch: int, size: int, schedule: str) -> None:
    training = training_graph(network)
    try:
        less, more = (_bytes(network, schedule, small(BUFFERS_KIB[at]), batch) for at in (size, size + 1))
    except SpaceError:
        assume(False)
    assert more <= less * 1.01, training


@law(max_examples=40)
@given(sequences(), machines, batches)
def test_schedules_that_may_do_more_never_move_more(network: LayerGraph, accelerator: Accelerator, batch: int) -> None:
    try:
        moved = {name: _bytes(network, name, accelerator, batch) for name in SCHEDULES}
    except SpaceError:
        assume(False)
    assert moved["mbs2"] <= moved["mbs1"] <= min(moved["mbs-fs"], moved["il"])
    assert moved["il"] <= moved["archopt"] == moved["baseline"]


def _bytes(network: LayerGraph, schedule: str, accelerator: Accelerator, batch: int) -> int:
    training = training_graph(network)
    return plan_traffic(training, make_plan(training, schedule, accelerator, batch), accelerator).total()


@law(max_examples=15)
@given(sequences(most_hidden=16, most_steps=5), st.sampled_from([40, 56, 256]), st.integers(1, 3), schedules)
def test_every_gradient_is_autograds(network: LayerGraph, buffer_kib: int, batch: int, schedule: str) -> None:
    pytest.importorskip("torch", reason='PyTorch is the referee: pip install "wavecore[torch]"')
    try:
        verified = verify_workload(network, schedule, small(buffer_kib), 2 * batch)
    except SpaceError:
        assume(False)
    assert verified.passed, verified
