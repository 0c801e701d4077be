"""Which layers of a network are fused into one, and which tensors hold what each layer makes.

A layer that computes hosts the elementwise layers that run in its pass.  A view, such as a concatenation, disappears:
what reads it reads its parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from wavecore.network.compute import VectorPass
from wavecore.network.graph import Layer, LayerGraph
from wavecore.network.layers import KINDS, Inlet, Input, Outlet
from wavecore.network.layers.base import Expansion, LayerRole, LayerRules, PhaseSpec

TensorNames = tuple[str, ...]


@dataclass(frozen=True)
class Fusion:
    """A layer that computes, with the elementwise layers ``fused`` into its pass.

    ``parts`` are the names of the tensors behind each input of the layer: several where it is a concatenation.  A mask
    is kept of a result that is ``masked``.  ``trained``: it or a layer before it has parameters, so that gradients must
    come this far.
    """

    layer: Layer
    expansion: Expansion
    parts: tuple[TensorNames, ...]
    fused: tuple[Layer, ...]
    masked: bool
    parameters: int
    trained: bool

    @property
    def name(self) -> str:
        """The name of the layer that computes."""
        return self.layer.name

    @property
    def inputs(self) -> TensorNames:
        """The tensors that the layer reads, of all its inputs in order."""
        return tuple(tensor for part in self.parts for tensor in part)

    @property
    def of_itself(self) -> bool:
        """Whether its weight gradient is made of the gradient that it gives to its input."""
        work = self.expansion.weight_gradient
        return work is not None and work.of_itself


@dataclass(frozen=True)
class FusedNetwork:
    """A network after fusion.

    ``values`` are the tensors that hold each layer's output, ``consumers`` the names of the fused layers and outlets
    that read a tensor, in order.  ``inlets`` are tensors whose gradients are wanted outside; ``outlets`` hand tensors
    on to the outside.
    """

    graph: LayerGraph
    layers: Mapping[str, Fusion]
    values: Mapping[str, TensorNames]
    consumers: Mapping[str, TensorNames]
    inlets: frozenset[str]
    outlets: Mapping[str, TensorNames]

    def trained(self, tensor: str) -> bool:
        """Whether the gradient of a tensor is wanted."""
        return tensor in self.inlets or (tensor in self.layers and self.layers[tensor].trained)

    def masked(self, tensor: str) -> bool:
        """Whether a mask is kept of a tensor, and its gradient must pass it."""
        return tensor in self.layers and self.layers[tensor].masked

    @property
    def sources(self) -> Iterator[Layer]:
        """The layers that hold a tensor of their own, in order: inputs, inlets, and those that compute."""
        return (layer for layer in self.graph if layer.name in self.layers or isinstance(layer.kind, Input | Inlet))


def fuse(graph: LayerGraph) -> FusedNetwork:
    """Fuse the layers of ``graph``."""
    values: dict[str, TensorNames] = {}
    hosts: dict[str, str] = {}  # layer -> the layer in whose pass it runs
    for layer in graph:
        role = KINDS[type(layer.kind)].role
        host = _host(graph, hosts, layer) if role is LayerRole.ELEMENTWISE else None
        if isinstance(layer.kind, Input | Inlet):
            values[layer.name] = (layer.name,)
        elif role is LayerRole.VIEW or host is not None:
            values[layer.name] = tuple(tensor for name in layer.inputs for tensor in values[name])
        else:
            values[layer.name] = (layer.name,)
            host = layer.name
        if host is not None:
            hosts[layer.name] = host
    inlets = frozenset(layer.name for layer in graph if isinstance(layer.kind, Inlet))
    layers = _fusions(graph, values, hosts, inlets)
    outlets = {layer.name: values[layer.name] for layer in graph if isinstance(layer.kind, Outlet)}
    return FusedNetwork(graph, layers, values, _consumers(layers, outlets), inlets, outlets)


def _host(graph: LayerGraph, hosts: Mapping[str, str], layer: Layer) -> str | None:
    """Return the layer into whose pass an elementwise ``layer`` can be fused: its only source, read by it alone."""
    (source,) = layer.inputs
    digraph = graph.digraph
    while digraph.out_degree(source) == 1:
        if source in hosts:
            host = hosts[source]
            return host if KINDS[type(graph.by_name[host].kind)].takes_fused else None
        inputs = graph.by_name[source].inputs
        if len(inputs) != 1:
            return None
        (source,) = inputs
    return None


def _fusions(
    graph: LayerGraph, values: Mapping[str, TensorNames], hosts: Mapping[str, str], inlets: frozenset[str]
) -> dict[str, Fusion]:
    """Return the layers that compute, by name and in order, each with what is fused into it."""
    fused: dict[str, list[Layer]] = {}
    for layer in graph:
        if hosts.get(layer.name, layer.name) != layer.name:
            fused.setdefault(hosts[layer.name], []).append(layer)
    found: dict[str, Fusion] = {}
    trained = set(inlets)
    for layer in graph:
        if hosts.get(layer.name) != layer.name:
            continue
        rules = KINDS[type(layer.kind)]
        parts = tuple(values[name] for name in layer.inputs)
        parameters = sum(parameter.elements for parameter in graph.parameters(layer))
        guests = tuple(fused.get(layer.name, ()))
        if parameters or any(tensor in trained for part in parts for tensor in part):
            trained.add(layer.name)
        found[layer.name] = Fusion(
            layer=layer,
            expansion=_expansion(graph, layer, rules),
            parts=parts,
            fused=guests,
            masked=bool(guests) or rules.role is LayerRole.ELEMENTWISE,
            parameters=parameters,
            trained=layer.name in trained,
        )
    return found


def _expansion(graph: LayerGraph, layer: Layer, rules: LayerRules) -> Expansion:
    """Return the phases of a layer.

    An elementwise layer that found no pass to be fused into sweeps over its input.  Its mask is applied where the
    gradient of its output is made, so that its own backward only passes it on.
    """
    if rules.expand is not None:
        return rules.expand(layer.kind, graph.input_shapes(layer), layer.shape)
    sweep = VectorPass(layer.shape.elements, rules.lane_operations)
    return Expansion(forward=PhaseSpec(passes=(sweep,), reads_input=1, in_place=True, lookahead=(0, 1)))


def _consumers(layers: Mapping[str, Fusion], outlets: Mapping[str, TensorNames]) -> dict[str, TensorNames]:
    """Return the readers of each tensor: fused layers in order, then outlets."""
    readers: dict[str, list[str]] = {}
    reads: Iterable[tuple[str, TensorNames]] = [(name, fusion.inputs) for name, fusion in layers.items()]
    for name, tensors in (*reads, *outlets.items()):
        for tensor in dict.fromkeys(tensors):
            readers.setdefault(tensor, []).append(name)
    return {tensor: tuple(names) for tensor, names in readers.items()}
