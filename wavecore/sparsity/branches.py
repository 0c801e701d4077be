"""Remove residual branches from a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import replace

from wavecore.errors import ConfigError
from wavecore.network.graph import LayerGraph
from wavecore.network.layers import Add


def remove_branches(graph: LayerGraph, removed: Set[str], place: Callable[[str], str]) -> LayerGraph:
    """Return ``graph`` without each residual branch that contains one of the layers ``removed``.

    A branch is the layers that only lead to one input of an addition; an addition with one input left is removed too.
    ``place`` returns the place in the profile for messages.  Raises `ConfigError` for a layer that is in no branch, and
    if no branch of an addition would be left.
    """
    if not removed:
        return graph
    dropped: set[str] = set()
    inputs: dict[str, tuple[str, ...]] = {}
    for layer in graph:
        if not isinstance(layer.kind, Add):
            continue
        branches = {source: _branch(graph, source, layer.name) for source in layer.inputs}
        empty = {source: branch for source, branch in branches.items() if branch & removed}
        if len(empty) == len(branches) and empty:
            first = next(name for name in removed if any(name in branch for branch in empty.values()))
            raise ConfigError(
                place(first), f"no branch of {layer.name!r} would be left", "keeping at least one of them"
            )
        for branch in empty.values():
            dropped |= branch
        inputs[layer.name] = tuple(source for source in layer.inputs if source not in empty)
    for name in removed:
        if name not in dropped:
            raise ConfigError(place(name), "is in no residual branch", "kept_outputs, to make the layer smaller")
    return _without(graph, dropped, inputs)


def _without(graph: LayerGraph, dropped: Set[str], inputs: Mapping[str, tuple[str, ...]]) -> LayerGraph:
    """Return the graph without the layers ``dropped``; ``inputs`` are the remaining inputs of the additions."""
    alias: dict[str, str] = {}
    layers = []
    for layer in graph:
        if layer.name in dropped:
            continue
        reads = tuple(_final(alias, name) for name in inputs.get(layer.name, layer.inputs))
        if layer.name in inputs and len(reads) == 1:
            alias[layer.name] = reads[0]
        else:
            layers.append(replace(layer, inputs=reads))
    return LayerGraph(graph.name, tuple(layers), batch_per_core=graph.batch_per_core)


def _final(alias: dict[str, str], name: str) -> str:
    """Follow ``alias``, from a removed addition to the layer whose value replaces it, to the end."""
    while name in alias:
        name = alias[name]
    return name


def _branch(graph: LayerGraph, source: str, end: str) -> frozenset[str]:
    """Return ``source`` and the layers before it whose values reach nothing but the addition ``end``."""
    branch: set[str] = set()
    found = [source]
    while found:
        name = found.pop()
        layer = graph.by_name[name]
        inside = {end} if name == source else branch
        if layer.inputs and inside.issuperset(graph.digraph.successors(name)):
            branch.add(name)
            found += layer.inputs
    return frozenset(branch)
