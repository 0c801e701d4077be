"""The probes that ``wavecore run`` can attach: traces of the queues and of DRAM, and the occupancy of the buffer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavecore.cli.messages import say
from wavecore.errors import InputError, UnitError, unknown_name

if TYPE_CHECKING:
    from wavecore.engines.occupancy import OccupancyRecorder
    from wavecore.engines.probe import Probe
    from wavecore.engines.trace import DramTrace
    from wavecore.hardware.specs import Accelerator
    from wavecore.results.run import Run
    from wavecore.timeline.collect import TimelineProbe, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """The options that choose the traces of a run."""

    trace: Annotated[
        Path | None,
        typer.Option(
            "--trace",
            metavar="FILE",
            help="Write a timeline of all queues: .pftrace for Perfetto; .json or .json.gz also for Chrome's viewer.",
            show_default=False,
        ),
    ] = None
    trace_window: Annotated[
        str | None,
        typer.Option(
            "--trace-window",
            metavar="START:END",
            help='Trace only this part of the step: "1 ms:2 ms" or "0:50000 cycles".',
            show_default=False,
        ),
    ] = None
    dram_trace: Annotated[
        Path | None,
        typer.Option(
            "--dram-trace",
            metavar="FILE",
            help="Write every DRAM access to FILE, a line per 64 bytes: gigabytes for a large network.",
            show_default=False,
        ),
    ] = None
    dram_trace_format: Annotated[
        str,
        typer.Option("--dram-trace-format", metavar="ramulator2|dramsim3", help="Simulator that reads the DRAM trace."),
    ] = "ramulator2"
    dram_trace_clock: Annotated[
        str | None,
        typer.Option(
            "--dram-trace-clock",
            metavar="HZ",
            help='Clock of the cycles in the DRAM trace, such as "1.25 GHz".  [default: the chip\'s]',
            show_default=False,
        ),
    ] = None


@dataclass(slots=True)
class Watchers:
    """The probes of a run; `finish` writes and reports what they recorded."""

    options: TraceOptions
    timeline: TimelineProbe | None = None
    dram: DramTrace | None = None
    occupancy: OccupancyRecorder | None = None
    probes: list[Probe] = field(default_factory=list)

    def probe(self) -> Probe | None:
        """Return all probes as one, or None if there are none."""
        from wavecore.engines.probe import Probes

        return Probes(*self.probes) if self.probes else None

    def finish(self, run: Run) -> None:
        """Write the timeline of a finished run, and print where the traces are.

        Raises InputError if the trace window begins after the end of the run.
        """
        if self.timeline is not None and self.options.trace is not None:
            from wavecore.common.units import format_seconds
            from wavecore.timeline.drawing import summary
            from wavecore.timeline.files import write_timeline

            timeline = self.timeline.timeline()
            if timeline.start >= timeline.end:
                what = f"begins after the step's end at {format_seconds(run.step_seconds)} or {run.step_cycles} cycles"
                raise InputError(f"--trace-window {self.options.trace_window}", what, "an earlier window")
            title = f"{run.workload}, {run.schedule} on {run.accelerator} with {run.memory}: {run.batch} samples"
            about: dict[str, int | str] = {"step_cycles": run.step_cycles, "version": run.manifest.version}
            about |= run.manifest.hashes
            write_timeline(self.options.trace, timeline, title, about)
            say(f"written to {self.options.trace}: {summary(timeline)}")
        if self.dram is not None:
            say(f"written to {self.options.dram_trace}: {self.dram.accesses} accesses of 64 bytes")


@contextmanager
def watching(
    options: TraceOptions, engine: str, accelerator: Accelerator, *, occupancy: bool, force: bool
) -> Iterator[Watchers]:
    """Make the probes that ``options`` ask for, for a run in the block.

    Raises InputError before the run if ``engine`` has no events, a file cannot be written or an option is wrong.
    """
    watchers = Watchers(options)
    with ExitStack() as files:
        if options.trace is not None:
            watchers.timeline = _timeline(options, engine, accelerator, force)
            watchers.probes.append(watchers.timeline)
        elif options.trace_window is not None:
            raise InputError("--trace-window", "there is no trace to take a part of", "--trace FILE")
        if options.dram_trace is not None:
            _require_events(engine, "--dram-trace")
            watchers.dram = files.enter_context(_dram(options, accelerator.chip.clock_hz, force))
            watchers.probes.append(watchers.dram)
        elif options.dram_trace_clock is not None:
            raise InputError("--dram-trace-clock", "there is no DRAM trace to time", "--dram-trace FILE")
        if occupancy and engine == "event":
            from wavecore.engines.occupancy import OccupancyRecorder

            watchers.occupancy = OccupancyRecorder()
            watchers.probes.append(watchers.occupancy)
        yield watchers


def _require_events(engine: str, where: str) -> None:
    """Raise InputError, located at the option ``where``, if the engine is not the event engine."""
    if engine != "event":
        raise InputError(where, f"the {engine} engine has no events to watch", "--engine event")


def _timeline(options: TraceOptions, engine: str, accelerator: Accelerator, force: bool) -> TimelineProbe:
    from wavecore.common.files import writable_file
    from wavecore.timeline.collect import WHOLE, TimelineProbe
    from wavecore.timeline.files import check_timeline_path

    assert options.trace is not None
    _require_events(engine, "--trace")
    check_timeline_path(options.trace)
    writable_file(options.trace, replace=force)
    window = WHOLE if options.trace_window is None else parse_window(options.trace_window, accelerator.chip.clock_hz)
    return TimelineProbe(accelerator, window)


def parse_window(text: str, clock_hz: int) -> Window:
    """Read ``START:END``, two times or two numbers of cycles; a start without a unit has the unit of the end.

    A missing start is 0.  Raises InputError or `UnitError` for anything else, or if the window is empty.
    """
    from wavecore.timeline.collect import Window

    where, hint = f"--trace-window {text}", '"1 ms:2 ms" or "0:50000 cycles"'
    start, colon, end = (part.strip() for part in text.partition(":"))
    if not colon or not end:
        raise InputError(where, "is not START:END", hint)
    unit = end.lstrip("0123456789. ")
    if start and not start.lstrip("0123456789. "):
        start = f"{start} {unit}"
    first, last = (0 if not each else _cycles(each, clock_hz, where) for each in (start, end))
    if first >= last:
        raise InputError(where, "ends before it begins", hint)
    return Window(first, last)


def _cycles(text: str, clock_hz: int, where: str) -> int:
    """Read a time or a number of cycles; return cycles."""
    from wavecore.common import units

    try:
        return int(units.parse(text, "cycles", where=where, allow_zero=True))
    except UnitError:
        return round(units.parse(text, "seconds", where=where, allow_zero=True) * clock_hz)


def _dram(options: TraceOptions, chip_hz: int, force: bool) -> AbstractContextManager[DramTrace]:
    """Open a DRAM trace; raise InputError if format or clock is wrong or the file cannot be written."""
    from wavecore.common import units
    from wavecore.common.files import writable_file
    from wavecore.engines.trace import TRACE_FORMATS, dram_trace

    known = {name: name for name in TRACE_FORMATS}
    if options.dram_trace_format not in known:
        raise unknown_name("--dram-trace-format", "trace format", options.dram_trace_format, known)
    clock, where = options.dram_trace_clock, "--dram-trace-clock"
    clock_hz = chip_hz if clock is None else round(units.parse(clock, "hz", where=where))
    assert options.dram_trace is not None
    writable_file(options.dram_trace, replace=force)
    return dram_trace(options.dram_trace, known[options.dram_trace_format], chip_hz, clock_hz)
