"""Is a sweep specification read as it was meant: axes, ranges, derived axes, what is fixed?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sweep_specs import parsed

from wavecore.errors import ConfigError
from wavecore.hardware.config import load_accelerator, machine_keys
from wavecore.sweep.parameters import SweepParameter
from wavecore.sweep.sections import Objective, Search
from wavecore.sweep.space import assignment, listed_points
from wavecore.sweep.spec import SweepSpec

MIB = 1 << 20
RANDOM = '[search]\nmethod = "random"\npoints = 50\n'


def values(axis: str) -> Sequence[Any]:
    return parsed(f"[axes]\n{axis}\n").axes[0].values


def column(spec: SweepSpec, name: str) -> list[Any]:
    return [assignment(spec, point)[name] for point in listed_points(spec)]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        ('schedule = ["il", "mbs2"]', ["il", "mbs2"]),
        ("batch = [64, 32]", [64, 32]),
        ('"core.global_buffer" = ["2.5 MiB", "1 MB"]', [5 * MIB // 2, 10**6]),
        ('core.global_buffer = ["5 MiB"]', [5 * MIB]),
        ('"memory.tcl" = ["14 ns"]', [14e-9]),
        ('"array.weight_double_buffering" = [true, false]', [True, False]),
        ('"array.weight_load" = ["global"]', ["global"]),
        ('"option.width" = [0.5, 1]', [0.5, 1.0]),
        ('"choice.normalization_passes" = [1, 2]', [1, 2]),
        ('"choice.hold_weight_gradients" = [false]', [False]),
        ('core.global_buffer = { from = "5 MiB", to = "20 MiB", factor = 2 }', [5 * MIB, 10 * MIB, 20 * MIB]),
        ('"core.global_buffer" = { from = "5 MiB", to = "39 MiB", factor = 2 }', [5 * MIB, 10 * MIB, 20 * MIB]),
        ('core.global_buffer = { from = "1 MiB", to = "3 MiB", step = "1 MiB" }', [MIB, 2 * MIB, 3 * MIB]),
        ("batch = { from = 10, to = 40, step = 15 }", [10, 25, 40]),
        ("batch = { from = 8, to = 8, step = 1 }", [8]),
        ("batch = { from = 10, to = 20, factor = 1.5 }", [10, 15]),
        ("batch = { from = 1, to = 100, points = 3, scale = 'log' }", [1, 10, 100]),
        ("batch = { from = 1, to = 4, points = 9 }", [1, 2, 3, 4]),
        ('"option.width" = { from = 0.1, to = 0.7, step = 0.1 }', [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
        ('"memory.tcl" = { from = "10 ns", to = "20 ns", points = 3 }', [10e-9, 15e-9, 20e-9]),
        ('"chip.clock" = { from = "0.5 GHz", to = "2 GHz", points = 3, scale = "log" }', [5 * 10**8, 10**9, 2 * 10**9]),
    ],
)  # fmt: skip
def test_values(axis: str, expected: list[object]) -> None:
    found = values(axis)
    assert list(found) == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


def test_every_field_of_the_machine_can_be_varied() -> None:
    """With its own default as the only value, each gives the default machine again."""
    default = load_accelerator()
    for name, key in machine_keys().items():
        value = getattr(getattr(default, name.partition(".")[0]), key.field)
        # The text of a value is what --set takes, so TOML takes it too but for plain numbers and flags.
        text = parsed(f"[axes]\n{name} = [{_toml(value, key.unit)}]\n")
        (point,) = listed_points(text)
        assert assignment(text, point).accelerator() == default, name


def _toml(value: object, unit: str) -> str:
    from wavecore.common.units import UNITS

    if unit:
        return f'"{value} {UNITS[unit].symbol}"'
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def test_the_first_axis_varies_slowest() -> None:
    spec = parsed('[axes]\nbatch = [2, 4]\nschedule = ["il", "mbs2"]\n')
    assert listed_points(spec) == [(2, "il"), (2, "mbs2"), (4, "il"), (4, "mbs2")]


def test_a_list_of_workloads_is_the_first_axis() -> None:
    spec = parsed("[axes]\nbatch = [2]\n", head='name = "x"\nworkload = ["resnet18", "alexnet"]\n')
    assert [axis.name for axis in spec.axes] == ["workload", "batch"]
    assert spec.per == ("workload",)


def test_a_list_of_one_workload_suits_optuna_too() -> None:
    head = 'name = "x"\nworkload = ["resnet18"]\n'
    assert parsed('[axes]\nbatch = [2]\n[search]\nmethod = "optuna"\npoints = 3\n', head=head).search.points == 3


def test_what_nobody_states_is_as_in_a_run_but_for_the_engine() -> None:
    spec = parsed("[axes]\nbatch = [2]\n")
    assert spec.base == {
        "workload": "resnet18", "accelerator": "wavecore", "schedule": "mbs2", "engine": "analytic"
    }  # fmt: skip
    assert spec.objectives == (Objective("step_seconds"), Objective("energy_joules.total"))
    assert (spec.search, spec.figure, spec.per) == (Search(), None, ())
    (point,) = listed_points(spec)
    task = assignment(spec, point).task()
    assert (task.workload, task.schedule, task.engine, task.batch) == ("resnet18", "mbs2", "analytic", 2)
    assert task.accelerator == load_accelerator()


def test_a_point_becomes_a_task() -> None:
    text = """
[base]
memory = "lpddr4"
energy = "32nm"
option.image = 64
choice.normalization_passes = 1
core.global_buffer = "7 MiB"
[axes]
"array.rows" = [256]
"array.columns" = "16384 / array.rows"
"choice.hold_weight_gradients" = [false]
"""
    spec = parsed(text)
    task = assignment(spec, listed_points(spec)[0]).task()
    overrides = ["core.global_buffer=7 MiB", "array.rows=256", "array.columns=64"]
    assert task.accelerator == load_accelerator(memory="lpddr4", overrides=overrides)
    assert task.options["image"] == 64
    assert (task.choices.normalization_passes, task.choices.hold_weight_gradients) == (1, False)
    assert task.batch == 64


def test_derived_axes_may_depend_on_derived_ones_in_any_order() -> None:
    text = '[axes]\nbatch = "array.columns * 2"\n"array.columns" = "512 // array.rows"\n"array.rows" = [64, 128]\n'
    spec = parsed(text)
    assert listed_points(spec) == [(16, 8, 64), (8, 4, 128)]
    assert spec.depends["batch"] == {"array.rows"}


def test_derived_quantities() -> None:
    text = '[axes]\n"vector.lanes" = [64]\ncore.vector_port = "vector.lanes * 4 B/cycle"\nmemory.tcl = "7 ns * 2"\n'
    spec = parsed(text.replace('memory.tcl = "7 ns * 2"', 'memory.tcl = "vector.lanes * 0.25 ns"'))
    assert listed_points(spec) == [(64, 256, 16e-9)]


def test_constraints_keep_points_out() -> None:
    text = 'constraints = ["batch % chip.cores == 0", "chip.cores * core.global_buffer <= 20 MiB"]\n'
    spec = parsed(text + '[axes]\nchip.cores = [1, 3, 4]\nbatch = [9, 12]\ncore.global_buffer = ["5 MiB", "10 MiB"]\n')
    small, large = 5 * MIB, 10 * MIB
    one = [(1, 9, small), (1, 9, large), (1, 12, small), (1, 12, large)]
    assert listed_points(spec) == [*one, (3, 9, small), (3, 12, small), (4, 12, small)]


def test_a_constraint_may_ask_for_any_field_of_the_machine() -> None:
    text = 'constraints = ["memory.bandwidth >= 300 GiB/s"]\n[axes]\nmemory = ["hbm2", "lpddr4", "hbm2x2"]\n'
    assert column(parsed(text), "memory") == ["hbm2", "hbm2x2"]


def test_a_constraint_excludes_what_no_axis_could_be_derived_from() -> None:
    head = 'constraints = ["array.columns > 0", "16384 % array.rows == 0"]\n'
    spec = parsed(head + '[axes]\n"array.rows" = [64, 96, 128]\n"array.columns" = "16384 / array.rows"\n')
    assert listed_points(spec) == [(64, 256), (128, 128)]


def test_a_machine_that_cannot_be_is_a_point_all_the_same() -> None:
    """It fails when it is evaluated, and is in the table with its error."""
    head = 'constraints = ["memory.bandwidth > 1 GiB/s"]\n[base]\nlocal_buffer.a = "64 KiB"\n'
    assert len(listed_points(parsed(head + '[axes]\n"array.rows" = [128, 512]\n'))) == 2


def test_constraints_on_results_wait() -> None:
    spec = parsed('constraints = ["step_seconds < 4 ms and batch > 2", "batch < 8"]\n[axes]\nbatch = [2, 4]\n')
    assert [each.text for each in spec.result_constraints] == ["step_seconds < 4 ms and batch > 2"]
    assert [each.text for each in spec.point_constraints] == ["batch < 8"]


def test_random_values_stay_in_their_range() -> None:
    text = '[axes]\n"vector.lanes" = { from = 64, to = 1024, scale = "log" }\noption.width = { from = 0.5, to = 1.0 }\n'
    spec = parsed(text + RANDOM)
    lanes = column(spec, "vector.lanes")
    assert all(64 <= value <= 1024 for value in lanes) and len(lanes) == 50
    assert sum(value < 256 for value in lanes) == pytest.approx(25, abs=10), "half of them below the geometric mean"
    assert all(0.5 <= value <= 1.0 for value in column(spec, "option.width"))


def test_a_random_search_ends_when_the_space_is_exhausted() -> None:
    assert sorted(listed_points(parsed("[axes]\nbatch = [2, 4, 6]\n" + RANDOM))) == [(2,), (4,), (6,)]


def test_objectives_keep_their_order() -> None:
    text = '[axes]\nbatch = [2]\nschedule = ["il"]\n[objectives]\nmaximize = ["macs"]\nminimize = ["step_cycles"]\n'
    spec = parsed(text + 'per = ["batch"]\n')
    assert spec.objectives == (Objective("macs", True), Objective("step_cycles"))
    assert spec.per == ("batch",)


def test_paths_start_from_the_folder_of_the_specification(tmp_path: Path) -> None:
    (tmp_path / "net.csv").write_text("Layer,M,N,K,\nfirst,100,64,27,\n")
    (tmp_path / "slow.toml").write_text((Path(str(load_source("hbm2")))).read_text())
    spec = parsed('[axes]\nmemory = ["slow.toml"]\n', head='name = "x"\nworkload = "net.csv"\n', folder=tmp_path)
    task = assignment(spec, listed_points(spec)[0]).task()
    assert task.workload == str(tmp_path / "net.csv")
    assert task.accelerator.memory.bandwidth_bytes_per_second == 300 << 30


def load_source(memory: str) -> object:
    from wavecore.hardware.registered import registered

    return registered("memories")[memory]


def test_the_example_in_the_documentation_is_right() -> None:
    from wavecore.sweep import spec as module

    text = str(module.__doc__).partition("::\n\n")[2].partition("\n`parameters`")[0]
    spec = parsed("\n".join(line[4:] for line in text.splitlines()), head="")
    assert (spec.name, len(listed_points(spec))) == ("buffer-memory", 27)


def test_a_grid_is_counted_before_its_values_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SweepParameter, "near", lambda *_: pytest.fail("a value was made"))
    axes = "batch = { from = 1, to = 60000, step = 1 }\narray.rows = { from = 1, to = 4096, step = 1 }\n"
    with pytest.raises(ConfigError, match="the grid has 245,760,000 points, more than 1,000,000"):
        parsed(f"[axes]\n{axes}")


def test_workloads_may_be_an_axis() -> None:
    axes = 'schedule = ["il", "mbs2"]\n'
    inside = parsed(f'[axes]\nworkload = ["resnet18", "lenet5"]\n{axes}', head='name = "small"\n')
    above = parsed(f"[axes]\n{axes}", head='name = "small"\nworkload = ["resnet18", "lenet5"]\n')
    assert listed_points(inside) == listed_points(above)
    assert [axis.name for axis in inside.axes] == ["workload", "schedule"]
    with pytest.raises(ConfigError, match=r"axes\.workload: stands at the top too"):
        parsed('[axes]\nworkload = ["lenet5"]\n')


@pytest.mark.parametrize(("limit", "points"), [("1e8", 3), ("1.5e1", 2), ("8e0", 1), ("1_0", 2), ("2E+1", 3)])
def test_numbers_may_have_exponents(limit: str, points: int) -> None:
    assert len(listed_points(parsed(f'constraints = ["batch < {limit}"]\n[axes]\nbatch = [4, 8, 16]\n'))) == points
