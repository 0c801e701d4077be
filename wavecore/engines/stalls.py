"""What an array that waits finally waits for.

Every queue of a core works, or waits for what another queue posts.  Who that is is known when the wait begins, so the
queues that wait form a chain from the array to one that works, or that waits for something outside the queues: that is
what the array's cycles count for, until any queue of the core goes over from waiting to working or back.
"""

from __future__ import annotations

import simpy

from wavecore.engines.timing import Stall

MOST_LINKS = 16  # of a chain: more than a core has queues


class Posted:
    """Something that a queue, its ``owner``, posts bit by bit.

    ``coming`` is how much of what is loaded has been read by DRAM, though the last data may still be on their way.
    """

    __slots__ = ("coming", "owner")

    def __init__(self, owner: QueueState) -> None:
        self.owner = owner
        self.coming = 0


class QueueState:
    """What a queue does now.

    Its ``cause`` is what its time counts for: ``work`` while it works, else whatever it waits for, of which it needs
    ``needed``.  Of an array, ``stalls`` are the cycles of its waits up to the cycle ``since``.
    """

    __slots__ = ("cause", "name", "needed", "since", "stalls", "work")

    def __init__(self, name: str, work: Stall, *, counted: bool = False) -> None:
        self.name = name
        self.work = work
        self.cause: Stall | Posted = work
        self.needed = 0
        self.since = 0
        self.stalls = dict.fromkeys(Stall, 0) if counted else None


class StallAccount:
    """Counts the cycles of one core's arrays in which they wait, by what they finally wait for.

    While the buffer is full, ``store`` may be what keeps it full: as long as it moves data to DRAM.
    """

    __slots__ = ("_env", "_store", "_waiting")

    def __init__(self, env: simpy.Environment, store: QueueState) -> None:
        self._env = env
        self._store = store
        self._waiting: list[QueueState] = []

    def begins(self, queue: QueueState, work: Stall) -> None:
        """Let the work of a queue, which works now, count as ``work`` from now on."""
        if queue.work is not work:
            self.settle()
            queue.work = queue.cause = work

    def waits(self, queue: QueueState, cause: Stall | Posted, needed: int = 0) -> None:
        """Record that a queue begins to wait."""
        if self._waiting:
            self.settle()
        queue.cause, queue.needed = cause, needed
        if queue.stalls is not None:
            queue.since = int(self._env.now)
            self._waiting.append(queue)

    def works(self, queue: QueueState) -> None:
        """Record that a queue has waited and works again."""
        if self._waiting:
            self.settle()
            if queue.stalls is not None:
                self._waiting.remove(queue)
        queue.cause = queue.work

    def settle(self) -> None:
        """Count the cycles of all waits up to now; what they wait for is about to change."""
        now = int(self._env.now)
        for queue in self._waiting:
            if now > queue.since:
                assert queue.stalls is not None
                queue.stalls[self._final_cause(queue)] += now - queue.since
                queue.since = now

    def end(self) -> None:
        """Count all waits up to now, and none from now on."""
        self.settle()
        self._waiting = []

    def _final_cause(self, queue: QueueState) -> Stall:
        """Return the end of the chain that begins at a queue; of one without an end, the work of one of its queues."""
        at = queue
        for _ in range(MOST_LINKS):
            cause = at.cause
            if isinstance(cause, Stall):
                moves = cause is Stall.SPACE and self._store.cause is self._store.work
                return self._store.work if moves else cause
            if cause.coming >= at.needed:
                return Stall.UPDATE if at.work is Stall.UPDATE else Stall.DRAM
            at = cause.owner
        return at.work
