"""Apply a machine's sparsity options to a training graph: gated multipliers, skipped tiles, tensors packed in DRAM.

Zeros of different tensors are assumed to be independent.  With densities d_w of weights, d_a of activations and d_g of
gradients, the share of products with two nonzero operands is d_w d_a in forward, d_w d_g in the data gradient, and
d_a d_g in the weight gradient.  A gradient has the zeros of the value whose ReLU masks it.  A max-pooling or a dropout
has the density of its input, unless the profile gives one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from wavecore.hardware.specs import Accelerator, SparsitySpec
from wavecore.network.layers.base import ELEMENT_BYTES
from wavecore.network.sparsity import Sparsity, WeightFacts
from wavecore.sparsity.encodings import DENSE, best, of_density, of_mask
from wavecore.sparsity.tiles import empty_tiles
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import EmptyTiles, Operation, Phase, Tensor, TensorClass
from wavecore.training.operations import OperandRole as UseRole

_PASS_DENSITY_ON = ("max_pool", "dropout")


def for_machine(training: TrainingGraph, accelerator: Accelerator) -> TrainingGraph:
    """Return the training graph as this machine runs it; unchanged if no zeros are known."""
    if training.sparsity is None:
        return training
    sparsity, size = training.sparsity, (accelerator.array.rows, accelerator.array.columns)
    options = accelerator.sparsity

    def computed() -> TrainingGraph:
        zeros = _zeros(training, sparsity)
        tensors = dict(training.tensors)
        if options.compression:
            tensors = {name: _packed(training, zeros, tensor) for name, tensor in tensors.items()}

        def converted(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
            return tuple(_operation(zeros, training, op, options, size) for op in operations)

        units = tuple(
            replace(unit, forward=converted(unit.forward), backward=converted(unit.backward)) for unit in training.units
        )
        return replace(training, units=units, tensors=tensors, sparsity=None)

    made: TrainingGraph = training.memory.recall("machine", (options, size), computed)
    return made


@dataclass(frozen=True, slots=True)
class _Zeros:
    """Known zeros: of weights by unit, and densities of values and gradients by tensor; all others are dense."""

    weights: Mapping[str, WeightFacts]
    densities: Mapping[str, float]


def _zeros(training: TrainingGraph, sparsity: Sparsity) -> _Zeros:
    """Collect the known zeros, and pass densities on to poolings, dropouts and masked gradients."""
    densities = dict(sparsity.densities)
    for unit in training.units:
        if unit.kind in _PASS_DENSITY_ON and unit.name not in densities and len(unit.inputs[0]) == 1:
            source = unit.inputs[0][0]
            if source in densities:
                densities[unit.name] = densities[source]
    for name in list(densities):
        if f"{name}.mask" in training.tensors:
            densities[f"{name}.gradient"] = densities[name]
    return _Zeros(dict(sparsity.weights), densities)


def _packed(training: TrainingGraph, zeros: _Zeros, tensor: Tensor) -> Tensor:
    """Return a tensor in its smallest encoding; a tensor without known zeros is returned unchanged."""
    owner = tensor.name.removesuffix(".weight")
    if tensor.tensor_class is TensorClass.WEIGHT and owner in zeros.weights:
        facts = zeros.weights[owner]
        forward = training.units[training.unit_index[owner]].forward[0]
        gemm = forward.gemms[0]
        rows, columns = gemm.n * gemm.count // max(1, forward.time_steps), gemm.k
        contents = of_mask(facts.mask) if facts.mask is not None else of_density(rows, columns, facts.density)
        name, nbytes = best(contents)
        rest = tensor.nbytes - rows * columns * ELEMENT_BYTES  # the bias stays dense
    elif tensor.name in zeros.densities and tensor.tensor_class in (TensorClass.ACTIVATION, TensorClass.GRADIENT):
        contents = of_density(1, tensor.nbytes // ELEMENT_BYTES, zeros.densities[tensor.name])
        name, nbytes = best(contents)
        rest = 0
    else:
        return tensor
    return tensor if name == DENSE else replace(tensor, packed_bytes=nbytes + rest, encoding=name)


def _operation(
    zeros: _Zeros, training: TrainingGraph, op: Operation, options: SparsitySpec, size: tuple[int, int]
) -> Operation:
    """Return an operation with its share of effectual products, and the tiles that it skips."""
    if not op.gemms:
        return op
    weights = zeros.weights.get(op.unit)
    skips: tuple[EmptyTiles, ...] = ()
    if options.tile_skipping and op.phase is not Phase.WEIGHT_GRADIENT and weights is not None:
        skips = empty_tiles(weights, op.phase, op.gemms, size, max(1, op.time_steps))
    share = _density(zeros, training, op, UseRole.STREAMED) * _density(zeros, training, op, UseRole.STATIONARY)
    if op.phase is not Phase.WEIGHT_GRADIENT and weights is not None:
        share *= weights.density
    return replace(op, effectual_share=share, gated=options.gating, empty_tiles=skips)


def _density(zeros: _Zeros, training: TrainingGraph, op: Operation, role: UseRole) -> float:
    """Return the density of an operand, weighted by bytes over the tensors of a concatenation; weights count as 1 here.

    The streamed operand of a recurrent step is what the previous step has made: the layer's own value in forward, and a
    gradient (dense) in backward.
    """
    if op.time_steps and role is UseRole.STREAMED:
        return zeros.densities.get(op.unit, 1.0) if op.phase is Phase.FORWARD else 1.0
    parts = [training.tensors[use.tensor] for use in op.reads if use.role is role]
    total_bytes = sum(part.nbytes for part in parts)
    return (
        sum(part.nbytes * zeros.densities.get(part.name, 1.0) for part in parts) / total_bytes if total_bytes else 1.0
    )
