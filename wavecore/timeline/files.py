"""Timelines as files: the format by the name's ending, written whole or not at all."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

from wavecore.common.files import staged_file
from wavecore.errors import InputError
from wavecore.timeline.chrome import write_chrome
from wavecore.timeline.drawing import Args, draw
from wavecore.timeline.model import Timeline
from wavecore.timeline.perfetto import perfetto_classes, write_perfetto

PERFETTO = (".pftrace", ".perfetto-trace")
CHROME = (".json", ".json.gz")
ENDINGS = (*PERFETTO, *CHROME)


def check_timeline_path(path: Path, where: str = "--trace") -> None:
    """Raise `InputError` if no timeline can be written under that name, or what its format needs is missing."""
    if not path.name.lower().endswith(ENDINGS):
        what = f"{path} does not say which format a timeline is to have"
        raise InputError(where, what, f"a name that ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    if path.name.lower().endswith(PERFETTO):
        perfetto_classes(where)


def write_timeline(path: Path, timeline: Timeline, title: str, about: Args) -> None:
    """Write a timeline, called ``title``, with what is to be known ``about`` it; `FileError` if that cannot be."""
    check_timeline_path(path)
    groups = draw(timeline, title, about)
    with staged_file(path) as staged, staged.open("wb") as file:
        if path.name.lower().endswith(PERFETTO):
            write_perfetto(file, groups, timeline.clock_hz)
        elif path.name.lower().endswith(".gz"):
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed, io.TextIOWrapper(packed, "utf-8") as text:
                write_chrome(text, groups, timeline.clock_hz)
        else:
            with io.TextIOWrapper(file, "utf-8") as text:
                write_chrome(text, groups, timeline.clock_hz)
