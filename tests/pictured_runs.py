"""Runs and sweeps for the tests of pictures: ``from pictured_runs import case, put_run, put_sweep, run``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from wavecore.engines.occupancy import OccupancyRecorder
from wavecore.hardware.config import load_accelerator, sources
from wavecore.network.catalog import workload
from wavecore.plan.footprints import footprints, footprints_csv
from wavecore.plan.model import Plan
from wavecore.report.data import Report, Shown, WorkloadRuns, cases, load, parse_occupancy
from wavecore.results.folder import json_text, run_folder
from wavecore.results.run import Run, to_dict
from wavecore.simulation import make_plan, simulate
from wavecore.training.unroll import training_graph

SCHEDULES = ("baseline", "il", "mbs2")
HOSTILE = ("</script><b>&\"'bold", "$x_1$ {%s} %{y}", "Schicht ß 層", "_hidden", "a" * 60)


@cache
def training() -> Any:
    return training_graph(workload("resnet18", image=32))


@cache
def machine(*overrides: str) -> Any:
    return load_accelerator(overrides=list(overrides))


@cache
def planned(schedule: str, *overrides: str) -> Plan:
    return make_plan(training(), schedule, machine(*overrides), 2)


@cache
def run(schedule: str, *overrides: str, engine: str = "analytic") -> Run:
    """A step of four samples of a small ResNet-18."""
    settings = {"workload": "resnet18", "options": {"image": 32}, "schedule": schedule, "set": list(overrides)}
    options: dict[str, Any] = {"engine": engine, "sources": sources(), "settings": settings}
    return simulate(training(), planned(schedule, *overrides), machine(*overrides), **options)


@cache
def occupancy() -> str:
    """How full the buffers are in `mbs2`, as the table of a run's folder."""
    recorder = OccupancyRecorder()
    simulate(training(), planned("mbs2"), machine(), probe=recorder)
    return recorder.csv()


def put_run(folder: Path, schedule: str, *, full: bool = False) -> Path:
    """A run's folder; a ``full`` one is of the event engine and has its occupancy."""
    plan = planned(schedule)
    tables = {"footprints.csv": footprints_csv(footprints(training(), plan, machine()))}
    tables |= {"occupancy.csv": occupancy()} if full else {}
    with run_folder(folder) as write:
        return write(run(schedule, engine="event" if full else "analytic"), plan, tables)


def put_json(path: Path, runs: Sequence[Run]) -> Path:
    """A bare file, as run --json or compare --json print it."""
    plain = [to_dict(each) for each in runs]
    path.write_text(json_text(plain[0] if len(plain) == 1 else plain), encoding="utf-8")
    return path


def shown(schedule: str, source: str = "there", *overrides: str) -> Shown:
    """A run as the report sees it."""
    made = machine(*overrides)
    rows = footprints(training(), planned(schedule, *overrides), made)
    return Shown(run=run(schedule, *overrides), accelerator=made, source=source, footprints=rows)


@cache
def case(*schedules: str) -> WorkloadRuns:
    """One network under some schedules, by default `SCHEDULES`."""
    (found,) = cases([shown(schedule) for schedule in schedules or SCHEDULES])
    return found


def renamed(of: Shown) -> Shown:
    """The run with hostile names of layers."""
    layers = list(dict.fromkeys(row.name for row in of.run.rows))
    names = {layer: HOSTILE[at] if at < len(HOSTILE) else layer for at, layer in enumerate(layers)}
    groups = tuple(replace(group, layers=tuple(names[name] for name in group.layers)) for group in of.run.groups)
    rows = tuple(replace(row, name=names[row.name]) for row in of.run.rows)
    feet = tuple(replace(row, layer=names[row.layer]) for row in of.footprints)
    return replace(of, run=replace(of.run, groups=groups, rows=rows), footprints=feet)


def everything(folder: Path) -> Report:
    """What has every kind of picture: a network with several groups, one with hostile names, and a sweep."""
    (plain,) = cases([*(shown(schedule) for schedule in SCHEDULES), shown("mbs1", "there", "core.global_buffer=1 MiB")])
    traced = replace(shown("mbs2"), run=run("mbs2", engine="event"), occupancy=parse_occupancy(occupancy(), "x"))
    (odd,) = cases([renamed(traced)])
    sweeps = load([put_sweep(folder / "sweep")]).sweeps
    return Report(cases=(plain, replace(odd, key="odd", title="</script><b>$x_1$")), sweeps=sweeps)


SWEEP: dict[str, Any] = {
    "schema": "wavecore.sweep/1",
    "name": "small",
    "version": "0.1.0",
    "spec_hash": "ab" * 32,
    "fixed": {"workload": "resnet18"},
    "axes": [
        {"name": "core.global_buffer", "column": "core.global_buffer_bytes", "unit": "bytes"},
        {"name": "vector.lanes", "column": "vector.lanes", "unit": ""},
        {"name": "schedule", "column": "schedule", "unit": ""},
    ],
    "objectives": [
        {"metric": "step_seconds", "maximize": False},
        {"metric": "energy_joules.total", "maximize": False},
    ],
    "per": [],
    "search": {"method": "grid"},
    "figure": {
        "kind": "lines",
        "x": "core.global_buffer",
        "y": "step_seconds",
        "value": "",
        "series": "schedule",
        "panels": "vector.lanes",
        "title": "",
    },
    "points": 12,
    "failed": 1,
}
SWEEP_COLUMNS = (
    "workload",
    "schedule",
    "core.global_buffer_bytes",
    "vector.lanes",
    "step_seconds",
    "energy_joules.total",
    "feasible",
    "pareto",
    "error",
)


def sweep_rows() -> list[list[str]]:
    """Twelve points: three buffers, two widths, two schedules.  Two are on the front, and one has failed."""
    rows = []
    for mib in (5, 10, 40):
        for lanes in (128, 256):
            for schedule in ("baseline", "mbs2"):
                fast = schedule == "mbs2"
                seconds, joules = (0.060 if fast else 0.090) - mib / 4000, (2.9 if fast else 3.8) + mib / 100
                front = fast and lanes == 256 and mib != 10
                rows.append(
                    [
                        "resnet18",
                        schedule,
                        str(mib << 20),
                        str(lanes),
                        repr(seconds),
                        repr(joules),
                        "true",
                        str(front).lower(),
                        "",
                    ]
                )
    rows[0][4:] = ["", "", "false", "false", "no room"]
    return rows


def put_sweep(folder: Path, summary: dict[str, Any] = SWEEP, rows: list[list[str]] | None = None) -> Path:
    """The folder of a finished sweep, by hand."""
    folder.mkdir(parents=True)
    table = [list(SWEEP_COLUMNS), *(sweep_rows() if rows is None else rows)]
    (folder / "points.csv").write_text("".join(",".join(cells) + "\n" for cells in table), encoding="utf-8")
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    (folder / "spec.toml").write_text('name = "small"\n', encoding="utf-8")
    return folder
