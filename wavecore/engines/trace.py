"""The DRAM requests of the event engine, written as the input of another DRAM simulator."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from wavecore.common.files import staged_text
from wavecore.engines.probe import Probe
from wavecore.hardware.dram import TraceFormat, TraceWriter

ACCESS_BYTES = 64


class DramTrace(Probe):
    """Writes every request as accesses of `ACCESS_BYTES`, at the chip cycle in which it is granted.

    Each queue of a core is a stream of addresses in which a request continues where the last one ended.  An access
    that two requests share is written with the first, so that only the end of a stream is rounded up.
    """

    def __init__(self, file: TextIO, trace_format: TraceFormat) -> None:
        self._writer = TraceWriter(file, trace_format, ACCESS_BYTES)
        self._ends: dict[int, int] = defaultdict(int)
        self.accesses = 0

    def requested(self, queue: int, start: int, end: int, nbytes: int, write: bool) -> None:
        """Write one request of a queue."""
        before = self._ends[queue]
        after = self._ends[queue] = before + nbytes
        first, last = -(-before // ACCESS_BYTES), -(-after // ACCESS_BYTES)
        self._writer.transfer(start, queue, first * ACCESS_BYTES, (last - first) * ACCESS_BYTES, write)
        self.accesses += last - first


@contextmanager
def dram_trace(path: Path, trace_format: TraceFormat) -> Iterator[DramTrace]:
    """Yield a trace that becomes the file ``path`` when the block ends; if that fails, nothing is left behind.

    Raises `FileError` if the file cannot be written.
    """
    with staged_text(path, encoding="ascii") as stream:
        yield DramTrace(stream, trace_format)
