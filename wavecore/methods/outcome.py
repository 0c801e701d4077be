"""Make the result of a training from a trained network: tensors, kept weights by layer, and the profile."""

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
    evaluation: Evaluation,
    scores: Scores,
    own: Mapping[str, object],
    structure: Mapping[str, LayerSparsity] | None = None,
    *,
    details: Mapping[str, object] | None = None,
) -> Trained:
    """Return the result of a training.

    ``evaluation`` is the network's run on the test set, ``own`` are the method's parameters, ``details`` further
    results of the method, and ``structure`` the kept outputs and inputs of layers.  The profile has a mask for every
    layer with zeros.
    """
    tensors: dict[str, Array] = {name: value.detach().numpy().copy() for name, value in net.state_dict().items()}
    weights = {layer: tensors[f"{layer}.weight"] != 0 for layer in net.weighted}
    layers = dict(structure or {})
    densities = densities_left(net.graph, layers, evaluation.densities)
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
        layers=tuple(_kept(layer, array, evaluation) for layer, array in weights.items()),
        data=str(split),
        settings=own,
        activations_kept=evaluation.hidden,
        details=dict(details or {}),
    )


def input_density(net: Net, structure: Mapping[str, LayerSparsity], images: Tensor) -> float:
    """Return the share of nonzero values of images (samples, channels, height, width) that the first layer reads."""
    first = net.weighted[0]
    kept = structure.get(first, LayerSparsity()).kept_inputs
    read = images.flatten(1) if net.weight(first).ndim == 2 else images
    if isinstance(kept, tuple):
        read = read[:, list(kept)]
    return int(torch.count_nonzero(read)) / read.numel()


def densities_left(
    graph: LayerGraph, structure: Mapping[str, LayerSparsity], densities: Mapping[str, float]
) -> dict[str, float]:
    """Convert densities over all outputs into densities over those that ``structure`` keeps, in a chain of layers.

    Removed outputs are zero, so that a density is multiplied by all / kept outputs.
    """
    found: dict[str, float] = {}
    total = kept = 1
    for layer in graph:
        if isinstance(layer.kind, Conv | Linear):
            outputs = structure.get(layer.name, LayerSparsity()).kept_outputs
            total = layer.shape.channels
            kept = total if outputs is None else outputs if isinstance(outputs, int) else len(outputs)
        if layer.name in densities:
            found[layer.name] = min(1.0, densities[layer.name] * total / kept)
    return found


def _kept(layer: str, weights: Booleans, evaluation: Evaluation) -> LayerKept:
    """Return how much of a layer is kept; ``weights`` is true for nonzero weights."""
    found = measure(layer, weights)
    return LayerKept(
        name=layer,
        weights=(found.nonzeros, found.elements),
        outputs=(found.filters - found.zero_filters, found.filters),
        inputs=(found.channels - found.zero_channels, found.channels),
        activations=evaluation.densities.get(layer),
    )
