"""What the queues of one core say to a probe: it adds which core it is, and what cycle it is now."""

from __future__ import annotations

import simpy

from wavecore.engines.instances import CommandInstance
from wavecore.engines.probe import Cause, Probe, Queue, Signal


class ProbeEmitter:
    """Speaks for one core."""

    def __init__(self, probe: Probe, env: simpy.Environment, core: int) -> None:
        self._probe = probe
        self._env = env
        self._core = core
        self._fill, self._drain = Signal(core, Cause.FILL), Signal(core, Cause.DRAIN)

    def waits(self, queue: Queue, signal: Signal, event: simpy.Event) -> None:
        """A queue waits from now until ``event`` fires."""
        begun = int(self._env.now)
        assert event.callbacks is not None
        event.callbacks.append(lambda _: self._probe.waited(self._core, queue, begun, int(self._env.now), signal))

    def posted(self, queue: Queue, signal: Signal, cycle: int = 0) -> None:
        """Those who wait may go on, now or from a cycle to come."""
        self._probe.posted(self._core, queue, max(cycle, int(self._env.now)), signal)

    def occupied(self, used_bytes: int) -> None:
        """The buffer's occupancy is new."""
        self._probe.occupied(self._core, int(self._env.now), used_bytes)

    def moved(self, queue: Queue, begun: int, instance: CommandInstance, step: int, nbytes: int, tensor: str) -> None:
        """A load or a store, ``begun`` at a cycle, is done."""
        self._probe.worked(self._core, queue, begun, int(self._env.now), instance, step, nbytes, tensor)

    def multiplied(self, instance: CommandInstance, step: int, filled: bool) -> None:
        """The array has issued a step, after a fill if it was idle before."""
        self._computed(
            "array", instance, step, instance.table.array[step], self._fill, instance.command.work.fill_cycles * filled
        )

    def swept(self, instance: CommandInstance, step: int) -> None:
        """The vector unit is done with a step, the last of a product after the array has drained."""
        work = instance.command.work
        last = work.array_cycles > 0 and step == instance.command.steps - 1
        self._computed("vector", instance, step, instance.table.vector[step], self._drain, work.drain_cycles * last)

    def _computed(
        self, queue: Queue, instance: CommandInstance, step: int, cycles: int, skew: Signal, skew_cycles: int
    ) -> None:
        end = int(self._env.now)
        start = end - cycles
        if skew_cycles:
            self._probe.waited(self._core, queue, start - skew_cycles, start, skew)
        self._probe.worked(self._core, queue, start, end, instance, step)
