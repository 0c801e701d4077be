"""A profile applied to a network: kept channels, ranks and removed branches change its shapes, the rest goes with it.

Channels are *groups* of values that must have the same channels: what an addition brings together, and what a
normalization, a pooling or a flattening passes on.  What is left of a group is the union of what its producers
keep (PruneTrain's channel union, arXiv 1901.09290) and of what the layers that read it say they keep; where no producer
says anything, what all its readers keep.  A union of counts is the largest: which channels they are is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import gcd

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
_SAID_OF: Mapping[type[LayerKind], frozenset[str]] = {  # what a profile can say of the weights of a kind
    Conv: _WITH_WEIGHTS,
    Linear: _WITH_WEIGHTS,
    LSTM: frozenset({"weight_density", "block", "hidden"}),
    Embedding: frozenset({"kept_outputs"}),
    Inlet: frozenset({"kept_outputs"}),
}
_MASKED = (Conv, Linear, LSTM)


def apply_profile(graph: LayerGraph, profile: Profile) -> LayerGraph:
    """The network that a profile leaves of ``graph``, with the densities and masks of what is left.

    Raises `NameLookupError` for a layer that the network does not have, and `ConfigError` for what does not fit one.
    """
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
    """Refuse names that are not layers, and keys that say nothing of a layer's kind."""
    for name in dict.fromkeys((*profile.layers, *profile.masks)):
        if name not in graph.by_name:
            raise unknown_name(profile.place(name), f"layer of {graph.name}", name, graph.by_name)
        kind = graph.by_name[name].kind
        said = profile.layers.get(name, LayerSparsity())
        if said.removed and graph.by_name[name].kind.kind == "input":
            raise ConfigError(profile.place(name, "removed"), "is the network's input", "a layer of a branch")
        if said.hidden is not None and not isinstance(kind, LSTM):
            raise ConfigError(profile.place(name, "hidden"), f"a {kind.kind} has no hidden units", "kept_outputs")
        able = _SAID_OF.get(type(kind), frozenset())
        for key in _KEYS:
            if getattr(said, key) is not None and key not in able:
                raise ConfigError(profile.place(name, key), *_not_of(kind, able))
        if name in profile.masks and not isinstance(kind, _MASKED):
            what = f"a mask is of {name!r}, and a {kind.kind} has no weights to prune"
            raise ConfigError(profile.place(name), what, "a convolution or linear layer")


def _not_of(kind: LayerKind, able: frozenset[str]) -> tuple[str, str]:
    """What is wrong with a key that is not for a kind of layer, and what would be right."""
    if not able:
        return f"a {kind.kind} has no weights to prune", "a convolution or linear layer"
    return f"says nothing of a layer of kind {kind.kind}", " or ".join(sorted(able))


def _rebuilt(graph: LayerGraph, profile: Profile, kept: KeptChannels) -> LayerGraph:
    """The graph with the channels that are left, and low-rank layers in two."""
    layers = graph.layers
    if isinstance(layers[0].kind, Input):
        net = Network(graph.name, kept.input_shape(layers[0]))
        if net.input != layers[0].name:
            raise InputError(f"network {graph.name}", f"its input is named {layers[0].name!r}", "'input'")
        layers = layers[1:]
    else:  # a piece of a network, which reads inlets
        net = Network(graph.name)
    for layer in layers:
        said = profile.layers.get(layer.name, LayerSparsity())
        kind = _narrowed(layer, graph, said, kept)
        inputs = layer.inputs
        try:
            if said.rank is not None:
                first, kind = _decomposed(kind, said, net, layer, profile)
                inputs = (net(first, *inputs, name=f"{layer.name}.rank", source=layer.source),)
            net(kind, *inputs, name=layer.name, source=layer.source)
        except GraphError as error:
            raise ConfigError(profile.place(layer.name), f"{error.where}: {error.what}", "other channels") from error
    return net.build()


def _narrowed(layer: Layer, graph: LayerGraph, said: LayerSparsity, kept: KeptChannels) -> LayerKind:
    """A layer's kind with the channels that are left."""
    kind, outputs = layer.kind, kept.count(layer.name)
    if isinstance(kind, Conv):
        depthwise = kind.groups > 1 and kind.groups == graph.input_shapes(layer)[0].channels
        return replace(kind, out_channels=outputs, groups=outputs if depthwise else kind.groups)
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
    kind: LayerKind, said: LayerSparsity, net: Network, layer: Layer, profile: Profile
) -> tuple[LayerKind, LayerKind]:
    """Two layers for one: channel-wise C -> r (k x k), r -> N (1 x 1); spatial C -> r (k x 1), r -> N (1 x k)."""
    rank, where = said.rank or 1, profile.place(layer.name, "rank")
    if isinstance(kind, Linear):
        most = min(kind.out_features, net.shape(layer.inputs[0]).channels)
        if rank > most:
            raise ConfigError(where, f"{rank} is more than the whole rank, {most}", f"1 to {most}")
        return Linear(rank, bias=False), kind
    if not isinstance(kind, Conv) or kind.groups > 1:
        raise ConfigError(where, "only plain convolutions and linear layers are decomposed", "no rank for this layer")
    (height, width), (down, across), (above, beside) = (_pair(x) for x in (kind.kernel, kind.stride, kind.padding))
    inputs = net.shape(layer.inputs[0]).channels
    spatial = said.decomposition == "spatial"
    rows = inputs * height * (1 if spatial else width)
    most = min(rows, kind.out_channels * (width if spatial else 1))
    if rank > most:
        raise ConfigError(where, f"{rank} is more than the whole rank, {most}", f"1 to {most}")
    if spatial:
        first = Conv(rank, (height, 1), (down, 1), (above, 0))
        return first, Conv(kind.out_channels, (1, width), (1, across), (0, beside), bias=kind.bias)
    return replace(kind, out_channels=rank, bias=False), Conv(kind.out_channels, bias=kind.bias)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _facts(graph: LayerGraph, pruned: LayerGraph, profile: Profile, kept: KeptChannels) -> Sparsity:
    weights: list[tuple[str, WeightFacts]] = []
    densities: list[tuple[str, float]] = []
    for name in dict.fromkeys((*profile.layers, *profile.masks)):
        if name not in pruned.by_name:
            continue  # went with its branch
        said = profile.layers.get(name, LayerSparsity())
        mask = _mask(graph, pruned, profile, kept, name) if name in profile.masks else None
        if mask is not None or said.weight_density is not None:
            density = mask.density if mask is not None else said.weight_density or 0.0
            for each in (f"{name}.rank", name):
                if each in pruned.by_name:
                    layer = pruned.by_name[each]
                    shape = pruned.input_shapes(layer)[0]
                    weights.append((each, WeightFacts(layer.kind, shape, density, mask, said.block or (1, 1))))
        if said.activation_density is not None:
            densities.append((_behind_relu(pruned, name), said.activation_density))
    return Sparsity(profile.name, profile.digest, tuple(weights), tuple(densities))


def _mask(graph: LayerGraph, pruned: LayerGraph, profile: Profile, kept: KeptChannels, name: str) -> Mask:
    """A layer's mask in the shape that is left: as it is given, or cut from one of the whole layer."""
    mask = profile.masks[name]
    if f"{name}.rank" in pruned.by_name:
        raise ConfigError(profile.place(name, "rank"), "its mask is of the layer that it replaces", "weight_density")
    left, whole = (weight_shape(each, name) for each in (pruned, graph))
    shape = mask.shape + (1,) * (len(left) - len(mask.shape))  # a linear layer written as a 1 x 1 convolution
    if shape == left:
        return Mask(left, mask.bits)
    if shape != whole:
        sizes = " or ".join(dict.fromkeys("x".join(map(str, size)) for size in (whole, left)))
        what = f"the mask of {name!r} is {'x'.join(map(str, mask.shape))}, and its weights are {sizes}"
        raise ConfigError(profile.place(name), what, "a mask in PyTorch's order of dimensions")
    outputs, inputs = kept.outputs(name), kept.inputs(name)
    if outputs is None or inputs is None:
        what = f"the mask of {name!r} is of all channels, and which are kept is not known"
        raise ConfigError(profile.place(name), what, "lists of indices for kept_outputs and kept_inputs")
    return mask_of(mask.array.reshape(whole)[list(outputs)][:, list(inputs)])


def weight_shape(graph: LayerGraph, name: str) -> tuple[int, ...]:
    """A layer's weights in PyTorch: (outputs, inputs a group, kernel height, kernel width), or (outputs, inputs).

    Of an LSTM, (four gates of units, units); of an embedding, (words, features).
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
    """The layer whose value is a layer's output behind its ReLU, maybe past a normalization; itself if none follows."""
    found = at = name
    while True:
        readers = list(graph.digraph.successors(at))
        if len(readers) != 1 or graph.by_name[readers[0]].kind.kind not in ("relu", "norm"):
            return found
        at = readers[0]
        if graph.by_name[at].kind.kind == "relu":
            return at
