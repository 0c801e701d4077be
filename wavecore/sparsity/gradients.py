"""Densities of the gradients of a training step, from those of the values: one pass over backward.

A gradient has zeros where

* the ReLU in front of it gave zero: the operation that completes it applies the mask;
* a max-pooling passes nothing back: it passes one value a window, and that only where its maximum is not zero (a
  maximum of zero is behind the ReLU's mask).  Of windows that overlap, several may choose one element, so that the
  share is then an upper bound;
* no window of a strided convolution reaches.

Products with weights, normalizations, averages and the loss make dense gradients of whatever they read.  Zeros of
different tensors are taken as independent, also where gradients are added.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import fsum, prod

from wavecore.common.precision import ELEMENT_BYTES
from wavecore.training.graph import FusedLayer, TrainingGraph
from wavecore.training.operations import Operation, Phase, TensorClass

_MASK = ".mask"


def gradient_densities(training: TrainingGraph, values: Mapping[str, float]) -> dict[str, float]:
    """Return the densities, below 1, of the gradients that backward writes; ``values`` are those of activations."""
    found: dict[str, float] = {}
    for unit in reversed(training.units):
        for op in unit.backward:
            if op.phase is not Phase.DATA_GRADIENT:
                continue
            for name in op.writes:
                if training.tensors[name].tensor_class is TensorClass.GRADIENT:
                    share = _share(training, unit, op, name, values, found)
                    if share < 1:
                        found[name] = share
    return found


def _share(
    training: TrainingGraph,
    unit: FusedLayer,
    op: Operation,
    name: str,
    values: Mapping[str, float],
    found: Mapping[str, float],
) -> float:
    """Return the density of one gradient that an operation writes, with the gradients that it adds to its own."""
    mask = f"{name.partition('.gradient')[0]}{_MASK}"
    masked = values.get(mask.removesuffix(_MASK), 1.0) if any(use.tensor == mask for use in op.reads) else 1.0
    gradients = [use for use in op.reads if training.tensors[use.tensor].tensor_class is TensorClass.GRADIENT]
    added = [found.get(use.tensor, 1.0) for use in gradients if use.added_to == name]
    incoming = [use.tensor for use in gradients if not use.added_to]
    if op.sums:
        return masked * _union(found.get(each, 1.0) for each in incoming)
    own = _own_share(training, unit, op, name, incoming, found)
    if unit.kind == "max_pool" and not added:
        return min(masked, own * (values.get(unit.name, 1.0) if masked < 1 else 1.0))
    return masked * _union((own, *added))


def _own_share(
    training: TrainingGraph,
    unit: FusedLayer,
    op: Operation,
    name: str,
    incoming: Sequence[str],
    found: Mapping[str, float],
) -> float:
    """Return the density of the gradient that an operation makes itself, before a mask."""
    elements = _elements(training, name)
    if unit.kind == "max_pool":
        return min(1.0, fsum(_elements(training, each) * found.get(each, 1.0) for each in incoming) / elements)
    if unit.kind == "conv":
        return min(1.0, sum(gemm.m * gemm.n * gemm.count for gemm in op.gemms) / elements)
    return 1.0


def _union(densities: Iterable[float]) -> float:
    """Return the density of a sum, with the zeros of its terms taken as independent."""
    return 1 - prod(1 - density for density in densities)


def _elements(training: TrainingGraph, name: str) -> int:
    return training.tensors[name].nbytes // ELEMENT_BYTES
