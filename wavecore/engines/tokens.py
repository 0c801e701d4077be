"""What orders the queues: counters that are waited on, and the space of the global buffer."""

from __future__ import annotations

from collections.abc import Mapping

import simpy

from wavecore.engines.emitter import ProbeEmitter
from wavecore.engines.probe import Cause, Queue, Signal
from wavecore.engines.stalls import Posted, QueueState

Event = simpy.Event


class Counter(Posted):
    """A number that only grows, because of what its owner posts; processes wait until it has reached what they need.

    ``signal`` is what it stands for in the reports of waits to a probe.
    """

    __slots__ = ("_env", "_waiters", "signal", "value")

    def __init__(self, env: simpy.Environment, signal: Signal, owner: QueueState) -> None:
        super().__init__(owner)
        self._env = env
        self.signal = signal
        self._waiters: list[tuple[int, Event]] = []
        self.value = 0

    def reached(self, threshold: int, queue: Queue = "", emitter: ProbeEmitter | None = None) -> Event:
        """Return an event that fires once the counter is at ``threshold``; ``queue`` waits for it."""
        event = self._env.event()
        if emitter is not None:
            emitter.waits(queue, self.signal, event)
        if self.value >= threshold:
            event.succeed()
        else:
            self._waiters.append((threshold, event))
        return event

    def add(self, amount: int) -> None:
        """Add to the counter, and fire the events whose threshold it has reached."""
        self.value += amount
        if self._waiters:
            still = []
            for threshold, event in self._waiters:
                if threshold <= self.value:
                    event.succeed()
                else:
                    still.append((threshold, event))
            self._waiters = still

    def __repr__(self) -> str:
        return f"<Counter {self.value}, {len(self._waiters)} waiting>"


class TensorCounters(dict[str, Counter]):
    """Counters by tensor, each made when it is first read; ``owners`` post those that ``owner`` does not."""

    def __init__(
        self,
        env: simpy.Environment,
        core: int,
        cause: Cause,
        owner: QueueState,
        owners: Mapping[str, QueueState] | None = None,
    ) -> None:
        super().__init__()
        self._env = env
        self._core = core
        self._cause = cause
        self._owner = owner
        self._owners = owners or {}

    def __missing__(self, tensor: str) -> Counter:
        owner = self._owners.get(tensor, self._owner)
        counter = self[tensor] = Counter(self._env, Signal(self._core, self._cause, tensor), owner)
        return counter


class Space:
    """The global buffer: bytes are taken in program order by one process and given back by any.

    Allocation is by bytes: the buffer is paged finely enough that fragmentation plays no part.
    """

    __slots__ = ("_emitter", "_env", "_waiter", "capacity", "peak", "signal", "used")

    def __init__(
        self, env: simpy.Environment, capacity: int, signal: Signal, emitter: ProbeEmitter | None = None
    ) -> None:
        self._env = env
        self._emitter = emitter
        self.signal = signal
        self.capacity = capacity
        self.used = 0
        self.peak = 0
        self._waiter: tuple[int, Event] | None = None

    def fits(self, nbytes: int) -> bool:
        """Return whether ``nbytes`` are free now."""
        return self.used + nbytes <= self.capacity

    def take(self, nbytes: int) -> None:
        """Take bytes that are free."""
        self.used += nbytes
        self.peak = max(self.peak, self.used)
        if self._emitter is not None:
            self._emitter.occupied(self.used)

    def room(self, nbytes: int, queue: Queue = "") -> Event:
        """Return an event that fires once ``nbytes`` are free; ``queue`` waits for it."""
        event = self._env.event()
        if self._emitter is not None:
            self._emitter.waits(queue, self.signal, event)
        self._waiter = (nbytes, event)
        return event

    def give(self, nbytes: int) -> None:
        """Give bytes back, and fire the event of the process that waits if its bytes are now free."""
        self.used -= nbytes
        if self._emitter is not None:
            self._emitter.occupied(self.used)
        if self._waiter is not None and self.fits(self._waiter[0]):
            event = self._waiter[1]
            self._waiter = None
            event.succeed()

    def __repr__(self) -> str:
        return f"<Space {self.used} of {self.capacity} B, peak {self.peak} B>"
