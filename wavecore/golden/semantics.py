"""What each operation of a training step computes from the tensors that it reads, by name.

A tensor is a matrix of (samples, elements of a sample), or a vector where it is not batched.  Concatenating
channels and flattening both keep the order of elements, so a view is a range of columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wavecore.errors import InputError
from wavecore.golden.kernels import KERNELS, elementwise, mask_scale
from wavecore.golden.operands import AnyArray, LayerOperands
from wavecore.network.graph import Layer, LayerGraph
from wavecore.network.layers import KINDS, CrossEntropy, Input
from wavecore.network.layers.base import LayerRole
from wavecore.training.graph import FusedLayer, TrainingGraph
from wavecore.training.operations import Operation, Phase

LEARNING_RATE = 0.1
MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4


@dataclass(frozen=True, slots=True)
class GradientPart:
    """Columns ``first`` to ``last`` (exclusive) of a gradient: the gradient of one tensor of a concatenation."""

    tensor: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Binding:
    """A unit: its layer, the elementwise layers in its pass, and the tensors that hold each of its inputs.

    ``gradient`` is where its backward finds the gradient of its output; None for the loss.
    """

    layer: Layer
    elementwise: tuple[Layer, ...]
    inputs: tuple[tuple[str, ...], ...]
    gradient: GradientPart | None


@dataclass(frozen=True, slots=True)
class Given:
    """What no command moves: labels of the samples, the elements that dropouts keep, and the whole mini-batch."""

    labels: AnyArray
    kept: Mapping[str, AnyArray]
    batch: int


@dataclass(frozen=True)
class Semantics:
    """The meaning of every operation: units by name, and for each sum of gradients its tensor and its parts."""

    graph: LayerGraph
    training: TrainingGraph
    units: Mapping[str, Binding]
    sums: Mapping[str, tuple[str, tuple[GradientPart, ...]]]


def semantics(graph: LayerGraph, training: TrainingGraph) -> Semantics:
    """Resolve views, fused layers, and the gradients that additions pass on.

    Raises InputError for a network without a loss, or with a kind of layer that `KERNELS` does not compute.
    """
    if not isinstance(graph.layers[-1].kind, CrossEntropy):
        what = "is a piece of a network without a loss, so it has no gradients of its own"
        raise InputError(f"workload {graph.name}", what, "a whole network: wavecore list workloads")
    for unit in training.units:
        if type(graph.by_name[unit.name].kind) not in KERNELS:
            known = ", ".join(sorted(kind.kind for kind in KERNELS))
            raise InputError(f"layer {unit.name}", f"nothing computes a layer of kind {unit.kind!r}", f"one of {known}")
    values = _values(graph, training)
    inputs = {unit.name: tuple(values[name] for name in graph.by_name[unit.name].inputs) for unit in training.units}
    gradients, sums = _gradients(graph, training, inputs)
    units = {}
    for unit in training.units:
        layer = graph.by_name[unit.name]
        own = (layer,) if KINDS[type(layer.kind)].role is LayerRole.ELEMENTWISE else ()
        fused = tuple(graph.by_name[name] for name in unit.fused)
        units[unit.name] = Binding(layer, (*own, *fused), inputs[unit.name], gradients.get(unit.name))
    return Semantics(graph, training, units, sums)


def _values(graph: LayerGraph, training: TrainingGraph) -> dict[str, tuple[str, ...]]:
    """The tensors that hold each layer's output; of a fused layer, those of the unit in whose pass it is."""
    values: dict[str, tuple[str, ...]] = {}
    for layer in graph:
        if layer.name in training.unit_index or isinstance(layer.kind, Input):
            values[layer.name] = (layer.name,)
        else:
            values[layer.name] = tuple(tensor for name in layer.inputs for tensor in values[name])
    return values


def _gradients(
    graph: LayerGraph, training: TrainingGraph, inputs: Mapping[str, tuple[tuple[str, ...], ...]]
) -> tuple[dict[str, GradientPart], dict[str, tuple[str, tuple[GradientPart, ...]]]]:
    """Follow the gradients through backward: who gets which part of which, and what is summed when."""
    waiting: dict[str, list[GradientPart]] = {}
    sums: dict[str, tuple[str, tuple[GradientPart, ...]]] = {}
    found: dict[str, GradientPart] = {}
    for unit in reversed(training.units):
        if waiting.get(unit.name):
            (found[unit.name],) = waiting[unit.name]
        targets = [name for part in inputs[unit.name] for name in part]
        if unit.name in found and _passes_on(graph, unit):
            for name, part in _shares(graph, inputs[unit.name], found[unit.name]):
                waiting.setdefault(name, []).append(part)
        whole = {name: (0, graph.by_name[name].shape.elements) for name in targets}
        for op in unit.backward:
            for name in targets:
                total = f"{name}.gradient" in op.writes or f"{name}.gradient+{unit.name}" in op.writes
                if op.name.endswith(".sum") and total:
                    sums[op.name] = (name, tuple(waiting[name]))
                    waiting[name] = [GradientPart(op.writes[0], *whole[name])]
                    break
                for written in dict.fromkeys((f"{name}.gradient", f"{name}.gradient@{unit.name}")):
                    known = waiting.setdefault(name, [])
                    part = GradientPart(written, *whole[name])
                    if written in op.writes and part not in known:
                        known.append(part)
    return found, sums


def _passes_on(graph: LayerGraph, unit: FusedLayer) -> bool:
    """Whether a unit's gradient is that of its inputs, unchanged."""
    return KERNELS[type(graph.by_name[unit.name].kind)].data_gradient is None


def _shares(
    graph: LayerGraph, inputs: Sequence[Sequence[str]], gradient: GradientPart
) -> list[tuple[str, GradientPart]]:
    """Each tensor that makes up an input, with its columns of the gradient."""
    shares = []
    for tensors in inputs:
        first = gradient.first
        for name in tensors:
            last = first + graph.by_name[name].shape.elements
            shares.append((name, GradientPart(gradient.tensor, first, last)))
            first = last
    return shares


def evaluate(meaning: Semantics, op: Operation, reads: Mapping[str, AnyArray], given: Given) -> dict[str, AnyArray]:
    """Compute what ``op`` writes; a forward operation of the loss also gives ``"loss"``, one value a sample."""
    if op.name in meaning.sums:
        return _sum(meaning, op, reads)
    binding = meaning.units[op.unit]
    operands = _operands(meaning, binding, op, reads, given)
    kernels = KERNELS[type(binding.layer.kind)]
    if op.phase is Phase.FORWARD:
        return _forward(binding, op, operands, given)
    results: dict[str, AnyArray] = {}
    if op.phase is Phase.DATA_GRADIENT and kernels.data_gradient is not None:
        results |= _data_gradients(meaning, binding, op, kernels.data_gradient(operands), reads)
    if op.accumulates:
        assert kernels.weight_gradient is not None
        results[f"{op.unit}.weight_gradient"] = kernels.weight_gradient(operands)
    return results


def _operands(
    meaning: Semantics, binding: Binding, op: Operation, reads: Mapping[str, AnyArray], given: Given
) -> LayerOperands:
    layer = binding.layer
    shapes = meaning.graph.input_shapes(layer)
    inputs = []
    for tensors, shape in zip(binding.inputs, shapes, strict=True):
        if all(name in reads for name in tensors):
            whole = np.concatenate([reads[name] for name in tensors], axis=1)
            inputs.append(whole.reshape(-1, shape.channels, shape.height, shape.width))
    gradient = None
    if binding.gradient is not None and binding.gradient.tensor in reads:
        gradient = _columns(reads, binding.gradient).reshape(
            -1, layer.shape.channels, layer.shape.height, layer.shape.width
        )
    prefix = f"{layer.name}."
    own = op.phase is Phase.WEIGHT_GRADIENT and op.reads[0].tensor == layer.name
    return LayerOperands(
        kind=layer.kind,
        output=layer.shape,
        inputs=inputs,
        input_shapes=shapes,
        weight=reads.get(f"{prefix}weight"),
        gradient=gradient,
        value=reads[layer.name] if own else None,
        input_gradient=reads[op.reads[1].tensor] if own else None,
        saved={name.removeprefix(prefix): value for name, value in reads.items() if name.startswith(prefix)},
        labels=given.labels,
        batch=given.batch,
    )


def _columns(reads: Mapping[str, AnyArray], part: GradientPart) -> AnyArray:
    return reads[part.tensor][:, part.first : part.last]


def _flat(value: AnyArray) -> AnyArray:
    return value.reshape(len(value), -1)


def _forward(binding: Binding, op: Operation, operands: LayerOperands, given: Given) -> dict[str, AnyArray]:
    value, saved = KERNELS[type(binding.layer.kind)].forward(operands)
    output, mask = elementwise(binding.elementwise, _flat(value), given.kept)
    results = {f"{op.unit}.{name}": _flat(array) for name, array in saved.items()}
    results |= {op.unit: output, f"{op.unit}.mask": mask}
    kept = {name: results[name] for name in op.writes}
    return kept if op.unit in op.writes else kept | {"loss": value}


def _data_gradients(
    meaning: Semantics, binding: Binding, op: Operation, gradients: Sequence[AnyArray], reads: Mapping[str, AnyArray]
) -> dict[str, AnyArray]:
    """The gradient of each tensor read, which may be several times part of the inputs."""
    results: dict[str, AnyArray] = {}
    for gradient, tensors in zip(gradients, binding.inputs, strict=True):
        first = 0
        for name in tensors:
            last = first + meaning.graph.by_name[name].shape.elements
            piece = _masked(meaning, name, _flat(gradient)[:, first:last], reads)
            for written in (f"{name}.gradient", f"{name}.gradient@{op.unit}"):
                if written in op.writes:
                    results[written] = results[written] + piece if written in results else piece
            first = last
    return results


def _sum(meaning: Semantics, op: Operation, reads: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    name, parts = meaning.sums[op.name]
    total = np.sum(np.stack([_columns(reads, part) for part in parts]), axis=0)
    return {op.writes[0]: _masked(meaning, name, total, reads)}


def _masked(meaning: Semantics, name: str, gradient: AnyArray, reads: Mapping[str, AnyArray]) -> AnyArray:
    """Apply the mask of a tensor to its gradient, if the operation reads it."""
    mask = reads.get(f"{name}.mask")
    return gradient if mask is None else gradient * mask * mask_scale(meaning.units[name].elementwise)


def update(gradient: AnyArray, master: AnyArray, momentum: AnyArray) -> tuple[AnyArray, AnyArray]:
    """One step of SGD with momentum and weight decay, as `torch.optim.SGD`: (weight, momentum)."""
    velocity = MOMENTUM * momentum + (gradient + WEIGHT_DECAY * master)
    return master - LEARNING_RATE * velocity, velocity
