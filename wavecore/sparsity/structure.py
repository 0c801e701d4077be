"""Apply a profile to a network: change its shapes (channels, ranks, branches) and attach densities and masks.

Values that must have the same channels form a *group*: the operands of an addition, and the input and output of a
normalization, a pooling, a flattening or a depthwise convolution.  A group keeps the union of the channels that its
producers keep (PruneTrain's channel union, arXiv 1901.09290) and that its readers keep according to the profile.  If
the profile has no entry for any producer, the group keeps the union over its readers, provided that each of them has
an entry.  The union of counts is their maximum, since which channels they are is not known.  A cut of channels that a
grouped convolution needs all of is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import gcd

from wavecore.common.typecheck import require
from wavecore.errors import ConfigError, GraphError, InputError, unknown_name
from wavecore.network.graph import Layer, LayerGraph, Network
from wavecore.network.layers import LSTM, Conv, Embedding, GroupNorm, Inlet, Input, LayerKind, Linear
from wavecore.network.layers.recurrent import GATES
from wavecore.network.sparsity import Mask, Sparsity, WeightFacts, mask_of
from wavecore.sparsity.branches import remove_branches
from wavecore.sparsity.channels import KeptChannels, kept_channels
from wavecore.sparsity.profile import LayerSparsity, Profile

_KEYS = ("weight_density", "kept_outputs", "kept_inputs", "rank", "block", "hidden")
_WITH_WEIGHTS = frozenset(_KEYS) - {"hidden"}
_ALLOWED_KEYS: Mapping[type[LayerKind], frozenset[str]] = {  # the keys that a kind of layer may have
    Conv: _WITH_WEIGHTS,
    Linear: _WITH_WEIGHTS,
    LSTM: frozenset({"weight_density", "block", "hidden"}),
    Embedding: frozenset({"kept_outputs"}),
    Inlet: frozenset({"kept_outputs"}),
}
_MASKED = (Conv, Linear, LSTM)


def apply_profile(graph: LayerGraph, profile: Profile) -> LayerGraph:
    """Return ``graph`` pruned by ``profile``, with the densities and masks of the remaining elements (``sparsity``).

    Raises `NameLookupError` for a layer that the network does not have, and `ConfigError` for an entry that does not
    fit its layer.
    """
    require(graph, LayerGraph, "graph", "wavecore.workload(NAME)")
    require(profile, Profile, "profile", "wavecore.load_profile(PATH)")
    if profile.workload and profile.workload != graph.name:
        what = f"is a profile of {profile.workload!r}, not of {graph.name!r}"
        raise ConfigError(profile.place(key="workload"), what, f"wavecore run {profile.workload} --sparsity ...")
    _check_layers(graph, profile)
    removed = {name for name, layer in profile.layers.items() if layer.removed}
    thinned = remove_branches(graph, removed, lambda name: profile.place(name, "removed"))
    kept = kept_channels(thinned, profile)
    pruned = _rebuilt(thinned, profile, kept)
    facts = _facts(thinned, pruned, profile, kept)
    return replace(pruned, sparsity=facts)


def _check_layers(graph: LayerGraph, profile: Profile) -> None:
    """Raise `NameLookupError` for a name that is not a layer, `ConfigError` for a key that does not fit a layer."""
    for name in dict.fromkeys((*profile.layers, *profile.masks)):
        if name not in graph.by_name:
            raise unknown_name(profile.place(name), f"layer of {graph.name}", name, graph.by_name)
        kind = graph.by_name[name].kind
        entry = profile.layers.get(name, LayerSparsity())
        if entry.removed and graph.by_name[name].kind.kind == "input":
            raise ConfigError(profile.place(name, "removed"), "is the network's input", "a layer of a branch")
        if entry.hidden is not None and not isinstance(kind, LSTM):
            raise ConfigError(profile.place(name, "hidden"), f"a {kind.kind} has no hidden units", "kept_outputs")
        allowed = _ALLOWED_KEYS.get(type(kind), frozenset())
        for key in _KEYS:
            if getattr(entry, key) is not None and key not in allowed:
                raise ConfigError(profile.place(name, key), *_not_allowed(kind, allowed))
        if name in profile.masks and not isinstance(kind, _MASKED):
            what = f"there is a mask for {name!r}, but a {kind.kind} has no weights to prune"
            raise ConfigError(profile.place(name), what, "a convolution or linear layer")


def _not_allowed(kind: LayerKind, allowed: frozenset[str]) -> tuple[str, str]:
    """Return the message and the hint for a key that a kind of layer cannot have."""
    if not allowed:
        return f"a {kind.kind} has no weights to prune", "a convolution or linear layer"
    return f"is not a key for a layer of kind {kind.kind}", " or ".join(sorted(allowed))


def _rebuilt(graph: LayerGraph, profile: Profile, kept: KeptChannels) -> LayerGraph:
    """Rebuild the graph with the kept channels; a layer with a rank becomes two layers."""
    layers = graph.layers
    if isinstance(layers[0].kind, Input):
        net = Network(graph.name, kept.input_shape(layers[0]))
        if net.input != layers[0].name:
            raise InputError(f"network {graph.name}", f"its input is named {layers[0].name!r}", "'input'")
        layers = layers[1:]
    else:  # a part of a network that reads inlets
        net = Network(graph.name)
    for layer in layers:
        entry = profile.layers.get(layer.name, LayerSparsity())
        kind = _narrowed(layer, graph, kept)
        inputs = layer.inputs
        try:
            if entry.rank is not None:
                first, kind = _decomposed(kind, entry, net, layer, profile)
                inputs = (net(first, *inputs, name=f"{layer.name}.rank", source=layer.source),)
            net(kind, *inputs, name=layer.name, source=layer.source)
        except GraphError as error:
            raise ConfigError(profile.place(layer.name), f"{error.where}: {error.what}", "other channels") from error
    return replace(net.build(), batch_per_core=graph.batch_per_core)


def _narrowed(layer: Layer, graph: LayerGraph, kept: KeptChannels) -> LayerKind:
    """Return a layer's kind with its kept channels."""
    kind, outputs = layer.kind, kept.count(layer.name)
    if isinstance(kind, Conv):
        depthwise = kind.groups > 1 and kind.groups == graph.input_shapes(layer)[0].channels
        groups = outputs * kind.groups // kind.out_channels if depthwise else kind.groups
        return replace(kind, out_channels=outputs, groups=groups)
    if isinstance(kind, Linear):
        return replace(kind, out_features=outputs)
    if isinstance(kind, GroupNorm):
        return GroupNorm(gcd(outputs, kind.groups))
    if isinstance(kind, LSTM):
        return replace(kind, hidden=outputs)
    if isinstance(kind, Embedding):
        return replace(kind, features=outputs)
    if isinstance(kind, Inlet):
        return replace(kind, shape=replace(kind.shape, channels=outputs))
    return kind


def _decomposed(
    kind: LayerKind, entry: LayerSparsity, net: Network, layer: Layer, profile: Profile
) -> tuple[LayerKind, LayerKind]:
    """Return the two layers that replace a layer of C inputs and N outputs with a kernel of k x k, given its rank r.

    ``channel``: C -> r (k x k), then r -> N (1 x 1).  ``spatial``: C -> r (k x 1), then r -> N (1 x k).  Raises
    `ConfigError` for a rank above the matrix's full rank, and for layers that cannot be decomposed.
    """
    rank, where = entry.rank or 1, profile.place(layer.name, "rank")
    if isinstance(kind, Linear):
        most = min(kind.out_features, net.shape(layer.inputs[0]).channels)
        if rank > most:
            raise ConfigError(where, f"{rank} is more than the full rank, {most}", f"1 to {most}")
        return Linear(rank, bias=False), kind
    if not isinstance(kind, Conv) or kind.groups > 1:
        raise ConfigError(where, "only plain convolutions and linear layers are decomposed", "no rank for this layer")
    (height, width), (stride_y, stride_x), (pad_y, pad_x) = (_pair(x) for x in (kind.kernel, kind.stride, kind.padding))
    inputs = net.shape(layer.inputs[0]).channels
    spatial = entry.decomposition == "spatial"
    rows = inputs * height * (1 if spatial else width)
    most = min(rows, kind.out_channels * (width if spatial else 1))
    if rank > most:
        raise ConfigError(where, f"{rank} is more than the full rank, {most}", f"1 to {most}")
    if spatial:
        first = Conv(rank, (height, 1), (stride_y, 1), (pad_y, 0))
        return first, Conv(kind.out_channels, (1, width), (1, stride_x), (0, pad_x), bias=kind.bias)
    return replace(kind, out_channels=rank, bias=False), Conv(kind.out_channels, bias=kind.bias)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _facts(graph: LayerGraph, pruned: LayerGraph, profile: Profile, kept: KeptChannels) -> Sparsity:
    """Return the densities and masks of the layers of ``pruned``, where ``graph`` is the network before pruning."""
    weights: list[tuple[str, WeightFacts]] = []
    densities: list[tuple[str, float]] = []
    for name in dict.fromkeys((*profile.layers, *profile.masks)):
        if name not in pruned.by_name:
            continue  # removed with its branch
        entry = profile.layers.get(name, LayerSparsity())
        mask = _mask(graph, pruned, profile, kept, name) if name in profile.masks else None
        if mask is not None or entry.weight_density is not None:
            density = mask.density if mask is not None else entry.weight_density or 0.0
            for each in (f"{name}.rank", name):
                if each in pruned.by_name:
                    layer = pruned.by_name[each]
                    shape = pruned.input_shapes(layer)[0]
                    weights.append((each, WeightFacts(layer.kind, shape, density, mask, entry.block or (1, 1))))
        if entry.activation_density is not None:
            densities.append((_behind_relu(pruned, name), entry.activation_density))
    return Sparsity(profile.name, profile.digest, tuple(weights), tuple(densities))


def _mask(graph: LayerGraph, pruned: LayerGraph, profile: Profile, kept: KeptChannels, name: str) -> Mask:
    """Return a layer's mask in the shape of its kept weights: as given, or cut from a mask of the unpruned layer.

    Raises `ConfigError` for a mask of another shape, or if it must be cut and the kept indices are not known.
    """
    mask = profile.masks[name]
    if f"{name}.rank" in pruned.by_name:
        raise ConfigError(
            profile.place(name, "rank"), "cannot be combined with a mask of the undecomposed layer", "weight_density"
        )
    pruned_shape, full_shape = (weight_shape(each, name) for each in (pruned, graph))
    shape = mask.shape + (1,) * (len(pruned_shape) - len(mask.shape))  # a linear layer written as a 1 x 1 convolution
    if shape == pruned_shape:
        return Mask(pruned_shape, mask.bits)
    if shape != full_shape:
        sizes = " or ".join(dict.fromkeys("x".join(map(str, size)) for size in (full_shape, pruned_shape)))
        what = f"the mask of {name!r} is {'x'.join(map(str, mask.shape))}, but its weights are {sizes}"
        raise ConfigError(profile.place(name), what, "a mask in PyTorch's order of dimensions")
    outputs, inputs = kept.outputs(name), kept.inputs(name)
    if outputs is None or inputs is None:
        what = f"the mask of {name!r} covers all channels, but the indices of the kept ones are not known"
        raise ConfigError(profile.place(name), what, "lists of indices for kept_outputs and kept_inputs")
    return mask_of(mask.array.reshape(full_shape)[list(outputs)][:, list(inputs)])


def weight_shape(graph: LayerGraph, name: str) -> tuple[int, ...]:
    """Return the shape of a layer's weights in PyTorch.

    Convolution: (outputs, inputs per group, kernel height, kernel width).  Linear: (outputs, inputs).  LSTM, the
    recurrent weights: (4 units, units).  Embedding: (words, features).
    """
    layer = graph.by_name[name]
    channels = graph.input_shapes(layer)[0].channels
    if isinstance(layer.kind, Conv):
        return layer.kind.out_channels, channels // layer.kind.groups, *_pair(layer.kind.kernel)
    if isinstance(layer.kind, Embedding):
        return layer.kind.vocabulary, layer.kind.features
    if isinstance(layer.kind, LSTM):
        return GATES * layer.kind.hidden, layer.kind.hidden
    assert isinstance(layer.kind, Linear)
    return layer.kind.out_features, channels


def _behind_relu(graph: LayerGraph, name: str) -> str:
    """Return the ReLU that follows a layer, directly or behind normalizations; the layer itself if none follows."""
    found = at = name
    while True:
        readers = list(graph.digraph.successors(at))
        if len(readers) != 1 or graph.by_name[readers[0]].kind.kind not in ("relu", "norm"):
            return found
        at = readers[0]
        if graph.by_name[at].kind.kind == "relu":
            return at
