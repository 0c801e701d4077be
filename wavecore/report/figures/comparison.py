"""Schedules side by side: traffic, time and energy of a step, and their ratios to the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from wavecore.pictures.marks import Bars, DisplayScale, Panel, Picture, PlotAxis, plain, scale
from wavecore.pictures.plots import colours
from wavecore.report.data import Shown, WorkloadRuns
from wavecore.results.run import Run

ROW = 24  # pixels
LONGEST_BESIDE = 20  # characters of a name, for panels that stand side by side
BEHIND = (
    "Behind it is its ratio, for each sample, to the first run of baseline of its network (or else to the first run)."
)

Quantity = tuple[str, Literal["B", "s", "J"], Callable[[Run], float]]

QUANTITIES: tuple[Quantity, ...] = (
    ("DRAM traffic", "B", lambda run: run.dram_bytes.total),
    ("step time", "s", lambda run: run.step_seconds),
    ("energy", "J", lambda run: run.energy_joules.total),
)


def ratio(value: Callable[[Run], float], run: Run, reference: Run) -> float:
    """A run's value over the reference's, both for a sample, since mini-batches may differ."""
    return (value(run) / run.batch) / (value(reference) / reference.batch)


def comparison(cases: Sequence[WorkloadRuns]) -> Picture:
    """A panel for each network and quantity with a bar for each run."""
    longest = max(len(shown.label) for shown in all_runs(cases))
    return Picture(
        key="comparison",
        title="Schedules compared",
        caption=f"A bar is one training step of the whole chip: shorter is better. {BEHIND}",
        panels=tuple(_panel(case, len(cases) > 1, *quantity) for case in cases for quantity in QUANTITIES),
        columns=len(QUANTITIES) if longest <= LONGEST_BESIDE else 1,
    )


def _panel(
    case: WorkloadRuns, named: bool, title: str, unit: Literal["B", "s", "J"], value: Callable[[Run], float]
) -> Panel:
    values = [value(shown.run) for shown in case.runs]
    each = scale(values, unit)
    tint = colours([shown.run.schedule for shown in case.runs])
    texts = tuple(behind(case, shown, value, each) for shown in case.runs)
    bars = Bars(
        name=title,
        colours=tuple(tint[shown.run.schedule] for shown in case.runs),
        at=tuple(range(len(values))),
        lengths=each.of(values),
        texts=texts,
        hover=tuple(f"{shown.label}, {each.symbol}: {text}" for shown, text in zip(case.runs, texts, strict=True)),
    )
    return Panel(
        title=f"{case.title}: {title}" if named else title,
        x=PlotAxis(title=f"{each.symbol} a step", low=0.0, high=1.5 * max(bars.lengths)),
        y=PlotAxis(names=tuple(shown.label for shown in case.runs)),
        marks=(bars,),
        height=ROW * len(values) + 10,
    )


def behind(case: WorkloadRuns, shown: Shown, value: Callable[[Run], float], each: DisplayScale) -> str:
    """What stands behind a bar: its value, and the ratio to the reference."""
    return f"{plain(value(shown.run) / each.size)} ({ratio(value, shown.run, case.reference.run):.2f}x)"


def run_names(cases: Sequence[WorkloadRuns]) -> tuple[str, ...]:
    """A name for every run: its label, behind its network's name if there are several."""
    several = len(cases) > 1
    return tuple(f"{case.title}: {shown.label}" if several else shown.label for case in cases for shown in case.runs)


def all_runs(cases: Sequence[WorkloadRuns]) -> list[Shown]:
    """Every run, network by network."""
    return [shown for case in cases for shown in case.runs]
