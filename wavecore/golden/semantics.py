"""The values that each operation of a training step computes from the tensors that it reads.

A batched tensor is a matrix (samples, elements per sample), any other a vector.  Concatenating channels and
flattening keep the order of elements, so the part of a concatenation that belongs to one tensor is a range of columns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wavecore.errors import InputError
from wavecore.golden.kernels import KERNELS, elementwise, group_statistics, mask_scale
from wavecore.golden.operands import AnyArray, LayerOperands
from wavecore.network.graph import Layer, LayerGraph
from wavecore.network.layers import KINDS, CrossEntropy, GroupNorm, Input
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
    """A fused layer: its main layer, the elementwise layers in its pass, and the tensors that make up each input.

    ``gradient`` is where its backward finds the gradient of its output; None for the loss.
    """

    layer: Layer
    elementwise: tuple[Layer, ...]
    inputs: tuple[tuple[str, ...], ...]
    gradient: GradientPart | None


@dataclass(frozen=True, slots=True)
class SampleData:
    """Inputs that no command moves: labels and dropout masks of the sub-batch, and the size of the mini-batch."""

    labels: AnyArray
    dropout_masks: Mapping[str, AnyArray]
    batch: int


@dataclass(frozen=True)
class Semantics:
    """What the operations of a training step compute.

    ``units`` are the fused layers by name.  ``sums`` gives for each sweep that adds gradients of branches the tensor
    whose gradient it makes, and the gradients that it adds.  ``added`` gives for each other operation, by the gradients
    that it makes, those that it adds to them.
    """

    graph: LayerGraph
    training: TrainingGraph
    units: Mapping[str, Binding]
    sums: Mapping[str, tuple[str, tuple[GradientPart, ...]]]
    added: Mapping[str, Mapping[str, tuple[GradientPart, ...]]]


def semantics(graph: LayerGraph, training: TrainingGraph) -> Semantics:
    """Find for every fused layer the tensors of its inputs and of its gradient, and the terms of every sum.

    Raises InputError for a network without a loss, or with a kind of layer that `KERNELS` lacks.
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
    flow = _GradientFlow(graph, training, inputs)
    units = {}
    for unit in training.units:
        layer = graph.by_name[unit.name]
        own = (layer,) if KINDS[type(layer.kind)].role is LayerRole.ELEMENTWISE else ()
        fused = tuple(graph.by_name[name] for name in unit.fused)
        units[unit.name] = Binding(layer, (*own, *fused), inputs[unit.name], flow.found.get(unit.name))
    return Semantics(graph, training, units, flow.sums, flow.added)


def _values(graph: LayerGraph, training: TrainingGraph) -> dict[str, tuple[str, ...]]:
    """Map each layer to the tensors that hold its output.

    A layer that is fused into another's pass, or only changes the shape, has the tensors of its inputs.
    """
    values: dict[str, tuple[str, ...]] = {}
    for layer in graph:
        if layer.name in training.unit_index or isinstance(layer.kind, Input):
            values[layer.name] = (layer.name,)
        else:
            values[layer.name] = tuple(tensor for name in layer.inputs for tensor in values[name])
    return values


class _GradientFlow:
    """The gradients followed through the backward operations.

    ``found`` is where the gradient of each fused layer's output is; ``sums`` and ``added`` are those of `Semantics`.
    """

    def __init__(
        self, graph: LayerGraph, training: TrainingGraph, inputs: Mapping[str, tuple[tuple[str, ...], ...]]
    ) -> None:
        self.graph = graph
        self.found: dict[str, GradientPart] = {}
        self.sums: dict[str, tuple[str, tuple[GradientPart, ...]]] = {}
        self.added: dict[str, dict[str, tuple[GradientPart, ...]]] = {}
        self._pending: dict[str, list[GradientPart]] = defaultdict(list)
        for unit in reversed(training.units):
            if self._pending[unit.name]:
                (self.found[unit.name],) = self._pending[unit.name]
            if unit.name in self.found and _passes_on(graph, unit):
                for name, part in _shares(graph, inputs[unit.name], self.found[unit.name]):
                    self._pending[name].append(part)
            for op in unit.backward:
                for name in dict.fromkeys(name for part in inputs[unit.name] for name in part):
                    self._follow(op, name)

    def _follow(self, op: Operation, name: str) -> None:
        """Follow the gradients of a tensor through an operation that may make one."""
        written = next((each for each in gradient_names(name, op.unit) if each in op.writes), None)
        if written is None:
            return
        pending = self._pending[name]
        if op.name.endswith(".sum"):
            taken = pending
            self.sums[op.name] = (name, tuple(taken))
        else:
            read = {use.tensor for use in op.reads if use.added_to == written}
            taken = [part for part in pending if part.tensor in read]
            self.added.setdefault(op.name, {})[written] = tuple(taken)
        left = [part for part in pending if part not in taken]
        self._pending[name] = [*left, GradientPart(written, 0, self.graph.by_name[name].shape.elements)]


def gradient_names(tensor: str, unit: str) -> tuple[str, str, str]:
    """Return the names that the gradient which a fused layer gives to a tensor may have: whole, a sum, or alone."""
    return f"{tensor}.gradient", f"{tensor}.gradient+{unit}", f"{tensor}.gradient@{unit}"


def _passes_on(graph: LayerGraph, unit: FusedLayer) -> bool:
    """Return whether the gradient of a fused layer's output is also that of its inputs, unchanged."""
    return KERNELS[type(graph.by_name[unit.name].kind)].data_gradient is None


def _shares(
    graph: LayerGraph, inputs: Sequence[Sequence[str]], gradient: GradientPart
) -> list[tuple[str, GradientPart]]:
    """Return each tensor of the inputs with its columns of ``gradient``, that of every whole input."""
    shares = []
    for tensors in inputs:
        first = gradient.first
        for name in tensors:
            last = first + graph.by_name[name].shape.elements
            shares.append((name, GradientPart(gradient.tensor, first, last)))
            first = last
    return shares


def evaluate(
    meaning: Semantics, op: Operation, reads: Mapping[str, AnyArray], sample_data: SampleData
) -> dict[str, AnyArray]:
    """Compute the tensors that ``op`` writes from those that it reads, all by name.

    The forward operation of the loss also returns ``"loss"``, one value per sample.
    """
    if op.name in meaning.sums:
        return _sum(meaning, op, reads)
    binding = meaning.units[op.unit]
    operands = _operands(meaning, binding, op, reads, sample_data)
    kernels = KERNELS[type(binding.layer.kind)]
    if op.phase is Phase.FORWARD:
        return _forward(meaning, op, operands, sample_data)
    results: dict[str, AnyArray] = {}
    if op.phase is Phase.DATA_GRADIENT and kernels.data_gradient is not None:
        results |= _data_gradients(meaning, binding, op, kernels.data_gradient(operands), reads)
    if op.accumulates:
        assert kernels.weight_gradient is not None
        results[f"{op.unit}.weight_gradient"] = kernels.weight_gradient(operands)
    return results


def _operands(
    meaning: Semantics, binding: Binding, op: Operation, reads: Mapping[str, AnyArray], sample_data: SampleData
) -> LayerOperands:
    """Collect what a kernel reads; the inputs and the gradient get the shapes of their layers."""
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
    reads_own_output = op.phase is Phase.WEIGHT_GRADIENT and op.reads[0].tensor == layer.name
    return LayerOperands(
        kind=layer.kind,
        output=layer.shape,
        inputs=inputs,
        input_shapes=shapes,
        weight=reads.get(f"{prefix}weight"),
        gradient=gradient,
        value=reads[layer.name] if reads_own_output else None,
        input_gradient=reads[op.reads[1].tensor] if reads_own_output else None,
        saved={name.removeprefix(prefix): value for name, value in reads.items() if name.startswith(prefix)},
        labels=sample_data.labels,
        batch=sample_data.batch,
    )


def _columns(reads: Mapping[str, AnyArray], part: GradientPart) -> AnyArray:
    """Return the columns of a gradient that belong to one tensor."""
    return reads[part.tensor][:, part.first : part.last]


def _flat(value: AnyArray) -> AnyArray:
    return value.reshape(len(value), -1)


def _forward(
    meaning: Semantics, op: Operation, operands: LayerOperands, sample_data: SampleData
) -> dict[str, AnyArray]:
    """Compute the output of a fused layer, its mask and what it saves; return those that ``op`` writes, or the loss.

    An operation may also take the statistics of its output for a normalization that follows.
    """
    binding = meaning.units[op.unit]
    value, saved = KERNELS[type(binding.layer.kind)].forward(operands)
    output, mask = elementwise(binding.elementwise, _flat(value), sample_data.dropout_masks)
    results = {f"{op.unit}.{name}": _flat(array) for name, array in saved.items()}
    results |= {op.unit: output, f"{op.unit}.mask": mask}
    for name in op.writes:
        if name not in results:
            norm = meaning.graph.by_name[name.removesuffix(".statistics")].kind
            assert isinstance(norm, GroupNorm)
            results[name] = _flat(group_statistics(norm, output))
    kept = {name: results[name] for name in op.writes}
    return kept if op.unit in op.writes else kept | {"loss": value}


def _data_gradients(
    meaning: Semantics, binding: Binding, op: Operation, gradients: Sequence[AnyArray], reads: Mapping[str, AnyArray]
) -> dict[str, AnyArray]:
    """Return the gradient of each tensor read, with the gradients that the operation adds, and masked.

    That of a tensor in several inputs is the sum over them.
    """
    results: dict[str, AnyArray] = {}
    values: dict[str, str] = {}
    for gradient, tensors in zip(gradients, binding.inputs, strict=True):
        first = 0
        for name in tensors:
            last = first + meaning.graph.by_name[name].shape.elements
            piece = _flat(gradient)[:, first:last]
            for written in gradient_names(name, op.unit):
                if written in op.writes:
                    results[written] = results[written] + piece if written in results else piece
                    values[written] = name
            first = last
    for written, parts in meaning.added.get(op.name, {}).items():
        for part in parts:
            results[written] = results[written] + _columns(reads, part)
    return {written: _masked(meaning, values[written], total, reads) for written, total in results.items()}


def _sum(meaning: Semantics, op: Operation, reads: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """Add the gradients of a tensor from its branches."""
    name, parts = meaning.sums[op.name]
    total = np.sum(np.stack([_columns(reads, part) for part in parts]), axis=0)
    return {op.writes[0]: _masked(meaning, name, total, reads)}


def _masked(meaning: Semantics, name: str, gradient: AnyArray, reads: Mapping[str, AnyArray]) -> AnyArray:
    """Apply the ReLU or dropout mask of a tensor to its gradient, if the operation reads that mask."""
    mask = reads.get(f"{name}.mask")
    return gradient if mask is None else gradient * mask * mask_scale(meaning.units[name].elementwise)


def update(gradient: AnyArray, master: AnyArray, momentum: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Return (weight, momentum) after a step of SGD with momentum and weight decay, as in `torch.optim.SGD`.

    momentum = MOMENTUM momentum + (gradient + WEIGHT_DECAY weight);  weight = weight - LEARNING_RATE momentum.
    """
    velocity = MOMENTUM * momentum + (gradient + WEIGHT_DECAY * master)
    return master - LEARNING_RATE * velocity, velocity
