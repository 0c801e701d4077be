"""Residual branches of which nothing is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import replace

from wavecore.errors import ConfigError
from wavecore.network.graph import LayerGraph
from wavecore.network.layers import Add


def remove_branches(graph: LayerGraph, removed: Set[str], place: Callable[[str], str]) -> LayerGraph:
    """Take every residual branch with one of the layers ``removed`` out; an addition with one input left goes too.

    ``place`` says where it was asked for.  Raises `ConfigError` for a layer that is in no branch of its own, and where
    no branch of an addition would be left.
    """
    if not removed:
        return graph
    gone: set[str] = set()
    inputs: dict[str, tuple[str, ...]] = {}
    for layer in graph:
        if not isinstance(layer.kind, Add):
            continue
        branches = {source: _branch(graph, source, layer.name) for source in layer.inputs}
        empty = {source: branch for source, branch in branches.items() if branch & removed}
        if len(empty) == len(branches) and empty:
            first = next(name for name in removed if any(name in branch for branch in empty.values()))
            raise ConfigError(place(first), f"no branch of {layer.name!r} would be left", "keeping one of them")
        for branch in empty.values():
            gone |= branch
        inputs[layer.name] = tuple(source for source in layer.inputs if source not in empty)
    for name in removed:
        if name not in gone:
            raise ConfigError(place(name), "is in no residual branch", "kept_outputs, to make the layer smaller")
    return _without(graph, gone, inputs)


def _without(graph: LayerGraph, gone: Set[str], inputs: Mapping[str, tuple[str, ...]]) -> LayerGraph:
    """The graph without some layers; additions read only ``inputs``."""
    alias: dict[str, str] = {}
    layers = []
    for layer in graph:
        if layer.name in gone:
            continue
        reads = tuple(_final(alias, name) for name in inputs.get(layer.name, layer.inputs))
        if layer.name in inputs and len(reads) == 1:
            alias[layer.name] = reads[0]
        else:
            layers.append(replace(layer, inputs=reads))
    return LayerGraph(graph.name, tuple(layers), batch_per_core=graph.batch_per_core)


def _final(alias: dict[str, str], name: str) -> str:
    while name in alias:
        name = alias[name]
    return name


def _branch(graph: LayerGraph, source: str, end: str) -> frozenset[str]:
    """The layers behind ``source`` that nothing but the addition ``end`` reads, directly or through each other."""
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
