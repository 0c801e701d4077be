"""Where the recurrent weights of a plan are during the time steps: on chip, or read from DRAM in each."""

from __future__ import annotations

from dataclasses import dataclass

from wavecore.hardware.specs import Accelerator
from wavecore.plan.blocking import block
from wavecore.plan.model import Group, Plan
from wavecore.plan.placement import Direction, PlacedOperation, place_group
from wavecore.plan.rules import verify_structure
from wavecore.plan.traffic import held_bytes, sub_batches
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import OperandRole, Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurrentWeights:
    """The weights of a layer in one phase, over its time ``steps``, on one core.

    ``reads`` is how often all of them are read from DRAM in a training step: once if the group holds them over its
    iterations; once per iteration if they are ``resident`` over the time steps; else once per time step and iteration.
    """

    layer: str
    phase: Phase
    weight_bytes: int
    steps: int
    resident: bool
    reads: int

    @property
    def dram_read_bytes(self) -> int:
        """DRAM bytes that one core reads for them in a training step if they are not compressed."""
        return self.weight_bytes * self.reads


def recurrent_weights(training: TrainingGraph, plan: Plan, accelerator: Accelerator) -> list[RecurrentWeights]:
    """Return the recurrent weights of a plan in the order of their use; none in a network without such layers.

    They are resident if they are so in every iteration of their group.  Raises PlanError for a plan that is not of this
    graph or breaks a rule.
    """
    verify_structure(training, plan)
    directions = [(Direction.FORWARD, group) for group in plan.groups]
    directions += [(Direction.BACKWARD, group) for group in reversed(plan.groups_of_backward)]
    found = []
    for direction, group in directions:
        placed = place_group(training, group, direction, plan.normalization_passes)
        space = accelerator.core.global_buffer_bytes - held_bytes(placed, group.held)
        found += [
            _weights(operation, group, plan.batch_per_core, accelerator, space)
            for operation in placed
            if operation.operation.time_steps
        ]
    return found


def _weights(
    placed: PlacedOperation, group: Group, batch_per_core: int, accelerator: Accelerator, space: int
) -> RecurrentWeights:
    op = placed.operation
    passes = [
        block(placed, accelerator.array, samples, space).right_passes for samples in sub_batches(group, batch_per_core)
    ]
    weights = [read.tensor for read in placed.reads if read.role is OperandRole.RIGHT]
    held = all(tensor.name in group.held for tensor in weights)
    return RecurrentWeights(
        layer=op.unit,
        phase=op.phase,
        weight_bytes=sum(tensor.nbytes for tensor in weights),
        steps=op.time_steps,
        resident=max(passes) == 1,
        reads=1 if held else sum(passes),
    )
