"""A plan: layer groups, their sub-batches, and which tensors stay on chip.

A plan is complete: lowering asks the schedule that made it nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wavecore.common.names import Name
from wavecore.common.notebook import table_html
from wavecore.training.graph import Rewrite


class Residency(Name):
    """How long a tensor stays on chip once it is there.

    ``next``: as long as the very next unit uses it again.  ``kept``: until its last use in the group.  A tensor
    without residency is read from and written to DRAM at every use.
    """

    NEXT = "next"
    KEPT = "kept"


class QueueOrder(Name):
    """The order of the steps in the queue of each computing unit.

    ``program``: command by command, as the operations of the training graph follow each other.  ``overlapped``: a
    static list schedule, so that the vector unit works on one layer while the array works on another; a weight
    gradient runs after the data gradient of its layer, on which the layers before wait, where the buffer has room.
    """

    PROGRAM = "program"
    OVERLAPPED = "overlapped"


@dataclass(frozen=True, slots=True)
class Group:
    """Adjacent units that run sub-batch by sub-batch.

    ``sub_batch`` is in samples of one core; ``forward`` and ``backward`` give the residency of batched tensors in
    the two directions; ``held`` names weights and weight gradients that stay on chip over all iterations.
    """

    units: tuple[str, ...]
    sub_batch: int
    forward: Mapping[str, Residency] = field(default_factory=dict)
    backward: Mapping[str, Residency] = field(default_factory=dict)
    held: frozenset[str] = frozenset()

    def iterations(self, batch_per_core: int) -> int:
        """Return the number of sub-batches that cover ``batch_per_core`` samples; the last may be smaller."""
        return -(-batch_per_core // self.sub_batch)


@dataclass(frozen=True, slots=True)
class Plan:
    """How one training step runs on one core; all cores run the same plan on their own samples.

    ``normalization_passes`` is how often a group normalization that is not on chip reads its input in each
    direction: 2, once for each sweep, or 1, if each sample is held between the sweeps.  ``order`` is that of the
    queues: it moves no bytes.

    ``groups`` are in the order of the network, and backward runs them from the last to the first.  Where backward is
    cut differently, ``backward_groups`` are its groups, in the order of the network too: they hold the residency of
    backward, and ``groups`` that of forward.

    ``rewrites`` are the passes that the training graph must have had: the plan is of the graph that they return.
    """

    workload: str
    schedule: str
    batch_per_core: int
    weight_double_buffering: bool
    groups: tuple[Group, ...]
    normalization_passes: int = 2
    backward_groups: tuple[Group, ...] | None = None
    rewrites: tuple[Rewrite, ...] = ()
    order: QueueOrder = QueueOrder.OVERLAPPED

    def __repr__(self) -> str:
        cut = len(self.groups) if self.backward_groups is None else f"{len(self.groups)}+{len(self.backward_groups)}"
        return f"<Plan {self.workload} {self.schedule}: {cut} groups, {self.batch_per_core} samples per core>"

    def _repr_html_(self) -> str:
        """Show the plan in a notebook: its groups, those of backward behind those of forward if it has its own."""
        groups = (*self.groups, *(self.backward_groups or ()))
        rows = [
            (
                f"{group.units[0]} .. {group.units[-1]}",
                len(group.units),
                group.sub_batch,
                group.iterations(self.batch_per_core),
                len(group.forward),
                len(group.backward),
                len(group.held),
            )
            for group in groups
        ]
        columns = ("units", "count", "sub-batch", "iterations", "stay forward", "stay backward", "held")
        return table_html(repr(self)[1:-1], columns, rows, "print(wavecore.plan_text(plan))")

    @property
    def groups_of_backward(self) -> tuple[Group, ...]:
        """The groups of backward in the order of the network: the same as forward's unless it has its own."""
        return self.groups if self.backward_groups is None else self.backward_groups


class BranchGradients(Name):
    """Where the gradients of a value that several branches read are added.

    ``drain``: each operation that makes one adds it to the sum so far as its results leave.  ``sweep``: each is written
    and added in a sweep of its own, as automatic differentiation does.
    """

    DRAIN = "drain"
    SWEEP = "sweep"


class Statistics(Name):
    """Where the statistics of a group normalization are taken.

    ``sweep``: in a sweep over its input of their own.  ``drain``: in the drain of the product that makes its input,
    where there is one and nothing else changes its result.
    """

    SWEEP = "sweep"
    DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class Choices:
    """Modelling choices that a schedule leaves open; ``docs/headline.md`` shows what each moves.

    ``normalization_passes``: see `Plan`.  ``hold_weight_gradients``: serialized groups keep the weight gradients
    on chip that fit beside everything else, instead of adding to partial sums in DRAM.  ``serialize_recurrent``: groups
    with recurrent layers may run in sub-batches, each of which runs all time steps, if that moves fewer bytes.
    ``order``: see `QueueOrder`.
    ``branch_gradients`` and ``statistics``: see `BranchGradients` and `Statistics`; `Schedule.make` rewrites the
    training graph before it is planned.
    """

    normalization_passes: int = 2
    hold_weight_gradients: bool = True
    serialize_recurrent: bool = True
    order: QueueOrder = QueueOrder.OVERLAPPED
    branch_gradients: BranchGradients = BranchGradients.DRAIN
    statistics: Statistics = Statistics.SWEEP


DEFAULT_CHOICES = Choices()
