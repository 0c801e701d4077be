"""Rules that hold between the stages, as small tables of named functions.

A network that breaks one is a `GraphError` and a plan a `PlanError`, for both may come from outside.  A training
graph that breaks one is our own fault: `InvariantError`.  Each names the first bad node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from wavecore.blocking import block, least_bytes
from wavecore.errors import GraphError, InvariantError, PlanError, SpaceError, nearest
from wavecore.ir import LayerGraph
from wavecore.layers import KINDS, Input
from wavecore.layers.base import Role
from wavecore.operations import Operation, Phase, Tensor, TensorClass
from wavecore.placement import Direction, PlacedOperation, place_group
from wavecore.plan import Group, Plan
from wavecore.specs import Accelerator
from wavecore.traffic import held_bytes, sub_batches
from wavecore.training import TrainingGraph, Unit


@dataclass(frozen=True, slots=True)
class Finding:
    """A node of a graph that breaks a rule: what is wrong with it, and what to try."""

    node: str
    what: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class PlanFinding:
    """What breaks a rule in a plan: the ``nth`` mention of ``name`` under ``key`` of a group, as far as these apply.

    Groups count from 0, and so does ``nth``; a ``group`` of None is the plan itself.
    """

    what: str
    hint: str = ""
    group: int | None = None
    key: str = ""
    name: str = ""
    nth: int = 0


def verify_graph(graph: LayerGraph) -> None:
    """Raise `GraphError` at the first layer that makes the network ill-formed."""
    for rule in GRAPH_RULES:
        for finding in rule(graph):
            raise GraphError(f"network {graph.name}{finding.node}", finding.what, finding.hint)


def verify_training(training: TrainingGraph) -> None:
    """Raise `InvariantError` at the first operation or tensor of the step that breaks a law."""
    for rule in TRAINING_RULES:
        for finding in rule(training):
            raise InvariantError(f"training graph of {training.name}, {finding.node}", finding.what, finding.hint)


def verify_plan(training: TrainingGraph, plan: Plan, accelerator: Accelerator, *, where: str = "") -> None:
    """Raise `PlanError` if ``plan`` does not fit its network or its machine; ``where`` is what it is called."""
    where = where or f"plan {plan.schedule} of {plan.workload}"
    for finding in chain(plan_findings(training, plan), every_operation_fits(training, plan, accelerator)):
        raise PlanError(f"{where}{spot(finding)}", finding.what, finding.hint)


def plan_findings(training: TrainingGraph, plan: Plan, graph: LayerGraph | None = None) -> Iterator[PlanFinding]:
    """What is wrong with a plan on any machine; ``graph``, where there is one, tells views from unknown names.

    A rule may rely on those before it in the table: only the first finding is sure to be right.
    """
    for rule in PLAN_RULES:
        yield from rule(training, plan, graph)


def spot(finding: PlanFinding) -> str:
    """The part of a plan that a finding is about: ``: group 2: units``, as people count."""
    group = f": group {finding.group + 1}" if finding.group is not None else ""
    return f"{group}: {finding.key}" if finding.key else group


# -- the network ---------------------------------------------------------------------------------------------


def _layer(graph: LayerGraph, name: str) -> str:
    source = graph.by_name[name].source
    return f", layer {name} ({source})" if source else f", layer {name}"


def layer_names_are_unique(graph: LayerGraph) -> Iterator[Finding]:
    """No two layers have one name."""
    for name in _repeated(layer.name for layer in graph):
        yield Finding(_layer(graph, name), "another layer has this name already", "a name of its own")


def layers_are_registered(graph: LayerGraph) -> Iterator[Finding]:
    """Every layer is of a kind that has rules."""
    for layer in graph:
        if type(layer.kind) not in KINDS:
            what = f"{type(layer.kind).__name__} is not a registered layer kind"
            yield Finding(_layer(graph, layer.name), what, "wavecore.layers.KINDS")


def layers_follow_what_they_read(graph: LayerGraph) -> Iterator[Finding]:
    """Every layer reads earlier layers, so that there is no cycle."""
    seen: set[str] = set()
    for layer in graph:
        for name in layer.inputs:
            if name not in seen:
                later = "runs no earlier" if name in graph.by_name else "does not exist"
                what = f"reads {name!r}, which {later}"
                yield Finding(_layer(graph, layer.name), what, "each layer after all that it reads")
        seen.add(layer.name)


def shapes_follow_from_inputs(graph: LayerGraph) -> Iterator[Finding]:
    """Every shape is the one that the layer's kind infers from its inputs."""
    for layer in graph:
        try:
            inferred = KINDS[type(layer.kind)].infer(layer.kind, graph.input_shapes(layer))
        except ValueError as problem:
            yield Finding(_layer(graph, layer.name), str(problem), "other sizes")
        else:
            if inferred != layer.shape:
                what = f"its output is {layer.shape}, and follows as {inferred} from its inputs"
                yield Finding(_layer(graph, layer.name), what, str(inferred))


def every_output_is_read(graph: LayerGraph) -> Iterator[Finding]:
    """Every output is read, but the last layer's, which is the loss."""
    if not any(isinstance(layer.kind, Input) for layer in graph):
        yield Finding("", "has no input", "an Input as its first layer")
        return
    read = {name for layer in graph for name in layer.inputs}
    *others, last = graph.layers
    for layer in others:
        if layer.name not in read:
            what = "its output is read by no layer"
            yield Finding(_layer(graph, layer.name), what, "to connect it or to leave it out")
    if KINDS[type(last.kind)].role is not Role.UNIT:
        yield Finding("", f"ends with {last.name!r}, which is no loss", "a CrossEntropy at the end")


GRAPH_RULES: tuple[Callable[[LayerGraph], Iterator[Finding]], ...] = (
    layer_names_are_unique,
    layers_are_registered,
    layers_follow_what_they_read,
    shapes_follow_from_inputs,
    every_output_is_read,
)


# -- the training step ---------------------------------------------------------------------------------------


def step(training: TrainingGraph) -> Iterator[Operation]:
    """The operations of the step in an order in which they can run: forward, backward, update."""
    for unit in training.units:
        yield from unit.forward
    for unit in reversed(training.units):
        yield from unit.backward
    for unit in training.units:
        yield from unit.update


def unit_names_are_unique(training: TrainingGraph) -> Iterator[Finding]:
    """No two units have one name, and a layer is fused into one unit only."""
    names = (name for unit in training.units for name in (unit.name, *unit.fused))
    yield from (Finding(f"unit {name}", "is there twice") for name in _repeated(names))


def operations_belong_to_their_unit(training: TrainingGraph) -> Iterator[Finding]:
    """Every operation is listed under the unit that it counts for."""
    for unit in training.units:
        for op in (*unit.forward, *unit.backward, *unit.update):
            if op.unit != unit.name:
                yield Finding(f"operation {op.name}", f"is of unit {op.unit}, and listed under {unit.name}")


def tensors_are_declared(training: TrainingGraph) -> Iterator[Finding]:
    """Every tensor that an operation names is declared, under its own name and with a size."""
    for op in step(training):
        for name in (*(use.tensor for use in op.reads), *op.writes):
            if name not in training.tensors:
                yield Finding(f"operation {op.name}", f"names tensor {name!r}, which is not declared")
    for name, tensor in training.tensors.items():
        if tensor.name != name or tensor.nbytes <= 0:
            yield Finding(f"tensor {name}", f"is declared as {tensor.name!r} of {tensor.nbytes} bytes")


def tensors_are_written_once(training: TrainingGraph) -> Iterator[Finding]:
    """Forward and backward write every tensor in one operation."""
    for op, name in _writes(training):
        yield Finding(f"operation {op.name}", f"writes {name!r}, which another operation wrote before")


def _writes(training: TrainingGraph) -> Iterator[tuple[Operation, str]]:
    """Writes of forward and backward that are not the first of their tensor."""
    seen: set[str] = set()
    for op in step(training):
        if op.phase is Phase.UPDATE:
            return
        for name in op.writes:
            if name in seen:
                yield op, name
            seen.add(name)


def reads_follow_writes(training: TrainingGraph) -> Iterator[Finding]:
    """Every tensor that is read was written before, or is the network's input, a weight or optimizer state."""
    written = {name for name, tensor in training.tensors.items() if _there_at_start(training, tensor)}
    for op in step(training):
        for use in op.reads:
            if use.tensor not in written:
                yield Finding(f"operation {op.name}", f"reads {use.tensor!r}, which nothing has written yet")
        written.update(op.writes)


def _there_at_start(training: TrainingGraph, tensor: Tensor) -> bool:
    """Whether the step finds a tensor in DRAM when it begins."""
    if tensor.tensor_class is TensorClass.ACTIVATION:
        return tensor.batched and tensor.name not in training.written and tensor.name not in training.unit_index
    return tensor.tensor_class in (TensorClass.WEIGHT, TensorClass.OPTIMIZER)


def writes_are_read(training: TrainingGraph) -> Iterator[Finding]:
    """What forward and backward write is read: nothing is computed, or saved, for nobody."""
    read = {use.tensor for op in step(training) for use in op.reads}
    for op in step(training):
        for name in op.writes:
            if name not in read:
                yield Finding(f"operation {op.name}", f"writes {name!r}, which no operation reads")


def space_is_taken_over_from_a_read(training: TrainingGraph) -> Iterator[Finding]:
    """An operation in place takes over the space of a tensor that it reads, and has a result to put there."""
    for op in step(training):
        if op.in_place is not None and not (op.writes and op.in_place in {use.tensor for use in op.reads}):
            yield Finding(f"operation {op.name}", f"runs in place of {op.in_place!r}, which it does not read")


def every_weight_is_updated(training: TrainingGraph) -> Iterator[Finding]:
    """Every weight that is read gets one gradient and one update, which writes it."""
    for unit in training.units:
        weights = [name for op in (*unit.forward, *unit.backward) for name in _of(training, op, TensorClass.WEIGHT)]
        gradients = [name for op in unit.backward for name in op.writes if not training.tensors[name].batched]
        for name in dict.fromkeys(weights):
            used = {use.tensor for op in unit.update for use in op.reads}
            updated = [op for op in unit.update if name in op.writes]
            if len(gradients) != 1 or gradients[0] not in used or len(updated) != 1:
                what = f"has {len(gradients)} gradients and {len(updated)} updates, not one of each"
                yield Finding(f"tensor {name}", what)


def _of(training: TrainingGraph, op: Operation, tensor_class: TensorClass) -> Iterator[str]:
    return (use.tensor for use in op.reads if training.tensors[use.tensor].tensor_class is tensor_class)


def macs_are_conserved(training: TrainingGraph) -> Iterator[Finding]:
    """A unit's weight gradient takes the multiply-accumulates of its forward pass, and all forward adds up.

    The data gradient multiplies each weight at no more than one position of its window (at fewer than all where
    the image is smaller than the stride), so its operands together are no larger than the forward's.
    """
    for unit in training.units:
        forward = _macs(unit, Phase.FORWARD)
        backward = _macs(unit, Phase.WEIGHT_GRADIENT)
        if backward not in (0, forward):
            yield Finding(f"unit {unit.name}", f"its weight gradient takes {backward} MACs, its forward {forward}")
        weights, used = _stationary(unit, Phase.FORWARD), _stationary(unit, Phase.DATA_GRADIENT)
        if used > weights:
            yield Finding(f"unit {unit.name}", f"its data gradient multiplies {used} weights, its forward {weights}")
    total = sum(_macs(unit, Phase.FORWARD) for unit in training.units)
    if total != training.forward_macs:
        yield Finding("forward", f"its operations take {total} MACs, its network {training.forward_macs}")


def _macs(unit: Unit, phase: Phase) -> int:
    return sum(op.macs for op in (*unit.forward, *unit.backward) if op.phase is phase)


def _stationary(unit: Unit, phase: Phase) -> int:
    """Elements of all stationary operands that a phase multiplies with."""
    operations = (op for op in (*unit.forward, *unit.backward) if op.phase is phase)
    return sum(gemm.k * gemm.n * gemm.count for op in operations for gemm in op.gemms)


TRAINING_RULES: tuple[Callable[[TrainingGraph], Iterator[Finding]], ...] = (
    unit_names_are_unique,
    operations_belong_to_their_unit,
    tensors_are_declared,
    tensors_are_written_once,
    reads_follow_writes,
    writes_are_read,
    space_is_taken_over_from_a_read,
    every_weight_is_updated,
    macs_are_conserved,
)


# -- the plan ------------------------------------------------------------------------------------------------


def plan_is_of_this_network(training: TrainingGraph, plan: Plan, graph: LayerGraph | None) -> Iterator[PlanFinding]:
    """A plan runs the network that it was made for."""
    if plan.workload != training.name:
        what = f"is a plan of {plan.workload}, not of {training.name}"
        yield PlanFinding(what, f"a plan of {training.name}", key="workload", name=plan.workload)


def numbers_are_in_range(training: TrainingGraph, plan: Plan, graph: LayerGraph | None) -> Iterator[PlanFinding]:
    """There is a mini-batch, and normalization passes over its input once or twice; sub-batches are part of it."""
    if plan.batch_per_core < 1:
        yield PlanFinding(f"is {plan.batch_per_core}", "1 or more", key="batch_per_core")
    if plan.normalization_passes not in (1, 2):
        yield PlanFinding(f"is {plan.normalization_passes}", "1 or 2", key="normalization_passes")
    for index, group in enumerate(plan.groups):
        if not 1 <= group.sub_batch <= plan.batch_per_core:
            hint = f"1 to batch_per_core = {plan.batch_per_core}"
            yield PlanFinding(f"is {group.sub_batch}", hint, index, "sub_batch")


def groups_have_units(training: TrainingGraph, plan: Plan, graph: LayerGraph | None) -> Iterator[PlanFinding]:
    """No group is empty."""
    for index, group in enumerate(plan.groups):
        if not group.units:
            yield PlanFinding("there are none", "naming some, or leaving the group out", index, "units")


def units_exist(training: TrainingGraph, plan: Plan, graph: LayerGraph | None) -> Iterator[PlanFinding]:
    """Every unit of a plan is one of the network."""
    for index, group in enumerate(plan.groups):
        for name in group.units:
            if name not in training.unit_index:
                what, hint = _no_unit(training, name, graph)
                yield PlanFinding(what, hint, index, "units", name)


def _no_unit(training: TrainingGraph, name: str, graph: LayerGraph | None) -> tuple[str, str]:
    """Why ``name`` is no unit, and what to write instead."""
    for unit in training.units:
        if name in unit.fused:
            return f"{name!r} is fused into {unit.name!r}", f"{unit.name} in its place, where it is not there yet"
    layer = graph.by_name.get(name) if graph is not None else None
    if layer is not None and KINDS[type(layer.kind)].role is Role.VIEW:
        return f"{name!r} is a view, named in no group", "leaving it out"
    hint = " or ".join(nearest(name, training.unit_index)) or f"a unit of {training.name}"
    return f"there is no unit named {name!r}", hint


def units_run_once(training: TrainingGraph, plan: Plan, graph: LayerGraph | None) -> Iterator[PlanFinding]:
    """No unit is in two groups, or twice in one."""
    seen: dict[str, int] = {}
    for index, group in enumerate(plan.groups):
        for name in group.units:
            if name in seen:
                again = seen[name] == index
                what = f"{name!r} is named already in {'this group' if again else f'group {seen[name] + 1}'}"
                yield PlanFinding(what, "naming each unit once", index, "units", name, int(again))
            seen.setdefault(name, index)


def units_all_run(training: TrainingGraph, plan: Plan, graph: LayerGraph | None) -> Iterator[PlanFinding]:
    """No unit is left out."""
    homes = {name: index for index, group in enumerate(plan.groups) for name in group.units}
    names = list(training.unit_index)
    missing = [name for name in names if name not in homes]
    if len(missing) == len(names):
        yield PlanFinding("has no groups", f"a group that begins with {names[0]!r}")
    elif missing:
        before = names[max(names.index(missing[0]) - 1, 0)]
        side, mark = ("after", before) if before in homes else ("before", next(name for name in names if name in homes))
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        what = f"{missing[0]!r}{more} is left out" if not more else f"{missing[0]!r}{more}, are left out"
        yield PlanFinding(what, f"{missing[0]} {side} {mark}", homes[mark], "units", mark)


def units_are_in_order(training: TrainingGraph, plan: Plan, graph: LayerGraph | None) -> Iterator[PlanFinding]:
    """Units run in the order of the network, in and across groups."""
    expected = iter(training.unit_index)
    for index, group in enumerate(plan.groups):
        for name in group.units:
            wanted = next(expected, "")
            if name != wanted:
                what = f"{name!r} stands where {wanted!r} belongs"
                yield PlanFinding(what, "the order of the network", index, "units", name)


def residency_is_of_batched_tensors(
    training: TrainingGraph, plan: Plan, graph: LayerGraph | None
) -> Iterator[PlanFinding]:
    """Residency is given to tensors that hold samples and that the group reads or writes in that direction."""
    for index, group in enumerate(plan.groups):
        units = [training.units[training.unit_index[name]] for name in group.units]
        for direction, table in ((Direction.FORWARD, group.forward), (Direction.BACKWARD, group.backward)):
            touched = _touched(units, direction)
            for name, residency in table.items():
                what, hint = _no_resident(training, name, touched, direction)
                if what:
                    yield PlanFinding(what, hint, index, f"{direction}.{residency}", name)


def _touched(units: Iterable[Unit], direction: Direction) -> frozenset[str]:
    """Tensors that a direction of a group reads or writes."""
    operations = [op for unit in units for op in (unit.forward if direction is Direction.FORWARD else unit.backward)]
    return frozenset(name for op in operations for name in (*(use.tensor for use in op.reads), *op.writes))


def _no_resident(
    training: TrainingGraph, name: str, touched: frozenset[str], direction: Direction
) -> tuple[str, str]:
    """Why ``name`` cannot have residency, or ("", "") if it can."""
    tensor = training.tensors.get(name)
    if tensor is None:
        here = [other for other in touched if training.tensors[other].batched]
        return f"there is no tensor named {name!r}", " or ".join(nearest(name, sorted(here))) or "a tensor of the group"
    if not tensor.batched:
        return f"{name!r} is the same for all samples", "held, to keep it on chip over the iterations"
    if name not in touched:
        return f"{name!r} is neither read nor written {direction} by this group", "leaving it out"
    return "", ""


def held_tensors_are_weights(training: TrainingGraph, plan: Plan, graph: LayerGraph | None) -> Iterator[PlanFinding]:
    """What is held over the iterations are weights and weight gradients of the group."""
    classes = (TensorClass.WEIGHT, TensorClass.WEIGHT_GRADIENT)
    for index, group in enumerate(plan.groups):
        units = [training.units[training.unit_index[name]] for name in group.units]
        touched = _touched(units, Direction.FORWARD) | _touched(units, Direction.BACKWARD)
        for name in sorted(group.held):
            tensor = training.tensors.get(name)
            what, hint = "", "leaving it out"
            if tensor is None:
                here = sorted(other for other in touched if training.tensors[other].tensor_class in classes)
                what, hint = f"there is no tensor named {name!r}", " or ".join(nearest(name, here)) or hint
            elif tensor.batched:
                what, hint = f"{name!r} is of each sample", "forward or backward, to keep it on chip between units"
            elif tensor.tensor_class not in classes or name not in touched:
                what = f"{name!r} is no weight or weight gradient of this group"
            if what:
                yield PlanFinding(what, hint, index, "held", name)


PLAN_RULES: tuple[Callable[[TrainingGraph, Plan, LayerGraph | None], Iterator[PlanFinding]], ...] = (
    plan_is_of_this_network,
    numbers_are_in_range,
    groups_have_units,
    units_exist,
    units_run_once,
    units_all_run,
    units_are_in_order,
    residency_is_of_batched_tensors,
    held_tensors_are_weights,
)


def every_operation_fits(training: TrainingGraph, plan: Plan, accelerator: Accelerator) -> Iterator[PlanFinding]:
    """Every operation of every group can run in the global buffer, beside what is held there."""
    size = accelerator.core.global_buffer_bytes
    for index, group in enumerate(plan.groups):
        for direction in (Direction.FORWARD, Direction.BACKWARD):
            placed = place_group(training, group, direction, plan.normalization_passes)
            held = held_bytes(placed, group.held)
            for samples in dict.fromkeys(sub_batches(group, plan.batch_per_core)):
                for operation in placed:
                    try:
                        block(operation, accelerator.array, samples, size - held)
                    except SpaceError as error:
                        hint = _smaller(group, operation, direction, accelerator, held)
                        beside = f" beside {held} that are held" if held else ""
                        yield PlanFinding(f"{error.where} {error.what}{beside}", hint, index)


def _smaller(
    group: Group, placed: PlacedOperation, direction: Direction, accelerator: Accelerator, held: int
) -> str:
    """What would make room for an operation: fewer samples, fewer tensors on chip, or a larger buffer."""
    array, size = accelerator.array, accelerator.core.global_buffer_bytes - held
    for samples in range(group.sub_batch - 1, 0, -1):
        if least_bytes(placed, array, samples) <= size:
            return f"sub_batch = {samples}"
    if held:
        return "holding less"
    if placed.live_bytes:
        return f"keeping less on chip {direction}"
    kibibytes = -(-least_bytes(placed, array, group.sub_batch) // 1024)
    return f'--set core.global_buffer="{kibibytes} KiB" or more'


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]
