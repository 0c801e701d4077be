"""A probe that records a timeline in bounded memory."""

from __future__ import annotations

import operator
import sys
from collections import defaultdict, deque
from typing import NamedTuple

from wavecore.engines.instances import CommandInstance
from wavecore.engines.occupancy import Bins, LevelOverTime
from wavecore.engines.probe import Probe, Queue, Signal
from wavecore.hardware.specs import DRAM_KINDS, Accelerator, UnitKind
from wavecore.timeline.model import REQUESTS, Curve, LeftOut, Slice, Timeline, Track
from wavecore.timeline.thinning import join_steps, thin

MOST_SLICES = 200_000
MOST_POINTS = 4096  # of a counter
LEAST_BANDWIDTH_CYCLES = 64  # about the duration of one request; shorter bins would show single requests


class Window(NamedTuple):
    """The cycles that are recorded: from ``start`` up to but excluding ``end``."""

    start: int = 0
    end: int = sys.maxsize


WHOLE = Window()


class _Post(NamedTuple):
    cycle: int
    source: Slice | None


class _ServedRequest(NamedTuple):
    start: int
    end: int
    nbytes: int


class TimelineProbe(Probe):
    """Records what happens in ``window`` in at most ``most`` slices."""

    def __init__(self, accelerator: Accelerator, window: Window = WHOLE, most: int = MOST_SLICES) -> None:
        self._clock_hz = accelerator.chip.clock_hz
        self._units = accelerator.units
        self._writes = {unit.name: unit.kind is UnitKind.STORE for unit in self._units if unit.kind in DRAM_KINDS}
        self._window = window
        self._most = most
        cores = range(accelerator.chip.cores)
        self._tracks: dict[Track, list[Slice]] = {
            Track(core, name): [] for core in cores for name in (*(unit.name for unit in self._units), *REQUESTS)
        }
        self._count = 0
        self._now = 0
        self._left_out = LeftOut()
        self._latest: dict[tuple[int, Queue], Slice | None] = {}
        self._posts: dict[Signal, deque[_Post]] = defaultdict(deque)
        self._arrows: dict[tuple[int, Queue], list[tuple[Slice, Signal]]] = defaultdict(list)
        self._requests: dict[int, list[_ServedRequest]] = defaultdict(list)
        self._timeless: dict[Track, Slice] = {}
        self._before = dict.fromkeys(cores, 0)
        self._levels: dict[int, LevelOverTime] = {}
        self._moved = {name: Bins(MOST_POINTS, operator.add, LEAST_BANDWIDTH_CYCLES, window.start) for name in REQUESTS}

    # -- reports of the engine ---------------------------------------------------------------------------------

    def worked(
        self,
        core: int,
        queue: Queue,
        start: int,
        end: int,
        instance: CommandInstance,
        step: int,
        nbytes: int = 0,
        tensor: str = "",
    ) -> None:
        """Record work, and the requests to DRAM that were made for it."""
        self._now = max(self._now, end)
        item = _work(start, end, instance, step, nbytes, tensor)
        item.arrows = self._arrows.pop((core, queue), [])
        self._latest[core, queue] = item if self._put(Track(core, queue), item) else None
        write = self._writes.get(queue)
        if write is not None:
            track = Track(core, REQUESTS[write])
            for request in self._requests.pop(core + write * len(self._before), ()):
                self._draw(track, _work(*request[:2], instance, step, request.nbytes, tensor))

    def waited(self, core: int, queue: Queue, start: int, end: int, signal: Signal) -> None:
        """Record a wait, and the work that ended it."""
        self._now = max(self._now, end)
        posts = self._posts[signal]
        while posts and posts[0].cycle < end:
            posts.popleft()
        if self._put(Track(core, queue), Slice(start, end, signal=signal)) and posts and posts[0].cycle == end:
            source = posts[0].source
            if source is not None:
                self._arrows[core, queue].append((source, signal))

    def posted(self, core: int, queue: Queue, cycle: int, signal: Signal) -> None:
        """Keep what a queue did last, for the arrows to those that waited for it."""
        posts = self._posts[signal]
        while posts and posts[0].cycle < self._now:
            posts.popleft()
        if posts and posts[-1].cycle == cycle:
            posts.pop()
        posts.append(_Post(cycle, self._latest.get((core, queue))))

    def requested(self, queue: int, start: int, end: int, address: int, nbytes: int, write: bool) -> None:
        """Keep a request until its load or store is reported, and count its bytes over the time that it takes."""
        self._requests[queue].append(_ServedRequest(start, end, nbytes))
        _spread(self._moved[REQUESTS[write]], self._window, start, end, nbytes)

    def occupied(self, core: int, cycle: int, used_bytes: int) -> None:
        """Record an occupancy."""
        if cycle < self._window.start:
            self._before[core] = used_bytes
        elif cycle < self._window.end:
            self._level(core).change(cycle, used_bytes)

    # -- the timeline --------------------------------------------------------------------------------

    def timeline(self) -> Timeline:
        """Return what was recorded."""
        if self._left_out.joined_steps:
            join_steps(self._tracks)
        start, end = self._window.start, min(self._window.end, self._now)
        for core in self._before:
            self._level(core).hold(end)
        return Timeline(
            clock_hz=self._clock_hz,
            units=self._units,
            start=start,
            end=end,
            tracks=self._tracks,
            occupancy={core: _curve(self._level(core).bins) for core in self._before},
            moved={name: _curve(bins) for name, bins in self._moved.items()},
            left_out=self._left_out,
        )

    def _draw(self, track: Track, request: Slice) -> None:
        """Put a request on its track; the bytes of one that takes no time go to the last there, or else to the next."""
        drawn = self._tracks[track]
        if request.cycles:
            _add(request, self._timeless.pop(track, None))
            self._put(track, request)
        elif request.start >= self._window.start:
            if drawn:
                _add(drawn[-1], request)
            else:
                _add(request, self._timeless.get(track))
                self._timeless[track] = request

    def _put(self, track: Track, item: Slice) -> bool:
        """Put a slice on its track if some of it is in the window; return whether."""
        if item.end <= max(item.start, self._window.start) or item.start >= self._window.end:
            return False
        self._tracks[track].append(item)
        self._count += 1
        if self._count > self._most:
            thin(self._tracks, max(1, self._most * 3 // 4), self._left_out)
            self._count = sum(map(len, self._tracks.values()))
        return True

    def _level(self, core: int) -> LevelOverTime:
        if core not in self._levels:
            self._levels[core] = LevelOverTime(MOST_POINTS, self._window.start)
            self._levels[core].change(self._window.start, self._before[core])
        return self._levels[core]


def _add(to: Slice, request: Slice | None) -> None:
    """Add the bytes of a request that took no time."""
    if request is not None:
        to.nbytes += request.nbytes
        to.tensors = tuple(dict.fromkeys((*to.tensors, *request.tensors)))


def _work(start: int, end: int, instance: CommandInstance, step: int, nbytes: int, tensor: str) -> Slice:
    """Return a slice of work on one step."""
    tensors = (tensor,) if tensor else ()
    return Slice(start, end, instance, None, step, step, end - start, nbytes, tensors)


def _spread(bins: Bins, window: Window, start: int, end: int, nbytes: int) -> None:
    """Spread bytes evenly over the cycles from ``start`` to ``end`` that are in a window."""
    cycles = max(1, end - start)
    cycle, stop = max(start, window.start), min(start + cycles, window.end)
    counted = nbytes * (cycle - start) // cycles
    while cycle < stop:
        bins.bin(stop - 1)
        edge = min(stop, bins.first + (bins.bin(cycle) + 1) * bins.width)
        upto = nbytes * (edge - start) // cycles
        bins.add(cycle, upto - counted)
        cycle, counted = edge, upto


def _curve(bins: Bins) -> Curve:
    return Curve(bins.points(), bins.width)
