"""Compare what a lowered program computes with PyTorch's autograd, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wavecore.errors import InputError
from wavecore.golden.interpreter import interpret
from wavecore.golden.numbers import StepNumbers, in_double, random_data
from wavecore.golden.operands import AnyArray
from wavecore.golden.reference import import_torch, reference
from wavecore.hardware.specs import Accelerator, UnitKind
from wavecore.network.graph import LayerGraph
from wavecore.plan.model import Plan
from wavecore.program.lower import lower
from wavecore.simulation import batch_per_core, make_plan
from wavecore.training.rewrites import rewritten
from wavecore.training.unroll import training_graph

DType = Literal["float64", "float32"]

TOLERANCE = 1e-9
"""The largest relative error that passes in float64: what rounding adds up to through about a hundred layers."""

ROUNDING = 100
"""The largest error that passes in float32, as a multiple of the error of PyTorch's own float32 step.

In deep networks rounding may change the sign of a ReLU's input, or which element is a window's maximum; where that
happens is a matter of chance, and one such change decides the error of a whole gradient."""

NOISE = 1e-3
"""The smallest scale for relative errors, as a share of the largest gradient element of the network.

Where the terms of a gradient cancel, as under a normalization of single values, only rounding is left of it, and an
error relative to its own size would mean nothing."""


@dataclass(frozen=True, slots=True)
class TensorError:
    """The largest error of a tensor's elements, relative to its largest element (see `NOISE`)."""

    name: str
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The comparison of every tensor that a step yields: loss, weight gradients, updated weights and momentum."""

    workload: str
    schedule: str
    dtype: str
    tensors: tuple[TensorError, ...]
    largest_error: float
    allowed_error: float
    passed: bool


def verify_workload(
    graph: LayerGraph,
    schedule: str | Plan,
    accelerator: Accelerator,
    batch: int,
    dtype: DType = "float64",
    *,
    seed: int = 0,
) -> Verification:
    """Run one step of ``graph`` as a lowered program and in PyTorch, on the same random numbers, and compare.

    Errors are relative to PyTorch in float64.  In float32 the allowed error is `ROUNDING` times that of PyTorch's own
    float32 step.  ``batch`` is the mini-batch of the whole chip; ``seed`` chooses the numbers and the order of the
    queues.  Raises InputError if PyTorch is missing, if the machine has a second vector unit, if the batch does not
    split over the cores, or if the network cannot be planned or computed; raises InvariantError if the program breaks a
    rule (see `interpreter`).
    """
    import_torch()
    vectors = [unit.name for unit in accelerator.units if unit.kind is UnitKind.VECTOR]
    if len(vectors) > 1:
        what = f"has the vector units {', '.join(vectors)}, and the interpreter runs one"
        raise InputError(
            f"accelerator {accelerator.name}: units", what, "the units of wavecore.hardware.specs.CORE_UNITS"
        )
    samples = batch_per_core(batch, accelerator.chip.cores)
    training = training_graph(graph)
    plan = make_plan(training, schedule, accelerator, samples) if isinstance(schedule, str) else schedule
    changed = rewritten(training, plan.rewrites)
    data = random_data(graph, batch, np.dtype(dtype), seed)
    ours = interpret(graph, changed, lower(changed, plan, accelerator), data, seed=seed)
    cores = accelerator.chip.cores
    exact = reference(graph, in_double(data), cores)
    tensors = tuple(compare(ours, exact))
    largest = max(tensor.error for tensor in tensors)
    allowed = TOLERANCE
    if dtype != "float64":
        allowed = ROUNDING * max(tensor.error for tensor in compare(reference(graph, data, cores), exact))
    return Verification(
        workload=graph.name,
        schedule=plan.schedule,
        dtype=dtype,
        tensors=tensors,
        largest_error=largest,
        allowed_error=allowed,
        passed=largest <= allowed,
    )


def compare(ours: StepNumbers, theirs: StepNumbers) -> Iterator[TensorError]:
    """Yield the error of each tensor of ``ours`` relative to ``theirs``; infinite if an element is not a number."""
    yield TensorError("loss", _error(np.array(ours.loss), np.array(theirs.loss), 0.0))
    kinds = {
        "weight_gradient": (ours.gradients, theirs.gradients),
        "weight": (ours.weights, theirs.weights),
        "momentum": (ours.momentum, theirs.momentum),
    }
    floor = NOISE * max(float(np.abs(gradient).max()) for gradient in theirs.gradients.values())
    for unit in ours.weights:
        for kind, (mine, right) in kinds.items():
            yield TensorError(f"{unit}.{kind}", _error(mine[unit], right[unit], floor))


def _error(ours: AnyArray, theirs: AnyArray, floor: float) -> float:
    """Return the largest difference over the largest element of ``theirs``, or over ``floor`` if that is larger."""
    difference = float(np.abs(ours - theirs).max())
    if not np.isfinite(difference):
        return float("inf")
    scale = max(float(np.abs(theirs).max()), floor)
    return difference / scale if scale else difference
