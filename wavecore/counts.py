"""What a program does, counted without running it: the same for every engine."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from wavecore.operations import Phase, TensorClass
from wavecore.program import Command, Program, transfers_of

RowKey = tuple[str, Phase]


@dataclass(slots=True)
class RowCounts:
    """Counts of one layer and phase, all cores together."""

    macs: int = 0
    vector_operations: int = 0
    register_bytes: int = 0
    local_buffer_bytes: int = 0
    buffer_read_bytes: int = 0
    buffer_write_bytes: int = 0
    interconnect_bytes: int = 0
    dram_bytes: Counter[tuple[TensorClass, bool]] = field(default_factory=Counter)

    @property
    def dram_read_bytes(self) -> int:
        """Bytes read from DRAM."""
        return sum(nbytes for (_, write), nbytes in self.dram_bytes.items() if not write)

    @property
    def dram_write_bytes(self) -> int:
        """Bytes written to DRAM."""
        return sum(nbytes for (_, write), nbytes in self.dram_bytes.items() if write)


def executions(program: Program) -> Iterator[tuple[Command, Mapping[str, int], int]]:
    """Each distinct command of each core, how often each of its transfers' times comes up, and how often it runs."""
    for segments in program.cores:
        for segment in segments:
            count = len(segment.iterations)
            for body, times in segment.bodies:
                opens = body is segment.iterations[0][1]
                closes = body is segment.iterations[-1][1]
                runs = {
                    "always": times,
                    "first": int(opens),
                    "after_first": times - opens,
                    "last": int(closes),
                }
                if not count:
                    continue
                for command in body:
                    yield command, runs, times


def count(program: Program) -> dict[RowKey, RowCounts]:
    """Count everything that ``program`` does, by (unit, phase), in the order in which they first run.

    The global buffer is read and written by the array and the vector unit, and by DRAM transfers: a load
    writes it and a store reads it.
    """
    rows: dict[RowKey, RowCounts] = defaultdict(RowCounts)
    for command, runs, times in executions(program):
        row, work = rows[command.unit, command.phase], command.work
        row.macs += work.macs * times
        row.vector_operations += work.vector_operations * times
        row.register_bytes += work.register_bytes * times
        row.local_buffer_bytes += work.local_buffer_bytes * times
        row.buffer_read_bytes += work.buffer_read_bytes * times
        row.buffer_write_bytes += work.buffer_write_bytes * times
        row.interconnect_bytes += work.interconnect_bytes * times
        for transfer in transfers_of(command):
            nbytes = transfer.nbytes * runs[transfer.when]
            row.dram_bytes[transfer.traffic_class, transfer.write] += nbytes
            if transfer.write:
                row.buffer_read_bytes += nbytes
            else:
                row.buffer_write_bytes += nbytes
    return dict(rows)
