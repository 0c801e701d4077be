"""Which laws hold for every run of every plan on every machine?"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from functools import partial
from itertools import pairwise

import pytest
from builders import SCHEDULES, machine
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strategies import heavy_networks, networks
from strategies import machine as buffer_of

from wavecore.engines.analytic import run_analytic
from wavecore.engines.event import run_events
from wavecore.engines.memory import REQUEST_BYTES
from wavecore.engines.timing import Stall, Timing
from wavecore.errors import PlanError, SpaceError
from wavecore.hardware.specs import Accelerator
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import Conv, CrossEntropy, Flatten, GlobalAvgPool, Linear
from wavecore.network.shapes import Shape
from wavecore.plan.blocking import least_bytes
from wavecore.plan.model import Group, Plan, Residency
from wavecore.plan.placement import Direction, place
from wavecore.plan.rules import verify_plan
from wavecore.plan.traffic import plan_traffic
from wavecore.program.commands import After, Program
from wavecore.program.lower import lower
from wavecore.program.step_tables import step_table
from wavecore.simulation import simulate
from wavecore.training.graph import TrainingGraph
from wavecore.training.unroll import training_graph

law = partial(settings, deadline=None, suppress_health_check=list(HealthCheck))
small_networks = networks(max_blocks=3)
machines = st.builds(buffer_of, st.sampled_from([96, 192, 300, 512, 1024, 4096, 10240]))
batches = st.integers(1, 6)
schedules = st.sampled_from(sorted(SCHEDULES))


def planned(network: LayerGraph, schedule: str, accelerator: Accelerator, batch: int) -> tuple[TrainingGraph, Plan]:
    """A plan that this machine can run at all."""
    training = training_graph(network)
    try:
        plan = SCHEDULES[schedule].make(training, accelerator, batch)
        lower(training, plan, accelerator)
    except SpaceError:
        assume(False)
    return training, plan


@st.composite
def any_plans(draw: st.DrawFn) -> tuple[TrainingGraph, Plan, Accelerator]:
    """Plans that no schedule would make: any groups, any sub-batches, any residency that has room."""
    training, batch, accelerator = training_graph(draw(small_networks)), draw(batches), draw(machines)
    names = [unit.name for unit in training.units]
    cuts = sorted({0, *draw(st.lists(st.integers(1, len(names)), max_size=3)), len(names)})
    batched = [tensor.name for tensor in training.tensors.values() if tensor.batched]
    residencies = st.dictionaries(st.sampled_from(batched), st.sampled_from(Residency), max_size=len(batched))
    groups = tuple(
        Group(tuple(names[first:last]), draw(st.integers(1, batch)), draw(residencies), draw(residencies))
        for first, last in pairwise(cuts)
    )
    plan = Plan(training.name, "random", batch, draw(st.booleans()), groups, draw(st.integers(1, 2)))
    try:
        verify_plan(training, plan, accelerator)
        lower(training, plan, accelerator)
    except (PlanError, SpaceError):
        assume(False)
    return training, plan, accelerator


def events(training: TrainingGraph, plan: Plan, accelerator: Accelerator) -> Timing:
    return run_events(lower(training, plan, accelerator), accelerator, None)


def critical_path(program: Program) -> int:
    """Cycles of the longest chain of commands that wait for each other.

    Of every command only its last step counts, and of every segment its last iteration: that step needs the last
    step of whatever made its operands, on chip or by way of DRAM.
    """
    ends: dict[str, int] = {}
    longest = 0
    for segment in program.cores[0]:
        for command in segment.iterations[-1][1]:
            table = step_table(command)
            read = [token.tensor for token in command.waits]
            read += [load.transfer.tensor.name for load in command.loads if load.after is not After.NOTHING]
            end = max((ends.get(name, 0) for name in read), default=0) + sum(cycles[-1] for cycles in table.cycles)
            ends |= {token.tensor: end for token in command.posts}
            ends |= {load.posts: end for load in command.loads if load.posts}
            ends |= {store.transfer.tensor.name: end for store in command.stores}
            longest = max(longest, end)
    return longest


def bounds(program: Program, accelerator: Accelerator) -> dict[str, float]:
    """Cycles that the step cannot be shorter than: each unit's work on one core, and everybody's DRAM bytes."""
    array = vector = loads = stores = 0
    for segment in program.cores[0]:
        count = len(segment.iterations)
        for iteration, (_, body) in enumerate(segment.iterations):
            for each in body:
                array += each.work.stage("array").cycles
                vector += each.work.stage("vector").cycles
                loads += sum(l.flow.total for l in each.loads if l.transfer.happens(iteration, count))  # noqa: E741
                stores += sum(s.flow.total for s in each.stores if s.transfer.happens(iteration, count))
    port = accelerator.core.memory_port_bytes_per_cycle
    peak = accelerator.memory.bandwidth_bytes_per_second / accelerator.chip.clock_hz
    # one core's update may be a byte an operand smaller than the other's
    everything = (loads + stores) * accelerator.chip.cores - 64 * len(program.cores[0][-1].iterations[0][1])
    return {
        "array": array,
        "vector": vector,
        "load port": loads / port,
        "store port": stores / port,
        "DRAM": everything / peak,
    }


def check(training: TrainingGraph, plan: Plan, accelerator: Accelerator) -> None:
    program = lower(training, plan, accelerator)
    event, analytic = run_events(program, accelerator, None), run_analytic(program, accelerator, None)
    planned_bytes = +Counter(plan_traffic(training, plan, accelerator))
    assert +Counter(event.dram_bytes) == +Counter(analytic.dram_bytes) == planned_bytes
    for unit, least in bounds(program, accelerator).items():
        assert event.step_cycles >= least, unit
    assert max(event.buffer_peak_bytes, analytic.buffer_peak_bytes) <= accelerator.core.global_buffer_bytes
    for timing in (event, analytic):
        assert sum(row.cycles for row in timing.rows.values()) == timing.step_cycles
        array = timing.units["array"].busy_cycles
        assert array == sum(row.busy_cycles["array"] for row in timing.rows.values())
        assert all(min(unit.busy_cycles, *unit.stall_cycles.values(), 0) == 0 for unit in timing.units.values())
        assert array + sum(timing.units["array"].stall_cycles.values()) == timing.step_cycles


@law(max_examples=60)
@given(small_networks, schedules, machines, batches)
def test_bytes_bounds_space_and_sums(network: LayerGraph, schedule: str, accelerator: Accelerator, batch: int) -> None:
    training, plan = planned(network, schedule, accelerator, batch)
    check(training, plan, accelerator)


@law(max_examples=60)
@given(any_plans())
def test_plans_that_no_schedule_makes_run_too(case: tuple[TrainingGraph, Plan, Accelerator]) -> None:
    check(*case)


@law(max_examples=80)
@given(
    network=st.one_of(small_networks, heavy_networks()),
    schedule=schedules,
    side=st.sampled_from([16, 32, 128]),
    batch=batches,
    percent=st.one_of(st.just(0), st.integers(0, 400)),
)
def test_every_step_comes_to_its_end_from_the_least_buffer_on(
    network: LayerGraph, schedule: str, side: int, batch: int, percent: int
) -> None:
    """The least in which each operation can run with nothing on chip; small arrays have it low."""
    training, array = training_graph(network), (f"array.rows={side}", f"array.columns={side}")
    least = max(
        least_bytes(operation, machine(*array).array, batch)
        for direction in (Direction.FORWARD, Direction.BACKWARD)
        for operation in place(training, 0, len(training.units) - 1, direction, {})
    )
    accelerator = machine(*array, f"core.global_buffer={least * (100 + percent) // 100} B")
    check(training, SCHEDULES[schedule].make(training, accelerator, batch), accelerator)


@law(max_examples=20)
@given(small_networks, schedules, machines, batches)
def test_two_runs_are_identical(network: LayerGraph, schedule: str, accelerator: Accelerator, batch: int) -> None:
    training, plan = planned(network, schedule, accelerator, batch)
    assert events(training, plan, accelerator) == events(training, plan, accelerator)
    fresh = replace(training_graph(network))  # nothing remembered
    assert events(fresh, SCHEDULES[schedule].make(fresh, accelerator, batch), accelerator) == events(
        training, plan, accelerator
    )


@law(max_examples=20)
@given(small_networks, schedules, batches)
def test_energy_and_rows_add_up(network: LayerGraph, schedule: str, batch: int) -> None:
    run = simulate(network, schedule, machine(), batch=2 * batch)
    assert sum(asdict(run.energy_joules).values()) == pytest.approx(run.energy_joules.total)
    assert sum(row.energy_joules for row in run.rows) == pytest.approx(run.energy_joules.total)
    for total, field in ((run.global_buffer_bytes.read, "read"), (run.global_buffer_bytes.write, "write")):
        assert sum(getattr(row, f"global_buffer_{field}_bytes") for row in run.rows) == total
    twice = machine("energy.mac=2.84 pJ")
    multiplied = run.macs - run.vector_macs + run.surplus_macs
    more = simulate(network, schedule, twice, batch=2 * batch).energy_joules
    assert more.array - run.energy_joules.array == pytest.approx(multiplied * 1.42e-12)
    assert replace(more, array=0) == replace(run.energy_joules, array=0)


# -- faster hardware is never slower ---------------------------------------------------------------------------
#
# The plan stays the same.  A faster unit changes who comes first where queues share DRAM: a write that is ready
# earlier may now be served before a read that somebody waits for, which costs that read one request's turn and
# a turnaround of the bus.  As in any list schedule (Graham's anomalies) such turns need not be won back, so half
# a percent and some turns are allowed.

TURNS = 8


def allowed(cycles: int, accelerator: Accelerator) -> float:
    memory = accelerator.memory
    turn = REQUEST_BYTES / memory.bandwidth_bytes_per_second + memory.tcl_seconds + memory.twtr_seconds
    refresh = memory.trfc_seconds + memory.trp_seconds + memory.trcd_seconds
    return cycles * 1.005 + (TURNS * turn + refresh) * accelerator.chip.clock_hz


FASTER = {
    "bandwidth": ("memory.bandwidth=1200 GiB/s",),
    "lanes": ("vector.lanes=512",),
    "clock": ("chip.clock=1.4 GHz",),
    "ports": ("core.memory_port=1024 B/cycle", "core.vector_port=2048 B/cycle", "core.array_port=1024 B/cycle"),
}


@pytest.mark.parametrize("change", FASTER)
@law(max_examples=20)
@given(network=small_networks, schedule=schedules, buffer=st.sampled_from([192, 512, 2048, 10240]), batch=batches)
def test_faster_hardware_is_never_slower(
    change: str, network: LayerGraph, schedule: str, buffer: int, batch: int
) -> None:
    size = f"core.global_buffer={buffer} KiB"
    before, after = machine(size), machine(size, *FASTER[change])
    training, plan = planned(network, schedule, before, batch)
    slow, fast = (events(training, plan, accelerator).step_cycles for accelerator in (before, after))
    assert fast * before.chip.clock_hz / after.chip.clock_hz <= allowed(slow, before)


@law(max_examples=20)
@given(small_networks, schedules, st.sampled_from([192, 512, 2048, 10240]), batches)
def test_slower_memory_is_waited_for_longer(network: LayerGraph, schedule: str, buffer: int, batch: int) -> None:
    """At a hundredth of the bandwidth the array waits longer for DRAM and the update; its other waits grow by less."""
    fast, slow = (machine(f"core.global_buffer={buffer} KiB", f"memory.bandwidth={rate} GiB/s") for rate in (600, 6))
    training, plan = planned(network, schedule, fast, batch)
    for run in (run_events, run_analytic):
        before, after = (
            run(lower(training, plan, each), each, None).units["array"].stall_cycles for each in (fast, slow)
        )
        assert after[Stall.UPDATE] >= before[Stall.UPDATE] > 0
        assert after[Stall.DRAM] >= before[Stall.DRAM] > 0
        more = {cause: after[cause] - before[cause] for cause in Stall}
        assert sum(more.values()) <= 2 * (more[Stall.DRAM] + more[Stall.UPDATE]) + 1


@law(max_examples=20)
@given(small_networks, schedules, st.sampled_from([192, 512, 2048]), batches)
def test_a_larger_buffer_under_the_same_plan_moves_no_more(
    network: LayerGraph, schedule: str, buffer: int, batch: int
) -> None:
    before, after = (machine(f"core.global_buffer={size} KiB") for size in (buffer, 2 * buffer))
    training, plan = planned(network, schedule, before, batch)
    small, large = (events(training, plan, accelerator).dram_bytes for accelerator in (before, after))
    assert sum(large.values()) <= sum(small.values())


# -- more of the same costs as much more -----------------------------------------------------------------------


def steps(training: TrainingGraph, plan: Plan, accelerator: Accelerator) -> int:
    """Cycles without the update, which happens once whatever the batch."""
    timing = events(training, plan, accelerator)
    return sum(row.cycles for (_, phase), row in timing.rows.items() if phase != "update")


@pytest.mark.parametrize(("settings_", "tolerance"), [(("chip.cores=1", "memory.trefi=1 ms"), 0.02), ((), 0.25)])
@law(max_examples=8)
@given(
    network=small_networks,
    schedule=st.sampled_from(["mbs-fs", "mbs1", "mbs2"]),
    buffer=st.sampled_from([512, 10240]),
    sub_batch=st.integers(1, 2),
)
def test_more_iterations_cost_as_much_more(
    settings_: tuple[str, ...], tolerance: float, network: LayerGraph, schedule: str, buffer: int, sub_batch: int
) -> None:
    """Whole groups repeated: once the queues have filled, every eight more samples cost the same.

    On one core that no refresh interrupts to two percent.  Two cores with images of one pixel wait for latencies most
    of the time; how their requests interleave, and whether they meet in a bank of DRAM, settles late.
    """
    accelerator = machine(f"core.global_buffer={buffer} KiB", *settings_)
    training, plan = planned(network, schedule, accelerator, sub_batch)
    groups = tuple(replace(group, held=frozenset()) for group in plan.groups)
    one, two, three = (
        steps(training, replace(plan, batch_per_core=8 * count, groups=groups), accelerator) for count in (1, 2, 3)
    )
    assert two <= allowed(2 * one * (1 + tolerance), accelerator)
    assert three - two == pytest.approx(two - one, rel=tolerance, abs=allowed(0, accelerator))


def repeated(count: int) -> LayerGraph:
    net = Network("repeated", Shape(64, 28, 28))
    x = net.input
    for _ in range(count):
        x = net(Conv(64, 3, padding=1), x)
    net(CrossEntropy(), net(Linear(10), net(Flatten(), net(GlobalAvgPool(), x))))
    return net.build()


@pytest.mark.parametrize("schedule", ["baseline", "archopt", "mbs2"])
def test_each_further_layer_costs_the_same(schedule: str) -> None:
    costs = [simulate(repeated(count), schedule, machine(), batch=16).step_cycles for count in (4, 8, 12, 16)]
    growth = [after - before for before, after in pairwise(costs)]
    assert growth == pytest.approx([growth[0]] * 3, rel=0.02)


# -- two cores ---------------------------------------------------------------------------------------------------


@law(max_examples=15)
@given(small_networks, schedules, machines, batches)
def test_cores_may_be_exchanged(network: LayerGraph, schedule: str, accelerator: Accelerator, batch: int) -> None:
    training, plan = planned(network, schedule, accelerator, batch)
    program = lower(training, plan, accelerator)
    exchanged = replace(program, cores=program.cores[::-1])
    there, back = (run_events(each, accelerator, None) for each in (program, exchanged))
    assert +Counter(there.dram_bytes) == +Counter(back.dram_bytes)
    assert there.step_cycles == pytest.approx(back.step_cycles, rel=0.002, abs=allowed(0, accelerator))


@law(max_examples=40)
@given(small_networks, machines, batches, schedules)
def test_no_step_is_shorter_than_its_critical_path(
    network: LayerGraph, accelerator: Accelerator, batch: int, schedule: str
) -> None:
    program = lower(*planned(network, schedule, accelerator, batch), accelerator)
    path = critical_path(program)
    assert 0 < path <= run_events(program, accelerator, None).step_cycles
