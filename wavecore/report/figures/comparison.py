"""Schedules side by side: traffic, time and energy of a step, and their ratios to the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from wavecore.pictures.marks import Bars, DisplayScale, Panel, Picture, PlotAxis, plain, scale
from wavecore.pictures.palette import colours
from wavecore.report.data import OWN_REFERENCE, Shown, WorkloadRuns
from wavecore.results.run import Run

ROW = 24  # pixels
LONGEST_BESIDE = 20  # characters of a name, for panels that stand side by side
GROUPED_WIDTH = 0.85  # of the distance between two networks: what the bars of one take together


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is compared: its name, its base unit, and its value for one training step."""

    title: str
    unit: Literal["B", "s", "J"]
    value: Callable[[Run], float]


QUANTITIES = (
    Quantity("DRAM traffic", "B", lambda run: run.dram_bytes.total),
    Quantity("step time", "s", lambda run: run.step_seconds),
    Quantity("energy", "J", lambda run: run.energy_joules.total),
)


def ratio(value: Callable[[Run], float], run: Run, reference: Run) -> float:
    """Return a run's value over the reference's, both per sample, since mini-batches may differ."""
    return (value(run) / run.batch) / (value(reference) / reference.batch)


def comparison(cases: Sequence[WorkloadRuns]) -> Picture:
    """Return a panel for each network and quantity with a bar for each run."""
    longest = max(len(shown.label) for shown in all_runs(cases))
    return Picture(
        key="comparison",
        title="Schedules compared",
        caption=f"A bar is one training step of the whole chip: shorter is better. {behind_a_bar(cases)}",
        panels=tuple(_panel(case, len(cases) > 1, quantity) for case in cases for quantity in QUANTITIES),
        columns=len(QUANTITIES) if longest <= LONGEST_BESIDE else 1,
    )


def grouped(cases: Sequence[WorkloadRuns]) -> Picture:
    """Return a panel for each quantity: the networks side by side, with a bar for each schedule.

    Every network has the same runs by label, in the same order.
    """
    reference = cases[0].reference_name
    return Picture(
        key="comparison",
        title="Schedules compared",
        caption="A bar is one training step of the whole chip: shorter is better. "
        f"Over it is its ratio, per sample, to {reference}.",
        panels=tuple(_grouped_panel(cases, quantity) for quantity in QUANTITIES),
    )


def are_alike(cases: Sequence[WorkloadRuns]) -> bool:
    """Whether every network has the same runs by label, in the same order."""
    return len({tuple(shown.label for shown in case.runs) for case in cases}) == 1


def _grouped_panel(cases: Sequence[WorkloadRuns], quantity: Quantity) -> Panel:
    each = scale([quantity.value(shown.run) for shown in all_runs(cases)], quantity.unit)
    labels = [shown.label for shown in cases[0].runs]
    step = GROUPED_WIDTH / len(labels)
    tint = colours([shown.run.schedule for shown in cases[0].runs])
    marks = []
    for place, label in enumerate(labels):
        runs = [case.runs[place].run for case in cases]
        ratios = [ratio(quantity.value, case.runs[place].run, case.reference(case.runs[place]).run) for case in cases]
        heights = each.of(map(quantity.value, runs))
        marks.append(
            Bars(
                name=label,
                colours=(tint[runs[0].schedule],) * len(runs),
                at=tuple(at + (place - (len(labels) - 1) / 2) * step for at in range(len(runs))),
                lengths=heights,
                texts=tuple(f"{relative:.2f}" for relative in ratios),
                hover=tuple(
                    f"{case.title}, {label}: {plain(height)} {each.symbol} ({relative:.2f}x)"
                    for case, height, relative in zip(cases, heights, ratios, strict=True)
                ),
                legend=True,
                upright=True,
                narrow=True,
                thickness=0.92 * step,
            )
        )
    return Panel(
        title=f"{quantity.title} ({each.symbol} a step)",
        x=PlotAxis(names=tuple(case.title for case in cases)),
        y=PlotAxis(low=0.0, high=1.2 * max(max(bars.lengths) for bars in marks)),
        marks=tuple(marks),
        height=190,
    )


def _panel(case: WorkloadRuns, named: bool, quantity: Quantity) -> Panel:
    values = [quantity.value(shown.run) for shown in case.runs]
    each = scale(values, quantity.unit)
    tint = colours([shown.run.schedule for shown in case.runs])
    texts = tuple(behind(case, shown, quantity.value, each) for shown in case.runs)
    bars = Bars(
        name=quantity.title,
        colours=tuple(tint[shown.run.schedule] for shown in case.runs),
        at=tuple(range(len(values))),
        lengths=each.of(values),
        texts=texts,
        hover=tuple(f"{shown.label}, {each.symbol}: {text}" for shown, text in zip(case.runs, texts, strict=True)),
    )
    return Panel(
        title=f"{case.title}: {quantity.title}" if named else quantity.title,
        x=PlotAxis(title=f"{each.symbol} a step", low=0.0, high=1.5 * max(bars.lengths)),
        y=PlotAxis(names=tuple(shown.label for shown in case.runs)),
        marks=(bars,),
        height=ROW * len(values) + 10,
    )


def behind_a_bar(cases: Sequence[WorkloadRuns]) -> str:
    """Return the sentence that says what stands behind a bar."""
    references = {case.reference_name for case in cases}
    several = f"{OWN_REFERENCE}, of its network"
    return (
        f"Behind it are its value and its ratio, per sample, to {several if len(references) > 1 else references.pop()}."
    )


def behind(case: WorkloadRuns, shown: Shown, value: Callable[[Run], float], each: DisplayScale) -> str:
    """Return the text behind a bar: its value, and the ratio to the reference."""
    return f"{plain(value(shown.run) / each.size)} ({ratio(value, shown.run, case.reference(shown).run):.2f}x)"


def run_names(cases: Sequence[WorkloadRuns]) -> tuple[str, ...]:
    """Return a name for every run: its label, after its network's name if there are several."""
    several = len(cases) > 1
    return tuple(f"{case.title}: {shown.label}" if several else shown.label for case in cases for shown in case.runs)


def all_runs(cases: Sequence[WorkloadRuns]) -> list[Shown]:
    """Return every run, network by network."""
    return [shown for case in cases for shown in case.runs]
