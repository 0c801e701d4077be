"""Count the zeros of a checkpoint's weights by layer: elements, filters, channels and tiles of the array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wavecore.errors import InputError, nearest
from wavecore.network.graph import LayerGraph
from wavecore.network.layers import LSTM, Conv, Embedding, Linear
from wavecore.network.sparsity import mask_of
from wavecore.sparsity.measure.channels import without_zero_channels
from wavecore.sparsity.measure.recurrent import candidates, reads_units, without_zero_units
from wavecore.sparsity.profile import LayerSparsity, Profile
from wavecore.sparsity.structure import weight_shape
from wavecore.sparsity.tiles import zero_tiles

if TYPE_CHECKING:
    from wavecore.network.sparsity import Booleans

TILE = (128, 128)
PREFIXES = (
    "module.",
    "model.",
    "network.",
    "net.",
    "backbone.",
    "_orig_mod.",
)  # prefixes that wrapper modules add to names


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Zeros of one layer's weights.

    ``filters`` are outputs and ``channels`` are inputs (per group); a zero one has only zero weights.  ``tiles`` are
    those of 128 x 128 of the forward product's right operand, inner dimension x outputs.  For an LSTM, ``units``
    are the network's hidden units and ``units_left`` those that have nonzero weights
    (`wavecore.sparsity.measure.recurrent`).
    """

    name: str
    shape: tuple[int, ...]
    elements: int
    nonzeros: int
    filters: int
    zero_filters: int
    channels: int
    zero_channels: int
    tiles: int
    zero_tiles: int
    units: int | None = None
    units_left: int | None = None


def measure(name: str, weights: Booleans) -> Measured:
    """Count the zeros of one layer; ``weights`` is true for nonzero weights, (outputs, inputs, ...) as in PyTorch."""
    others = tuple(axis for axis in range(weights.ndim) if axis != 1)
    matrix = weights.reshape(weights.shape[0], -1).T
    return Measured(
        name=name,
        shape=tuple(weights.shape),
        elements=weights.size,
        nonzeros=int(weights.sum()),
        filters=weights.shape[0],
        zero_filters=int((~weights.reshape(weights.shape[0], -1).any(axis=1)).sum()),
        channels=weights.shape[1],
        zero_channels=int((~weights.any(axis=others)).sum()),
        tiles=-(-matrix.shape[0] // TILE[0]) * -(-matrix.shape[1] // TILE[1]),
        zero_tiles=zero_tiles(matrix, TILE),
    )


def measure_all(where: str, weights: Mapping[str, Booleans], graph: LayerGraph | None) -> list[Measured]:
    """Count the zeros of all layers except embeddings, of which a step reads only some rows."""
    if graph is None:
        return [measure(name, array) for name, array in weights.items()]
    left, found = without_zero_units(where, graph, weights), []
    for name, array in weights.items():
        kind = graph.by_name[name].kind
        if isinstance(kind, LSTM):
            counted = measure(name, array)
            found.append(replace(counted, units=kind.hidden, units_left=left[name].shape[1]))
        elif _has_mask(graph, name):
            found.append(measure(name, array))
    return found


def match(where: str, weights: Mapping[str, Booleans], graph: LayerGraph | None) -> dict[str, Booleans]:
    """Return the weights by layer: ``conv1.weight`` belongs to the layer ``conv1``, with or without one of `PREFIXES`.

    With a ``graph``, every layer with weights except embeddings must have a tensor, and every tensor must belong to a
    layer and have its shape or that of fewer channels.  Raises `InputError` otherwise, with the most similar name.
    """
    found: dict[str, Booleans] = {}
    for tensor, array in weights.items():
        name = _layer_name(tensor, graph)
        if name in found:
            raise InputError(where, f"has two tensors for the layer {name!r}, one of them {tensor!r}", "one of them")
        found[name] = array
    if graph is None:
        return found
    wanted = [layer.name for layer in graph if isinstance(layer.kind, Conv | Linear | LSTM)]
    embeddings = [layer.name for layer in graph if isinstance(layer.kind, Embedding)]
    for name in found:
        if name not in wanted and name not in embeddings:
            missing = [layer for layer in wanted if layer not in found]
            close = nearest(name, missing or wanted) or (missing or wanted)[:3]
            what = f"{graph.name} has no layer with weights named {name!r}"
            raise InputError(where, what, f"renaming the tensor: {' or '.join(close)}")
    for name in wanted:
        if name not in found:
            raise InputError(where, f"has no tensor for the layer {name!r} of {graph.name}", f"{name}.weight")
    return {name: _shaped(where, graph, name, found[name]) for name in (*embeddings, *wanted) if name in found}


def _layer_name(tensor: str, graph: LayerGraph | None) -> str:
    """Return the name of the layer to which a tensor belongs; without a match the tensor's own name."""
    name: str | None = tensor
    while graph is not None and name is not None:
        found = next((layer for layer in candidates(name) if layer in graph.by_name), None)
        if found is not None:
            return found
        name = next((name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)), None)
    return tensor.removesuffix(".weight")


def _shaped(where: str, graph: LayerGraph, name: str, array: Booleans) -> Booleans:
    """Return an array in the form of a layer's weights, possibly of fewer channels; `InputError` if it does not fit."""
    shape = weight_shape(graph, name)
    while array.ndim > len(shape) and array.shape[-1] == 1:
        array = array[..., 0]
    fits = array.ndim == len(shape) and array.shape[2:] == shape[2:]
    fits &= not isinstance(graph.by_name[name].kind, Embedding) or array.shape[0] == shape[0]
    if not fits or array.shape[0] > shape[0] or array.shape[1] > shape[1]:
        sizes = ("x".join(map(str, each)) for each in (array.shape, shape))
        what = "the tensor of {!r} is {}, but its weights are {}".format(name, *sizes)
        raise InputError(where, what, "--option, if the workload has other options")
    return array


def measured_profile(
    name: str,
    source: str,
    weights: Mapping[str, Booleans],
    graph: LayerGraph | None = None,
    *,
    options: Mapping[str, int | float | str] | None = None,
    activations: Mapping[str, float] | None = None,
    masks: bool = False,
) -> Profile:
    """Return the profile of measured weights.

    It holds densities or, if ``masks``, masks, counts of channels where they are fewer than the graph's, and the
    indices of the filters that are not zero where some are.  The
    hidden units of an LSTM also determine the channels of its gates' sums and of its readers, so that these have no
    counts.
    """
    weights = without_zero_units(source, graph, weights) if graph is not None else weights
    layers: dict[str, LayerSparsity] = {}
    densities = dict(activations or {})
    for layer, array in weights.items():
        entry = _structure(graph, layer, array)
        density = _density(array) if not masks and _has_mask(graph, layer) else None
        layers[layer] = replace(entry, weight_density=density, activation_density=densities.pop(layer, None))
    layers |= {layer: LayerSparsity(activation_density=density) for layer, density in densities.items()}
    found = Profile(
        name=name,
        source=source,
        workload=graph.name if graph is not None else "",
        options=dict(options or {}),
        layers={layer: entry for layer, entry in layers.items() if entry != LayerSparsity()},
        masks={layer: mask_of(array) for layer, array in weights.items() if _has_mask(graph, layer)} if masks else {},
    )
    return found if graph is None else without_zero_channels(graph, found, weights)


def _has_mask(graph: LayerGraph | None, name: str) -> bool:
    """Return whether the zeros of a layer's weights count: of an embedding a step reads only some rows."""
    return graph is None or not isinstance(graph.by_name[name].kind, Embedding)


def _structure(graph: LayerGraph | None, name: str, array: Booleans) -> LayerSparsity:
    """Return the entry of a layer: counts of channels or units where the weights are fewer than the graph's."""
    if graph is None:
        return LayerSparsity()
    full, (outputs, inputs) = weight_shape(graph, name), array.shape[:2]
    layer = graph.by_name[name]
    if isinstance(layer.kind, LSTM):
        return LayerSparsity(hidden=inputs if inputs < full[1] else None)
    if isinstance(layer.kind, Embedding):
        return LayerSparsity(kept_outputs=inputs if inputs < full[1] else None)
    sums = any(isinstance(graph.by_name[reader].kind, LSTM) for reader in graph.digraph.successors(name))
    return LayerSparsity(
        kept_outputs=outputs if outputs < full[0] and not sums else None,
        kept_inputs=inputs if inputs < full[1] and not reads_units(graph, layer) else None,
    )


def _density(array: Booleans) -> float:
    return float(array.mean()) if array.size else 0.0
