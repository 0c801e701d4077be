"""What a program does, counted without running it: the same for every engine."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache

from wavecore.plan.traffic import Moved
from wavecore.program.commands import Command, Program, transfers_of
from wavecore.training.operations import Phase

RowKey = tuple[str, Phase]


@dataclass(slots=True)
class RowCounts:
    """Counts of one layer and phase, or of a whole step, all cores together."""

    macs: int = 0
    effectual_macs: int = 0
    gated_macs: int = 0
    skipped_macs: int = 0
    vector_operations: int = 0
    register_bytes: int = 0
    local_buffer_bytes: int = 0
    buffer_read_bytes: int = 0
    buffer_write_bytes: int = 0
    interconnect_bytes: int = 0
    dram_bytes: Moved = field(default_factory=Counter)

    @property
    def dram_read_bytes(self) -> int:
        """Bytes read from DRAM."""
        return sum(nbytes for (_, write), nbytes in self.dram_bytes.items() if not write)

    @property
    def dram_write_bytes(self) -> int:
        """Bytes written to DRAM."""
        return sum(nbytes for (_, write), nbytes in self.dram_bytes.items() if write)

    def add(self, command: Command, runs: Mapping[str, int]) -> None:
        """Count a command, each of whose transfers takes place as often as ``runs`` says of its time.

        The global buffer is read and written by the array and the vector unit, and by DRAM transfers: a load
        writes it and a store reads it.
        """
        work, times = command.work, runs["always"]
        self.macs += work.macs * times
        self.effectual_macs += work.effectual_macs * times
        self.gated_macs += work.gated_macs * times
        self.skipped_macs += work.skipped_macs * times
        self.vector_operations += work.vector_operations * times
        self.register_bytes += work.register_bytes * times
        self.local_buffer_bytes += work.local_buffer_bytes * times
        self.buffer_read_bytes += work.buffer_read_bytes * times
        self.buffer_write_bytes += work.buffer_write_bytes * times
        self.interconnect_bytes += work.interconnect_bytes * times
        for transfer in transfers_of(command):
            self.dram_bytes[transfer.traffic_class, transfer.write] += transfer.dram_bytes * runs[transfer.when]
            nbytes = transfer.nbytes * runs[transfer.when]
            if transfer.write:
                self.buffer_read_bytes += nbytes
            else:
                self.buffer_write_bytes += nbytes


Runs = tuple[tuple[str, int], ...]
"""How often each of the transfers' times comes up."""


def _bodies(program: Program) -> Iterator[tuple[tuple[Command, ...], Runs, int]]:
    """Each distinct command list of the cores, how often its transfers take place, and on how many cores."""
    segments = Counter(segment for core in program.cores for segment in core if segment.iterations)
    for segment, cores in segments.items():
        first, last = segment.iterations[0][1], segment.iterations[-1][1]
        for body, times in segment.bodies:
            opens, closes = int(body is first), int(body is last)
            yield body, (("always", times), ("first", opens), ("after_first", times - opens), ("last", closes)), cores


def count(program: Program) -> dict[RowKey, RowCounts]:
    """Count everything that ``program`` does, by (unit, phase), in the order in which they first run."""
    rows: dict[RowKey, RowCounts] = defaultdict(RowCounts)
    for body, runs, cores in _bodies(program):
        times = {when: often * cores for when, often in runs}
        for command in body:
            rows[command.unit, command.phase].add(command, times)
    return dict(rows)


_SCALARS = tuple(each.name for each in fields(RowCounts) if each.name != "dram_bytes")


@lru_cache(maxsize=1 << 12)
def _body_counts(body: tuple[Command, ...], runs: Runs, cores: int) -> tuple[tuple[int, ...], Moved]:
    """Scalar counts and DRAM bytes of a command list; design points share most of theirs."""
    total, times = RowCounts(), {when: often * cores for when, often in runs}
    for command in body:
        total.add(command, times)
    return tuple(getattr(total, name) for name in _SCALARS), total.dram_bytes


@lru_cache(maxsize=64)
def count_totals(program: Program) -> RowCounts:
    """Count everything that ``program`` does, all rows together."""
    parts = [_body_counts(*each) for each in _bodies(program)]
    moved: Moved = Counter()
    for _, dram_bytes in parts:
        for key, nbytes in dram_bytes.items():
            moved[key] += nbytes
    scalars = map(sum, zip(*(part for part, _ in parts), strict=True))
    return RowCounts(**dict(zip(_SCALARS, scalars, strict=True)), dram_bytes=moved)
