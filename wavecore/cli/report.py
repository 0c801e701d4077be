"""The tables that ``wavecore run`` prints of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from wavecore.cli.tables import amount, beside, facts, heading, share, table
from wavecore.common.units import format_rate

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wavecore.results.run import GroupSummary, Run

LONGEST = 10

HEADLINE = (
    "step_seconds",
    "step_cycles",
    "samples_per_second",
    "macs",
    "array_utilization",
    "array_occupancy",
)
DRAM_DIRECTIONS = ("dram_bytes.read", "dram_bytes.write")
GROUP_COLUMNS = ("groups.layers", "groups.sub_batch", "groups.iterations")
LAYER_COLUMNS = (
    "layers.name",
    "layers.phase",
    "layers.cycles",
    "layers.dram_read_bytes",
    "layers.dram_write_bytes",
)


def run_report(run: Run) -> Iterator[RenderableType]:
    """Yield the headline, stalls, DRAM traffic, energy, groups, and the rows that take longest."""
    yield (
        f"{run.workload}, {run.schedule} on {run.accelerator} with {run.memory}: "
        f"one training step of {run.batch} samples ({run.engine} engine)"
    )
    yield beside([_step(run), _dram(run), _energy(run)])
    yield _groups(run.groups, " in forward" if run.backward_groups else "")
    if run.backward_groups:
        yield _groups(run.backward_groups, " in backward")
    yield _longest(run)
    yield from _grouped_note(run)
    yield (
        f"{heading('manifest.seconds_to_simulate')} {run.manifest.seconds_to_simulate:.2f} s; "
        f"what a figure means: wavecore explain METRIC"
    )


def _step(run: Run) -> RenderableType:
    rows = [(heading(name), amount(name, _value(run, name)), "") for name in HEADLINE]
    for part in fields(run.stall_cycles):
        name = f"stall_cycles.{part.name}"
        value = _value(run, name)
        rows.append((heading(name), amount(name, value), share(value, run.step_cycles)))
    bound = f"bound_cycles.{run.bound_cycles.binding}"
    rows.append((heading(bound), amount(bound, _value(run, bound)), share(_value(run, bound), run.step_cycles)))
    peak, capacity = "global_buffer_bytes.peak", "dram_capacity_bytes.total"
    rows.append((heading(peak), amount(peak, _value(run, peak)), ""))
    memory = run.manifest.machine.get("memory", {})
    needed, there = _value(run, capacity), memory.get("capacity_bytes")
    rows.append((heading(capacity), amount(capacity, needed), share(needed, there) if there else ""))
    bandwidth = run.dram_bytes.total / run.step_seconds
    peak_bandwidth = memory.get("bandwidth_bytes_per_second", 0.0)
    rows.append(("achieved bandwidth", format_rate(bandwidth), share(bandwidth, peak_bandwidth)))
    return facts("step", rows)


def _dram(run: Run) -> RenderableType:
    names = [f"dram_bytes.{part.name}" for part in fields(run.dram_bytes)]
    classes = [name for name in names if name not in DRAM_DIRECTIONS]
    return facts(heading("dram_bytes.total"), _parts(run, [*DRAM_DIRECTIONS, *classes], "dram_bytes.total"))


def _energy(run: Run) -> RenderableType:
    names = [f"energy_joules.{part.name}" for part in fields(run.energy_joules)]
    return facts(heading("energy_joules.total"), _parts(run, names, "energy_joules.total"))


def _parts(run: Run, names: list[str], whole: str) -> list[tuple[str, str, str]]:
    """Return a line for each part with its share of the whole, and a last line for the whole."""
    total = _value(run, whole)
    rows = [(heading(name), amount(name, _value(run, name)), share(_value(run, name), total)) for name in names]
    return [*rows, ("total", amount(whole, total), "")]


@dataclass(frozen=True, slots=True)
class _GroupLine:
    """A line of the table of groups: one group, or several successive ``groups`` of a single layer each."""

    layers: tuple[str, ...]
    sub_batch: int
    iterations: int
    groups: int = 1

    def __str__(self) -> str:
        if len(self.layers) == 1:
            return self.layers[0]
        count = f"{self.groups} groups of 1" if self.groups > 1 else f"{len(self.layers)} layers"
        return f"{self.layers[0]} .. {self.layers[-1]} ({count})"


def group_lines(groups: Iterable[GroupSummary]) -> list[_GroupLine]:
    """Return the lines of the table of groups; neighbours of one layer each and equal sub-batch share a line."""
    lines: list[_GroupLine] = []
    for group in groups:
        line = _GroupLine(group.layers, group.sub_batch, group.iterations)
        last = lines[-1] if lines else None
        single = last is not None and len(last.layers) == last.groups and len(group.layers) == 1
        if last is not None and single and last.sub_batch == line.sub_batch:
            lines[-1] = replace(last, layers=last.layers + line.layers, groups=last.groups + 1)
        else:
            lines.append(line)
    return lines


def _groups(groups: Sequence[GroupSummary], direction: str = "") -> RenderableType:
    rows = [
        (str(line), amount("groups.sub_batch", line.sub_batch), str(line.iterations)) for line in group_lines(groups)
    ]
    title = f"{len(groups)} {'group' if len(groups) == 1 else 'groups'} of layers{direction}"
    columns = [heading(name) for name in GROUP_COLUMNS]
    return table(title, columns, rows, right=columns[1:])


def _longest(run: Run) -> RenderableType:
    rows = sorted(run.rows, key=lambda row: row.cycles, reverse=True)[:LONGEST]
    columns = [heading(name) for name in LAYER_COLUMNS]
    cells = []
    for row in rows:
        values = [(name, getattr(row, name.removeprefix("layers."))) for name in LAYER_COLUMNS]
        line = [amount(name, value) for name, value in values]
        line.insert(LAYER_COLUMNS.index("layers.cycles") + 1, share(row.cycles, run.step_cycles))
        cells.append(line)
    columns.insert(LAYER_COLUMNS.index("layers.cycles") + 1, "share")
    return table(f"the {len(rows)} rows that take longest", columns, cells, right=columns[2:])


GROUPED = {"by_group": "group by group", "packed": "side by side on the array", "vector": "on the vector unit"}


def _grouped_note(run: Run) -> Iterator[str]:
    """Yield what grouped and depthwise convolutions cost and why; nothing without them."""
    rows = [row for row in run.rows if any(each in GROUPED for each in row.mapping.split("+"))]
    if not rows:
        return
    counts = Counter(row.mapping for row in rows)
    ways = ", ".join(
        f"{count} {' or '.join(GROUPED.get(each, each) for each in mapping.split('+'))}"
        for mapping, count in counts.items()
    )
    cycles, macs = sum(row.cycles for row in rows), sum(row.macs for row in rows)
    yield (
        f"grouped convolutions take {share(cycles, run.step_cycles)} of the cycles for {share(macs, run.macs)} of the "
        f"MACs, since one group fills little of the array; of {len(rows)} rows {ways} (wavecore explain layers.mapping)"
    )


def _value(run: Run, name: str) -> Any:
    """Return the value of a metric by its dotted name."""
    value: Any = run
    for part in name.split("."):
        value = getattr(value, part)
    return value
