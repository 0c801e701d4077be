"""Groups of intrinsic sparse structures (arXiv 1709.05027): all weights that are removed with one unit of an LSTM.

Group k of a layer has: row k of each of its four gates, in the input weights, the recurrent weights and the bias;
column k of its recurrent weights; and column k of the weights that read the layer, which are the next LSTM's input
weights or the decoder's.  Tensors have the names of `wavecore.methods.language` and PyTorch's shapes, (outputs,
inputs); those of the paper are transposed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wavecore.errors import InputError
from wavecore.network.layers.recurrent import GATES

EPSILON = 1e-8  # added under the square root, so that the derivative at zero is zero, not infinite

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class GroupPart:
    """The part of a layer's groups in one tensor: along ``axis``, which consists of ``blocks`` blocks of all units."""

    tensor: str
    axis: int
    blocks: int


def layer_count(names: Iterable[str]) -> int:
    """Return the number of LSTMs that have tensors among ``names``."""
    return sum(name.startswith("lstm") and name.count(".") == 1 for name in names)


def parts(layer: int, layers: int) -> tuple[GroupPart, ...]:
    """Return the parts of the groups of LSTM number ``layer``, counted from 1, of ``layers``."""
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
    """Return the sum of squares of every group, shape (units,) per layer; a weight counts once per group."""
    layers = layer_count(tensors)
    return [_squares(tensors, layer, layers) for layer in range(1, layers + 1)]


def _squares(tensors: Tensors, layer: int, layers: int) -> Tensor:
    """Return the sums of squares of one layer's groups, shape (units,)."""
    recurrent = tensors[f"lstm{layer}.weight"]
    units = recurrent.shape[1]
    twice = recurrent.view(GATES, units, units).diagonal(
        dim1=1, dim2=2
    )  # these weights are in row k and in column k of group k
    total = -twice.square().sum(0)
    for part in parts(layer, layers):
        squares = tensors[part.tensor].square()
        if squares.ndim > 1:
            squares = squares.sum(1 - part.axis)
        total = total + squares.view(part.blocks, units).sum(0)
    return total.clamp(min=0)  # rounding may leave a small negative sum


def group_lasso(tensors: Tensors, epsilon: float = EPSILON) -> Tensor:
    """Return the sum over all groups of sqrt(sum of squares + epsilon), as in section 3.2 of the paper."""
    return torch.stack([(squares + epsilon).sqrt().sum() for squares in group_squares(tensors)]).sum()


def zero_small(tensors: Tensors, threshold: float) -> None:
    """Set to zero, in place, every weight of a group whose magnitude is below ``threshold``."""
    layers = layer_count(tensors)
    names = {part.tensor for layer in range(1, layers + 1) for part in parts(layer, layers)}
    with torch.no_grad():
        for name in names:
            values = tensors[name]
            values.mul_(values.abs() >= threshold)


def kept_units(tensors: Tensors) -> list[Tensor]:
    """Return the units whose group has a nonzero weight, shape (kept,) per layer; `InputError` if a layer has none.

    Biases do not count, as in `wavecore.sparsity.measure.recurrent`: what nothing reads does not matter.
    """
    layers = layer_count(tensors)
    found = []
    for layer in range(1, layers + 1):
        units = tensors[f"lstm{layer}.weight"].shape[1]
        used = torch.zeros(units, dtype=torch.bool)
        for part in parts(layer, layers):
            if part.tensor.endswith(".bias"):
                continue
            nonzero = (tensors[part.tensor].detach() != 0).any(1 - part.axis)
            used |= nonzero.view(part.blocks, units).any(0)
        if not used.any():
            raise InputError(
                "train iss", f"the pruning leaves no unit of lstm{layer}", "fewer --epochs, more --samples"
            )
        found.append(used.nonzero().flatten())
    return found


def select_units(tensors: Tensors, kept: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return the tensors with only the units ``kept``.

    If the weights of the other units' groups are zero, the network's results change by rounding only: nothing reads
    the state of such a unit.
    """
    found = {name: values.detach() for name, values in tensors.items()}
    for layer, units in enumerate(kept, 1):
        for part in parts(layer, len(kept)):
            values = found[part.tensor]
            size = values.shape[part.axis] // part.blocks
            index = torch.cat([units + block * size for block in range(part.blocks)])
            found[part.tensor] = values.index_select(part.axis, index)
    return found
