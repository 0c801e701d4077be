"""Which channels of every value are left: groups of values that share their channels, and the union of what is said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from wavecore.errors import ConfigError
from wavecore.network.graph import Layer, LayerGraph
from wavecore.network.layers import LSTM, Add, Concat, Conv, Embedding, Flatten, Inlet, Input, Linear
from wavecore.network.layers.recurrent import GATES
from wavecore.network.shapes import Shape
from wavecore.sparsity.profile import KeptCount, LayerSparsity, Profile

Channels = int | frozenset[int] | None
"""How many channels, or which; None is all."""


@dataclass
class _ChannelGroup:
    """Channels that several values share; ``producers`` and ``readers`` are what is said of them, None for nothing."""

    size: int
    producers: list[Channels] = field(default_factory=list)
    said: bool = False  # by any producer
    readers: list[Channels] = field(default_factory=list)
    silent: bool = False  # a reader says nothing
    fixed: bool = False
    lstm: str = ""  # whose units they are: nothing else can take them away
    merged: _ChannelGroup | None = None

    def root(self) -> _ChannelGroup:
        return self if self.merged is None else self.merged.root()

    def kept(self) -> int | frozenset[int]:
        """What is left of the group."""
        if self.fixed or not (self.said or (self.readers and not self.silent)):
            return self.size
        if self.lstm:
            return _union(self.producers, self.size)
        return _union((*self.producers, *self.readers) if self.said else self.readers, self.size)


@dataclass(frozen=True, slots=True)
class _ChannelRange:
    """A stretch of a value's channels: those of a group, each over ``pixels`` features where it was flattened."""

    group: _ChannelGroup
    pixels: int = 1


@dataclass(frozen=True)
class KeptChannels:
    """What is left of each layer's channels."""

    graph: LayerGraph
    segments: Mapping[str, tuple[_ChannelRange, ...]]

    def count(self, name: str) -> int:
        """Channels, or features, of a layer's output."""
        return sum(_count(each.group.root().kept()) * each.pixels for each in self.segments[name])

    def input_shape(self, layer: Layer) -> Shape:
        """The shape of what is left of the network's input."""
        count = self.count(layer.name)
        if self.segments[layer.name][0].group.root().size != layer.shape.channels:  # single pixels of it
            return layer.shape if count == layer.shape.elements else Shape(count)
        return Shape(count, layer.shape.height, layer.shape.width)

    def outputs(self, name: str) -> tuple[int, ...] | None:
        """Which of a layer's outputs are left, in order; None where only their number is known."""
        found: list[int] = []
        start = 0
        for each in self.segments[name]:
            group = each.group.root()
            kept = group.kept()
            if isinstance(kept, int):
                if kept < group.size:
                    return None
                kept = frozenset(range(kept))
            for channel in sorted(kept):
                found += range(start + channel * each.pixels, start + (channel + 1) * each.pixels)
            start += group.size * each.pixels
        return tuple(found)

    def inputs(self, name: str) -> tuple[int, ...] | None:
        """Which of a layer's inputs are left; a grouped convolution counts those of a group."""
        layer = self.graph.by_name[name]
        if isinstance(layer.kind, Conv) and layer.kind.groups > 1:
            return tuple(range(self.graph.input_shapes(layer)[0].channels // layer.kind.groups))
        return self.outputs(layer.inputs[0])


def kept_channels(graph: LayerGraph, profile: Profile) -> KeptChannels:
    """Find what is left of every value; `ConfigError` where a profile keeps what is not there."""
    segments: dict[str, tuple[_ChannelRange, ...]] = {}
    for layer in graph:
        said = profile.layers.get(layer.name, LayerSparsity())
        segments[layer.name] = _segments(layer, graph, said, profile, segments)
    return KeptChannels(graph, segments)


def _segments(
    layer: Layer,
    graph: LayerGraph,
    said: LayerSparsity,
    profile: Profile,
    segments: Mapping[str, tuple[_ChannelRange, ...]],
) -> tuple[_ChannelRange, ...]:
    kind = layer.kind
    inputs = [segments[name] for name in layer.inputs]
    if isinstance(kind, LSTM):
        return _recurrent(layer, graph, said, profile, inputs[0])
    if isinstance(kind, Embedding | Inlet):
        outputs = _checked(profile, layer.name, "kept_outputs", said.kept_outputs, layer.shape.channels)
        return (_ChannelRange(_ChannelGroup(layer.shape.channels, [outputs], outputs is not None)),)
    if isinstance(kind, Conv | Linear):
        return _weighted(layer, graph, said, profile, inputs[0])
    if not inputs:
        pixels = isinstance(kind, Input) and _only_flattened(graph, layer)
        return (_ChannelRange(_ChannelGroup(layer.shape.elements if pixels else layer.shape.channels, fixed=False)),)
    if isinstance(kind, Concat):
        return tuple(segment for each in inputs for segment in each)
    if isinstance(kind, Add):
        return _added(inputs)
    if isinstance(kind, Flatten):
        pixels_each = graph.input_shapes(layer)[0].pixels
        if inputs[0][0].group.root().size == layer.shape.channels:  # already of single features
            return inputs[0]
        return tuple(_ChannelRange(each.group, each.pixels * pixels_each) for each in inputs[0])
    return inputs[0]


def _only_flattened(graph: LayerGraph, layer: Layer) -> bool:
    """Whether all that is done with an image is to read its pixels one by one."""
    readers = [graph.by_name[name] for name in graph.digraph.successors(layer.name)]
    return layer.shape.pixels > 1 and len(readers) == 1 and isinstance(readers[0].kind, Flatten)


def _weighted(
    layer: Layer, graph: LayerGraph, said: LayerSparsity, profile: Profile, read: tuple[_ChannelRange, ...]
) -> tuple[_ChannelRange, ...]:
    """A layer with weights: its voice on what it reads, and the group that it makes."""
    kind, inputs = layer.kind, graph.input_shapes(layer)[0].channels
    kept_inputs = _checked(profile, layer.name, "kept_inputs", said.kept_inputs, inputs)
    outputs = _checked(profile, layer.name, "kept_outputs", said.kept_outputs, layer.shape.channels)
    owners = [each.group.root().lstm for each in read if each.group.root().lstm]
    if kept_inputs is not None and owners:
        what = f"reads the units of the LSTM {owners[0]!r}, and those go by what that keeps"
        raise ConfigError(profile.place(layer.name, "kept_inputs"), what, f"hidden, for {owners[0]!r}")
    groups = kind.groups if isinstance(kind, Conv) else 1
    if groups == 1:
        _say(read, kept_inputs)
    elif groups == inputs == layer.shape.channels:  # depthwise: channels pass through one by one
        group = read[0].group.root()
        if len(read) == 1:
            group.producers.append(outputs)
            group.said |= outputs is not None
            return read
    if groups > 1:
        if outputs is not None or kept_inputs is not None:
            what = f"its {groups} groups of channels cannot be pruned"
            raise ConfigError(profile.place(layer.name), what, "no kept_outputs and kept_inputs for this layer")
        for each in read:
            each.group.root().fixed = True
    return (_ChannelRange(_ChannelGroup(layer.shape.channels, [outputs], outputs is not None, fixed=groups > 1)),)


def _recurrent(
    layer: Layer, graph: LayerGraph, said: LayerSparsity, profile: Profile, read: tuple[_ChannelRange, ...]
) -> tuple[_ChannelRange, ...]:
    """The recurrent part of an LSTM: with its hidden units go the sums of their gates (ISS, arXiv 1709.05027).

    Nothing else can take units away from it, or sums.
    """
    hidden = _checked(profile, layer.name, "hidden", said.hidden, layer.shape.channels)
    source, sums = layer.inputs[0], read[0].group.root()
    if sums.said:
        what = f"makes the sums of the gates of {layer.name!r}, which go with its hidden units"
        raise ConfigError(profile.place(source, "kept_outputs"), what, f"hidden, for {layer.name!r}")
    if hidden is None:
        for each in read:
            each.group.root().fixed = True
        return (_ChannelRange(_ChannelGroup(layer.shape.channels, fixed=True, lstm=layer.name)),)
    if sums.size != GATES * layer.shape.channels or graph.digraph.out_degree(source) > 1:
        what = f"the sums of its gates, {source!r}, are not its own"
        raise ConfigError(profile.place(layer.name, "hidden"), what, "a Linear of its own before the LSTM")
    assert isinstance(hidden, int)
    sums.producers, sums.said = [GATES * hidden], True
    return (_ChannelRange(_ChannelGroup(layer.shape.channels, [hidden], said=True, lstm=layer.name)),)


def _say(read: tuple[_ChannelRange, ...], kept: Channels) -> None:
    """Put what a reader keeps down with the groups that it reads; of several, counts cannot be told apart."""
    start = 0
    for each in read:
        group = each.group.root()
        length = group.size * each.pixels
        if isinstance(kept, frozenset):
            own = (index - start for index in kept if start <= index < start + length)
            group.readers.append(frozenset(index // each.pixels for index in own))
        elif kept is not None and len(read) == 1:
            group.readers.append(-(-kept // each.pixels))
        else:
            group.silent = True
        start += length


def _added(inputs: list[tuple[_ChannelRange, ...]]) -> tuple[_ChannelRange, ...]:
    """Make the groups that an addition brings together one; where they are cut differently, they stay whole."""
    first = inputs[0]
    sizes = [[(each.group.root().size, each.pixels) for each in part] for part in inputs]
    if any(each != sizes[0] for each in sizes):
        for part in inputs:
            for segment in part:
                segment.group.root().fixed = True
        return first
    for part in inputs[1:]:
        for mine, other in zip(first, part, strict=True):
            _merge(mine.group.root(), other.group.root())
    return first


def _merge(group: _ChannelGroup, other: _ChannelGroup) -> None:
    if group is other:
        return
    group.producers += other.producers
    group.readers += other.readers
    group.said |= other.said
    group.silent |= other.silent
    group.fixed |= other.fixed
    group.lstm = group.lstm if group.lstm == other.lstm else ""
    other.merged = group


def _checked(profile: Profile, name: str, key: str, said: KeptCount | None, size: int) -> Channels:
    """What a profile keeps of so many channels; `ConfigError` if it is more than there are."""
    if said is None:
        return None
    beyond = said if isinstance(said, int) else max(said) + 1
    if beyond > size:
        what = f"keeps {said} of {size}" if isinstance(said, int) else f"names index {beyond - 1} of {size}"
        raise ConfigError(profile.place(name, key), what, f"at most {size if isinstance(said, int) else size - 1}")
    return said if isinstance(said, int) else frozenset(said)


def _union(parts: Iterable[Channels], size: int) -> int | frozenset[int]:
    """The union of channels; counts say nothing of which, so that theirs is at least the largest."""
    known: set[int] = set()
    count = 0
    for part in parts:
        if part is None:
            return size
        if isinstance(part, int):
            count = max(count, part)
        else:
            known |= part
    if count:
        return max(count, len(known))
    return frozenset(known) if known else size


def _count(kept: int | frozenset[int]) -> int:
    return kept if isinstance(kept, int) else len(kept)
