"""Finished sweeps, read from their folders."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal

from wavecore.common.records import AGAIN, build, types_of
from wavecore.common.text import from_csv
from wavecore.common.units import UNITS, format_quantity
from wavecore.errors import InputError
from wavecore.results.metrics import METRICS

SCHEMA = "wavecore.sweep/1"
POINTS, SUMMARY = "points.csv", "summary.json"
FLAGS = {"true": True, "false": False}

TableRow = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepAxis:
    """A parameter that was varied: its ``name``, its ``column`` in the table, and its unit, one of `UNITS` or ""."""

    name: str
    column: str
    unit: str

    def show(self, value: str) -> str:
        """Print a value of its column for people."""
        number = as_number(value)
        return format_quantity(number, UNITS[self.unit].symbol) if self.unit and number is not None else value


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepObjective:
    """A metric that is to be small, or large."""

    metric: str
    maximize: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepFigure:
    """The figure that the specification wants: the kind, and axes or metrics by name, "" for none."""

    kind: Literal["lines", "heatmap", "pareto"]
    x: str
    y: str
    value: str
    series: str
    panels: str
    title: str

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes that it names."""
        named = {"lines": (self.x,), "heatmap": (self.x, self.y), "pareto": ()}[self.kind]
        return tuple(name for name in (*named, self.series, self.panels) if name)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that it shows."""
        return {"lines": (self.y,), "heatmap": (self.value,), "pareto": (self.x, self.y)}[self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSummary:
    """The part of a sweep's summary that its pictures need."""

    name: str
    version: str
    spec_hash: str
    fixed: Mapping[str, Any]
    axes: tuple[SweepAxis, ...]
    objectives: tuple[SweepObjective, ...]
    per: tuple[str, ...]
    search: Mapping[str, Any]
    figure: SweepFigure | None
    points: int

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that pictures show: those of the objectives and of the figure."""
        shown = self.figure.metrics if self.figure is not None else ()
        return tuple(dict.fromkeys((*(each.metric for each in self.objectives), *shown)))


@dataclass(frozen=True, kw_only=True)
class SweepTable:
    """A finished sweep: its summary and its table, row by row as text; ``key`` is for names of files."""

    summary: SweepSummary
    rows: tuple[TableRow, ...]
    source: str
    key: str = ""

    @property
    def good(self) -> tuple[TableRow, ...]:
        """The points that have a result."""
        return tuple(row for row in self.rows if not row["error"])

    def axis(self, name: str) -> SweepAxis:
        """Return the axis of that name."""
        return next(axis for axis in self.summary.axes if axis.name == name)

    def values(self, axis: SweepAxis) -> tuple[str, ...]:
        """Return the values of an axis: numbers by size, others in the order of the table."""
        found = tuple(dict.fromkeys(row[axis.column] for row in self.rows))
        numbers = {value: as_number(value) for value in found}
        if all(number is not None for number in numbers.values()):
            return tuple(sorted(found, key=lambda value: numbers[value] or 0.0))
        return found


def as_number(text: str) -> float | None:
    """Return the finite number in a text, None if it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def number(row: TableRow, column: str) -> float:
    """Return the number in a column of a row that has a result."""
    value = as_number(row[column])
    assert value is not None, column  # `parse_points` has seen to it
    return value


def on_front(row: TableRow) -> bool:
    """Whether a point is on the Pareto front."""
    return FLAGS[row["pareto"]]


def read_sweep(about: str, points: Path) -> SweepTable:
    """Read a sweep that this process has made: the text of its summary, and the file of its points."""
    summary = parse_summary(json.loads(about), str(points))
    rows = parse_points(points.read_text(encoding="utf-8"), summary, str(points))
    return SweepTable(summary=summary, rows=rows, source=str(points.parent))


def parse_summary(value: object, where: str) -> SweepSummary:
    """Read a summary; `InputError`, located at ``where``, if it is none, or of another version."""
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        given = value.get("schema") if isinstance(value, dict) else None
        raise InputError(where, f"is of schema {given!r}, not {SCHEMA!r}", AGAIN)
    wanted = {name: item for name, item in value.items() if name in types_of(SweepSummary)}
    summary: SweepSummary = build(SweepSummary, wanted, where)
    for axis in summary.axes:
        if axis.unit and axis.unit not in UNITS:
            raise InputError(f"{where}.axes", f"there is no unit {axis.unit!r}", AGAIN)
    axes = {axis.name for axis in summary.axes}
    for kind, names, known in (
        ("metric", summary.metrics, METRICS),
        ("axis", (*summary.per, *(summary.figure.axes if summary.figure else ())), axes),
    ):
        for name in names:
            if name not in known:
                raise InputError(where, f"there is no {kind} {name!r}", AGAIN)
    return summary


def parse_points(text: str, summary: SweepSummary, where: str) -> tuple[TableRow, ...]:
    """Read a sweep's table; `InputError`, located at ``where``:LINE, for anything else, and if rows are missing."""
    reader = csv.reader(StringIO(text))
    header = next(reader, [])
    needed = ["workload", *(axis.column for axis in summary.axes), *summary.metrics, "feasible", "pareto", "error"]
    for column in needed:
        if column not in header:
            raise InputError(f"{where}:1", f"has no column {column!r}", AGAIN)
    rows = tuple(_row(header, cells, summary.metrics, f"{where}:{reader.line_num}") for cells in reader)
    if len(rows) != summary.points:
        raise InputError(where, f"has {len(rows)} points, and the sweep has {summary.points}", AGAIN)
    return rows


def _row(header: list[str], cells: list[str], metrics: Sequence[str], where: str) -> TableRow:
    if len(cells) != len(header):
        raise InputError(where, f"has {len(cells)} cells, and the table {len(header)} columns", AGAIN)
    row = dict(zip(header, map(from_csv, cells), strict=True))
    wrong = [column for column in ("feasible", "pareto") if row[column] not in FLAGS]
    if not row["error"]:
        wrong += [column for column in metrics if as_number(row[column]) is None]
    for column in wrong:
        raise InputError(f"{where}: {column}", f"{row[column]!r} cannot be", AGAIN)
    return row
