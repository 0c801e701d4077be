"""The pass that takes the sums of branch gradients out of the operations that make them.

This is how automatic differentiation runs: every gradient of a value's readers is written, and a sweep of its own adds
each to the sum so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from wavecore.common.precision import ELEMENT_BYTES
from wavecore.training.gradients import GradientResult, drained, sum_sweep
from wavecore.training.graph import FusedLayer, TrainingGraph
from wavecore.training.operations import OperandRole, Operation, Tensor, TensorClass, Use


@dataclass(frozen=True)
class SweepBranchGradients:
    """Add the gradients of branches in sweeps of their own, behind the operations that make them."""

    name: ClassVar[str] = "sweep_branch_gradients"

    def apply(self, training: TrainingGraph) -> TrainingGraph:
        """Return the graph with a gradient of its own, and a sweep, for each sum that an operation makes."""
        tensors = dict(training.tensors)
        return replace(training, units=tuple(_swept(unit, tensors) for unit in training.units), tensors=tensors)


def _swept(unit: FusedLayer, tensors: dict[str, Tensor]) -> FusedLayer:
    """Return a unit whose sums follow all its other operations, and declare the gradients that they add."""
    operations, sweeps = [], []
    for op in unit.backward:
        results = [_result(op, name, tensors[name]) for name in op.writes if tensors[name].batched]
        sums = {result.name: _part(op, result.name) for result in results if any(map(_is_added, result.reads))}
        if sums:
            tensors |= {part: Tensor(part, TensorClass.GRADIENT, tensors[name].nbytes) for name, part in sums.items()}
            sweeps += [_sweep(op, result, sums[result.name], tensors) for result in results if result.name in sums]
        operations.append(_without_sums(op, results, sums) if sums else op)
    return replace(unit, backward=(*operations, *sweeps))


def _is_added(use: Use) -> bool:
    return bool(use.added_to)


def _result(op: Operation, name: str, tensor: Tensor) -> GradientResult:
    """Return a gradient that an operation makes, with the gradients and the mask that it meets as it leaves."""
    mask = f"{name.removesuffix('.gradient')}.mask"
    reads = (use for use in op.reads if use.added_to == name or (use.tensor == mask and use.role is OperandRole.DRAIN))
    return GradientResult(name, tensor.nbytes // ELEMENT_BYTES, tuple(reads))


def _part(op: Operation, total: str) -> str:
    """Return the name of an operation's own gradient in a sum."""
    index = op.name.removeprefix(f"{op.unit}.data_gradient")
    return f"{total.rpartition('.gradient')[0]}.gradient@{op.unit}{index}"


def _without_sums(op: Operation, results: list[GradientResult], sums: Mapping[str, str]) -> Operation:
    """Return an operation that makes its own gradients alone, under the names that ``sums`` gives to them."""
    left = [result for result in results if result.name not in sums]
    gone = [use for result in results if result.name in sums for use in result.reads]
    own = op.passes[: len(op.passes) - len(drained(results))]
    return replace(
        op,
        reads=tuple(use for use in op.reads if use not in gone),
        writes=tuple(sums.get(name, name) for name in op.writes),
        passes=(*own, *drained(left)),
    )


def _sweep(op: Operation, result: GradientResult, part: str, tensors: Mapping[str, Tensor]) -> Operation:
    """Return the sweep that makes a sum of an operation's gradient and those that it added."""
    parts = [Use(use.tensor, part_bytes=use.part_bytes) for use in result.reads if use.added_to]
    mask = "".join(use.tensor for use in result.reads if not use.added_to)
    return sum_sweep(tensors[result.name], op.unit, [*parts, Use(part)], len(parts) + 1, mask)


REWRITES: Mapping[str, type] = {SweepBranchGradients.name: SweepBranchGradients}
