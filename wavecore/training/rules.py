"""What holds for every training graph, as a table of named rules; each names the first bad operation or tensor.

A graph that breaks one was built or changed by hand, or by a rewrite: `GraphError`.  One that `training_graph` has just
made is our own fault: it raises `InvariantError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from wavecore.common.memo import remembered
from wavecore.common.typecheck import type_problem
from wavecore.errors import GraphError
from wavecore.network.rules import Violation, repeated
from wavecore.training.graph import ROWS, TrainingGraph
from wavecore.training.operations import OperandRole, Operation, Phase, Tensor, TensorClass

LARGEST_SIZE = 1 << 56  # of a GEMM, a sweep, a read or a number of time steps


def verify_training(training: TrainingGraph) -> None:
    """Raise `GraphError` at the first operation or tensor of the step that breaks a rule.

    A graph that has passed is not examined again.
    """
    if not isinstance(training, TrainingGraph):
        what = f"is a {type(training).__name__}, not a TrainingGraph"
        raise GraphError("training graph", what, "wavecore.training_graph(wavecore.workload(NAME))")
    _verify(training)


@remembered()
def _verify(training: TrainingGraph) -> None:
    for rule in TRAINING_RULES:
        for finding in rule(training):
            raise GraphError(f"training graph of {training.name}{finding.node}", finding.what, finding.hint)


def step(training: TrainingGraph) -> Iterator[Operation]:
    """Yield the operations of the step in an order in which they can run: forward, backward, update."""
    for unit in training.units:
        yield from unit.forward
    for unit in reversed(training.units):
        yield from unit.backward
    for unit in training.units:
        yield from unit.update


def fields_have_their_types(training: TrainingGraph) -> Iterator[Violation]:
    """Every field of the graph, its units, operations and tensors has the type that it is annotated with."""
    wrong = type_problem(training, TrainingGraph)
    if wrong is not None:
        yield Violation(wrong.path, wrong.what, "a value of that type")


def unit_names_are_unique(training: TrainingGraph) -> Iterator[Violation]:
    """No two units have one name, and a layer is fused into one unit only."""
    names = (name for unit in training.units for name in (unit.name, *unit.fused))
    yield from (Violation(f", unit {name}", "is there twice") for name in repeated(names))


def operations_belong_to_their_unit(training: TrainingGraph) -> Iterator[Violation]:
    """Every operation is listed under the unit that it counts for."""
    for unit in training.units:
        for op in (*unit.forward, *unit.backward, *unit.update):
            if op.unit != unit.name:
                yield Violation(f", operation {op.name}", f"is of unit {op.unit}, and listed under {unit.name}")


def operations_are_in_their_phase(training: TrainingGraph) -> Iterator[Violation]:
    """Forward and update hold operations of their own phase; backward may hold forward ones, which recompute."""
    for unit in training.units:
        forward = [op for op in unit.forward if op.phase is not Phase.FORWARD]
        backward = [op for op in unit.backward if op.phase is Phase.UPDATE]
        update = [op for op in unit.update if op.phase is not Phase.UPDATE]
        for part, ops in (("forward", forward), ("backward", backward), ("update", update)):
            for op in ops:
                yield Violation(f", operation {op.name}", f"is of phase {op.phase}, and listed under {part}")


def sizes_are_positive(training: TrainingGraph) -> Iterator[Violation]:
    """Every GEMM, sweep and read has positive sizes, a lookahead is of some rows, and a share is from 0 to 1."""
    if training.parameter_count < 0:
        yield Violation(".parameter_count", f"is {training.parameter_count}", "0 or more")
    for op in step(training):
        sizes = [size for gemm in op.gemms for size in (gemm.m, gemm.k, gemm.n, gemm.count)]
        sizes += [each.elements for each in op.passes] + [use.passes for use in op.reads]
        sizes += [use.part_bytes for use in op.reads if use.part_bytes is not None]
        if min(sizes, default=1) < 1 or min(op.time_steps, op.state_bytes, *op.lookahead[:1]) < 0:
            yield Violation(f", operation {op.name}", "has a size that is zero or negative")
        if max(*sizes, op.time_steps, op.state_bytes) > LARGEST_SIZE:
            yield Violation(
                f", operation {op.name}", "has a size that no machine could hold", f"at most {LARGEST_SIZE}"
            )
        if not 0 <= op.lookahead[0] <= op.lookahead[1] or op.lookahead[1] < 1:
            yield Violation(f", operation {op.name}", f"looks ahead {op.lookahead[0]} of {op.lookahead[1]} rows")
        if not 0 <= op.effectual_share <= 1:
            yield Violation(f", operation {op.name}", f"has an effectual_share of {op.effectual_share}", "0 to 1")


def tensors_are_declared(training: TrainingGraph) -> Iterator[Violation]:
    """Every tensor that an operation names is declared, under its own name and with a size."""
    for op in step(training):
        for name in (*(use.tensor for use in op.reads), *op.writes):
            if name not in training.tensors:
                yield Violation(f", operation {op.name}", f"names tensor {name!r}, which is not declared")
    for name in sorted((training.sent | training.received) - training.tensors.keys()):
        yield Violation(f", tensor {name}", "is sent or received, and not declared")
    for name, tensor in training.tensors.items():
        if tensor.name != name or tensor.nbytes <= 0:
            yield Violation(f", tensor {name}", f"is declared as {tensor.name!r} of {tensor.nbytes} bytes")


def tensors_are_written_once(training: TrainingGraph) -> Iterator[Violation]:
    """Forward and backward write every tensor in one operation."""
    for op, name in _writes(training):
        yield Violation(f", operation {op.name}", f"writes {name!r}, which another operation wrote before")


def _writes(training: TrainingGraph) -> Iterator[tuple[Operation, str]]:
    """Yield the writes of forward and backward that are not the first of their tensor."""
    seen: set[str] = set()
    for op in step(training):
        if op.phase is Phase.UPDATE:
            return
        for name in op.writes:
            if name in seen:
                yield op, name
            seen.add(name)


def reads_follow_writes(training: TrainingGraph) -> Iterator[Violation]:
    """What is read was written before, or is there from the start, as inputs, weights and optimizer state are."""
    written = {name for name, tensor in training.tensors.items() if _there_at_start(training, tensor)}
    for op in step(training):
        for use in op.reads:
            if use.tensor not in written:
                yield Violation(f", operation {op.name}", f"reads {use.tensor!r}, which nothing has written yet")
        written.update(op.writes)


def _there_at_start(training: TrainingGraph, tensor: Tensor) -> bool:
    """Return whether a tensor is in DRAM when the step begins."""
    if tensor.tensor_class is TensorClass.ACTIVATION:
        return tensor.name not in training.written and tensor.name not in training.unit_index
    return tensor.tensor_class in (TensorClass.WEIGHT, TensorClass.OPTIMIZER) or tensor.name in training.received


def writes_are_read(training: TrainingGraph) -> Iterator[Violation]:
    """What forward and backward write is read, here or outside: no result is left unused."""
    read = {use.tensor for op in step(training) for use in op.reads} | training.sent
    read |= {f"{name.removesuffix(ROWS)}.weight" for name in read if name.endswith(ROWS)}
    for op in step(training):
        for name in op.writes:
            if name not in read:
                yield Violation(f", operation {op.name}", f"writes {name!r}, which no operation reads")


def space_is_taken_over_from_a_read(training: TrainingGraph) -> Iterator[Violation]:
    """An operation takes over the space only of tensors that it reads."""
    for op in step(training):
        read = {use.tensor for use in op.reads}
        for name in op.in_place:
            if name not in read:
                yield Violation(f", operation {op.name}", f"runs in place of {name!r}, which it does not read")


def gradients_are_added_to_results(training: TrainingGraph) -> Iterator[Violation]:
    """A gradient is added, as results leave, to a result of its operation that has as many elements."""
    for op in step(training):
        for use in op.reads:
            if use.added_to and (use.added_to not in op.writes or use.role is not OperandRole.DRAIN):
                what = f"adds {use.tensor!r} to {use.added_to!r}, which is no result that it meets as it leaves"
                yield Violation(f", operation {op.name}", what)
            elif use.added_to:
                added = use.part_bytes or training.tensors[use.tensor].nbytes
                size = training.tensors[use.added_to].nbytes
                if added != size:
                    what = f"adds {added} bytes of {use.tensor!r} to {use.added_to!r}, which has {size}"
                    yield Violation(f", operation {op.name}", what)


def every_weight_is_updated(training: TrainingGraph) -> Iterator[Violation]:
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
                    yield Violation(f", tensor {name}", what)


def macs_are_conserved(training: TrainingGraph) -> Iterator[Violation]:
    """A unit's weight gradient takes the multiply-accumulates of its forward pass, and all forward adds up.

    Operations of backward that recompute a forward result do not count.  The data gradient of each input takes at most
    the multiply-accumulates of forward: fewer where some of those are on padding, or where the image is smaller than
    the stride.
    """
    for unit in training.units:
        forward = _macs(unit.forward, Phase.FORWARD)
        backward = _macs(unit.backward, Phase.WEIGHT_GRADIENT)
        if backward not in (0, forward):
            what = f"its weight gradient takes {backward} MACs, its forward {forward}"
            yield Violation(f", unit {unit.name}", what)
        for op in unit.backward:
            if op.phase is Phase.DATA_GRADIENT and op.macs > forward:
                yield Violation(f", operation {op.name}", f"takes {op.macs} MACs, its unit's forward {forward}")
    total = sum(_macs(unit.forward, Phase.FORWARD) for unit in training.units)
    if total != training.forward_macs:
        yield Violation(", forward", f"its operations take {total} MACs, its network {training.forward_macs}")


def _macs(operations: Iterable[Operation], phase: Phase) -> int:
    return sum(op.macs for op in operations if op.phase is phase)


TRAINING_RULES: tuple[Callable[[TrainingGraph], Iterator[Violation]], ...] = (
    fields_have_their_types,
    unit_names_are_unique,
    operations_belong_to_their_unit,
    operations_are_in_their_phase,
    sizes_are_positive,
    tensors_are_declared,
    tensors_are_written_once,
    reads_follow_writes,
    writes_are_read,
    space_is_taken_over_from_a_read,
    gradients_are_added_to_results,
    every_weight_is_updated,
    macs_are_conserved,
)
