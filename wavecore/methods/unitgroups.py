"""Intrinsic sparse structures (arXiv 1709.05027): the group of all weights that leave an LSTM with one of its units.

Group k of a layer has rows k of its four gates, of input and recurrent weights and of the bias; column k of its
recurrent weights; and column k of whatever reads the layer, the next one's input weights or the decoder's.  Tensors
are by the names of `wavecore.methods.language`, in PyTorch's shapes, (outputs, inputs): the paper's are transposed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wavecore.errors import InputError
from wavecore.network.layers.recurrent import GATES

EPSILON = 1e-8  # below the root: its slope at zero is zero, not infinite

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class GroupPart:
    """Where a layer's groups lie in a tensor: along an ``axis``, that is so many ``blocks`` of all units."""

    tensor: str
    axis: int
    blocks: int


def layer_count(names: Iterable[str]) -> int:
    """How many LSTMs have tensors of such names."""
    return sum(name.startswith("lstm") and name.count(".") == 1 for name in names)


def parts(layer: int, layers: int) -> tuple[GroupPart, ...]:
    """Where the groups of LSTM number ``layer`` of ``layers`` lie, from 1."""
    name = f"lstm{layer}"
    reader = f"lstm{layer + 1}.input" if layer < layers else "decoder"
    return (
        GroupPart(f"{name}.input.weight", 0, GATES),
        GroupPart(f"{name}.input.bias", 0, GATES),
        GroupPart(f"{name}.weight", 0, GATES),
        GroupPart(f"{name}.weight", 1, 1),
        GroupPart(f"{reader}.weight", 1, 1),
    )


def group_squares(tensors: Tensors) -> list[Tensor]:
    """The sum of squares of every group, (units,) a layer; a weight counts once in a group."""
    layers = layer_count(tensors)
    return [_squares(tensors, layer, layers) for layer in range(1, layers + 1)]


def _squares(tensors: Tensors, layer: int, layers: int) -> Tensor:
    recurrent = tensors[f"lstm{layer}.weight"]
    units = recurrent.shape[1]
    twice = recurrent.view(GATES, units, units).diagonal(dim1=1, dim2=2)  # in row k and in column k
    total = -twice.square().sum(0)
    for part in parts(layer, layers):
        squares = tensors[part.tensor].square()
        if squares.ndim > 1:
            squares = squares.sum(1 - part.axis)
        total = total + squares.view(part.blocks, units).sum(0)
    return total.clamp(min=0)  # what rounding leaves of a group with nothing but the diagonal


def group_lasso(tensors: Tensors, epsilon: float = EPSILON) -> Tensor:
    """Sum over all groups of sqrt(sum of squares + epsilon), as in section 3.2 of the paper."""
    return torch.stack([(squares + epsilon).sqrt().sum() for squares in group_squares(tensors)]).sum()


def zero_small(tensors: Tensors, threshold: float) -> None:
    """Make zero, in place, every weight of a group that is smaller than ``threshold``."""
    layers = layer_count(tensors)
    names = {part.tensor for layer in range(1, layers + 1) for part in parts(layer, layers)}
    with torch.no_grad():
        for name in names:
            values = tensors[name]
            values.mul_(values.abs() >= threshold)


def kept_units(tensors: Tensors) -> list[Tensor]:
    """The units, (kept,) a layer, in whose groups anything is not zero; InputError if a layer has none."""
    layers = layer_count(tensors)
    found = []
    for layer in range(1, layers + 1):
        units = tensors[f"lstm{layer}.weight"].shape[1]
        alive = torch.zeros(units, dtype=torch.bool)
        for part in parts(layer, layers):
            nonzero = tensors[part.tensor].detach() != 0
            if nonzero.ndim > 1:
                nonzero = nonzero.any(1 - part.axis)
            alive |= nonzero.view(part.blocks, units).any(0)
        if not alive.any():
            raise InputError(
                "train iss", f"the pruning leaves no unit of lstm{layer}", "fewer --epochs, more --samples"
            )
        found.append(alive.nonzero().flatten())
    return found


def slim(tensors: Tensors, kept: Sequence[Tensor]) -> dict[str, Tensor]:
    """The tensors without the units that are not ``kept``.

    Nothing changes but rounding if the groups of the others are zero: such a unit's state starts at zero and stays
    there, since the tanh of its candidate is zero.
    """
    found = {name: values.detach() for name, values in tensors.items()}
    for layer, units in enumerate(kept, 1):
        for part in parts(layer, len(kept)):
            values = found[part.tensor]
            size = values.shape[part.axis] // part.blocks
            index = torch.cat([units + block * size for block in range(part.blocks)])
            found[part.tensor] = values.index_select(part.axis, index)
    return found
