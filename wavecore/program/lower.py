"""(training graph, plan, accelerator) -> program.

Every operation of every group becomes one command for each distinct sub-batch size.  `plan.traffic` says what it moves
over DRAM, `drafts` how those bytes flow, `costs` what it computes, and `flows` in how many steps it runs.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

from wavecore.common.memo import remembered
from wavecore.hardware.rules import verify_accelerator
from wavecore.hardware.specs import Accelerator, ArraySpec
from wavecore.plan.blocking import Blocking, block, fits
from wavecore.plan.model import Group, Plan, QueueOrder
from wavecore.plan.placement import Direction, PlacedOperation, place, place_group
from wavecore.plan.rules import verify_structure
from wavecore.plan.traffic import held_bytes, sub_batches, update_transfers
from wavecore.program.commands import Command, CommandCost, Program, Segment, transfers_of
from wavecore.program.costs import command_work, update_work
from wavecore.program.drafts import Site, draft_command, draft_update
from wavecore.program.flows import StepCounts, StepLimits, outer_blocks, step_counts, step_limits, update_step_limits
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import TensorClass


def machine_for(plan: Plan, accelerator: Accelerator) -> Accelerator:
    """Return the accelerator as the plan uses it: a schedule may leave the second weight register idle."""
    double = plan.weight_double_buffering and accelerator.array.weight_double_buffering
    return replace(accelerator, array=replace(accelerator.array, weight_double_buffering=double))


def _cost_key(accelerator: Accelerator) -> Hashable:
    """Return what the cost of a command depends on."""
    core = accelerator.core
    ports = core.array_port_bytes_per_cycle, core.vector_port_bytes_per_cycle
    choices = accelerator.mapping, accelerator.sparsity.gating
    return accelerator.array, accelerator.vector, accelerator.units, ports, accelerator.chip.cores, choices


def lower(training: TrainingGraph, plan: Plan, accelerator: Accelerator) -> Program:
    """Lower ``plan`` to the program that the cores run.

    ``training`` is the graph that the plan runs: that of the network after the plan's rewrites.  Raises PlanError for a
    plan that is not of this graph or breaks a rule, ConfigError for an impossible machine, and SpaceError when an
    operation has no room in the buffer.
    """
    verify_structure(training, plan)
    verify_accelerator(accelerator)
    return _lower(training, plan, accelerator)


def _dram_share(accelerator: Accelerator) -> float:
    """Return the bytes that one core can move to and from DRAM in a cycle, when all cores do."""
    return accelerator.memory.bandwidth_bytes_per_second / accelerator.chip.clock_hz / accelerator.chip.cores


@remembered(
    limit=64,
    key=lambda plan, machine: ((id(plan), machine.core.global_buffer_bytes, _cost_key(machine), _dram_share(machine))),
)
def _lower(training: TrainingGraph, plan: Plan, accelerator: Accelerator) -> Program:
    """Lower a plan that has been verified."""
    space = accelerator.core.global_buffer_bytes
    machine = _machine(training, machine_for(plan, accelerator))
    forward = [_segment(training, plan, group, Direction.FORWARD, space, machine) for group in plan.groups]
    reverse = reversed(plan.groups_of_backward)
    backward = [_segment(training, plan, group, Direction.BACKWARD, space, machine) for group in reverse]
    updates = [_update_segment(training, plan, core, space, machine) for core in range(accelerator.chip.cores)]
    segments = tuple((*forward, *backward, update) for update in updates)
    slots = tuple((unit.name, unit.result_slots) for unit in accelerator.units if unit.result_slots)
    return Program(plan.workload, plan.schedule, space, segments, plan.order, _dram_share(accelerator), slots)


@dataclass(frozen=True, slots=True, eq=False)
class _Machine:
    """An accelerator that stands for all on which commands cost the same; it is quick to hash, by its identity."""

    accelerator: Accelerator


@remembered(key=_cost_key)
def _machine(training: TrainingGraph, accelerator: Accelerator) -> _Machine:
    return _Machine(accelerator)


def _segment(
    training: TrainingGraph, plan: Plan, group: Group, direction: Direction, space_bytes: int, machine: _Machine
) -> Segment:
    """Lower a group in one direction."""
    placed = place_group(training, group, direction, plan.normalization_passes)
    held = held_bytes(placed, group.held)
    sizes = sub_batches(group, plan.batch_per_core)
    if plan.order is QueueOrder.OVERLAPPED and direction is Direction.BACKWARD:
        late = place_group(
            training, group, direction, plan.normalization_passes, frozenset(op.operation.unit for op in placed)
        )
        deferred = _units_with_room(placed, late, set(sizes), machine.accelerator.array, space_bytes - held)
        placed = place_group(training, group, direction, plan.normalization_passes, deferred)
    bodies = {
        samples: tuple(
            _command(training, site, space_bytes - held, machine)
            for site in _sites(training, placed, samples, group.held)
        )
        for samples in dict.fromkeys(sizes)
    }
    return Segment(
        f"{group.units[0]}..{group.units[-1]}",
        direction,
        tuple((samples, bodies[samples]) for samples in sizes),
        held,
    )


def _units_with_room(
    early: Sequence[PlacedOperation],
    late: Sequence[PlacedOperation],
    sizes: Iterable[int],
    array: ArraySpec,
    space_bytes: int,
) -> frozenset[str]:
    """Return the units whose weight gradient has room to run late in all sub-batches, and moves the same bytes then."""
    units = {operation.operation.unit for operation in early}
    before = {operation.operation.name: operation for operation in early}
    for operation in late:
        earlier = before[operation.operation.name]
        if operation is not earlier and not all(
            _blocked_alike(earlier, operation, array, samples, space_bytes) for samples in sizes
        ):
            units.discard(operation.operation.unit)
    return frozenset(units)


def _blocked_alike(
    early: PlacedOperation, late: PlacedOperation, array: ArraySpec, samples: int, space_bytes: int
) -> bool:
    """Return whether an operation fits in both places, and goes over its operands in the same order."""
    if not fits(late, array, samples, space_bytes):
        return False
    one, other = (block(placed, array, samples, space_bytes) for placed in (early, late))
    return one._replace(stage_bytes=0) == other._replace(stage_bytes=0)


@remembered(limit=1024)
def _sites(
    training: TrainingGraph, placed: tuple[PlacedOperation, ...], samples: int, held: frozenset[str]
) -> tuple[Site, ...]:
    """Return the operations of a group on one sub-batch."""
    stored = frozenset(write.tensor.name for operation in placed for write in operation.writes if write.stored)
    sites = []
    for operation in placed:
        op = operation.operation
        own = held.intersection((*(use.tensor for use in op.reads), *op.writes))
        overwritten = (write.overwrites for write in operation.writes if write.overwrites is not None)
        sites.append(_site(training, operation, samples, own, stored.intersection(overwritten)))
    return tuple(sites)


@remembered(limit=1 << 15)
def _site(
    training: TrainingGraph, placed: PlacedOperation, samples: int, held: frozenset[str], leaving: frozenset[str]
) -> Site:
    return Site(placed, samples, held, leaving)


def _command(training: TrainingGraph, site: Site, space_bytes: int, machine: _Machine) -> Command:
    """Lower one operation on one sub-batch, in ``space_bytes`` of the buffer."""
    blocking = block(site.placed, machine.accelerator.array, site.samples, space_bytes)
    costed = _costed(training, site, blocking, machine)
    spare = space_bytes - site.placed.live_bytes * site.samples - blocking.stage_bytes
    return _in_steps(training, costed, step_counts(costed.limits, spare))


@dataclass(frozen=True, slots=True, eq=False)
class _CostedCommand:
    """A command without its steps, what it costs, and what bounds its steps."""

    draft: Command
    cost: CommandCost
    limits: StepLimits


@remembered(limit=1 << 15)
def _costed(training: TrainingGraph, site: Site, blocking: Blocking, machine: _Machine) -> _CostedCommand:
    placed, samples, array = site.placed, site.samples, machine.accelerator.array
    kind = training.units[training.unit_index[placed.operation.unit]].kind
    blocks = outer_blocks(placed.operation.gemms, blocking, samples, array)
    draft = _draft(training, site, blocking, blocks)
    cost = command_work(placed, blocking, samples, machine.accelerator, kind)
    return _CostedCommand(draft, cost, step_limits(placed, cost, transfers_of(draft), samples, blocks, array))


@remembered(limit=1 << 15)
def _draft(training: TrainingGraph, site: Site, blocking: Blocking, blocks: int) -> Command:
    return draft_command(site, blocking, blocks, training.written)


@remembered(limit=1 << 15)
def _in_steps(training: TrainingGraph, costed: _CostedCommand, counts: StepCounts) -> Command:
    return replace(costed.draft, work=costed.cost, **counts._asdict())


def _update_segment(training: TrainingGraph, plan: Plan, core: int, space_bytes: int, machine: _Machine) -> Segment:
    """Lower the update of one core: its share of every layer, from the gradients of all cores."""
    costed = (_costed_update(training, placed, core, machine) for placed in _updates(training))
    commands = tuple(_in_steps(training, each, step_counts(each.limits, space_bytes)) for each in costed)
    return Segment("update", Direction.UPDATE, ((plan.batch_per_core, commands),))


@remembered()
def _updates(training: TrainingGraph) -> tuple[PlacedOperation, ...]:
    return place(training, 0, len(training.units) - 1, Direction.UPDATE, {})


@remembered(limit=1 << 15)
def _costed_update(training: TrainingGraph, placed: PlacedOperation, core: int, machine: _Machine) -> _CostedCommand:
    cores = machine.accelerator.chip.cores
    moves = tuple(update_transfers(placed, core, cores))
    gradients = sum(move.nbytes for move in moves if move.tensor.tensor_class is TensorClass.WEIGHT_GRADIENT)
    cost = update_work(placed, moves, gradients * (cores - 1) // cores, machine.accelerator)
    return _CostedCommand(draft_update(placed, moves), cost, update_step_limits(cost, moves))
