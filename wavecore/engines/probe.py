"""What the event engine reports to a probe while it runs.

All times are chip cycles.  Work and waits are reported when they end, so reports of two queues are not in the order of
time.  Those of one queue are: what the queue does and what it waits for follow each other and never overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from wavecore.engines.instances import CommandInstance
from wavecore.hardware.specs import UnitKind

Queue = str
"""The name of a unit of a core, which is that of its queue of commands: one of the accelerator's `UnitSpec`."""


class Cause(StrEnum):
    """What a queue waits for; another queue posts each of these but fill and drain."""

    LOADS = "loads"  # the step's operands from DRAM
    PRODUCTS = "products"  # the array's tiles of the step
    RESULTS = "results"  # what a vector unit makes of a step, or the accumulators that it drains
    ON_CHIP = "on chip"  # a tensor that an earlier command makes or loads
    IN_DRAM = "in DRAM"  # a tensor that an earlier command stores
    SPACE = "space"  # room in the global buffer
    FILL = "fill"  # the array's skew before its first product
    DRAIN = "drain"  # the array's skew after its last product


@dataclass(frozen=True, slots=True)
class Signal:
    """What is posted and waited for: a cause on a core, and the tensor or the unit of the core that it is about."""

    core: int
    cause: Cause
    tensor: str = ""
    unit: str = ""


DONE_CAUSES = {UnitKind.LOAD: Cause.LOADS, UnitKind.ARRAY: Cause.PRODUCTS, UnitKind.VECTOR: Cause.RESULTS}
"""What a queue waits for when it waits for the finished steps of a unit of that kind."""


class Probe:
    """Watches a run: the engine calls these methods, which do nothing until they are overridden."""

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
        """A queue worked on a step of a command from ``start`` to ``end``, which may be the same cycle.

        Load and store queues move ``nbytes`` of ``tensor``.  The array's work is the issue of products, without
        fill and drain.
        """

    def waited(self, core: int, queue: Queue, start: int, end: int, signal: Signal) -> None:
        """A queue waited for ``signal`` from ``start`` to ``end``."""

    def posted(self, core: int, queue: Queue, cycle: int, signal: Signal) -> None:
        """What a queue did last ends the waits for ``signal`` at ``cycle``, which is now or later."""

    def requested(self, queue: int, start: int, end: int, address: int, nbytes: int, write: bool) -> None:
        """DRAM's controller takes a request of ``nbytes`` from ``address`` on, from cycle ``start`` to ``end``.

        Queues are numbered over the chip: the load queues of all cores, then their store queues.
        """

    def occupied(self, core: int, cycle: int, used_bytes: int) -> None:
        """From ``cycle`` on, ``used_bytes`` of a core's global buffer are taken."""


REPORTS = tuple(name for name in vars(Probe) if not name.startswith("_"))
"""The methods of `Probe`."""


class Probes(Probe):
    """Several probes as one: every report goes to each of them, in the order given."""

    def __init__(self, *probes: Probe) -> None:
        for name in REPORTS:
            setattr(self, name, _to_each([getattr(probe, name) for probe in probes]))


def _to_each(methods: Sequence[Callable[..., None]]) -> Callable[..., None]:
    def report(*args: object, **named: object) -> None:
        for method in methods:
            method(*args, **named)

    return report
