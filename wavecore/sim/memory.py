"""The shared DRAM in the event engine: one request of each queue at a time, served in turn."""

from __future__ import annotations

import simpy

from wavecore.dram import PS_PER_SECOND, Dram
from wavecore.specs import Accelerator

REQUEST_BYTES = 64 * 1024  # a queue's turn: it lets others in after so many bytes


class SharedMemory:
    """Arbitrates between the load and store queues of all cores.

    Queues are numbered so that all loads come before all stores; turns go round in that order, which keeps reads
    with reads and writes with writes.
    """

    def __init__(self, env: simpy.Environment, accelerator: Accelerator, queues: int) -> None:
        self._env = env
        self._dram = Dram(accelerator.memory)
        self._clock_hz = accelerator.chip.clock_hz
        self._waiting: list[tuple[int, bool, simpy.Event] | None] = [None] * queues
        self._last = queues - 1
        self._busy = False
        self.requests = 0

    def request(self, queue: int, nbytes: int, write: bool) -> simpy.Event:
        """Ask for a transfer; the event fires when the bus is free again, with the cycle of the last data."""
        event = self._env.event()
        self._waiting[queue] = (nbytes, write, event)
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
        nbytes, write, event = entry
        now = self._env.now
        now_ps = -(-int(now) * PS_PER_SECOND // self._clock_hz)
        free_ps, done_ps = self._dram.serve(now_ps, nbytes, write, queue)
        self.requests += 1
        done = self._cycles(done_ps)
        release = self._env.timeout(max(0, self._cycles(free_ps) - int(now)))
        assert release.callbacks is not None

        def freed(_: simpy.Event) -> None:
            event.succeed(done)
            self._serve()

        release.callbacks.append(freed)
