"""Which pictures a report has, in their order: the same for a page and for files."""

from __future__ import annotations

from dataclasses import replace

from wavecore.pictures.marks import Picture
from wavecore.report.data import Report, WorkloadRuns
from wavecore.report.figures.comparison import comparison
from wavecore.report.figures.groups import groups
from wavecore.report.figures.layers import time, traffic
from wavecore.report.figures.occupancy import occupancy
from wavecore.report.figures.roofline import roofline
from wavecore.report.figures.stacks import energy, utilization
from wavecore.report.figures.sweepfronts import sweep_front
from wavecore.report.figures.sweeplines import sweep_lines
from wavecore.report.figures.sweepmaps import sweep_map
from wavecore.report.sweeps import SweepTable

MOST_RUNS = 8  # of one network that are drawn layer by layer

OF_ALL = (comparison, utilization, energy)
OF_EACH = (groups, traffic, time, roofline, occupancy)


def pictures(report: Report) -> tuple[Picture, ...]:
    """All pictures of a report; one that has no panels has a note that says why."""
    of_all = [make(report.cases) for make in OF_ALL] if report.cases else []
    of_each = [picture for case in report.cases for picture in _of_case(case)]
    of_sweeps = [picture for sweep in report.sweeps for picture in _of_sweep(sweep)]
    return *of_all, *of_each, *of_sweeps


def _of_case(case: WorkloadRuns) -> list[Picture]:
    drawn = replace(case, runs=case.runs[:MOST_RUNS])
    made = [make(drawn) for make in OF_EACH]
    if len(case.runs) == len(drawn.runs):
        return made
    note = f"The first {MOST_RUNS} of {len(case.runs)} runs are drawn; for others, report on fewer runs."
    return [replace(picture, notes=(note, *picture.notes)) for picture in made]


def _of_sweep(sweep: SweepTable) -> list[Picture]:
    figure = sweep.summary.figure
    lines = sweep_lines(sweep, figure) if figure is not None and figure.kind == "lines" else None
    return [picture for picture in (lines, sweep_map(sweep), sweep_front(sweep)) if picture is not None]
