"""A timeline as Chrome's trace events in JSON, which Perfetto and most other trace viewers read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from wavecore.timeline.drawing import Box, DrawnRow, Meter, TrackGroup, nanoseconds

TraceEvent = Mapping[str, Any]


def write_chrome(file: TextIO, groups: Sequence[TrackGroup], clock_hz: int) -> None:
    """Write groups as one JSON object, an event a line; times are microseconds with three decimals."""
    file.write('{"displayTimeUnit": "ns", "traceEvents": [')
    separator = "\n"
    for event in _events(groups, clock_hz):
        file.write(separator + json.dumps(event, separators=(",", ":"), allow_nan=False))
        separator = ",\n"
    file.write("\n]}\n")


def _events(groups: Sequence[TrackGroup], clock_hz: int) -> Iterator[TraceEvent]:
    for process, group in enumerate(groups, start=1):
        yield _name("process", group.name, process)
        yield {"ph": "M", "name": "process_sort_index", "pid": process, "args": {"sort_index": process}}
        overview = group.overview
        rows = (overview, *group.rows) if isinstance(overview, DrawnRow) else group.rows
        for thread, row in enumerate(rows, start=1):
            yield _name("thread", row.name, process, thread)
            yield {
                "ph": "M",
                "name": "thread_sort_index",
                "pid": process,
                "tid": thread,
                "args": {"sort_index": thread},
            }
            yield from _boxes(row, process, thread, clock_hz)
        for meter in (*(() if isinstance(overview, DrawnRow) else (overview,)), *group.meters):
            yield from _points(meter, process, clock_hz)


def _name(kind: str, name: str, process: int, thread: int = 0) -> TraceEvent:
    return {"ph": "M", "name": f"{kind}_name", "pid": process, "tid": thread, "args": {"name": name}}


def _boxes(row: DrawnRow, process: int, thread: int, clock_hz: int) -> Iterator[TraceEvent]:
    for box in row.boxes():
        place = {"pid": process, "tid": thread}
        start, end = (nanoseconds(cycle, clock_hz) for cycle in (box.start, box.end))
        named = {"name": box.name, "cat": box.category, "args": box.args}
        yield {"ph": "X", "ts": start / 1000, "dur": (end - start) / 1000, **named, **place}
        yield from _arrows(box, start, end, place)


def _arrows(box: Box, start: int, end: int, place: TraceEvent) -> Iterator[TraceEvent]:
    """Yield both ends of arrows; each lies within the box that it belongs to, which an arrow's end has to."""
    for number, name in box.incoming:
        yield {"ph": "f", "bp": "e", "id": number, "ts": start / 1000, "name": name, "cat": "post", **place}
    for number, name in box.outgoing:
        yield {"ph": "s", "id": number, "ts": max(start, end - 1) / 1000, "name": name, "cat": "post", **place}


def _points(meter: Meter, process: int, clock_hz: int) -> Iterator[TraceEvent]:
    for cycle, value in meter.points:
        time = nanoseconds(cycle, clock_hz) / 1000
        yield {"ph": "C", "pid": process, "name": meter.name, "ts": time, "args": {meter.unit: value}}
