"""Do step tables add up to their commands?"""

from __future__ import annotations

from builders import SCHEDULES, command, load, machine, store
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strategies import machines, networks

from wavecore.errors import SpaceError
from wavecore.hardware.specs import Accelerator
from wavecore.network.graph import LayerGraph
from wavecore.program.commands import Command, Flow, StepProfile, Token
from wavecore.program.lower import lower
from wavecore.program.step_tables import StepTable, step_table
from wavecore.training.unroll import training_graph


def check_sums(each: Command, table: StepTable) -> None:
    for index, load_ in enumerate(each.loads):
        parts = [(nbytes, due) for step in table.loads for which, nbytes, due in step if which == index]
        assert sum(nbytes for nbytes, _ in parts) == load_.flow.total
        assert [due for _, due in parts] == sorted(due for _, due in parts)
    for index, store_ in enumerate(each.stores):
        rows = [row for step in table.stores for row in step if row[0] == index]
        assert sum(row[1] for row in rows) == sum(row.visible_bytes for row in rows) == store_.flow.total
        assert sum(row.staged_bytes for row in rows) == store_.flow.total * store_.staged
    for token in each.posts:
        posted = sum(nbytes for step in table.posts for name, nbytes in step if name == token.tensor)
        assert posted == sum(other.flow.total for other in each.posts if other.tensor == token.tensor)
    assert [sum(cycles) for cycles in table.cycles] == [stage.cycles for stage in each.work.stages]
    staged = sum(row.staged_bytes for step in table.stores for row in step)
    assert sum(table.takes) == sum(table.gives) + staged


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(networks(), machines(), st.integers(1, 16), st.sampled_from(sorted(SCHEDULES)))
def test_every_command_of_a_plan_adds_up(
    network: LayerGraph, accelerator: Accelerator, batch: int, schedule: str
) -> None:
    training = training_graph(network)
    try:
        program = lower(training, SCHEDULES[schedule].make(training, accelerator, batch), accelerator)
    except SpaceError:
        assume(False)
    distinct = {id(each): each for segment in program.cores[0] for body, _ in segment.bodies for each in body}
    for each in distinct.values():
        check_sums(each, step_table(each))


def test_a_streamed_load_takes_and_gives_its_space_step_by_step() -> None:
    table = step_table(command(steps=4, loads=(load(100),)))
    assert table.loads == [[(0, 25, 25)], [(0, 25, 50)], [(0, 25, 75)], [(0, 25, 100)]]
    assert table.takes == table.gives == [25] * 4


def test_a_held_load_takes_at_once_and_gives_at_the_end() -> None:
    table = step_table(command(steps=4, loads=(load(100, StepProfile.AT_ONCE, StepProfile.AT_END),)))
    assert (table.takes, table.gives) == ([100, 0, 0, 0], [0, 0, 0, 100])


def test_a_load_into_reserved_space_takes_none() -> None:
    table = step_table(command(steps=2, loads=(load(100, freed=None),)))
    assert (table.takes, table.gives) == ([0, 0], [0, 0])


def test_a_staged_store_takes_space_with_the_step_that_makes_it() -> None:
    table = step_table(command(steps=2, stores=(store(10, StepProfile.AT_END),)))
    assert table.takes == [0, 10]
    assert table.stores == [[], [(0, 10, 10, 10, 10)]]


def test_waits_run_ahead_of_the_results() -> None:
    token = Token("x", Flow(80, StepProfile.EVEN, 30, 40))
    table = step_table(command(steps=4, samples=2, waits=(token,)))
    assert table.waits == [[("x", 40, 40)], [("x", 40, 40)], [("x", 80, 40)], [("x", 80, 40)]]


def test_cycles_that_do_not_divide_are_spread() -> None:
    table = step_table(command(steps=3, work={"array_cycles": 100, "vector_cycles": 5}))
    assert table.cycles == ([33, 33, 34], [1, 2, 2])


def test_the_default_machine_needs_no_table_before_it_is_asked() -> None:
    assert machine().core.global_buffer_bytes == 10 << 20
