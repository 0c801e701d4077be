"""Laws of sweeps: fronts, grids, draws and arithmetic, each against something simpler."""

from __future__ import annotations

import ast
import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_specs import parsed

from wavecore.sweep.axes import read_range
from wavecore.sweep.expressions import parse_expression, quantity_type
from wavecore.sweep.parameters import find_parameter
from wavecore.sweep.pareto import pareto
from wavecore.sweep.space import listed_points

COSTS = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.tuples(*[st.integers(-4, 4).map(float)] * width), max_size=40)
)


def dominated(point: tuple[float, ...], by: tuple[float, ...]) -> bool:
    return by != point and all(theirs <= ours for theirs, ours in zip(by, point, strict=True))


@given(COSTS)
def test_the_front_is_what_nothing_dominates(costs: list[tuple[float, ...]]) -> None:
    assert pareto(costs) == [not any(dominated(point, other) for other in costs) for point in costs]


@given(COSTS, st.randoms())
def test_the_front_does_not_depend_on_the_order(costs: list[tuple[float, ...]], chance: st.DataObject) -> None:
    order = list(range(len(costs)))
    chance.shuffle(order)  # type: ignore[attr-defined]
    flags = pareto(costs)
    assert pareto([costs[index] for index in order]) == [flags[index] for index in order]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5, unique=True),
       st.lists(st.sampled_from(["baseline", "il", "mbs1", "mbs2"]), min_size=1, unique=True),
       st.lists(st.sampled_from([64, 128, 256]), min_size=1, unique=True))  # fmt: skip
def test_a_grid_is_the_product_of_its_axes(batch: list[int], schedule: list[str], rows: list[int]) -> None:
    text = f'[axes]\nbatch = {batch}\nschedule = {schedule}\n"array.rows" = {rows}\n"vector.lanes" = "array.rows * 2"\n'
    expected = [(*each, 2 * each[-1]) for each in itertools.product(batch, schedule, rows)]
    assert listed_points(parsed(text)) == expected


@given(st.integers(0, 1000), st.integers(1, 40))
def test_draws_are_the_same_for_a_seed_and_never_repeat(seed: int, count: int) -> None:
    text = (
        '[axes]\nbatch = { from = 1, to = 4096, scale = "log" }\nschedule = ["il", "mbs2"]\noption.width = [0.5, 1.0]\n'
    )
    search = f'[search]\nmethod = "random"\nseed = {seed}\npoints = '
    first = listed_points(parsed(f"{text}{search}{count}\n"))
    assert first == listed_points(parsed(f"{text}{search}{count}\n"))
    assert len(set(first)) == len(first) == count
    assert first == listed_points(parsed(f"{text}{search}{count + 5}\n"))[:count], "more points only add to fewer"


@given(st.integers(1, 5000), st.integers(0, 5000), st.integers(1, 500))
def test_linear_ranges(low: int, more: int, step: int) -> None:
    parameter = find_parameter("batch", "s", (), None)  # type: ignore[arg-type]
    found = read_range(parameter, {"from": low, "to": low + more, "step": step}, "s").values
    assert list(found) == list(range(low, low + more + 1, step))


@given(st.integers(1, 100), st.integers(0, 5000), st.sampled_from([1.25, 1.5, 2, 3, 10]))
def test_geometric_ranges(low: int, more: int, factor: float) -> None:
    parameter = find_parameter("batch", "s", (), None)  # type: ignore[arg-type]
    found = read_range(parameter, {"from": low, "to": low + more, "factor": factor}, "s").values
    exact = itertools.takewhile(lambda value: value <= low + more, (low * Fraction(factor) ** at for at in range(99)))
    assert list(found) == list(dict.fromkeys(round(value) for value in exact))


@given(st.integers(2, 50), st.integers(1, 60000), st.sampled_from(["linear", "log"]))
def test_ranges_of_points_hold_both_ends_and_rise(count: int, high: int, scale: str) -> None:
    parameter = find_parameter("batch", "s", (), None)  # type: ignore[arg-type]
    found = read_range(parameter, {"from": 1, "to": high, "points": count, "scale": scale}, "s").values
    assert (found[0], found[-1]) == (1, high)
    assert list(found) == sorted(set(found)) and len(found) <= count


NUMBERS = st.integers(0, 9).map(str) | st.sampled_from(["a", "b", "0.5", "1.25"])
ARITHMETIC = st.recursive(
    NUMBERS,
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(
        lambda parts: f"({' '.join(parts)})"
    ),
    max_leaves=12,
)


class _Exact(ast.NodeTransformer):
    """Makes Python's own arithmetic exact, which then is the referee of ours."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.parse(f"Fraction('{node.value}')", mode="eval").body


@given(ARITHMETIC, st.integers(-9, 9), st.integers(-9, 9))
def test_arithmetic_is_that_of_python_on_fractions(text: str, a: int, b: int) -> None:
    values = {"a": Fraction(a), "b": Fraction(b)}
    tree = ast.fix_missing_locations(_Exact().visit(ast.parse(text, mode="eval")))
    try:
        expected = eval(compile(tree, "text", "eval"), {"Fraction": Fraction}, values)
    except ZeroDivisionError:
        return
    expression = parse_expression(text, "s", lambda name: quantity_type("", strict=False)[0])
    assert expression.value(values.__getitem__) == expected


@pytest.mark.parametrize(
    ("seed", "drawn"), [(1, [(3, 57030293), (199, 17898509)]), (2, [(755, 63662333), (1, 6655244)])]
)
def test_a_seed_draws_the_same_on_every_machine(seed: int, drawn: list[tuple[int, int]]) -> None:
    """Python's generator is the same everywhere, and so is what is made of it."""
    text = (
        '[axes]\nbatch = {from = 1, to = 1024, scale = "log"}\ncore.global_buffer = {from = "1 MiB", to = "64 MiB"}\n'
    )
    spec = parsed(f'{text}[search]\nmethod = "random"\nseed = {seed}\npoints = 2\n')
    assert listed_points(spec) == drawn
