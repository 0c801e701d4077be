"""Write the groups of a plan: what stays on chip of a candidate, the weight gradients it holds, and what must leave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from wavecore.common.memo import remembered
from wavecore.plan.blocking import block, fits
from wavecore.plan.group_costs import DIRECTIONS, Candidate, GroupCostModel
from wavecore.plan.model import Group, Residency
from wavecore.plan.placement import Direction, PlacedOperation, place
from wavecore.plan.residency import Rule, on_chip_tensors, place_by_rule, residency_table
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import TensorClass


def write_group(costs: GroupCostModel, candidate: Candidate, *, hold: bool = False) -> Group:
    """Write a candidate as a group of a plan, naming only the tensors that do stay on chip.

    With ``hold``, room that is left in backward keeps weight gradients on chip over the iterations.
    """
    passes = costs.choices.normalization_passes
    written = _group_of_rule(costs.training, candidate.first, candidate.last, candidate.rule, passes)
    group = replace(written, sub_batch=candidate.sub_batch)
    if hold and costs.choices.hold_weight_gradients and group.iterations(costs.batch) > 1:
        return replace(group, held=_gradients_that_fit(costs, candidate))
    return group


@remembered()
def _group_of_rule(training: TrainingGraph, first: int, last: int, rule: Rule, normalization_passes: int) -> Group:
    """Write a group at a sub-batch of one sample."""
    residency = []
    for direction in DIRECTIONS:
        placed = place_by_rule(training, first, last, rule, direction, normalization_passes)
        names = sorted(set().union(*map(on_chip_tensors, placed)))
        table = residency_table(training, rule, direction)
        residency.append({name: table[name] for name in names})
    units = tuple(unit.name for unit in training.units[first : last + 1])
    return Group(units, 1, residency[0], residency[1])


def _gradients_that_fit(costs: GroupCostModel, candidate: Candidate) -> frozenset[str]:
    """Return the weight gradients that fit beside everything else in backward, the largest first."""
    footprint = costs.footprint(candidate.first, candidate.last, candidate.rule, candidate.rereads)
    room = costs.space_bytes - footprint.backward_bytes(candidate.sub_batch)
    held: set[str] = set()
    for nbytes, name in _weight_gradients(costs.training, candidate.first, candidate.last):
        if nbytes <= room:
            held.add(name)
            room -= nbytes
    return frozenset(held)


@remembered()
def _weight_gradients(training: TrainingGraph, first: int, last: int) -> list[tuple[int, str]]:
    """Return the bytes and names of the weight gradients of some units, the largest first."""
    units = training.units[first : last + 1]
    written = (training.tensors[name] for unit in units for op in unit.backward for name in op.writes)
    gradients = (tensor for tensor in written if tensor.tensor_class is TensorClass.WEIGHT_GRADIENT)
    return sorted(((tensor.nbytes, tensor.name) for tensor in gradients), reverse=True)


def bytes_saved_by_holding(costs: GroupCostModel, group: Group) -> int:
    """Return the DRAM bytes that holding weight gradients saves: a read and a write of each per iteration but one."""
    held = sum(costs.training.tensors[name].nbytes for name in group.held)
    return 2 * held * (group.iterations(costs.batch) - 1)


def spill_until_fits(costs: GroupCostModel, group: Group) -> Group:
    """Send tensors of a group through DRAM, the largest first, until every operation has room.

    Raises SpaceError when an operation has no room with every tensor in DRAM.
    """
    forward = _spill(costs, group, Direction.FORWARD, group.forward)
    return replace(group, forward=forward, backward=_spill(costs, group, Direction.BACKWARD, group.backward))


def _spill(
    costs: GroupCostModel, group: Group, direction: Direction, residency: Mapping[str, Residency]
) -> dict[str, Residency]:
    """Return the residency that is left in one direction."""
    training, array, left = costs.training, costs.accelerator.array, dict(residency)
    first, last = training.unit_index[group.units[0]], training.unit_index[group.units[-1]]
    while True:
        placed = place(training, first, last, direction, left, costs.choices.normalization_passes)
        tight = next((each for each in placed if not fits(each, array, group.sub_batch, costs.space_bytes)), None)
        if tight is None:
            return left
        present = [name for name in _on_chip_during(placed, tight) if name in left]
        if not present:
            block(tight, array, group.sub_batch, costs.space_bytes)  # raises SpaceError
        del left[max(present, key=lambda name: (training.tensors[name].nbytes, name))]


def _on_chip_during(placed: Iterable[PlacedOperation], during: PlacedOperation) -> list[str]:
    """Return the names of the tensors that are on chip while an operation of a group runs."""
    present: set[str] = set()
    for operation in placed:
        present |= on_chip_tensors(operation)
        if operation is during:
            break
        present -= set(operation.frees)
    return sorted(present)
