"""What is made of results: the table, the front, the summary, the figures."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd
import pytest
from sweep_specs import SMALL, parsed, swept

from wavecore.errors import InputError
from wavecore.hardware.config import load_accelerator
from wavecore.hardware.registered import registered
from wavecore.network.catalog import workload
from wavecore.results.folder import json_text
from wavecore.simulation import simulate
from wavecore.sweep import search
from wavecore.sweep import table as table_module
from wavecore.sweep.dispatch import Tasks
from wavecore.sweep.folder import Findings, summary
from wavecore.sweep.judgement import Judgement
from wavecore.sweep.parameters import IDENTITY
from wavecore.sweep.pool import local_pool
from wavecore.sweep.run import SweepRun
from wavecore.sweep.search import bred_points, check_optuna
from wavecore.sweep.sections import FIGURES
from wavecore.sweep.space import Point, listed_points
from wavecore.sweep.store import open_store
from wavecore.sweep.table import LAST, check_parquet, columns, read_csv, write_csv, write_parquet
from wavecore.sweep.task import Outcome, Task, evaluate

GRID = SMALL + '[axes]\nbatch = [2, 4]\ncore.global_buffer = ["1 MiB", "2 MiB"]\nschedule = ["baseline", "mbs2"]\n'
MIB = 1 << 20
OPTUNA = '[search]\nmethod = "optuna"\npoints = 20\npopulation = 6\nseed = 3\n'
SPACE = SMALL + '[axes]\nbatch = [2, 4, 6, 8]\ncore.global_buffer = { from = "1 MiB", to = "8 MiB", scale = "log" }\n'


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[SweepRun, pd.DataFrame]:
    """A small grid that has been swept."""
    return swept(GRID, tmp_path_factory.mktemp("grid"))


def test_the_columns_say_units(grid: tuple[SweepRun, pd.DataFrame]) -> None:
    sweep, table = grid
    assert list(table.columns) == [*IDENTITY, "core.global_buffer_bytes", *FIGURES, *LAST]
    assert all(pd.api.types.is_numeric_dtype(table[name]) for name in FIGURES)
    assert columns(sweep.spec) == list(table.columns)


def test_a_row_is_what_a_run_says(grid: tuple[SweepRun, pd.DataFrame]) -> None:
    _, table = grid
    assert len(table) == 8
    for row in table.to_dict("records"):
        machine = load_accelerator(overrides=[f"core.global_buffer={row['core.global_buffer_bytes']} B"])
        network = workload("resnet18", image=32)
        run = simulate(network, row["schedule"], machine, batch=row["batch"], engine="analytic")
        assert row["step_cycles"] == run.step_cycles
        assert row["step_seconds"] == run.step_seconds
        assert row["dram_bytes.total"] == run.dram_bytes.total
        assert row["energy_joules.total"] == run.energy_joules.total


def test_rows_are_in_the_order_of_the_points(grid: tuple[SweepRun, pd.DataFrame]) -> None:
    _, table = grid
    assert list(table["batch"]) == [2] * 4 + [4] * 4
    assert list(table["core.global_buffer_bytes"]) == [MIB, MIB, 2 * MIB, 2 * MIB] * 2
    assert list(table["schedule"]) == ["baseline", "mbs2"] * 4


def test_the_front(grid: tuple[SweepRun, pd.DataFrame]) -> None:
    _, table = grid
    costs = table[["step_seconds", "energy_joules.total"]].to_numpy()
    beaten = [bool(((costs <= cost).all(axis=1) & (costs < cost).any(axis=1)).any()) for cost in costs]
    assert list(table["pareto"]) == [not flag for flag in beaten]
    assert table["feasible"].all() and table["error"].isna().all()


def test_there_is_a_front_for_each_workload(tmp_path: Path) -> None:
    """A small network must not beat a large one."""
    head = 'name = "x"\nworkload = ["resnet18", "resnet34"]\n'
    _, table = swept(SMALL + '[axes]\nbatch = [2]\nschedule = ["baseline", "mbs2"]\n', tmp_path, head=head)
    assert set(table[table["pareto"]]["workload"]) == {"resnet18", "resnet34"}


def test_constraints_on_results_mark_the_infeasible(grid: tuple[SweepRun, pd.DataFrame], tmp_path: Path) -> None:
    _, free = grid
    limit = sorted(free["step_seconds"])[3]
    _, table = swept(f'constraints = ["step_seconds < {limit!r}"]\n{GRID}', tmp_path)
    assert list(table["feasible"]) == list(free["step_seconds"] < limit)
    assert not (table["pareto"] & ~table["feasible"]).any() and table["pareto"].any()


def test_a_constraint_may_mix_results_and_the_machine(tmp_path: Path) -> None:
    text = 'constraints = ["dram_bytes.total / step_seconds <= memory.bandwidth * 0.2 and batch > 2"]\n'
    _, table = swept(text + GRID, tmp_path)
    peak = load_accelerator().memory.bandwidth_bytes_per_second
    slow = table["dram_bytes.total"] / table["step_seconds"] <= 0.2 * peak
    assert list(table["feasible"]) == list(slow & (table["batch"] > 2))


def test_a_constraint_that_cannot_be_worked_out_is_an_error_of_its_point(tmp_path: Path) -> None:
    _, table = swept(f'constraints = ["1 / (step_cycles - step_cycles) > 0"]\n{GRID}', tmp_path)
    assert set(table["error"]) == {
        "s.toml:3: constraints: 1 / (step_cycles - step_cycles) > 0 divides by zero; "
        "try: a condition that rules this out"
    }  # fmt: skip
    assert not table["feasible"].any() and table["step_cycles"].all()


def test_failures_are_in_the_table_and_the_others_go_on(tmp_path: Path) -> None:
    _, table = swept(SMALL + '[axes]\nbatch = [3, 4]\ncore.global_buffer = ["16 KiB", "2 MiB"]\n', tmp_path)
    failed = table[table["error"].notna()]
    assert [row.partition(":")[0] for row in failed["error"]] == ["batch", "batch", "layer conv1, forward"]
    assert failed["step_cycles"].isna().all() and not failed["feasible"].any()
    assert list(failed["memory"]) == ["hbm2x2"] * 3
    assert list(table["batch"]) == [3, 3, 4, 4]


def test_a_machine_that_cannot_be_is_a_failure(tmp_path: Path) -> None:
    text = '[base]\noption.image = 32\nbatch = 2\nlocal_buffer.a = "64 KiB"\n[axes]\narray.rows = [128, 512]\n'
    sweep, table = swept(text, tmp_path)
    assert list(table["error"].isna()) == [True, False]
    assert "too small" in table["error"][1]
    assert (sweep.tally.done, sweep.tally.failed, sweep.tally.evaluated) == (2, 1, 1)


def test_numbers_and_texts_come_back_as_they_were(grid: tuple[SweepRun, pd.DataFrame], tmp_path: Path) -> None:
    with (tmp_path / "x.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["workload", "step_seconds", "error"], ["1e5", 0.1 + 0.2, 'a "b",\nc']])
    table = read_csv(tmp_path / "x.csv")
    assert table.to_dict("records") == [{"workload": "1e5", "step_seconds": 0.1 + 0.2, "error": 'a "b",\nc'}]
    assert grid[1]["pareto"].dtype == np.dtype(bool)


def test_parquet_says_the_same(tmp_path: Path) -> None:
    swept(GRID, tmp_path)
    write_parquet(tmp_path / "points.csv", tmp_path / "points.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "points.parquet"), read_csv(tmp_path / "points.csv"))
    assert sorted(path.name for path in tmp_path.iterdir() if "tmp" in path.name) == []


def test_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, check, message in (
        (table_module, check_parquet, '--parquet: pyarrow is not installed; try: pip install "wavecore[parquet]"'),
        (search, check_optuna, 'search.method: optuna is not installed; try: pip install "wavecore[dse]"'),
    ):
        check()
        monkeypatch.setattr(module, "find_spec", lambda name: None)
        with pytest.raises(InputError) as caught:
            check()
        assert str(caught.value) == message


def test_finished_points_are_not_evaluated_again(tmp_path: Path) -> None:
    first, _ = swept(GRID, tmp_path)
    text = (tmp_path / "points.csv").read_bytes()
    again, _ = swept(GRID, tmp_path)
    assert (first.tally.evaluated, again.tally.evaluated, again.tally.done) == (8, 0, 8)
    assert (tmp_path / "points.csv").read_bytes() == text
    more, _ = swept(GRID.replace("[2, 4]", "[2, 4, 6]"), tmp_path)
    assert (more.tally.evaluated, more.tally.done) == (4, 12)


def test_forgetting_failures_and_everything(tmp_path: Path) -> None:
    text = SMALL + "[axes]\nbatch = [3, 4]\n"
    assert [swept(text, tmp_path)[0].tally.evaluated for _ in range(2)] == [2, 0]
    assert swept(text, tmp_path, forget="failures")[0].tally.evaluated == 1
    assert swept(text, tmp_path, forget="all")[0].tally.evaluated == 2


def test_points_that_are_one_task_are_evaluated_once(tmp_path: Path) -> None:
    """64 samples are the network's own batch, so the two sweeps are one."""
    one, _ = swept(SMALL + "[axes]\nbatch = [64]\n", tmp_path)
    other, _ = swept(SMALL + '[axes]\nmemory = ["hbm2x2"]\n', tmp_path)
    assert (one.tally.evaluated, other.tally.evaluated, other.tally.done) == (1, 0, 1)
    spec = parsed(SMALL + '[axes]\nmemory = ["hbm2", "copy.toml"]\n', folder=with_copy(tmp_path))
    with open_store(tmp_path / "other") as store, local_pool(1) as executor:
        sweep = SweepRun(spec, listed_points(spec), store)
        sweep.run(executor)
        first, second = sweep.results()
    assert first.outcome == second.outcome
    assert (sweep.tally.evaluated, sweep.tally.done) == (1, 2)


def test_a_damaged_row_is_evaluated_again_and_counted(tmp_path: Path) -> None:
    text = SMALL + '[axes]\nmemory = ["hbm2", "hbm2x2"]\n'
    _, right = swept(text, tmp_path)
    with sqlite3.connect(tmp_path / "store.sqlite") as connection:
        connection.execute("UPDATE outcomes SET metrics = '{}' WHERE key = (SELECT min(key) FROM outcomes)")
    connection.close()
    sweep, table = swept(text, tmp_path)
    assert (sweep.tally.evaluated, sweep.tally.damaged) == (1, 1)
    pd.testing.assert_frame_equal(table, right)


def with_copy(folder: Path) -> Path:
    """The folder, with a copy of a registered memory in it."""
    (folder / "copy.toml").write_bytes(registered("memories")["hbm2"].read_bytes())
    return folder


def test_the_tally_says_the_best_so_far(tmp_path: Path) -> None:
    sweep, table = swept(GRID, tmp_path)
    assert sweep.tally.best == table["step_seconds"].min()
    text = GRID + '[objectives]\nmaximize = ["samples_per_second"]\n'
    assert swept(text, tmp_path)[0].tally.best == table["samples_per_second"].max()


def backwards(tasks: Tasks) -> Iterator[Outcome]:
    """An executor that takes all it can get, and finishes the last first."""
    held: list[Task] = []
    for task in tasks:
        if task is not None:
            held.append(task)
        while task is None and held:
            yield evaluate(held.pop())
    yield from map(evaluate, reversed(held))


def test_optuna_goes_the_same_way_whatever_the_order_of_results(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    swept(SPACE + OPTUNA, first)
    spec = parsed(SPACE + OPTUNA)
    with open_store(second / "store.sqlite") as store:
        sweep = SweepRun(spec, [], store)
        sweep.run(backwards)
        write_csv(spec, sweep.results(), second / "points.csv")
    assert (first / "points.csv").read_bytes() == (second / "points.csv").read_bytes()
    assert len(read_csv(first / "points.csv")) == 20


def test_optuna_keeps_to_constraints_and_its_number_of_points(tmp_path: Path) -> None:
    text = 'constraints = ["batch * 1 MiB <= core.global_buffer * 2", "step_seconds < 1 s"]\n'
    sweep, table = swept(text + SPACE + OPTUNA, tmp_path)
    assert (table["batch"] * MIB <= 2 * table["core.global_buffer_bytes"]).all()
    assert len(table) == sweep.tally.points == sweep.tally.done == 20
    assert not table.duplicated(["batch", "core.global_buffer_bytes"]).any()


def test_optuna_ends_when_it_repeats_itself(tmp_path: Path) -> None:
    sweep, table = swept(SMALL + '[axes]\nbatch = [2, 4]\nschedule = ["il", "mbs2"]\n' + OPTUNA, tmp_path)
    assert len(table) == sweep.tally.points <= 4


def test_optuna_learns() -> None:
    """Points that are bred come closer to what is wanted than those drawn at random."""
    names = ("batch", "array.rows", "array.columns", "vector.lanes")
    axes = "".join(f"{name} = {{ from = 1, to = 1000 }}\n" for name in names)
    spec = parsed("[axes]\n" + axes + OPTUNA.replace("= 20", "= 400").replace("= 6", "= 20"))

    def distance(point: Point) -> float:
        return float(sum(abs(int(value) - 700) for value in point))

    def results(points: Sequence[Point]) -> list[Judgement]:
        return [Judgement((distance(point), distance(point)), feasible=True) for point in points]

    found = [distance(point) for point in bred_points(spec, results) if point is not None]
    assert len(found) == 400
    assert fmean(found[-40:]) < 0.5 * fmean(found[:40])


def test_the_summary_is_json_and_adds_up(tmp_path: Path) -> None:
    swept(GRID, tmp_path)
    spec, found = parsed(GRID), Findings()
    with open_store(tmp_path / "store.sqlite") as store, local_pool(1) as executor:
        sweep = SweepRun(spec, listed_points(spec), store)
        sweep.run(executor)
        write_csv(spec, found.noting(spec, sweep.results()), tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "points.csv").read_bytes()
    told = json.loads(json_text(summary(spec, found, sweep.tally)))
    assert (told["schema"], told["points"], told["failed"], told["feasible"]) == ("wavecore.sweep/1", 8, 0, 8)
    assert (told["evaluated"], told["points_per_second"]) == (0, 0.0)
    assert len(told["front"]) == read_csv(tmp_path / "again.csv")["pareto"].sum()
    assert told["axes"][1] == {"name": "core.global_buffer", "column": "core.global_buffer_bytes", "unit": "bytes"}
    assert told["fixed"]["option.image"] == 32
