"""What the queues of one core report to a probe: the emitter adds the core and the present cycle."""

from __future__ import annotations

import simpy

from wavecore.engines.instances import CommandInstance
from wavecore.engines.probe import Cause, Probe, Queue, Signal


class ProbeEmitter:
    """Reports what happens on one core to a probe."""

    def __init__(self, probe: Probe, env: simpy.Environment, core: int) -> None:
        self._probe = probe
        self._env = env
        self._core = core
        self._fill, self._drain = Signal(core, Cause.FILL), Signal(core, Cause.DRAIN)

    def waits(self, queue: Queue, signal: Signal, event: simpy.Event) -> None:
        """Report a wait that begins now, once ``event`` fires."""
        begun = int(self._env.now)
        assert event.callbacks is not None
        event.callbacks.append(lambda _: self._probe.waited(self._core, queue, begun, int(self._env.now), signal))

    def posted(self, queue: Queue, signal: Signal, cycle: int = 0) -> None:
        """Report that waits for a signal end now, or at a later ``cycle``."""
        self._probe.posted(self._core, queue, max(cycle, int(self._env.now)), signal)

    def occupied(self, used_bytes: int) -> None:
        """Report a new occupancy of the buffer."""
        self._probe.occupied(self._core, int(self._env.now), used_bytes)

    def moved(self, queue: Queue, begun: int, instance: CommandInstance, step: int, nbytes: int, tensor: str) -> None:
        """Report a load or a store that was ``begun`` at a cycle and ends now."""
        self._probe.worked(self._core, queue, begun, int(self._env.now), instance, step, nbytes, tensor)

    def filled(self, queue: Queue, cycles: int) -> None:
        """Report a fill that ends now."""
        self._skew(queue, cycles, self._fill)

    def drained(self, queue: Queue, cycles: int) -> None:
        """Report that a queue has waited until now for the drain of the unit before it."""
        self._skew(queue, cycles, self._drain)

    def worked(self, queue: Queue, instance: CommandInstance, step: int, cycles: int) -> None:
        """Report a unit's work on a step, which ends now."""
        end = int(self._env.now)
        self._probe.worked(self._core, queue, end - cycles, end, instance, step)

    def _skew(self, queue: Queue, cycles: int, signal: Signal) -> None:
        if cycles:
            now = int(self._env.now)
            self._probe.waited(self._core, queue, now - cycles, now, signal)
