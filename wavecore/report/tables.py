"""The tables of a page: headline figures and provenance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from wavecore.common.units import UNITS, format_bytes, format_joules, format_quantity, format_seconds
from wavecore.hardware.config import machine_keys
from wavecore.report.data import Report, Shown, WorkloadRuns
from wavecore.report.figures.comparison import all_runs, ratio, run_names
from wavecore.report.figures.sweepparts import metric_text
from wavecore.report.sweeps import SweepTable, on_front
from wavecore.results.metrics import METRICS

MOST_ROWS = 40  # of a Pareto front


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of texts; columns from ``numbers`` on are numbers, or none if it is None."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: int | None = None


def headline(case: WorkloadRuns) -> Table:
    """Return a row for each run, with its ratios to the reference."""
    columns = ("run", "step time", "speed-up", "samples/s", "DRAM traffic", "ratio", "energy", "ratio")
    return Table(
        title=f"{case.title} (ratios to {case.reference_name})" if len(case.runs) > 1 else case.title,
        columns=(*columns, "array utilization", "buffer peak"),
        rows=tuple(_headline_row(shown, case.reference(shown)) for shown in case.runs),
        numbers=1,
    )


def _headline_row(shown: Shown, reference: Shown) -> tuple[str, ...]:
    run, first = shown.run, reference.run
    return (
        shown.label,
        format_seconds(run.step_seconds),
        f"{run.samples_per_second / first.samples_per_second:.2f}x",
        f"{run.samples_per_second:,.0f}",
        format_bytes(run.dram_bytes.total),
        f"{ratio(lambda one: one.dram_bytes.total, run, first):.2f}x",
        format_joules(run.energy_joules.total),
        f"{ratio(lambda one: one.energy_joules.total, run, first):.2f}x",
        f"{100 * run.array_utilization:.1f}%",
        format_bytes(run.global_buffer_bytes.peak),
    )


def front(sweep: SweepTable) -> Table:
    """Return the points on a sweep's Pareto front, in the table's order."""
    axes, objectives = sweep.summary.axes, [each.metric for each in sweep.summary.objectives]
    found = [row for row in sweep.rows if on_front(row)]
    some = f", the first {MOST_ROWS} of {len(found)}" if len(found) > MOST_ROWS else ""
    return Table(
        title=f"{sweep.summary.name}: best of {len(sweep.rows)} points{some}",
        columns=(*(axis.name for axis in axes), *(METRICS[metric].title for metric in objectives)),
        rows=tuple(
            (*(axis.show(row[axis.column]) for axis in axes), *(metric_text(row, metric) for metric in objectives))
            for row in found[:MOST_ROWS]
        ),
        numbers=len(axes),
    )


def provenance(report: Report) -> Iterator[Table]:
    """Yield tables of where everything was read and what made it, and of every machine with its sources."""
    if report.cases:
        yield from _of_runs(report.cases)
    if report.sweeps:
        yield Table(
            title="Sweeps",
            columns=("sweep", "read from", "wavecore", "points", "search", "fixed", "SHA-256 of the specification"),
            rows=tuple(map(_sweep_row, report.sweeps)),
        )


def _sweep_row(sweep: SweepTable) -> tuple[str, ...]:
    about = sweep.summary
    how = str(about.search.get("method", ""))
    return about.name, sweep.source, about.version, str(about.points), how, _json(about.fixed), about.spec_hash


def _of_runs(cases: Sequence[WorkloadRuns]) -> Iterator[Table]:
    runs = list(zip(run_names(cases), all_runs(cases), strict=True))
    yield Table(
        title="Runs",
        columns=("run", "read from", "wavecore", "engine", "samples a step", "asked for"),
        rows=tuple(
            (name, each.source, each.run.manifest.version, each.run.engine, str(each.run.batch), _settings(each))
            for name, each in runs
        ),
    )
    yield Table(
        title="SHA-256 of what determines each run",
        columns=("run", "workload", "plan", "accelerator"),
        rows=tuple(
            (name, *(each.run.manifest.hashes.get(part, "") for part in ("workload", "plan", "accelerator")))
            for name, each in runs
        ),
    )
    machines: dict[Any, list[tuple[str, Shown]]] = {}
    for name, each in runs:
        machines.setdefault(each.accelerator, []).append((name, each))
    for users in machines.values():
        yield _machine(users[0][1], [name for name, _ in users])


def _settings(shown: Shown) -> str:
    """Return the settings given to the command, as JSON."""
    return _json({key: value for key, value in shown.run.manifest.settings.items() if value not in (None, [], {})})


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _machine(shown: Shown, users: Sequence[str]) -> Table:
    """Return a machine, field by field."""
    run = shown.run
    rows = []
    for key, filled in machine_keys().items():
        value = getattr(getattr(shown.accelerator, key.partition(".")[0]), filled.field)
        text = format_quantity(value, UNITS[filled.unit].symbol) if filled.unit else str(value)
        rows.append((key, text, run.manifest.sources.get(key, "")))
    return Table(
        title=f"{run.accelerator} with {run.memory}: {', '.join(users)}",
        columns=("field", "value", "source"),
        rows=tuple(rows),
    )
