"""Do recurrent layers take the cycles of one time step after the other?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from builders import command, machine, program

from wavecore.engines.analytic import run_analytic
from wavecore.engines.event import run_events
from wavecore.engines.timing import Stall, Timing
from wavecore.golden.array import multiply
from wavecore.hardware.dataflows import dataflow_of
from wavecore.hardware.specs import Accelerator
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import LSTM, Outlet
from wavecore.network.layers.recurrent import FORWARD_LANE_OPERATIONS
from wavecore.network.shapes import Shape
from wavecore.program.commands import Command, Program, commands
from wavecore.program.lower import lower
from wavecore.simulation import make_plan
from wavecore.training.unroll import training_graph

QUIET = machine("memory.trefi=1 ms")  # no refresh during the test, so that single cycles can be counted
Engine = Callable[[Program, Accelerator], Timing]
FILL = 128  # the analytic engine takes the array to be filled when the step begins
ENGINES = ((run_events, 0), (run_analytic, FILL))


def recurrent(steps: int, time_steps: int, array: int = 8000, vector: int = 800) -> Command:
    work = {"array_cycles": array, "fill_cycles": 128, "drain_cycles": 254, "vector_cycles": vector}
    return command("lstm", work=work, steps=steps, time_steps=time_steps)


@pytest.mark.parametrize(("engine", "saved"), ENGINES)
@pytest.mark.parametrize(("steps", "time_steps"), [(8, 1), (8, 4), (8, 8), (40, 10)])
def test_each_time_step_is_filled_drained_and_swept(engine: Engine, saved: int, steps: int, time_steps: int) -> None:
    """Fill, the products back to back, drain, and the sweep of the last of them: all that once per time step."""
    timing = engine(program(recurrent(steps, time_steps)), machine())
    assert timing.step_cycles == time_steps * (128 + 254) + 8000 + time_steps * 800 // steps - saved
    assert timing.units["array"].busy_cycles == 8000


@pytest.mark.parametrize(("engine", "saved"), ENGINES)
def test_a_slow_sweep_is_waited_for(engine: Engine, saved: int) -> None:
    """Two products per time step of 100 cycles each, two sweeps of 1000: the first sweep begins behind its product."""
    timing = engine(program(recurrent(8, 4, array=800, vector=8000)), machine())
    assert timing.step_cycles == 4 * (128 + 100 + 2 * 1000 + 254) - saved


def test_a_time_step_waits_for_skew_and_sweep_of_the_one_before() -> None:
    """Each of 4 time steps fills, drains, and sweeps the last of its products in 100 cycles."""
    stalls = run_events(program(recurrent(8, 4)), machine()).units["array"].stall_cycles
    assert {cause: cycles for cause, cycles in stalls.items() if cycles} == {
        Stall.ARRAY: 4 * (128 + 254),
        Stall.VECTOR: 4 * 100,
    }


def test_work_without_time_steps_overlaps_more() -> None:
    once, stepwise = (run_events(program(recurrent(8, times)), machine()) for times in (0, 4))
    assert once.step_cycles < stepwise.step_cycles


def layer(hidden: int, steps: int) -> LayerGraph:
    """The recurrent part of an LSTM, cut out of its network."""
    net = Network("lstm", Shape(4 * hidden, steps))
    net(Outlet(), net(LSTM(hidden), net.input, name="lstm"), name="out")
    return net.build()


def forward(graph: LayerGraph, accelerator: Accelerator, samples: int) -> Command:
    training = training_graph(graph)
    lowered = lower(training, make_plan(training, "archopt", accelerator, samples), accelerator)
    return next(each for _, _, _, each in commands(lowered) if each.name == "lstm.forward")


@pytest.mark.parametrize(("hidden", "samples", "size"), [(8, 5, 8), (12, 3, 8), (16, 9, 4), (5, 2, 16)])
def test_a_time_step_takes_the_register_level_arrays_cycles(hidden: int, samples: int, size: int) -> None:
    """The referee moves every operand one element a cycle; behind it comes the vector unit's sweep of the step."""
    accelerator = machine(f"array.rows={size}", f"array.columns={size}", "memory.trefi=1 ms")
    steps = 6
    found = forward(layer(hidden, steps), accelerator, samples)
    numbers = np.random.default_rng(0)
    h, weights = numbers.integers(-9, 9, (samples, hidden)), numbers.integers(-9, 9, (hidden, 4 * hidden))
    measured = multiply(h, weights, accelerator.array).cycles
    spec, sizes = accelerator.array, (samples, hidden, 4 * hidden)
    assert measured == dataflow_of(spec).gemm_cycles(spec, *sizes).cycles
    array, vector = found.work.stage("array"), found.work.stage("vector")
    assert array.cycles == steps * dataflow_of(spec).issue_cycles(spec, *sizes)
    one = (array.fill_cycles + array.cycles // steps + array.drain_cycles) * steps
    assert one == pytest.approx(steps * measured, abs=steps * 2 * size)  # a last tile's own depth, see issue_cycles
    lanes = -(-samples * hidden * FORWARD_LANE_OPERATIONS // accelerator.vector.lanes)
    assert vector.cycles >= steps * (lanes + accelerator.vector.startup_cycles)


def test_cycles_grow_with_the_time_steps() -> None:
    """Twice the steps, twice the products and the sweeps of a layer whose weights stay on chip."""
    short, long = (forward(layer(64, steps), QUIET, 4) for steps in (10, 20))
    cycles = [run_events(program(each), QUIET).step_cycles for each in (short, long)]
    assert long.work.stage("array").cycles == 2 * short.work.stage("array").cycles
    assert long.work.stage("vector").cycles == 2 * short.work.stage("vector").cycles
    assert cycles[1] == pytest.approx(2 * cycles[0], rel=0.05)
