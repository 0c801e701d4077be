"""What a program does, counted without running it, and so the same for every engine."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as MappingType
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import lru_cache
from operator import attrgetter

from wavecore.plan.traffic import Moved
from wavecore.program.commands import Command, Mapping, Program, RowKey, transfers_of
from wavecore.program.counters import COUNTERS, Counters

_counters = attrgetter(*COUNTERS)  # the values of all counters, in order
_NOTHING = (0,) * len(COUNTERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCounts(Counters):
    """Counts of one layer and phase, or of a whole step, all cores together.

    ``dram_bytes`` are by class and whether they are written.  ``mappings`` are those of the products, in the order of
    `Mapping`: several where sub-batches of different sizes have different ones.
    """

    dram_bytes: Moved = field(default_factory=Counter)
    mappings: tuple[Mapping, ...] = ()

    @property
    def dram_read_bytes(self) -> int:
        """Bytes read from DRAM."""
        return sum(nbytes for (_, write), nbytes in self.dram_bytes.items() if not write)

    @property
    def dram_write_bytes(self) -> int:
        """Bytes written to DRAM."""
        return sum(nbytes for (_, write), nbytes in self.dram_bytes.items() if write)


def _sum_counters(values: Iterable[Iterable[int]]) -> dict[str, int]:
    """Return the sum of every counter over ``values``, each of which has all counters in order."""
    return dict(zip(COUNTERS, map(sum, zip(_NOTHING, *values, strict=True)), strict=True))


def _count_commands(counted: Iterable[tuple[Command, MappingType[str, int]]]) -> RowCounts:
    """Count commands, each with how often its transfers of every `When` take place.

    The global buffer is read and written by the array and the vector unit, and by DRAM transfers: a load writes it
    and a store reads it.
    """
    values: list[tuple[int, ...]] = []
    moved: Moved = Counter()
    used: set[Mapping | None] = set()
    loaded_bytes = stored_bytes = 0
    for command, runs in counted:
        times = runs["always"]
        used.add(command.work.mapping)
        values.append(tuple(value * times for value in _counters(command.work)))
        for transfer in transfers_of(command):
            moved[transfer.traffic_class, transfer.write] += transfer.dram_bytes * runs[transfer.when]
            if transfer.write:
                stored_bytes += transfer.nbytes * runs[transfer.when]
            else:
                loaded_bytes += transfer.nbytes * runs[transfer.when]
    sums = _sum_counters(values)
    sums["buffer_read_bytes"] += stored_bytes
    sums["buffer_write_bytes"] += loaded_bytes
    return RowCounts(**sums, dram_bytes=moved, mappings=_in_order(used))


def _in_order(used: AbstractSet[Mapping | None]) -> tuple[Mapping, ...]:
    return tuple(each for each in Mapping if each in used)


Runs = tuple[tuple[str, int], ...]
"""How often transfers of each `When` take place."""


def _bodies(program: Program) -> Iterator[tuple[tuple[Command, ...], Runs, int]]:
    """Yield each distinct command list of the cores, how often its transfers take place, and on how many cores."""
    segments = Counter(segment for core in program.cores for segment in core if segment.iterations)
    for segment, cores in segments.items():
        first, last = segment.iterations[0][1], segment.iterations[-1][1]
        for body, times in segment.bodies:
            opens, closes = int(body is first), int(body is last)
            yield body, (("always", times), ("first", opens), ("after_first", times - opens), ("last", closes)), cores


def count(program: Program) -> dict[RowKey, RowCounts]:
    """Count everything that ``program`` does, by row, in the order in which the rows first run."""
    counted: dict[RowKey, list[tuple[Command, MappingType[str, int]]]] = defaultdict(list)
    for body, runs, cores in _bodies(program):
        times = {when: often * cores for when, often in runs}
        for command in body:
            counted[command.row].append((command, times))
    return {key: _count_commands(commands) for key, commands in counted.items()}


@lru_cache(maxsize=1 << 12)
def _count_body(body: tuple[Command, ...], runs: Runs, cores: int) -> RowCounts:
    """Count a command list; design points share most of theirs."""
    times = {when: often * cores for when, often in runs}
    return _count_commands((command, times) for command in body)


@lru_cache(maxsize=64)
def count_totals(program: Program) -> RowCounts:
    """Count everything that ``program`` does, all rows together."""
    parts = [_count_body(*each) for each in _bodies(program)]
    moved: Moved = Counter()
    for part in parts:
        for key, nbytes in part.dram_bytes.items():
            moved[key] += nbytes
    used = {mapping for part in parts for mapping in part.mappings}
    return RowCounts(**_sum_counters(map(_counters, parts)), dram_bytes=moved, mappings=_in_order(used))
