"""Find the kept channels of every value: values that share their channels form a group, which keeps a union.

`wavecore.sparsity.structure` explains the rule.
"""

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
"""The number of kept channels, or their indices; None if the profile has no entry, so that all are kept."""


@dataclass
class _ChannelGroup:
    """Channels that several values share, and what the profile keeps for each producer and reader."""

    size: int
    producers: list[Channels] = field(default_factory=list)
    producer_specified: bool = False  # whether the profile has an entry for a producer
    readers: list[Channels] = field(default_factory=list)
    reader_unspecified: bool = False  # whether the profile has no entry for a reader
    fixed: str = ""  # the layer that needs all channels, if there is one
    lstm: str = ""  # the LSTM whose hidden units these are; only its own entry can remove them
    merged: _ChannelGroup | None = None

    def root(self) -> _ChannelGroup:
        """Return the group into which this one was merged; itself if it was not."""
        return self if self.merged is None else self.merged.root()

    def kept(self) -> int | frozenset[int]:
        """Return the number or the indices of the kept channels."""
        if self.fixed or not (self.producer_specified or (self.readers and not self.reader_unspecified)):
            return self.size
        if self.lstm:
            return _union(self.producers, self.size)
        return _union((*self.producers, *self.readers) if self.producer_specified else self.readers, self.size)


@dataclass(frozen=True, slots=True)
class _ChannelRange:
    """A range of a value's channels: those of a group; each counts ``pixels`` features after a flattening."""

    group: _ChannelGroup
    pixels: int = 1


@dataclass(frozen=True)
class KeptChannels:
    """The kept channels of each layer's output, as a sequence of ranges."""

    graph: LayerGraph
    segments: Mapping[str, tuple[_ChannelRange, ...]]

    def count(self, name: str) -> int:
        """Return the number of kept channels or features of a layer's output."""
        return sum(_count(each.group.root().kept()) * each.pixels for each in self.segments[name])

    def input_shape(self, layer: Layer) -> Shape:
        """Return the shape of one sample of the pruned network's input."""
        count = self.count(layer.name)
        if (
            self.segments[layer.name][0].group.root().size != layer.shape.channels
        ):  # its channels are counted as single pixels
            return layer.shape if count == layer.shape.elements else Shape(count)
        return Shape(count, layer.shape.height, layer.shape.width)

    def outputs(self, name: str) -> tuple[int, ...] | None:
        """Return the indices of a layer's kept outputs, in order; None if only their number is known."""
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
        """Return the indices of a layer's kept inputs, of one group in a grouped convolution; None if unknown."""
        layer = self.graph.by_name[name]
        if isinstance(layer.kind, Conv) and layer.kind.groups > 1:
            return tuple(range(self.graph.input_shapes(layer)[0].channels // layer.kind.groups))
        return self.outputs(layer.inputs[0])


def kept_channels(graph: LayerGraph, profile: Profile) -> KeptChannels:
    """Return the kept channels of every layer; `ConfigError` for entries that do not fit the network."""
    segments: dict[str, tuple[_ChannelRange, ...]] = {}
    for layer in graph:
        entry = profile.layers.get(layer.name, LayerSparsity())
        segments[layer.name] = _segments(layer, graph, entry, profile, segments)
    kept = KeptChannels(graph, segments)
    for name, entry in profile.layers.items():
        if name in segments:
            _check_heard(profile, name, "kept_outputs", entry.kept_outputs, segments[name])
            _check_heard(profile, name, "kept_inputs", entry.kept_inputs, _read_by(graph, name, segments))
    return kept


def _read_by(
    graph: LayerGraph, name: str, segments: Mapping[str, tuple[_ChannelRange, ...]]
) -> tuple[_ChannelRange, ...]:
    inputs = graph.by_name[name].inputs
    return segments[inputs[0]] if inputs else ()


def _check_heard(
    profile: Profile, name: str, key: str, kept: KeptCount | None, ranges: tuple[_ChannelRange, ...]
) -> None:
    """Raise `ConfigError` for a cut of channels that another layer needs all of, which would change nothing."""
    fixed = next((each.group.root().fixed for each in ranges if each.group.root().fixed), "")
    size = sum(each.group.root().size * each.pixels for each in ranges)
    if kept is not None and fixed and (kept if isinstance(kept, int) else len(set(kept))) < size:
        what = f"removes channels that {fixed!r} needs all of: its channels cannot be pruned"
        raise ConfigError(profile.place(name, key), what, f"leaving {key} out")


def _segments(
    layer: Layer,
    graph: LayerGraph,
    entry: LayerSparsity,
    profile: Profile,
    segments: Mapping[str, tuple[_ChannelRange, ...]],
) -> tuple[_ChannelRange, ...]:
    """Return the channel ranges of a layer's output, from those of its inputs, and update the groups that it reads."""
    kind = layer.kind
    inputs = [segments[name] for name in layer.inputs]
    if isinstance(kind, LSTM):
        return _recurrent(layer, graph, entry, profile, inputs[0])
    if isinstance(kind, Embedding | Inlet):
        outputs = _checked(profile, layer.name, "kept_outputs", entry.kept_outputs, layer.shape.channels)
        return (_ChannelRange(_ChannelGroup(layer.shape.channels, [outputs], outputs is not None)),)
    if isinstance(kind, Conv | Linear):
        return _weighted(layer, graph, entry, profile, inputs[0])
    if not inputs:
        pixels = isinstance(kind, Input) and _only_flattened(graph, layer)
        return (_ChannelRange(_ChannelGroup(layer.shape.elements if pixels else layer.shape.channels)),)
    if isinstance(kind, Concat):
        return tuple(segment for each in inputs for segment in each)
    if isinstance(kind, Add):
        return _added(layer.name, inputs)
    if isinstance(kind, Flatten):
        pixels_each = graph.input_shapes(layer)[0].pixels
        if inputs[0][0].group.root().size == layer.shape.channels:  # its channels are single features already
            return inputs[0]
        return tuple(_ChannelRange(each.group, each.pixels * pixels_each) for each in inputs[0])
    return inputs[0]


def _only_flattened(graph: LayerGraph, layer: Layer) -> bool:
    """Return whether a flattening is the only reader of an image, so that single pixels can be removed."""
    readers = [graph.by_name[name] for name in graph.digraph.successors(layer.name)]
    return layer.shape.pixels > 1 and len(readers) == 1 and isinstance(readers[0].kind, Flatten)


def _weighted(
    layer: Layer, graph: LayerGraph, entry: LayerSparsity, profile: Profile, read: tuple[_ChannelRange, ...]
) -> tuple[_ChannelRange, ...]:
    """Record what a convolution or linear layer keeps of its inputs, and return the ranges of its output."""
    kind, inputs = layer.kind, graph.input_shapes(layer)[0].channels
    kept_inputs = _checked(profile, layer.name, "kept_inputs", entry.kept_inputs, inputs)
    outputs = _checked(profile, layer.name, "kept_outputs", entry.kept_outputs, layer.shape.channels)
    owners = [each.group.root().lstm for each in read if each.group.root().lstm]
    if kept_inputs is not None and owners:
        what = f"reads the units of the LSTM {owners[0]!r}, whose own entry says which are kept"
        raise ConfigError(profile.place(layer.name, "kept_inputs"), what, f"hidden, for {owners[0]!r}")
    groups = kind.groups if isinstance(kind, Conv) else 1
    if groups == 1:
        _record_reader(read, kept_inputs)
        return (_ChannelRange(_ChannelGroup(layer.shape.channels, [outputs], outputs is not None)),)
    if groups == inputs:  # depthwise: each input channel makes its own outputs, so that they come and go together
        made = layer.shape.channels // inputs
        own = tuple(_ChannelRange(each.group, each.pixels * made) for each in read)
        if kept_inputs is not None:
            _record_reader(read, kept_inputs)
        if outputs is not None:
            sole = _reads_alone(graph, layer)
            _record_producer(profile.place(layer.name, "kept_outputs"), own, outputs, made, sole=sole)
        return own
    if outputs is not None or kept_inputs is not None:
        what = f"its {groups} groups of channels cannot be pruned"
        raise ConfigError(profile.place(layer.name), what, "no kept_outputs and kept_inputs for this layer")
    for each in read:
        each.group.root().fixed = layer.name
    return (_ChannelRange(_ChannelGroup(layer.shape.channels, fixed=layer.name)),)


def _reads_alone(graph: LayerGraph, layer: Layer) -> bool:
    """Return whether the channels that a layer reads reach nothing else before it."""
    for name in layer.inputs:
        source = graph.by_name[name]
        if graph.digraph.out_degree(name) > 1:
            return False
        makes = isinstance(source.kind, Linear | LSTM) or (isinstance(source.kind, Conv) and source.kind.groups == 1)
        if not makes and not _reads_alone(graph, source):
            return False
    return True


def _record_producer(
    place: str, own: tuple[_ChannelRange, ...], kept: int | frozenset[int], made: int, *, sole: bool
) -> None:
    """Record what a depthwise layer keeps of the channels that it reads, each of which makes ``made`` outputs.

    If it is the ``sole`` reader, channels that it drops need not be made.  Raises `ConfigError` for outputs of a
    channel that are kept only in part, for a count of several values, and if other readers need what it drops.
    """
    if isinstance(kept, int):
        if len(own) > 1:
            raise ConfigError(place, "is a number, and the layer reads several values", "a list of indices")
        whole = kept % made == 0
    else:
        whole = all(kept.issuperset(range(index - index % made, index - index % made + made)) for index in kept)
    if not whole:
        what = f"each input channel makes {made} outputs, which can only be removed together"
        raise ConfigError(place, what, f"all {made} outputs of a channel, or none")
    start = 0
    for each in own:
        group, end = each.group.root(), start + each.group.root().size * each.pixels
        if sole:
            group.producers = [known for known in group.producers if known is not None]
        elif None in group.producers:
            what = "drops channels that other layers read as well"
            raise ConfigError(place, what, "kept_outputs of the layer that makes them")
        if isinstance(kept, int):
            group.producers.append(kept // each.pixels)
        else:
            group.producers.append(frozenset((index - start) // each.pixels for index in kept if start <= index < end))
        group.producer_specified = True
        start = end


def _recurrent(
    layer: Layer, graph: LayerGraph, entry: LayerSparsity, profile: Profile, read: tuple[_ChannelRange, ...]
) -> tuple[_ChannelRange, ...]:
    """Return the ranges of an LSTM's output; a hidden unit is removed with its gates' sums (ISS, arXiv 1709.05027).

    Raises `ConfigError` if the profile removes sums otherwise, or if other layers read them.
    """
    hidden = _checked(profile, layer.name, "hidden", entry.hidden, layer.shape.channels)
    source, sums = layer.inputs[0], read[0].group.root()
    if sums.producer_specified:
        what = f"makes the gates' sums of {layer.name!r}, which its hidden units determine"
        raise ConfigError(profile.place(source, "kept_outputs"), what, f"hidden, for {layer.name!r}")
    if hidden is None:
        for each in read:
            each.group.root().fixed = layer.name
        return (_ChannelRange(_ChannelGroup(layer.shape.channels, fixed=layer.name, lstm=layer.name)),)
    if sums.size != GATES * layer.shape.channels or graph.digraph.out_degree(source) > 1:
        what = f"its gates' sums, {source!r}, are not of a Linear that only it reads"
        raise ConfigError(profile.place(layer.name, "hidden"), what, "a separate Linear before the LSTM")
    assert isinstance(hidden, int)
    sums.producers, sums.producer_specified = [GATES * hidden], True
    return (_ChannelRange(_ChannelGroup(layer.shape.channels, [hidden], producer_specified=True, lstm=layer.name)),)


def _record_reader(read: tuple[_ChannelRange, ...], kept: Channels) -> None:
    """Record what a reader keeps in the groups that it reads; a count for several groups cannot be divided."""
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
            group.reader_unspecified = True
        start += length


def _added(name: str, inputs: list[tuple[_ChannelRange, ...]]) -> tuple[_ChannelRange, ...]:
    """Merge the groups that an addition reads; if their ranges differ, all of them keep all channels."""
    first = inputs[0]
    sizes = [[(each.group.root().size, each.pixels) for each in part] for part in inputs]
    if any(each != sizes[0] for each in sizes):
        for part in inputs:
            for segment in part:
                segment.group.root().fixed = name
        return first
    for part in inputs[1:]:
        for mine, other in zip(first, part, strict=True):
            _merge(mine.group.root(), other.group.root())
    return first


def _merge(group: _ChannelGroup, other: _ChannelGroup) -> None:
    """Merge the second group into the first."""
    if group is other:
        return
    group.producers += other.producers
    group.readers += other.readers
    group.producer_specified |= other.producer_specified
    group.reader_unspecified |= other.reader_unspecified
    group.fixed = group.fixed or other.fixed
    group.lstm = group.lstm if group.lstm == other.lstm else ""
    other.merged = group


def _checked(profile: Profile, name: str, key: str, kept: KeptCount | None, size: int) -> Channels:
    """Return what a profile keeps of ``size`` channels; `ConfigError` if it is more than there are."""
    if kept is None:
        return None
    needed = kept if isinstance(kept, int) else max(kept) + 1
    if needed > size:
        what = f"keeps {kept} of {size}" if isinstance(kept, int) else f"names index {needed - 1} of {size}"
        raise ConfigError(profile.place(name, key), what, f"at most {size if isinstance(kept, int) else size - 1}")
    return kept if isinstance(kept, int) else frozenset(kept)


def _union(parts: Iterable[Channels], size: int) -> int | frozenset[int]:
    """Return the union of channels: indices if all parts are indices, else the largest count.

    One part without an entry (None), or a union without channels, keeps all ``size``.
    """
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
