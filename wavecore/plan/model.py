"""What a plan is: layer groups, their sub-batches, and where every tensor lives.

A *schedule* is a policy that makes a plan for a training graph and a buffer.  A plan is complete: lowering asks
the schedule nothing.  Schedules register through the entry-point group ``wavecore.schedules``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from wavecore.common.names import Name
from wavecore.hardware.specs import Accelerator
from wavecore.training.graph import TrainingGraph


class Residency(Name):
    """How long a tensor stays on chip once it is there.

    ``next``: as long as the very next unit uses it again.  ``kept``: until its last use in the group.  A tensor
    without residency goes through DRAM at every use.
    """

    NEXT = "next"
    KEPT = "kept"


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
        """Sub-batches that cover ``batch_per_core`` samples; the last may be smaller."""
        return -(-batch_per_core // self.sub_batch)


@dataclass(frozen=True, slots=True)
class Plan:
    """How one training step runs on one core; all cores run the same plan on their own samples.

    ``normalization_passes`` is how often a group normalization that is not on chip reads its input in each
    direction: 2, once for each sweep, or 1, if each sample is held between the sweeps.
    """

    workload: str
    schedule: str
    batch_per_core: int
    weight_double_buffering: bool
    groups: tuple[Group, ...]
    normalization_passes: int = 2


@dataclass(frozen=True, slots=True)
class Choices:
    """Modelling choices that a schedule leaves open; ``docs/headline.md`` shows what each moves.

    ``normalization_passes``: see `Plan`.  ``hold_weight_gradients``: serialized groups keep the weight gradients
    on chip that fit beside everything else, instead of adding to partial sums in DRAM.  ``serialize_recurrent``: groups
    with recurrent layers may run in sub-batches, each of which runs all time steps anew, if that moves fewer bytes.
    """

    normalization_passes: int = 2
    hold_weight_gradients: bool = True
    serialize_recurrent: bool = True


DEFAULT_CHOICES = Choices()


class Policy(Protocol):
    """Makes a plan for a training graph on a machine, for so many samples a core."""

    def __call__(
        self, training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices
    ) -> Plan:
        """Return the plan; SpaceError when a layer cannot run in the buffer at all."""
        ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """A registered policy, under the name that users give."""

    name: str
    summary: str
    policy: Policy

    def make(
        self,
        training: TrainingGraph,
        accelerator: Accelerator,
        batch_per_core: int,
        choices: Choices = DEFAULT_CHOICES,
    ) -> Plan:
        """Return the policy's plan.  Raises SpaceError when a layer cannot run in the buffer at all."""
        return self.policy(training, accelerator, batch_per_core, choices)
