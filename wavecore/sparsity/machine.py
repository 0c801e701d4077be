"""Apply what a machine does with a network's zeros: gated multipliers, skipped tiles, tensors packed in DRAM.

Zeros of different tensors are assumed to be independent.  So with densities d_w of weights, d_a of activations and d_g
of gradients, the share of multiplications without a zero operand is d_w d_a in a forward pass, d_w d_g in a data
gradient and d_a d_g in a weight gradient.  `sparsity.gradients` says where gradients have zeros.  The output of a
max-pooling or a dropout has the density of its input, unless a profile gives its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import fsum

from wavecore.common.memo import remembered
from wavecore.common.precision import ELEMENT_BYTES
from wavecore.hardware.dataflows import dataflow_of
from wavecore.hardware.dataflows.base import GemmMatrix
from wavecore.hardware.specs import Accelerator, SparsitySpec
from wavecore.network.sparsity import Sparsity, WeightFacts
from wavecore.sparsity.encodings import DENSE, best, of_density, of_mask
from wavecore.sparsity.gradients import gradient_densities
from wavecore.sparsity.tiles import empty_tiles
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import EmptyTiles, Operation, Phase, Tensor, TensorClass
from wavecore.training.operations import OperandRole as UseRole

_PASSED_ON = ("max_pool", "dropout")


def for_machine(training: TrainingGraph, accelerator: Accelerator) -> TrainingGraph:
    """Return the training graph as this machine runs it: the given one where nothing is known of zeros."""
    if training.sparsity is None:
        return training
    return _with_zeros(training, training.sparsity, accelerator.sparsity, _skippable_tile(accelerator))


@remembered(key=lambda sparsity, options, tile: (options, tile))
def _with_zeros(
    training: TrainingGraph, sparsity: Sparsity, options: SparsitySpec, tile: tuple[int, int] | None
) -> TrainingGraph:
    """Return the training graph on a machine with these options, which skips tiles of ``tile`` rows and columns."""
    zeros = _zeros(training, sparsity)
    tensors = dict(training.tensors)
    if options.compression:
        tensors = {name: _packed(training, zeros, tensor) for name, tensor in tensors.items()}

    def alike(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
        return tuple(_operation(zeros, training, op, options, tile) for op in operations)

    units = tuple(replace(unit, forward=alike(unit.forward), backward=alike(unit.backward)) for unit in training.units)
    return replace(training, units=units, tensors=tensors, sparsity=None)


def _skippable_tile(accelerator: Accelerator) -> tuple[int, int] | None:
    """Return the rows and columns of the largest tile of weights that the machine skips where it is all zero, or None.

    Weights, whose zeros are known beforehand, are the right operand of the products that read them: their tiles can
    be skipped where that is the operand that the array holds.
    """
    dataflow = dataflow_of(accelerator.array)
    if not accelerator.sparsity.tile_skipping or dataflow.held is not GemmMatrix.RIGHT:
        return None
    return dataflow.held_tile(accelerator.array)


@dataclass(frozen=True, slots=True)
class _Zeros:
    """What is known of zeros: weights by unit, densities of values and gradients by tensor.  All else is dense."""

    weights: Mapping[str, WeightFacts]
    densities: Mapping[str, float]


def _zeros(training: TrainingGraph, sparsity: Sparsity) -> _Zeros:
    densities = dict(sparsity.densities)
    for unit in training.units:
        if unit.kind in _PASSED_ON and unit.name not in densities and len(unit.inputs[0]) == 1:
            source = unit.inputs[0][0]
            if source in densities:
                densities[unit.name] = densities[source]
    densities |= gradient_densities(training, densities)
    return _Zeros(dict(sparsity.weights), densities)


def _packed(training: TrainingGraph, zeros: _Zeros, tensor: Tensor) -> Tensor:
    """Return a tensor in its smallest encoding, or as it is where no zeros of it are known."""
    owner = tensor.name.removesuffix(".weight")
    if tensor.tensor_class is TensorClass.WEIGHT and owner in zeros.weights:
        facts = zeros.weights[owner]
        forward = training.units[training.unit_index[owner]].forward[0]
        gemm = forward.gemms[0]
        rows, columns = gemm.n * gemm.count // max(1, forward.time_steps), gemm.k
        contents = of_mask(facts.mask) if facts.mask is not None else of_density(rows, columns, facts.density)
        name, nbytes = best(contents)
        rest = tensor.nbytes - rows * columns * ELEMENT_BYTES  # a bias stays dense
    elif tensor.name in zeros.densities and tensor.tensor_class in (TensorClass.ACTIVATION, TensorClass.GRADIENT):
        contents = of_density(1, tensor.nbytes // ELEMENT_BYTES, zeros.densities[tensor.name])
        name, nbytes = best(contents)
        rest = 0
    else:
        return tensor
    return tensor if name == DENSE else replace(tensor, packed_bytes=nbytes + rest, encoding=name)


def _operation(
    zeros: _Zeros, training: TrainingGraph, op: Operation, options: SparsitySpec, tile: tuple[int, int] | None
) -> Operation:
    """Return an operation with its share of multiplications without a zero operand, and the tiles that it skips."""
    if not op.gemms:
        return op
    weights = zeros.weights.get(op.unit)
    skips: tuple[EmptyTiles, ...] = ()
    if tile is not None and op.phase is not Phase.WEIGHT_GRADIENT and weights is not None:
        skips = empty_tiles(weights, op.phase, op.gemms, tile, max(1, op.time_steps))
    share = _density(zeros, training, op, UseRole.LEFT) * _density(zeros, training, op, UseRole.RIGHT)
    if op.phase is not Phase.WEIGHT_GRADIENT and weights is not None:
        share *= weights.density
    return replace(op, effectual_share=share, gated=options.gating, empty_tiles=skips)


def _density(zeros: _Zeros, training: TrainingGraph, op: Operation, role: UseRole) -> float:
    """Return the density of an operand's activations or gradients, averaged by bytes where it is a concatenation.

    Weights count as dense here.  In a recurrent layer, a time step's left operand is the value that the step before has
    made, or in the backward pass its gradient, which counts as dense.
    """
    if op.time_steps and role is UseRole.LEFT:
        return zeros.densities.get(op.unit, 1.0) if op.phase is Phase.FORWARD else 1.0
    parts = [training.tensors[use.tensor] for use in op.reads if use.role is role]
    whole = sum(part.nbytes for part in parts)
    return fsum(part.nbytes * zeros.densities.get(part.name, 1.0) for part in parts) / whole if whole else 1.0
