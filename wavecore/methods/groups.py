"""Remove unused outputs from a chain of layers, and find the outputs, inputs and weights that are left."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

from wavecore.errors import InputError
from wavecore.methods.networks import Net
from wavecore.sparsity.profile import LayerSparsity


def remove_dead(net: Net) -> None:
    """Zero every output that has only zero weights or that only zero weights read, with its bias, until none is left.

    An output with only zero weights is a constant (its bias), which is removed too; this changes the network's result.
    An output that only zero weights read has no effect.  Raises `InputError` if all weights of a layer are zero.
    """
    with torch.no_grad():
        while sum(_remove_between(net, first, second) for first, second in pairwise(net.weighted)):
            pass
    for layer in net.weighted:
        if not net.weight(layer).any():
            what = f"the pruning leaves nothing of layer {layer!r}"
            raise InputError(f"network {net.graph.name}", what, "other --epochs, more --samples, or another --seed")


def structure(net: Net) -> dict[str, LayerSparsity]:
    """Return the kept outputs of all layers except the last, and the kept inputs of the first, where not all are kept.

    The inputs of later layers follow from the outputs of the layers before them.
    """
    first, last = net.weighted[0], net.weighted[-1]
    entries: dict[str, LayerSparsity] = {}
    for layer in net.weighted:
        weights = net.weight(layer)
        outputs = None if layer == last else _partly(weights.flatten(1).any(1))
        inputs = _partly(_columns(weights)) if layer == first else None
        if outputs is not None or inputs is not None:
            entries[layer] = LayerSparsity(kept_outputs=outputs, kept_inputs=inputs)
    return entries


def masks_of(net: Net) -> Mapping[str, Tensor]:
    """Return a mask of each layer's nonzero weights: 1 for nonzero, 0 for zero."""
    return {layer: (net.weight(layer) != 0).to(net.weight(layer).dtype) for layer in net.weighted}


def _remove_between(net: Net, first: str, second: str) -> int:
    """Zero the unused outputs of the first layer and inputs of the second; return the number of weights set to zero."""
    made, read = net.weight(first), net.weight(second)
    pixels = read.shape[1] // made.shape[0]  # per channel, if a flattening is between the two layers
    used = made.flatten(1).any(1) & _columns(read).view(-1, pixels).any(1)
    before = int(torch.count_nonzero(made)) + int(torch.count_nonzero(read))
    made[~used] = 0
    net.get_parameter(f"{first}.bias")[~used] = 0
    read[:, ~used.repeat_interleave(pixels)] = 0
    return before - int(torch.count_nonzero(made)) - int(torch.count_nonzero(read))


def _columns(weights: Tensor) -> Tensor:
    """Return for each input whether a nonzero weight reads it."""
    return weights.transpose(0, 1).flatten(1).any(1)


def _partly(kept: Tensor) -> tuple[int, ...] | None:
    """Return the indices of the kept elements; None if all are kept."""
    return None if bool(kept.all()) else tuple(torch.nonzero(kept).flatten().tolist())
