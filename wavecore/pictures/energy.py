"""Energy as stacked bars: what it goes into, a bar a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from wavecore.pictures.plots import COMPONENT_COLOURS, save
from wavecore.results.metrics import METRICS
from wavecore.results.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAR_INCHES = 0.62
LEAST_LABELLED = 0.045  # of the tallest bar of a panel; a smaller part has no room for its share
MOST_ACROSS = 12  # bars in a row of panels
DARK = ("array", "global_buffer", "interconnect")  # colours on which white can be read and black cannot


def draw_energy(runs: Sequence[Run], path: Path) -> None:
    """Draw `energy_figure` into a file of one of `plots.FORMATS`.

    Raises `FileError` if it cannot be written; a file is whole or not there.
    """
    save(energy_figure(runs), path)


def energy_figure(runs: Sequence[Run]) -> Figure:
    """A panel a workload, a bar a run in the given order: joules of a step by component, each with its share."""
    from matplotlib.figure import Figure

    workloads = list(dict.fromkeys(run.workload for run in runs))
    by_workload = {name: [run for run in runs if run.workload == name] for name in workloads}
    bars = max(len(mine) for mine in by_workload.values())
    across = max(1, min(len(workloads), MOST_ACROSS // bars))
    down = -(-len(workloads) // across)
    width = max(5.5, 2.2 + across * (0.9 + BAR_INCHES * bars))
    figure = Figure(figsize=(width, 0.9 + 3.6 * down), layout="constrained")
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    for panel, name in zip(panels, workloads, strict=False):
        _panel(panel, by_workload[name])
    for panel in panels[len(workloads) :]:
        panel.remove()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right center", frameon=False, fontsize="small")
    machine = f"{runs[0].accelerator}, {runs[0].engine} engine"
    figure.suptitle(f"energy of one training step by component, {machine}", fontsize="medium")
    return figure


def _panel(axes: Axes, runs: Sequence[Run]) -> None:
    """The bars of one workload, from the component at the bottom upwards."""
    places = range(len(runs))
    tallest = max(run.energy_joules.total for run in runs)
    bottoms = [0.0] * len(runs)
    for part, colour in COMPONENT_COLOURS.items():
        heights = [asdict(run.energy_joules)[part] for run in runs]
        drawn = axes.bar(
            places, heights, bottom=bottoms, width=0.72, color=colour, label=METRICS[f"energy_joules.{part}"].title,
            edgecolor="white", linewidth=0.5,
        )  # fmt: skip
        shares = [
            f"{height / run.energy_joules.total:.0%}" if height >= LEAST_LABELLED * tallest else ""
            for height, run in zip(heights, runs, strict=True)
        ]
        axes.bar_label(drawn, shares, label_type="center", fontsize=7, color="white" if part in DARK else "black")
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
    for place, top in zip(places, bottoms, strict=True):
        axes.annotate(f"{top:#.3g}", (place, top), (0, 2), textcoords="offset points", ha="center", fontsize=8)
    axes.set_title(f"{runs[0].workload}, {runs[0].batch} samples", fontsize="medium", loc="left")
    axes.set_ylabel("energy (J a step)")
    axes.set_xticks(places, _names(runs), fontsize="small")
    axes.tick_params(axis="x", length=0)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.margins(y=0.1)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _names(runs: Sequence[Run]) -> list[str]:
    return [f"{run.schedule}\n{run.memory}" for run in runs]
