"""The occupancy of the global buffers over time, recorded in bounded memory."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable
from io import StringIO
from itertools import zip_longest

from wavecore.engines.probe import Probe

MOST_BINS = 1024
COLUMNS = ("cycle", "core", "used_bytes")


class Bins:
    """Values by cycle, in at most ``most`` bins of equal width, from cycle ``first`` on.

    ``combine`` makes one of two values of a bin; 0 is its neutral element.  The bins are ``width`` cycles wide at first
    and are joined in pairs, to twice the width, whenever a cycle lies beyond the last one.
    """

    def __init__(self, most: int, combine: Callable[[int, int], int], width: int = 1, first: int = 0) -> None:
        self.width = width
        self.first = first
        self.values: list[int] = []
        self._most = most
        self._combine = combine

    def bin(self, cycle: int) -> int:
        """Return the number of the bin that holds a cycle, after making room for it."""
        while (cycle - self.first) // self.width >= self._most:
            pairs = zip_longest(self.values[::2], self.values[1::2], fillvalue=0)
            self.values = [self._combine(one, other) for one, other in pairs]
            self.width *= 2
        number = (cycle - self.first) // self.width
        if number >= len(self.values):
            self.values += [0] * (number + 1 - len(self.values))
        return number

    def add(self, cycle: int, value: int) -> None:
        """Combine a value with what its bin holds."""
        number = self.bin(cycle)
        self.values[number] = self._combine(self.values[number], value)

    def points(self) -> list[tuple[int, int]]:
        """Return (first cycle, value) of every bin in order."""
        return [(self.first + number * self.width, value) for number, value in enumerate(self.values)]


class LevelOverTime:
    """The largest value of a quantity in each of at most ``most`` bins of time; between changes it stays as it is."""

    def __init__(self, most: int, first: int = 0) -> None:
        self.bins = Bins(most, max, first=first)
        self._value = 0
        self._since = first

    def change(self, cycle: int, value: int) -> None:
        """Set the quantity to ``value`` from ``cycle`` on."""
        self.hold(cycle)
        self.bins.add(cycle, value)
        self._value = value

    def hold(self, cycle: int) -> None:
        """Keep the quantity as it is up to ``cycle``."""
        if cycle <= self._since:
            return
        last = self.bins.bin(cycle - 1)
        for number in range(self.bins.bin(self._since), last + 1):
            self.bins.values[number] = max(self.bins.values[number], self._value)
        self._since = cycle


class OccupancyRecorder(Probe):
    """Keeps the largest occupancy of each core's buffer, in bytes, in at most ``most`` bins of time."""

    def __init__(self, most: int = MOST_BINS) -> None:
        self._cores: dict[int, LevelOverTime] = defaultdict(lambda: LevelOverTime(most))

    def occupied(self, core: int, cycle: int, used_bytes: int) -> None:
        """Record a change."""
        self._cores[core].change(cycle, used_bytes)

    def points(self) -> dict[int, list[tuple[int, int]]]:
        """Return by core (first cycle of a bin, the most bytes that were taken in it)."""
        return {core: self._cores[core].bins.points() for core in sorted(self._cores)}

    def csv(self) -> str:
        """Return the points as a table of `COLUMNS`, core by core."""
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for core, points in self.points().items():
            writer.writerows((cycle, core, used) for cycle, used in points)
        return text.getvalue()
