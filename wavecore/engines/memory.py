"""The shared DRAM in the event engine: one request of each queue at a time, served in turn."""

from __future__ import annotations

from typing import NamedTuple

import simpy

from wavecore.engines.probe import Probe
from wavecore.hardware.dram import PS_PER_SECOND, Dram
from wavecore.hardware.specs import Accelerator

REQUEST_BYTES = 64 * 1024  # the bytes that a queue moves before it is another queue's turn


class _Request(NamedTuple):
    """A request that waits to be served."""

    arrived_ps: int
    nbytes: int
    write: bool
    done: simpy.Event


class SharedMemory:
    """Serves the requests of the load and store queues of all cores, one at a time, in turn.

    Queues are numbered so that all loads come before all stores, and served in that order, so that reads follow reads
    and writes follow writes.
    """

    def __init__(
        self, env: simpy.Environment, accelerator: Accelerator, queues: int, probe: Probe | None = None
    ) -> None:
        self._env = env
        self._dram = Dram(accelerator.memory)
        self._clock_hz = accelerator.chip.clock_hz
        self._waiting: list[_Request | None] = [None] * queues
        self._last = queues - 1
        memory = accelerator.memory
        self._stripe = memory.interleave_bytes * memory.channels
        self._offset = [0] * queues
        self._done_ps = [0] * queues
        self._busy = False
        self._probe = probe
        self.requests = 0

    def request(self, queue: int, nbytes: int, write: bool) -> simpy.Event:
        """Ask for a transfer.

        Return an event that fires when the bus is free again; its value is the cycle of the last data.
        """
        event = self._env.event()
        arrived_ps = int(self._env.now) * PS_PER_SECOND // self._clock_hz
        self._waiting[queue] = _Request(arrived_ps, nbytes, write, event)
        if not self._busy:
            self._serve()
        return event

    def _slots(self, queue: int, nbytes: int) -> int:
        """Return the bytes of whole stripes that a request adds to its queue's stream.

        Requests of a queue continue where the last one ended: a stripe that two of them share counts for the first.
        """
        stripe, start = self._stripe, self._offset[queue]
        end = start + nbytes
        self._offset[queue] = end % stripe
        return (-(-end // stripe) + (-start // stripe)) * stripe

    def _cycles(self, picoseconds: int) -> int:
        return -(-picoseconds * self._clock_hz // PS_PER_SECOND)

    def _serve(self) -> None:
        """Start the next waiting request in turn."""
        waiting, count = self._waiting, len(self._waiting)
        for step in range(1, count + 1):
            queue = (self._last + step) % count
            entry = waiting[queue]
            if entry is not None:
                break
        else:
            self._busy = False
            return
        self._busy = True
        self._last = queue
        waiting[queue] = None
        arrived_ps, nbytes, write, event = entry
        slots = self._slots(queue, nbytes)
        free_ps = arrived_ps
        if slots:
            free_ps, self._done_ps[queue] = self._dram.serve(arrived_ps, slots, write, queue)
        self.requests += 1
        done = self._cycles(self._done_ps[queue])
        now = int(self._env.now)
        free = max(now, self._cycles(free_ps))
        if self._probe is not None:
            self._probe.requested(queue, now, free, nbytes, write)
        release = self._env.timeout(free - now)
        assert release.callbacks is not None

        def freed(_: simpy.Event) -> None:
            event.succeed(done)
            self._serve()

        release.callbacks.append(freed)
