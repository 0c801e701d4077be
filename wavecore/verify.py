"""Rules that hold between the stages, as small tables of named functions.

A network that breaks one is a `GraphError` and a plan a `PlanError`, for both may come from outside.  A
training graph that breaks one is our own fault: `InvariantError`.  Each names the first bad node.  The rules
of plans are in `planrules`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from wavecore import planrules
from wavecore.errors import GraphError, InvariantError, PlanError
from wavecore.ir import Layer, LayerGraph
from wavecore.layers import KINDS, Inlet, Input, Outlet
from wavecore.operations import Operation, Phase, Tensor, TensorClass
from wavecore.plan import Plan
from wavecore.specs import Accelerator
from wavecore.training import ROWS, TrainingGraph, Unit


@dataclass(frozen=True, slots=True)
class Finding:
    """A node of a graph that breaks a rule: what is wrong with it, and what to try."""

    node: str
    what: str
    hint: str = ""


def verify_graph(graph: LayerGraph) -> None:
    """Raise `GraphError` at the first layer that makes the network ill-formed."""
    for rule in GRAPH_RULES:
        for finding in rule(graph):
            raise GraphError(f"network {graph.name}{finding.node}", finding.what, finding.hint)


def verify_training(training: TrainingGraph) -> None:
    """Raise `InvariantError` at the first operation or tensor of the step that breaks a law."""
    for rule in TRAINING_RULES:
        for finding in rule(training):
            raise InvariantError(f"training graph of {training.name}, {finding.node}", finding.what)


def verify_plan(training: TrainingGraph, plan: Plan, accelerator: Accelerator, *, where: str = "") -> None:
    """Raise `PlanError` if ``plan`` does not fit its network or its machine; errors call it ``where``."""
    where = where or f"plan {plan.schedule} of {plan.workload}"
    case = planrules.Case(training, plan)
    for finding in chain(planrules.findings(case), planrules.every_operation_fits(case, accelerator)):
        raise PlanError(f"{where}: {finding.spot}" if finding.spot else where, finding.what, finding.hint)


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
    """Every output is read or left to the outside, but the last layer's if that is the loss."""
    if not any(isinstance(layer.kind, Input | Inlet) for layer in graph):
        yield Finding("", "has no input", "an Input as its first layer")
        return
    read = {name for layer in graph for name in layer.inputs}
    *others, last = graph.layers
    for layer in others:
        if layer.name not in read and not isinstance(layer.kind, Outlet):
            what = "its output is read by no layer"
            yield Finding(_layer(graph, layer.name), what, "to connect it or to leave it out")
    if not (isinstance(last.kind, Outlet) or _starts_backward(graph, last)):
        yield Finding("", f"ends with {last.name!r}, which is no loss", "a CrossEntropy at the end")


def _starts_backward(graph: LayerGraph, layer: Layer) -> bool:
    """Whether a layer makes its input's gradient out of nothing but what it saved, as a loss does."""
    expand = KINDS[type(layer.kind)].expand
    if expand is None:
        return False
    work = expand(layer.kind, graph.input_shapes(layer), layer.shape)
    return work.data_gradient is not None and not work.data_gradient.reads_gradient


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
    """What is read was written before, or is there from the start, as inputs, weights and optimizer state are."""
    written = {name for name, tensor in training.tensors.items() if _there_at_start(training, tensor)}
    for op in step(training):
        for use in op.reads:
            if use.tensor not in written:
                yield Finding(f"operation {op.name}", f"reads {use.tensor!r}, which nothing has written yet")
        written.update(op.writes)


def _there_at_start(training: TrainingGraph, tensor: Tensor) -> bool:
    """Whether the step finds a tensor in DRAM when it begins."""
    if tensor.tensor_class is TensorClass.ACTIVATION:
        return tensor.name not in training.written and tensor.name not in training.unit_index
    return tensor.tensor_class in (TensorClass.WEIGHT, TensorClass.OPTIMIZER) or tensor.name in training.received


def writes_are_read(training: TrainingGraph) -> Iterator[Finding]:
    """What forward and backward write is read, here or outside: nothing is computed, or saved, for nobody."""
    read = {use.tensor for op in step(training) for use in op.reads} | training.sent
    read |= {f"{name.removesuffix(ROWS)}.weight" for name in read if name.endswith(ROWS)}
    for op in step(training):
        for name in op.writes:
            if name not in read:
                yield Finding(f"operation {op.name}", f"writes {name!r}, which no operation reads")


def space_is_taken_over_from_a_read(training: TrainingGraph) -> Iterator[Finding]:
    """An operation takes over the space of tensors that it reads only."""
    for op in step(training):
        read = {use.tensor for use in op.reads}
        for name in op.in_place:
            if name not in read:
                yield Finding(f"operation {op.name}", f"runs in place of {name!r}, which it does not read")


def every_weight_is_updated(training: TrainingGraph) -> Iterator[Finding]:
    """Every weight that is read gets one gradient and is written by one update."""
    for unit in training.units:
        used = {use.tensor for op in (*unit.forward, *unit.backward) for use in op.reads}
        gradients = [name for op in unit.backward for name in op.writes if not training.tensors[name].batched]
        updates = [name for op in unit.update for name in op.writes]
        for name in sorted(used):
            if training.tensors[name].tensor_class is TensorClass.WEIGHT and not training.tensors[name].batched:
                count = len(gradients), updates.count(name)
                if count != (1, 1):
                    what = f"has {count[0]} gradients and {count[1]} updates, not one of each"
                    yield Finding(f"tensor {name}", what)


def macs_are_conserved(training: TrainingGraph) -> Iterator[Finding]:
    """A unit's weight gradient takes the multiply-accumulates of its forward pass, and all forward adds up.

    The data gradient multiplies with each weight in at most one of its GEMMs (in none where the image is
    smaller than the stride), so that their operands together are no larger than the forward's.
    """
    for unit in training.units:
        forward = _macs(unit, Phase.FORWARD)
        backward = _macs(unit, Phase.WEIGHT_GRADIENT)
        if backward not in (0, forward):
            what = f"its weight gradient takes {backward} MACs, its forward {forward}"
            yield Finding(f"unit {unit.name}", what)
        weights, used = _stationary(unit, Phase.FORWARD), _stationary(unit, Phase.DATA_GRADIENT)
        if used > weights:
            what = f"its data gradient multiplies {used} weights, its forward {weights}"
            yield Finding(f"unit {unit.name}", what)
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


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]
