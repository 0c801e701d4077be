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

from collections.abc import Mapping
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
    """Return the density of one gradient that an operation writes."""
    elements = _elements(training, name)
    incoming = [use.tensor for use in op.reads if training.tensors[use.tensor].tensor_class is TensorClass.GRADIENT]
    masks = [use.tensor.removesuffix(_MASK) for use in op.reads if use.tensor.endswith(_MASK)]
    masked = prod(values.get(mask, 1.0) for mask in masks)
    if op.sums:
        return masked * (1 - prod(1 - found.get(each, 1.0) for each in incoming))
    if unit.kind == "max_pool":
        chosen = fsum(_elements(training, each) * found.get(each, 1.0) for each in incoming) / elements
        return min(masked, chosen * (values.get(unit.name, 1.0) if masks else 1.0))
    if unit.kind == "conv":
        return masked * min(1.0, sum(gemm.m * gemm.n * gemm.count for gemm in op.gemms) / elements)
    return masked


def _elements(training: TrainingGraph, name: str) -> int:
    return training.tensors[name].nbytes // ELEMENT_BYTES
