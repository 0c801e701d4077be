"""Which tensors of a group stay on chip: rules that schedules choose from, as tables of residency."""

from __future__ import annotations

from collections.abc import Mapping

from wavecore.common.memo import remembered
from wavecore.common.names import Name
from wavecore.plan.model import Residency
from wavecore.plan.placement import Direction, Place, PlacedOperation, place
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import TensorClass


class Rule(Name):
    """Which tensors of a group stay on chip between its layers."""

    NONE = "none"  # every tensor goes through DRAM
    NEXT = "next"  # every tensor stays until the next layer is done
    BRANCHES = "branches"  # and activations and gradients until their last branch has read them
    BRANCHES_AND_SAVED = "branches_and_saved"  # and, in backward, saved inputs that several branches read


_KEPT_CLASSES: Mapping[tuple[Rule, Direction], tuple[TensorClass, ...]] = {
    (Rule.BRANCHES, Direction.FORWARD): (TensorClass.ACTIVATION, TensorClass.GRADIENT),
    (Rule.BRANCHES, Direction.BACKWARD): (TensorClass.GRADIENT,),
    (Rule.BRANCHES_AND_SAVED, Direction.FORWARD): (TensorClass.ACTIVATION, TensorClass.GRADIENT),
    (Rule.BRANCHES_AND_SAVED, Direction.BACKWARD): (TensorClass.ACTIVATION, TensorClass.GRADIENT),
}
"""The classes of tensors that are `Residency.KEPT`; all others are `Residency.NEXT`."""


@remembered()
def residency_table(training: TrainingGraph, rule: Rule, direction: Direction) -> Mapping[str, Residency]:
    """Return the residency that a rule gives to every batched tensor of the network."""
    if rule is Rule.NONE:
        return {}
    kept = _KEPT_CLASSES.get((rule, direction), ())
    return {
        tensor.name: Residency.KEPT if tensor.tensor_class in kept else Residency.NEXT
        for tensor in training.tensors.values()
        if tensor.batched
    }


def place_by_rule(
    training: TrainingGraph, first: int, last: int, rule: Rule, direction: Direction, normalization_passes: int
) -> tuple[PlacedOperation, ...]:
    """Place units ``first`` to ``last`` in one direction under a rule."""
    return place(training, first, last, direction, residency_table(training, rule, direction), normalization_passes)


def on_chip_tensors(placed: PlacedOperation) -> set[str]:
    """Return the names of the batched tensors that an operation finds or leaves on chip."""
    found = {read.tensor.name for read in placed.reads if read.place is not Place.STREAMED and read.tensor.batched}
    return found | {write.tensor.name for write in placed.writes if write.kept and write.tensor.batched}
