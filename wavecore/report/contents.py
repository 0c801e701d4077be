"""Which pictures a report has, in their order, the same for a page and for files; and those of single commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wavecore.pictures.marks import Picture
from wavecore.report.data import Report, WorkloadRuns, cases_of_command
from wavecore.report.figures.comparison import are_alike, comparison, grouped
from wavecore.report.figures.groups import groups
from wavecore.report.figures.layers import time, traffic
from wavecore.report.figures.occupancy import occupancy
from wavecore.report.figures.roofline import roofline
from wavecore.report.figures.stacks import energy, utilization
from wavecore.report.figures.sweepfronts import sweep_front
from wavecore.report.figures.sweeplines import sweep_lines
from wavecore.report.figures.sweepmaps import sweep_map
from wavecore.report.sweeps import SweepTable
from wavecore.results.run import Run

MOST_RUNS = 8  # of one network that are drawn layer by layer

OF_ALL = (comparison, utilization, energy)
OF_EACH = (groups, traffic, time, roofline, occupancy)


def pictures(report: Report) -> tuple[Picture, ...]:
    """Return all pictures of a report; one without panels has a note that says why."""
    of_all = [make(report.cases) for make in OF_ALL] if report.cases else []
    of_each = [picture for case in report.cases for picture in _of_case(case)]
    of_sweeps = [picture for sweep in report.sweeps for picture in _of_sweep(sweep)]
    return *of_all, *of_each, *of_sweeps


def compared(runs: Sequence[Run]) -> Picture:
    """Return the picture of ``wavecore compare``: the runs of each network against its first."""
    cases = cases_of_command(runs)
    return _with_machines(grouped(cases) if len(cases) > 1 and are_alike(cases) else comparison(cases), runs)


def energies(runs: Sequence[Run]) -> Picture:
    """Return the picture of ``wavecore energy``: the joules of each run by component."""
    return _with_machines(energy(cases_of_command(runs)), runs)


def _with_machines(picture: Picture, runs: Sequence[Run]) -> Picture:
    """Add a note on the machine, memories and mini-batches of the runs of one command."""
    batches = {run.workload: run.batch for run in runs}
    same = len(set(batches.values())) == 1
    samples = str(runs[0].batch) if same else ", ".join(f"{batch} of {name}" for name, batch in batches.items())
    memories = " or ".join(dict.fromkeys(run.memory for run in runs))
    note = f"{runs[0].accelerator} with {memories}, {runs[0].engine} engine; samples a step: {samples}."
    return replace(picture, notes=(note, *picture.notes))


def figure_of_sweep(sweep: SweepTable) -> Picture | None:
    """Return the figure of a sweep's specification, or else its Pareto front; None with neither."""
    figure = sweep.summary.figure
    if figure is None or figure.kind == "pareto":
        return sweep_front(sweep)
    return sweep_lines(sweep, figure) if figure.kind == "lines" else sweep_map(sweep)


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
