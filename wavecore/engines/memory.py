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
    address: int
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
        self._accepted_ps = 0  # when the controller had taken the last request
        self._busy = False
        self._probe = probe
        self.requests = 0

    def request(self, queue: int, address: int, nbytes: int, write: bool) -> simpy.Event:
        """Ask for a transfer of contiguous bytes.

        Return an event that fires when the controller has taken all of it, so that the next request may come; its
        value is the cycle of the last data.
        """
        event = self._env.event()
        arrived_ps = int(self._env.now) * PS_PER_SECOND // self._clock_hz
        self._waiting[queue] = _Request(arrived_ps, address, nbytes, write, event)
        if not self._busy:
            self._serve()
        return event

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
        arrived_ps, address, nbytes, write, event = entry
        now = int(self._env.now)
        arrived_ps = max(arrived_ps, self._accepted_ps)
        self._accepted_ps, done_ps = self._dram.serve(arrived_ps, address, nbytes, write)
        self.requests += 1
        done = self._cycles(done_ps)
        accepted = max(now, self._cycles(self._accepted_ps))
        if self._probe is not None:
            self._probe.requested(queue, now, accepted, address, nbytes, write)
        release = self._env.timeout(accepted - now)
        assert release.callbacks is not None

        def taken(_: simpy.Event) -> None:
            event.succeed(done)
            self._serve()

        release.callbacks.append(taken)
