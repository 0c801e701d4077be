"""What holds of every order of the queues, whatever the network, the schedule and the machine?"""

from __future__ import annotations

from collections import Counter
from functools import cache

from builders import SCHEDULES, machine
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from small_networks import NETWORKS

from wavecore.errors import SpaceError
from wavecore.hardware.specs import Accelerator
from wavecore.plan.model import Choices, QueueOrder
from wavecore.program.lower import lower
from wavecore.program.queue_order import sections, stretches
from wavecore.results.run import Run
from wavecore.simulation import make_plan, simulate
from wavecore.training.graph import TrainingGraph
from wavecore.training.unroll import training_graph


@cache
def network(name: str) -> TrainingGraph:
    return training_graph(NETWORKS[name]())


@st.composite
def cases(draw: st.DrawFn) -> tuple[TrainingGraph, str, Accelerator, int]:
    """A network, a schedule, a machine with a buffer from tiny to ample, and a mini-batch."""
    buffer = draw(st.sampled_from((24, 48, 96, 256, 1024)))
    size = draw(st.sampled_from((16, 64, 128)))
    lanes = draw(st.sampled_from((32, 256)))
    accelerator = machine(
        f"core.global_buffer={buffer} KiB", f"array.rows={size}", f"array.columns={size}", f"vector.lanes={lanes}"
    )
    return network(draw(st.sampled_from(sorted(NETWORKS)))), draw(st.sampled_from(sorted(SCHEDULES))), accelerator, 8


def run(case: tuple[TrainingGraph, str, Accelerator, int], order: QueueOrder, engine: str = "event") -> Run:
    training, schedule, accelerator, batch = case
    try:
        return simulate(training, schedule, accelerator, batch=batch, choices=Choices(order=order), engine=engine)
    except SpaceError:
        reject()


law = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@law
@given(cases())
def test_every_unit_works_on_every_step_once_and_in_order(case: tuple[TrainingGraph, str, Accelerator, int]) -> None:
    training, schedule, accelerator, batch = case
    try:
        plan = make_plan(training, schedule, accelerator, batch // accelerator.chip.cores)
        lowered = lower(training, plan, accelerator)
    except SpaceError:
        reject()
    for section in sections(lowered, 0):
        commands = section.commands
        for unit, order in stretches(lowered, section).items():
            worked: Counter[int] = Counter()
            for number, first, end in order:
                assert worked[number] == first < end
                worked[number] = end
            having = {number: each.steps for number, each in enumerate(commands) if each.work.stage(unit).cycles}
            assert {number: worked[number] for number in having} == having


@law
@given(cases())
def test_the_order_moves_no_bytes_and_costs_no_time(case: tuple[TrainingGraph, str, Accelerator, int]) -> None:
    """Not more than 0.5 %, or the cycles in which a unit fills: a list schedule is no optimum."""
    overlapped, program = run(case, QueueOrder.OVERLAPPED), run(case, QueueOrder.PROGRAM)
    assert overlapped.dram_bytes == program.dram_bytes
    assert overlapped.macs == program.macs
    assert overlapped.step_cycles <= program.step_cycles * 1.005 + 2000


@law
@given(cases(), st.sampled_from(QueueOrder), st.sampled_from(("event", "analytic")))
def test_no_run_beats_its_bound(
    case: tuple[TrainingGraph, str, Accelerator, int], order: QueueOrder, engine: str
) -> None:
    result = run(case, order, engine)
    assert result.bound_cycles.largest <= result.step_cycles
