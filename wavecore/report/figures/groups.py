"""Layer groups over per-layer footprints, beside the size of the buffer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from wavecore.common.units import format_bytes
from wavecore.pictures.marks import Band, LimitLine, Panel, Picture, PlotAxis, Steps, byte_axis, stack_labels
from wavecore.pictures.palette import PHASE_COLOURS
from wavecore.plan.footprints import LayerFootprint
from wavecore.plan.placement import Direction
from wavecore.report.data import FOLDER, Shown, WorkloadRuns, left_out
from wavecore.report.figures.layers import layer_axis
from wavecore.results.run import GroupSummary

WHOLE_COLOUR = "#999999"
WAYS = {Direction.FORWARD: PHASE_COLOURS["forward"], Direction.BACKWARD: PHASE_COLOURS["data_gradient"]}

TIMES = "\u00d7"
CAPTION = (
    "Grey is what inputs and outputs of a core's whole mini-batch take in each layer; the coloured lines are what a "
    "sub-batch takes of the buffer, weights included. A band is a layer group, above it its sub-batch (samples) "
    f"{TIMES} iterations; neighbouring groups of a single layer share a band. Where grey is over the buffer line, only "
    "sub-batches can stay on chip."
)


def groups(case: WorkloadRuns) -> Picture:
    """Return a panel for each run: what a core's mini-batch would take in each layer, and what a sub-batch takes."""
    drawn = [shown for shown in case.runs if shown.footprints]
    lines = {shown.label: _lines(shown, case.layers) for shown in drawn}
    heights = [value for of_run in lines.values() for line in of_run for value in line.values if value]
    sizes = [shown.accelerator.core.global_buffer_bytes for shown in drawn]
    y = byte_axis("bytes of a core", [*heights, *sizes]) if drawn else PlotAxis()
    return Picture(
        key=f"groups-{case.key}",
        title=f"Layer groups over footprints: {case.title}",
        caption=CAPTION,
        panels=tuple(_panel(shown, case.layers, lines[shown.label], y) for shown in drawn),
        linked=True,
        notes=left_out(case, drawn, "A bare JSON file does not say what a layer takes of the buffer: " + FOLDER),
    )


def _lines(shown: Shown, layers: Sequence[str]) -> tuple[Steps, ...]:
    by_way = {way: {row.layer: row for row in shown.footprints if row.direction is way} for way in WAYS}
    size = shown.accelerator.core.global_buffer_bytes
    return _mini_batch(shown, layers), *(_sub_batch(way, rows, layers, size) for way, rows in by_way.items())


def _panel(shown: Shown, layers: tuple[str, ...], lines: tuple[Steps, ...], y: PlotAxis) -> Panel:
    size = shown.accelerator.core.global_buffer_bytes
    count = len(shown.run.groups)
    return Panel(
        title=f"{shown.label}: {count} {'group' if count == 1 else 'groups'}, global buffer {format_bytes(size)}",
        x=layer_axis(layers),
        y=y,
        marks=(
            *stack_labels(list(_bands(shown.run.groups, layers)), len(layers)),
            *lines,
            LimitLine(name="global buffer of a core", y=size),
        ),
        height=200,
    )


def _mini_batch(shown: Shown, layers: Sequence[str]) -> Steps:
    most: dict[str, int] = {}
    for row in shown.footprints:
        most[row.layer] = max(most.get(row.layer, 0), row.sample_bytes)
    samples = shown.batch_per_core
    sizes = [most.get(layer, 0) for layer in layers]
    return Steps(
        name="inputs and outputs of a core's mini-batch",
        colour=WHOLE_COLOUR,
        values=tuple(size * samples or None for size in sizes),
        hover=tuple(
            f"inputs and outputs: {format_bytes(size * samples)} for {samples} samples, {format_bytes(size)} for one"
            for size in sizes
        ),
    )


def _sub_batch(way: Direction, rows: Mapping[str, LayerFootprint], layers: Sequence[str], size: int) -> Steps:
    return Steps(
        name=f"on chip at the sub-batch, {way}",
        colour=WAYS[way],
        values=tuple(rows[layer].used_bytes or None if layer in rows else None for layer in layers),
        hover=tuple(_said(rows[layer], size) if layer in rows else "" for layer in layers),
    )


def _said(row: LayerFootprint, size: int) -> str:
    return (
        f"{row.direction}: {format_bytes(row.used_bytes)} of {format_bytes(size)} "
        f"at a sub-batch of {row.sub_batch}, {format_bytes(row.kept_bytes)} kept of each sample"
    )


def _bands(found: Sequence[GroupSummary], layers: Sequence[str]) -> Iterator[Band]:
    """Return a band for each group; neighbouring groups of one layer and equal sub-batch share one."""
    at = {layer: position for position, layer in enumerate(layers)}
    numbered = [(group, len(group.layers) > 1 and number) for number, group in enumerate(found, start=1)]
    for place, (_, several) in enumerate(groupby(numbered, key=lambda one: (one[1], one[0].sub_batch))):
        members = [group for group, _ in several]
        yield Band(
            low=at[members[0].layers[0]] - 0.5,
            high=at[members[-1].layers[-1]] + 0.5,
            label=f"{members[0].sub_batch} {TIMES} {members[0].iterations}",
            shaded=place % 2 == 1,
        )
