"""Rows and columns of a chain of layers that are left: what neither end of is zero."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

from wavecore.errors import InputError
from wavecore.methods.networks import Net
from wavecore.sparsity.profile import LayerSparsity


def remove_dead(net: Net) -> None:
    """Zero, until nothing changes, every output that has no weight or that no weight reads, with its bias.

    An output without weights is a constant, which goes with its bias; one that nothing reads changes nothing.  Raises
    `InputError` where nothing of a layer is left.
    """
    with torch.no_grad():
        while sum(_remove_between(net, first, second) for first, second in pairwise(net.weighted)):
            pass
    for layer in net.weighted:
        if not net.weight(layer).any():
            what = f"the pruning leaves nothing of layer {layer!r}"
            raise InputError(f"network {net.graph.name}", what, "other --epochs, more --samples, or another --seed")


def structure(net: Net) -> dict[str, LayerSparsity]:
    """Which outputs of every layer but the last, and which inputs of the first, are left; nothing where all are.

    Inputs of later layers are the outputs of those before them.
    """
    first, last = net.weighted[0], net.weighted[-1]
    said: dict[str, LayerSparsity] = {}
    for layer in net.weighted:
        weights = net.weight(layer)
        outputs = None if layer == last else _partly(weights.flatten(1).any(1))
        inputs = _partly(_columns(weights)) if layer == first else None
        if outputs is not None or inputs is not None:
            said[layer] = LayerSparsity(kept_outputs=outputs, kept_inputs=inputs)
    return said


def masks_of(net: Net) -> Mapping[str, Tensor]:
    """Where the weights of each layer are not zero."""
    return {layer: (net.weight(layer) != 0).to(net.weight(layer).dtype) for layer in net.weighted}


def _remove_between(net: Net, first: str, second: str) -> int:
    """Zero what is dead of the first layer's outputs and of the second's inputs; how many weights that were."""
    made, read = net.weight(first), net.weight(second)
    pixels = read.shape[1] // made.shape[0]  # of each channel, where a flattening is between
    alive = made.flatten(1).any(1) & _columns(read).view(-1, pixels).any(1)
    before = int(torch.count_nonzero(made)) + int(torch.count_nonzero(read))
    made[~alive] = 0
    net.get_parameter(f"{first}.bias")[~alive] = 0
    read[:, ~alive.repeat_interleave(pixels)] = 0
    return before - int(torch.count_nonzero(made)) - int(torch.count_nonzero(read))


def _columns(weights: Tensor) -> Tensor:
    """Which inputs any weight reads."""
    return weights.transpose(0, 1).flatten(1).any(1)


def _partly(kept: Tensor) -> tuple[int, ...] | None:
    return None if bool(kept.all()) else tuple(torch.nonzero(kept).flatten().tolist())
