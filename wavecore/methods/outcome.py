"""What a trained network leaves, in the form that is written: tensors, kept weights by layer, the profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from wavecore.methods.base import LayerKept, Scores, Settings, Trained, command_of
from wavecore.methods.digits import Split
from wavecore.methods.loop import Evaluation
from wavecore.methods.networks import Net
from wavecore.network.graph import LayerGraph
from wavecore.network.layers import Conv, Linear
from wavecore.network.sparsity import mask_of
from wavecore.sparsity.measure.weights import measure
from wavecore.sparsity.profile import LayerSparsity, Profile

if TYPE_CHECKING:
    from wavecore.network.sparsity import Booleans
    from wavecore.sparsity.arrays import Array


def outcome(
    net: Net,
    settings: Settings,
    split: Split,
    seen: Evaluation,
    scores: Scores,
    own: Mapping[str, object],
    structure: Mapping[str, LayerSparsity] | None = None,
    *,
    details: Mapping[str, object] | None = None,
) -> Trained:
    """Describe a network behind its training.

    ``seen`` is its run on the test set, ``own`` the method's numbers, ``details`` what it found on its way,
    ``structure`` the outputs and inputs of layers that are physically left.  The profile has a mask of every layer
    with zeros.
    """
    tensors: dict[str, Array] = {name: value.detach().numpy().copy() for name, value in net.state_dict().items()}
    weights = {layer: tensors[f"{layer}.weight"] != 0 for layer in net.weighted}
    layers = dict(structure or {})
    densities = densities_left(net.graph, layers, seen.densities)
    densities[net.graph.layers[0].name] = input_density(net, layers, split.test.images)
    for name, density in densities.items():
        layers[name] = replace(layers.get(name, LayerSparsity()), activation_density=density)
    profile = Profile(
        name=settings.method,
        source=f"{command_of(settings)}, on {split}",
        workload=settings.network,
        layers={layer.name: layers[layer.name] for layer in net.graph if layer.name in layers},
        masks={layer: mask_of(array) for layer, array in weights.items() if not array.all()},
    )
    return Trained(
        scores=scores,
        tensors=tensors,
        profile=profile,
        layers=tuple(_kept(layer, array, seen) for layer, array in weights.items()),
        data=str(split),
        settings=own,
        activations_kept=seen.hidden,
        details=dict(details or {}),
    )


def input_density(net: Net, structure: Mapping[str, LayerSparsity], images: Tensor) -> float:
    """Share of non-zero values of images (samples, channels, height, width), of those that the first layer reads."""
    first = net.weighted[0]
    kept = structure.get(first, LayerSparsity()).kept_inputs
    read = images.flatten(1) if net.weight(first).ndim == 2 else images
    if isinstance(kept, tuple):
        read = read[:, list(kept)]
    return int(torch.count_nonzero(read)) / read.numel()


def densities_left(
    graph: LayerGraph, structure: Mapping[str, LayerSparsity], densities: Mapping[str, float]
) -> dict[str, float]:
    """Shares of non-zero values of all outputs, as shares of those that structure leaves in a chain of layers."""
    found: dict[str, float] = {}
    whole = left = 1
    for layer in graph:
        if isinstance(layer.kind, Conv | Linear):
            kept = structure.get(layer.name, LayerSparsity()).kept_outputs
            whole = layer.shape.channels
            left = whole if kept is None else kept if isinstance(kept, int) else len(kept)
        if layer.name in densities:
            found[layer.name] = min(1.0, densities[layer.name] * whole / left)
    return found


def _kept(layer: str, weights: Booleans, seen: Evaluation) -> LayerKept:
    """What is left of a layer, of which ``weights`` are not zero."""
    found = measure(layer, weights)
    return LayerKept(
        name=layer,
        weights=(found.nonzeros, found.elements),
        outputs=(found.filters - found.zero_filters, found.filters),
        inputs=(found.channels - found.zero_channels, found.channels),
        activations=seen.densities.get(layer),
    )
