"""The DRAM requests of the event engine, written as the input of another DRAM simulator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO, get_args

from wavecore.common.files import staged_text
from wavecore.engines.probe import Probe

ACCESS_BYTES = 64

TraceFormat = Literal["ramulator2", "dramsim3"]
TRACE_FORMATS: tuple[TraceFormat, ...] = get_args(TraceFormat)


class DramTrace(Probe):
    """Writes every request as accesses of `ACCESS_BYTES`, at their addresses, when the controller begins to take it.

    ``ramulator2``: ``LD 0x1f00`` or ``ST 0x1f00`` without a time.  ``dramsim3``: ``0x1f00 READ 12`` or
    ``0x1f00 WRITE 12``: the cycle of the chip, or of a clock of ``clock_hz`` if that is given.  An access that two
    requests of one queue share is written with the first.
    """

    def __init__(self, file: TextIO, trace_format: TraceFormat, chip_hz: int = 1, clock_hz: int | None = None) -> None:
        self._file = file
        self._words = ("LD", "ST") if trace_format == "ramulator2" else ("READ", "WRITE")
        self._timed = trace_format == "dramsim3"
        self._chip_hz = chip_hz
        self._clock_hz = clock_hz or chip_hz
        self._ends: set[tuple[int, int]] = set()  # queues, and where requests of theirs ended
        self.accesses = 0

    def requested(self, queue: int, start: int, end: int, address: int, nbytes: int, write: bool) -> None:
        """Write one request of a queue."""
        first = address // ACCESS_BYTES
        if (queue, address) in self._ends:
            self._ends.remove((queue, address))
            first = -(-address // ACCESS_BYTES)
        self._ends.add((queue, address + nbytes))
        last = -(-(address + nbytes) // ACCESS_BYTES)
        word, cycle = self._words[write], start * self._clock_hz // self._chip_hz
        for access in range(first * ACCESS_BYTES, last * ACCESS_BYTES, ACCESS_BYTES):
            self._file.write(f"{access:#x} {word} {cycle}\n" if self._timed else f"{word} {access:#x}\n")
        self.accesses += last - first


@contextmanager
def dram_trace(
    path: Path, trace_format: TraceFormat, chip_hz: int = 1, clock_hz: int | None = None
) -> Iterator[DramTrace]:
    """Yield a trace that becomes the file ``path`` when the block ends; if that fails, nothing is left behind.

    Raises `FileError` if the file cannot be written.
    """
    with staged_text(path, encoding="ascii") as stream:
        yield DramTrace(stream, trace_format, chip_hz, clock_hz)
