"""Does the program compute the right thing?  The interpreter's numbers beside autograd's, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wavecore.golden.interpreter import interpret
from wavecore.golden.numbers import StepNumbers, in_double, random_data
from wavecore.golden.operands import AnyArray
from wavecore.golden.reference import import_torch, reference
from wavecore.hardware.specs import Accelerator
from wavecore.network.graph import LayerGraph
from wavecore.plan.model import Plan
from wavecore.program.lower import lower
from wavecore.simulation import batch_per_core, make_plan
from wavecore.training.rewrites import rewritten
from wavecore.training.unroll import training_graph

DType = Literal["float64", "float32"]

TOLERANCE = 1e-9
"""The largest relative error that passes in float64: rounding, as it adds up through a hundred layers."""

ROUNDING = 100
"""How much further than PyTorch's float32 ours may be from the result in float64: in deep networks it is a matter of
chance which ReLU and which maximum rounding tips over, and the error of a gradient is that of the worst."""

NOISE = 1e-3
"""Share of the network's largest gradient below which a tensor is compared on that scale: where terms cancel, as under
a normalization of single values, all that is left of a gradient is rounding."""


@dataclass(frozen=True, slots=True)
class TensorError:
    """The largest error of a tensor's elements, relative to its largest element (see `NOISE`)."""

    name: str
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Every tensor that a step yields, compared: the loss, weight gradients, updated weights and momentum."""

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
    """Run one step of ``graph`` as lowered and in PyTorch, from the same random numbers, and compare.

    Errors are against PyTorch in float64.  Float32 passes if it is about as near to that as PyTorch's own float32.
    ``batch`` is the mini-batch of the whole chip; ``seed`` chooses the numbers and the order of the queues.
    Raises InputError where PyTorch is missing or something does not fit together, InvariantError where the program
    reads what is not there.
    """
    import_torch()
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
    """The error of each tensor of ``ours``; infinite where one is not a number."""
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
    difference = float(np.abs(ours - theirs).max())
    if not np.isfinite(difference):
        return float("inf")
    scale = max(float(np.abs(theirs).max()), floor)
    return difference / scale if scale else difference
