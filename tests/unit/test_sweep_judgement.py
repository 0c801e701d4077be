"""Which results are feasible, and which are on a front?"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from sweep_specs import parsed

from wavecore.errors import ConfigError
from wavecore.sweep.assignment import Assignment, UnbuildableError
from wavecore.sweep.judgement import Judgement, judge, on_fronts
from wavecore.sweep.space import Point, complete
from wavecore.sweep.task import Outcome

AXES = '[axes]\nbatch = [2, 4]\nschedule = ["il", "mbs2"]\n'
METRICS: Mapping[str, int | float | str] = {
    "step_seconds": 0.1, "energy_joules.total": 3.0, "step_cycles": 100, "batch": 99, "memory": "hbm2x2"
}  # fmt: skip
POINT: Point = (2, "il")


def outcome(**changes: int | float) -> Outcome:
    return Outcome(key="k", metrics={**METRICS, **changes}, error=None, seconds=1.0)


def judged(constraint: str, result: Outcome | None = None, point: Point = POINT) -> Judgement:
    return judge(parsed(f"constraints = ['{constraint}']\n{AXES}"), point, result or outcome())


def test_the_goals_are_the_objectives_in_their_order() -> None:
    spec = parsed(f'{AXES}[objectives]\nmaximize = ["step_cycles"]\nminimize = ["energy_joules.total"]\n')
    assert judge(spec, POINT, outcome()) == Judgement((100.0, 3.0), feasible=True)


@pytest.mark.parametrize(
    ("constraint", "feasible"),
    [
        ("step_seconds < 0.2", True),
        ("step_seconds < 90 ms", False),
        ("energy_joules.total <= 3 J", True),
        ("energy_joules.total / step_seconds < 25 W", False),
        ('step_seconds < 1 and schedule == "mbs2"', False),
        ("step_cycles / step_seconds > chip.clock", False),
        ("step_cycles >= batch * 50 cycles", True),
    ],
)
def test_constraints_see_results_and_points(constraint: str, feasible: bool) -> None:
    assert judged(constraint) == Judgement((0.1, 3.0), feasible=feasible)


def test_a_constraint_sees_the_point_and_not_what_a_metric_calls_the_same() -> None:
    assert judged("step_seconds > 0 and batch == 2").feasible


def test_a_failure_has_its_error_and_no_goals() -> None:
    failed = Outcome(key="k", metrics=None, error="layer conv1: too large", seconds=1.0)
    assert judged("step_seconds > 0", failed) == Judgement(error="layer conv1: too large")


def test_what_cannot_be_worked_out_is_an_error() -> None:
    found = judged("1 / (step_cycles - 100) > 0")
    assert found.goals == (0.1, 3.0) and not found.feasible
    assert "divides by zero" in found.error


GOOD, BAD = Judgement((1.0, 5.0), feasible=True), Judgement((2.0, 6.0), feasible=True)


@pytest.mark.parametrize(
    ("judgements", "front"),
    [
        ([GOOD, BAD], [True, False]),
        ([BAD, GOOD, GOOD], [False, True, True]),
        ([Judgement((0.0, 0.0)), BAD], [False, True]),
        ([Judgement(error="failed"), BAD], [False, True]),
        ([Judgement((1.0, 6.0), feasible=True), Judgement((2.0, 5.0), feasible=True)], [True, True]),
        ([], []),
    ],
)
def test_fronts(judgements: list[Judgement], front: list[bool]) -> None:
    assert on_fronts(parsed(AXES), [POINT] * len(judgements), judgements) == front


def test_what_is_maximized_counts_the_other_way() -> None:
    spec = parsed(f'{AXES}[objectives]\nmaximize = ["samples_per_second"]\nminimize = ["step_cycles"]\n')
    judgements = [Judgement((10.0, 5.0), feasible=True), Judgement((20.0, 5.0), feasible=True)]
    assert on_fronts(spec, [POINT] * 2, judgements) == [False, True]


def test_there_is_a_front_for_each_value_of_per() -> None:
    spec = parsed(f'{AXES}[objectives]\nper = ["schedule"]\n')
    points: list[Point] = [(2, "il"), (2, "mbs2"), (4, "il")]
    assert on_fronts(spec, points, [BAD, GOOD, GOOD]) == [False, True, True]


def test_a_derived_value_is_worked_out_once_and_when_asked_for() -> None:
    spec = parsed('[axes]\n"array.rows" = [64, 96]\n"array.columns" = "16384 / array.rows"\n')
    values = Assignment(spec, {"array.rows": 64})
    assert "array.columns" not in values
    assert values["array.columns"] == 256
    assert "array.columns" in values
    with pytest.raises(ConfigError, match=r"at array\.rows = 96: 170\.667 is not a whole number"):
        Assignment(spec, {"array.rows": 96})["array.columns"]


def test_a_field_that_nobody_states_is_the_machines() -> None:
    spec = parsed(f'constraints = ["memory.channels > 0 and array.rows > 0"]\n{AXES}')
    assert Assignment(spec, {}).term("array.rows") == 128
    wrong = parsed('constraints = ["memory.channels > 0"]\n[base]\nlocal_buffer.a = "1 KiB"\n' + AXES)
    with pytest.raises(UnbuildableError):
        Assignment(wrong, {}).term("memory.channels")


def test_a_point_is_complete_or_excluded() -> None:
    spec = parsed(f'constraints = ["batch < 4"]\n{AXES}')
    assert complete(spec, {"batch": 2, "schedule": "il"}) == (2, "il")
    assert complete(spec, {"batch": 4, "schedule": "il"}) is None
