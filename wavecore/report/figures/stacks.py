"""Where the array's time goes and where the energy goes: a stacked bar for each run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial

from wavecore.pictures.marks import Bars, Panel, Picture, PlotAxis, plain, scale, stacked
from wavecore.pictures.palette import COMPONENT_COLOURS, STALL_COLOURS
from wavecore.report.data import WorkloadRuns
from wavecore.report.figures.comparison import LONGEST_BESIDE, ROW, all_runs, behind, behind_a_bar, run_names
from wavecore.results.metrics import METRICS
from wavecore.results.run import Run, StallCycles

LEAST_LABELLED = 0.045  # of the longest bar: a shorter part has no room for its share


def utilization(cases: Sequence[WorkloadRuns]) -> Picture:
    """Return shares of the step: useful work of the arrays, other busy cycles, and waits by their cause."""
    runs = [shown.run for shown in all_runs(cases)]
    shares = {name: tuple(share(run) for run in runs) for name, (_, share) in USES.items()}
    bars = _stack(run_names(cases), {name: (tint, shares[name]) for name, (tint, _) in USES.items()}, "%", 100.0)
    axis = PlotAxis(title="share of the step (%)", low=0.0, high=100.0)
    return Picture(
        key="utilization",
        title="Array utilization, and what the arrays wait for",
        caption="Each bar is the whole step, mean over the cores: the first part is array utilization, the first two "
        "are array occupancy, the rest is waiting.",
        panels=(Panel(title="", x=axis, y=PlotAxis(names=run_names(cases)), marks=bars, height=ROW * len(runs) + 10),),
    )


def _waited(cause: str, run: Run) -> float:
    """Return the share of a step in which the array waits for a cause."""
    cycles: int = getattr(run.stall_cycles, cause)
    return cycles / run.step_cycles


USES: dict[str, tuple[str, Callable[[Run], float]]] = {
    "useful multiply-accumulates": (STALL_COLOURS["busy"], lambda run: run.array_utilization),
    "busy beyond them (fill, drain, partly filled tiles)": (
        STALL_COLOURS["partial"],
        lambda run: run.array_occupancy - run.array_utilization,
    ),
    **{
        METRICS[f"stall_cycles.{cause.name}"].title: (STALL_COLOURS[cause.name], partial(_waited, cause.name))
        for cause in fields(StallCycles)
    },
}


def energy(cases: Sequence[WorkloadRuns]) -> Picture:
    """Return the energy of a step by component, a panel for each network."""
    longest = max(len(shown.label) for shown in all_runs(cases))
    return Picture(
        key="energy",
        title="Energy by component",
        caption="Each bar is one training step of the whole chip and its DRAM; percentages are shares of it. "
        + behind_a_bar(cases),
        panels=tuple(_energy_panel(case, case.title if len(cases) > 1 else "") for case in cases),
        columns=2 if len(cases) > 1 and longest <= LONGEST_BESIDE else 1,
    )


def _energy_panel(case: WorkloadRuns, title: str) -> Panel:
    runs, labels = [shown.run for shown in case.runs], tuple(shown.label for shown in case.runs)
    most = max(map(_energy, runs))
    each = scale([most], "J")
    joules = {
        part.name: [getattr(run.energy_joules, part.name) for run in runs] for part in fields(runs[0].energy_joules)
    }
    bars = _stack(
        [f"{title}: {label}" if title else label for label in labels],
        {_title(part): (COMPONENT_COLOURS[part], each.of(values)) for part, values in joules.items()},
        each.symbol,
        1.0,
        [behind(case, shown, _energy, each) for shown in case.runs],
        {_title(part): _shares(values, runs, most) for part, values in joules.items()},
    )
    axis = PlotAxis(title=f"energy ({each.symbol} a step)", low=0.0, high=1.2 * most / each.size)
    return Panel(title=title, x=axis, y=PlotAxis(names=labels), marks=bars, height=ROW * len(runs) + 10)


def _title(part: str) -> str:
    return METRICS[f"energy_joules.{part}"].title


def _shares(joules: Sequence[float], runs: Sequence[Run], most: float) -> tuple[str, ...]:
    """Return shares of the runs' energies as percentages; nothing for parts too short for a text."""
    return tuple(
        f"{part / _energy(run):.0%}" if part >= LEAST_LABELLED * most else ""
        for part, run in zip(joules, runs, strict=True)
    )


def _energy(run: Run) -> float:
    return run.energy_joules.total


def _stack(
    names: Sequence[str],
    parts: dict[str, tuple[str, tuple[float, ...]]],
    unit: str,
    factor: float,
    ends: Sequence[str] = (),
    inside: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[Bars, ...]:
    """Return stacked bars, one for each of ``names``, of ``parts``: colour and values of each part, by its name.

    ``ends`` are texts behind the last part, ``inside`` texts in the parts, by name.
    """
    lengths = [tuple(factor * value for value in values) for _, values in parts.values()]
    starts = stacked(lengths)
    last = len(parts) - 1
    return tuple(
        Bars(
            name=part,
            colours=(tint,) * len(names),
            at=tuple(range(len(names))),
            lengths=lengths[at],
            starts=starts[at],
            texts=tuple(ends) if at == last else (),
            inside=inside[part] if inside else (),
            hover=tuple(
                f"{name}, {part}: {plain(value)} {unit}" for name, value in zip(names, lengths[at], strict=True)
            ),
            legend=True,
        )
        for at, (part, (tint, _)) in enumerate(parts.items())
    )
