"""Find the channels of a checkpoint that are gone although its tensors have their full size: filters of zeros.

A channel whose filter has only zero weights is a constant, its bias, which the next layer's bias can take over.  It is
left out of the profile's ``kept_outputs``, and with it what reads it, as far as the rules of
`wavecore.sparsity.structure` let it go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from wavecore.errors import ConfigError
from wavecore.network.graph import Layer, LayerGraph
from wavecore.network.layers import Conv, CrossEntropy, Linear
from wavecore.sparsity.channels import kept_channels
from wavecore.sparsity.profile import LayerSparsity, Profile
from wavecore.sparsity.structure import apply_profile, weight_shape

if TYPE_CHECKING:
    from wavecore.network.sparsity import Booleans


def without_zero_channels(graph: LayerGraph, profile: Profile, weights: Mapping[str, Booleans]) -> Profile:
    """Return the profile without the filters that are zero, its densities those of the weights that are left.

    ``weights`` are by layer and true for nonzero ones.  Tensors of a network that has been slimmed already, and cuts
    that another layer does not allow, leave the profile as it is.
    """
    if any(array.shape != weight_shape(graph, name) for name, array in weights.items()):
        return profile
    layers = dict(profile.layers)
    for name, array in weights.items():
        kept = tuple(index for index, row in enumerate(array) if row.any())
        if not 0 < len(kept) < len(array) or not _may_go(graph, graph.by_name[name]):
            continue
        entry = replace(layers.get(name, LayerSparsity()), kept_outputs=kept)
        if _fits(graph, replace(profile, layers={**layers, name: replace(entry, weight_density=None)}, masks={})):
            layers[name] = entry
    if layers == dict(profile.layers):
        return profile
    return replace(profile, layers=_with_densities(graph, replace(profile, layers=layers), weights))


def _may_go(graph: LayerGraph, layer: Layer) -> bool:
    """Return whether a layer's outputs are channels, and not the classes that the loss reads."""
    if not isinstance(layer.kind, Conv | Linear):
        return False
    readers = [graph.by_name[name] for name in graph.digraph.successors(layer.name)]
    return not any(isinstance(reader.kind, CrossEntropy) or not reader.inputs for reader in readers)


def _fits(graph: LayerGraph, profile: Profile) -> bool:
    try:
        apply_profile(graph, profile)
    except ConfigError:
        return False
    return True


def _with_densities(
    graph: LayerGraph, profile: Profile, weights: Mapping[str, Booleans]
) -> Mapping[str, LayerSparsity]:
    """Return the entries with the densities of the weights that the kept channels leave."""
    kept, found = kept_channels(graph, profile), {}
    for name, entry in profile.layers.items():
        outputs, inputs = kept.outputs(name), kept.inputs(name) if name in weights else None
        if entry.weight_density is None or outputs is None or inputs is None:
            found[name] = entry
            continue
        left = weights[name][list(outputs)][:, list(inputs)]
        found[name] = replace(entry, weight_density=float(left.mean()) if left.size else 0.0)
    return found
