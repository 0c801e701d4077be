"""The tables of ``wavecore energy``: runs side by side, as many as fit the width of the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import fsum
from typing import TYPE_CHECKING

from wavecore.cli.tables import amount, console, heading, share, table
from wavecore.common.units import format_quantity

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wavecore.results.energy_report import EnergyReport

MOST_LAYERS = 10
RATIO = "compare.energy_ratio"
HEADLINE = (
    "energy.joules_per_step",
    RATIO,
    "energy.joules_per_sample",
    "energy.joules_per_epoch",
    "energy.average_watts",
    "energy.energy_delay_joule_seconds",
)
CONSTANT_COLUMNS = ("energy.constants.name", "energy.constants.value", "energy.constants.source")

Reports = Sequence["EnergyReport"]
TableLine = tuple[str, list[str]]
Section = tuple[str, list[TableLine]]


def energy_tables(reports: Reports, all_layers: bool) -> Iterator[RenderableType]:
    """Yield a table for each workload, or several if its runs do not fit side by side, and one of the constants."""
    for workload in dict.fromkeys(report.workload for report in reports):
        own = [report for report in reports if report.workload == workload]
        yield from _side_by_side(own, all_layers)
    yield _constants(reports)
    yield "what a figure means: wavecore explain METRIC, as in: wavecore explain energy"


def _side_by_side(reports: Reports, all_layers: bool) -> Iterator[RenderableType]:
    """Yield the title and the tables of one workload."""
    sections = [
        ("", list(_headline(reports))),
        ("by component", list(_components(reports))),
        ("by phase", list(_phases(reports))),
        _layers(reports, None if all_layers else MOST_LAYERS),
    ]
    names = case_names(reports)
    first = reports[0]
    yield (
        f"{first.workload} on {first.accelerator}{_with(reports)}: "
        f"energy of one training step of {first.batch} samples ({first.engine} engine)"
    )
    for at in _blocks(sections, names, console().width):
        yield _block(sections, names, at)


def _with(reports: Reports) -> str:
    """Return for the title the memory and schedule that all runs share and their columns do not name."""
    memories = {report.memory for report in reports}
    schedules = {report.schedule for report in reports}
    memory = f" with {reports[0].memory}" if len(memories) == 1 else ""
    return memory + (f", {reports[0].schedule}" if len(schedules) == 1 and len(memories) > 1 else "")


def case_names(reports: Reports) -> list[str]:
    """Return the column titles of a workload's runs: schedule, memory, or both on two lines, where they differ."""
    by_memory = len({report.memory for report in reports}) > 1
    by_schedule = len({report.schedule for report in reports}) > 1 or not by_memory
    return ["\n".join([report.schedule] * by_schedule + [report.memory] * by_memory) for report in reports]


def _headline(reports: Reports) -> Iterator[TableLine]:
    """Yield the lines of `HEADLINE`; without energy per epoch if its size is unknown, without ratios of one run."""
    first = reports[0]
    for name in HEADLINE:
        if name == RATIO:
            values = [report.joules_per_step / first.joules_per_step for report in reports]
        else:
            values = [getattr(report, name.removeprefix("energy.")) for report in reports]
        if None not in values and (name != RATIO or len(reports) > 1):
            title = heading(name).replace("first", case_names(reports)[0].replace("\n", ", "))
            yield title, [amount(name, value) for value in values]


def _components(reports: Reports) -> Iterator[TableLine]:
    from wavecore.results.energy_report import COMPONENTS

    for part in COMPONENTS:
        yield heading(f"energy_joules.{part}"), [_cell(getattr(each.energy, part), each) for each in reports]


def _phases(reports: Reports) -> Iterator[TableLine]:
    for at, phase in enumerate(reports[0].phases):
        yield str(phase.phase), [_cell(each.phases[at].energy.total, each) for each in reports]


def _layers(reports: Reports, most: int | None) -> Section:
    """Return the section of the ``most`` layers with the largest energy in any run; all others share one line."""
    by_name = [{layer.name: layer.energy.total for layer in report.layers} for report in reports]
    names = sorted(by_name[0], key=lambda name: max(each[name] for each in by_name), reverse=True)

    def line(label: str, of: Sequence[str]) -> TableLine:
        sums = [fsum(each[name] for name in of) for each in by_name]
        return label, [_cell(joules, report) for joules, report in zip(sums, reports, strict=True)]

    shown, others = names[:most], names[most:] if most else []
    lines = [line(name, [name]) for name in shown]
    if not others:
        return "by layer", lines
    return f"by layer, top {most}", [*lines, line(f"{len(others)} other layer{'s' * (len(others) > 1)}", others)]


def _cell(joules: float, report: EnergyReport) -> str:
    """Print joules and their share of the step's energy."""
    return f"{amount('energy.joules_per_step', joules)} {share(joules, report.joules_per_step):>5}"


def _blocks(sections: Sequence[Section], names: Sequence[str], width: int) -> Iterator[range]:
    """Yield ranges of runs that fit side by side in ``width``; each column takes two characters besides its text."""
    lines = [line for _, lines in sections for line in lines]
    label = max(len(text) for text in [*(title for title, _ in sections), *(label for label, _ in lines)])
    words = [word for name in names for word in name.split("\n")]
    column = max(len(text) for text in [*words, *(cell for _, cells in lines for cell in cells)])
    step = max(1, (width - label - 3) // (column + 2))
    for start in range(0, len(names), step):
        yield range(start, min(start + step, len(names)))


def _block(sections: Sequence[Section], names: Sequence[str], at: range) -> RenderableType:
    columns = ["", *(names[index] for index in at)]
    rows, ends = [], []
    for name, lines in sections:
        if name:
            rows.append([name])
        rows += [[label, *(cells[index] for index in at)] for label, cells in lines]
        ends.append(len(rows) - 1)
    made = table("", columns, rows, right=columns[1:])
    for index in ends[:-1]:
        made.rows[index].end_section = True
    return made


def _constants(reports: Reports) -> RenderableType:
    """Make the table of constants, each once, in the order of a report.

    Constants of memories name their memory if the reports have several.
    """
    memories = {report.memory for report in reports}
    found: dict[tuple[int, str, str, str], None] = {}
    for report in reports:
        for at, each in enumerate(report.constants):
            of_memory = len(memories) > 1 and each.name.startswith("memory.")
            name = f"{each.name} ({report.memory})" if of_memory else each.name
            found[at, name, format_quantity(each.value, each.unit), each.source] = None
        if report.epoch is not None:
            samples = f"{report.epoch.samples:,}"
            found[len(report.constants), heading("energy.epoch_samples"), samples, report.epoch.source] = None
    rows = [row[1:] for row in sorted(found, key=lambda row: row[0])]
    columns = [heading(name) for name in CONSTANT_COLUMNS]
    return table("constants", columns, rows, right=columns[1:2])
