"""What of a checkpoint is zero: elements, filters, channels and the array's tiles, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wavecore.errors import InputError, nearest
from wavecore.ir import LayerGraph
from wavecore.layers import Conv, Linear
from wavecore.sparsity.facts import mask_of
from wavecore.sparsity.profile import LayerSparsity, Profile
from wavecore.sparsity.structure import weight_shape
from wavecore.sparsity.tiles import zero_tiles

if TYPE_CHECKING:
    from wavecore.sparsity.facts import Booleans

TILE = (128, 128)
PREFIXES = ("module.", "model.", "network.", "net.", "backbone.", "_orig_mod.")  # what wrappers put before names


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Zeros of one layer's weights.

    ``filters`` are outputs, and ``channels`` inputs, of which all weights are zero; ``tiles`` those of 128 x 128 of the
    forward product's stationary operand, inner dimension x outputs.
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


def measure(name: str, weights: Booleans) -> Measured:
    """Count the zeros of one layer: ``weights`` says which are not, (outputs, inputs, ...) as in PyTorch."""
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


def match(where: str, weights: Mapping[str, Booleans], graph: LayerGraph | None) -> dict[str, Booleans]:
    """Weights by layer: ``conv1.weight`` is of the layer ``conv1``, whatever a wrapper has put before it.

    With a ``graph`` every layer with weights must be found, and every tensor be of a layer, with its shape or that
    of fewer channels.  Raises `InputError`, which names the nearest.
    """
    found: dict[str, Booleans] = {}
    for tensor, array in weights.items():
        name = _layer_name(tensor, graph)
        if name in found:
            raise InputError(where, f"has two tensors for the layer {name!r}, one of them {tensor!r}", "one of them")
        found[name] = array
    if graph is None:
        return found
    wanted = [layer.name for layer in graph if isinstance(layer.kind, Conv | Linear)]
    for name in found:
        if name not in wanted:
            missing = [layer for layer in wanted if layer not in found]
            close = nearest(name, missing or wanted) or (missing or wanted)[:3]
            what = f"{graph.name} has no layer with weights named {name!r}"
            raise InputError(where, what, f"renaming the tensor: {' or '.join(close)}")
    for name in wanted:
        if name not in found:
            raise InputError(where, f"has no tensor for the layer {name!r} of {graph.name}", f"{name}.weight")
    return {name: _shaped(where, graph, name, found[name]) for name in wanted}


def _layer_name(tensor: str, graph: LayerGraph | None) -> str:
    name = tensor.removesuffix(".weight")
    if graph is None:
        return name
    while name not in graph.by_name:
        prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
        if prefix is None:
            break
        name = name.removeprefix(prefix)
    return name if name in graph.by_name else tensor.removesuffix(".weight")


def _shaped(where: str, graph: LayerGraph, name: str, array: Booleans) -> Booleans:
    """An array in the shape of the layer's weights, or of fewer channels of them."""
    shape = weight_shape(graph, name)
    while array.ndim > len(shape) and array.shape[-1] == 1:
        array = array[..., 0]
    fits = array.ndim == len(shape) and array.shape[2:] == shape[2:]
    if not fits or array.shape[0] > shape[0] or array.shape[1] > shape[1]:
        sizes = ("x".join(map(str, each)) for each in (array.shape, shape))
        what = "the tensor of {!r} is {}, and its weights are {}".format(name, *sizes)
        raise InputError(where, what, "--option, if the workload was built otherwise")
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
    """The profile of measured weights: densities or ``masks``, and counts where channels are fewer than the graph's."""
    layers: dict[str, LayerSparsity] = {}
    densities = dict(activations or {})
    for layer, array in weights.items():
        full = weight_shape(graph, layer) if graph is not None else array.shape
        layers[layer] = LayerSparsity(
            weight_density=None if masks else _density(array),
            activation_density=densities.pop(layer, None),
            kept_outputs=array.shape[0] if array.shape[0] < full[0] else None,
            kept_inputs=array.shape[1] if array.shape[1] < full[1] else None,
        )
    layers |= {layer: LayerSparsity(activation_density=density) for layer, density in densities.items()}
    return Profile(
        name=name,
        source=source,
        workload=graph.name if graph is not None else "",
        options=dict(options or {}),
        layers={layer: said for layer, said in layers.items() if said != LayerSparsity()},
        masks={layer: mask_of(array) for layer, array in weights.items()} if masks else {},
    )


def _density(array: Booleans) -> float:
    return float(array.mean()) if array.size else 0.0
