"""Figures: a schedule has the same colour everywhere, from a palette that the colour-blind can tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavecore.common.files import staged_file
from wavecore.results.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")

# Okabe and Ito's palette (jfly.uni-koeln.de/color), its yellow left out for its low contrast on white.
COLOURS: Mapping[str, str] = {
    "baseline": "#999999",
    "archopt": "#56B4E9",
    "il": "#0072B2",
    "mbs-fs": "#CC79A7",
    "mbs1": "#E69F00",
    "mbs2": "#D55E00",
    "mbs-opt": "#009E73",
}
OTHER_COLOURS = ("#000000", "#7F3C8D", "#11A579", "#A5AA99")

# Paul Tol's "bright" scheme (personal.sron.nl/~pault): where energy goes, and what the array waits for.
COMPONENT_COLOURS: Mapping[str, str] = {
    "array": "#4477AA",
    "local_buffer": "#66CCEE",
    "global_buffer": "#228833",
    "vector": "#CCBB44",
    "dram": "#EE6677",
    "interconnect": "#AA3377",
    "static": "#BBBBBB",
}
STALL_COLOURS: Mapping[str, str] = {
    "busy": COMPONENT_COLOURS["array"],
    "partial": "#A9C3DD",  # a tint of it: busy, but not with useful work
    "dram": COMPONENT_COLOURS["dram"],
    "vector": COMPONENT_COLOURS["vector"],
    "dependency": COMPONENT_COLOURS["static"],
}
# Paul Tol's "muted" scheme: what moves to and from DRAM.
CLASS_COLOURS: Mapping[str, str] = {
    "activation": "#88CCEE",
    "gradient": "#44AA99",
    "mask": "#117733",
    "weight": "#332288",
    "weight_gradient": "#AA4499",
    "optimizer": "#DDCC77",
}
PHASE_COLOURS: Mapping[str, str] = {
    "forward": "#332288",
    "data_gradient": "#44AA99",
    "weight_gradient": "#CC6677",
    "update": "#DDCC77",
}

PANELS = (
    ("DRAM traffic (GiB a step)", lambda run: run.dram_bytes.total / 2**30),
    ("step time (ms)", lambda run: run.step_seconds * 1e3),
    ("energy (J a step)", lambda run: run.energy_joules.total),
)


def colours(schedules: Sequence[str]) -> dict[str, str]:
    """A colour for each schedule: its own, or one of the others in the order in which they come."""
    unknown = [name for name in dict.fromkeys(schedules) if name not in COLOURS]
    others = {name: OTHER_COLOURS[at % len(OTHER_COLOURS)] for at, name in enumerate(unknown)}
    return {name: COLOURS.get(name) or others[name] for name in schedules}


def draw_comparison(runs: Sequence[Run], path: Path) -> None:
    """Draw traffic, time and energy of the runs as bars, by workload, into a file of one of `FORMATS`.

    Raises `FileError` if it cannot be written; a file is whole or not there.
    """
    save(comparison_figure(runs), path)


def comparison_figure(runs: Sequence[Run]) -> Figure:
    """One panel a quantity, workloads side by side, a bar a schedule with its ratio to the first above it."""
    from matplotlib.figure import Figure

    workloads = list(dict.fromkeys(run.workload for run in runs))
    schedules = list(dict.fromkeys(run.schedule for run in runs))
    across = len(workloads) == 1
    width = 11.0 if across else max(7.0, 1.5 + 0.34 * len(workloads) * (len(schedules) + 1))
    figure = Figure(figsize=(width, 4.0 if across else 8.5), layout="constrained")
    axes = figure.subplots(*((1, 3) if across else (3, 1)))
    for panel, (title, value) in zip(axes, PANELS, strict=True):
        _bars(panel, title, runs, value, workloads, schedules)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(schedules), frameon=False)
    names = f"{workloads[0]}, {runs[0].batch} samples, " if across else ""
    machine = f"{runs[0].accelerator} with {runs[0].memory}, {runs[0].engine} engine"
    figure.suptitle(f"{names}{machine}; over each bar: ratio to {schedules[0]}", fontsize="medium")
    return figure


def _bars(axes: Axes, title: str, runs: Sequence[Run], value: Any, workloads: list[str], schedules: list[str]) -> None:
    tint = colours(schedules)
    by_key = {(run.workload, run.schedule): value(run) for run in runs}
    bar = 0.85 / len(schedules)
    for index, schedule in enumerate(schedules):
        at = [place + (index - (len(schedules) - 1) / 2) * bar for place in range(len(workloads))]
        heights = [by_key[workload, schedule] for workload in workloads]
        drawn = axes.bar(at, heights, width=0.92 * bar, color=tint[schedule], label=schedule)
        firsts = [by_key[workload, schedules[0]] for workload in workloads]
        labels = [f"{height / first:.2f}" for height, first in zip(heights, firsts, strict=True)]
        axes.bar_label(drawn, labels, fontsize=7, padding=1, rotation=0 if len(workloads) == 1 else 90)
    axes.set_title(title, fontsize="medium", loc="left")
    axes.set_xticks(range(len(workloads)), workloads if len(workloads) > 1 else [""])
    axes.tick_params(axis="x", length=0)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.margins(y=0.12 if len(workloads) == 1 else 0.2)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def save(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all and without the date; `FileError` if it cannot be written."""
    import matplotlib as mpl

    suffix = path.suffix.lower()
    dateless: dict[str, Any] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[suffix]
    with staged_file(path) as staged, mpl.rc_context({"svg.hashsalt": "wavecore", "svg.fonttype": "path"}):
        figure.savefig(staged, format=suffix[1:], dpi=150, metadata=dateless)
