"""The layer graph: the layers of a network and how they are connected, without training or hardware."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING

from wavecore.common.memo import Memo
from wavecore.common.notebook import table_html
from wavecore.common.typecheck import type_problem
from wavecore.errors import GraphError
from wavecore.network.layers import KINDS, Input, LayerKind, Outlet
from wavecore.network.layers.base import LayerRole, Parameter
from wavecore.network.shapes import Shape
from wavecore.network.sparsity import Sparsity

if TYPE_CHECKING:
    import networkx as nx

DEFAULT_BATCH_PER_CORE = 32


@dataclass(frozen=True, slots=True)
class Layer:
    """A named layer: its kind, the layers it reads, the shape of its output, and where it was written."""

    name: str
    kind: LayerKind
    inputs: tuple[str, ...]
    shape: Shape
    source: str = field(default="", compare=False)


@dataclass(frozen=True)
class LayerGraph:
    """A network: layers in the order in which they run, each after all that it reads, and its known zeros.

    ``batch_per_core`` is the mini-batch of one core, in samples, unless told otherwise.
    """

    name: str
    layers: tuple[Layer, ...]
    sparsity: Sparsity | None = None
    batch_per_core: int = DEFAULT_BATCH_PER_CORE

    @cached_property
    def memory(self) -> Memo:
        """Results that follow from this graph, kept for the next time they are asked for."""
        return Memo()

    @cached_property
    def by_name(self) -> Mapping[str, Layer]:
        """The layers by name."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def digraph(self) -> nx.DiGraph[str]:
        """The network as a networkx graph: nodes are layer names with their `Layer` as ``layer``."""
        import networkx as nx

        graph: nx.DiGraph[str] = nx.DiGraph(name=self.name)
        for layer in self.layers:
            graph.add_node(layer.name, layer=layer)
            graph.add_edges_from((source, layer.name) for source in layer.inputs)
        return graph

    def input_shapes(self, layer: Layer) -> tuple[Shape, ...]:
        """Return the shapes of what ``layer`` reads, in order."""
        return tuple(self.by_name[name].shape for name in layer.inputs)

    def parameters(self, layer: Layer) -> tuple[Parameter, ...]:
        """Return the trained tensors of ``layer``."""
        return KINDS[type(layer.kind)].parameters(layer.kind, self.input_shapes(layer))

    @cached_property
    def parameter_count(self) -> int:
        """The number of trained elements of the whole network."""
        return sum(parameter.elements for layer in self.layers for parameter in self.parameters(layer))

    @cached_property
    def forward_macs(self) -> int:
        """Multiply-accumulates of the forward pass, per sample."""
        return sum(self.layer_macs(layer) for layer in self.layers)

    def layer_macs(self, layer: Layer) -> int:
        """Return the multiply-accumulates of one layer's forward pass, per sample."""
        expand = KINDS[type(layer.kind)].expand
        if expand is None:
            return 0
        work = expand(layer.kind, self.input_shapes(layer), layer.shape).forward
        return sum(gemm.macs for gemm in work.gemms)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __repr__(self) -> str:
        return f"<LayerGraph {self.name}: {len(self.layers)} layers>"

    def _repr_html_(self) -> str:
        """Show the network in a notebook."""
        return table_html(repr(self)[1:-1], ("layer", "kind", "reads", "shape"), self._rows(), "print(graph)")

    def __str__(self) -> str:
        lines = [f"  {name}: {kind} <- {reads} : {shape}" for name, kind, reads, shape in self._rows()]
        return "\n".join([f"network {self.name}", *lines])

    def _rows(self) -> Iterator[tuple[str, str, str, Shape]]:
        """Yield name, kind with its options, inputs and shape of each layer."""
        for layer in self.layers:
            options = " ".join(f"{f.name}={getattr(layer.kind, f.name)}" for f in fields(layer.kind))  # type: ignore[arg-type]
            yield layer.name, f"{layer.kind.kind}({options})", ", ".join(layer.inputs) or "-", layer.shape


class Network:
    """Builds a `LayerGraph` layer by layer: ``x = net(Conv(64, kernel=7), x, name="conv1")``.

    Calling it adds a layer and returns its name.  Layers run in the order in which they are added, so branches
    are written one after the other.  A layer that does not fit raises `GraphError`, which names the line of
    the workload that added it.  Without a ``shape`` it is a piece of a network, which has no ``input`` and reads
    `Inlet`s instead.
    """

    def __init__(self, name: str, shape: Shape | None = None) -> None:
        self.name = name
        self._layers: dict[str, Layer] = {}
        self._counts: dict[str, int] = {}
        self.input = self._append(Input(shape), (), "input", _caller()) if shape is not None else ""

    def __call__(self, kind: LayerKind, *inputs: str, name: str | None = None, source: str | None = None) -> str:
        """Add a layer that reads ``inputs`` and return its name: ``name``, or its kind and a number.

        ``source`` says where the layer was written, if not at the calling line.
        """
        if name is None:
            self._counts[kind.kind] = self._counts.get(kind.kind, 0) + 1
            name = f"{kind.kind}{self._counts[kind.kind]}"
        return self._append(kind, inputs, name, source or _caller())

    def shape(self, name: str) -> Shape:
        """Return the shape of a layer's output."""
        return self._layers[name].shape

    def _append(self, kind: LayerKind, inputs: tuple[str, ...], name: str, source: str) -> str:
        where = f"network {self.name}, layer {name} ({source})"
        if name in self._layers:
            raise GraphError(where, "another layer has this name already", "a name of its own")
        missing = [wanted for wanted in inputs if wanted not in self._layers]
        if missing:
            raise GraphError(where, f"reads {missing[0]!r}, which no earlier layer is named", "its inputs first")
        if type(kind) not in KINDS:
            raise GraphError(
                where, f"{type(kind).__name__} is not a registered layer kind", "wavecore.network.layers.KINDS"
            )
        problem = sizes_problem(kind)
        if problem is not None:
            raise GraphError(where, *problem)
        try:
            shape = KINDS[type(kind)].infer(kind, tuple(self._layers[wanted].shape for wanted in inputs))
        except ValueError as error:
            raise GraphError(where, str(error), "other sizes, or a larger image") from None
        self._layers[name] = Layer(name, kind, inputs, shape, source)
        return name

    def build(self) -> LayerGraph:
        """Return the finished network.

        Raises `GraphError` if an output is read neither by a layer nor by an `Outlet`, or if the last layer is neither
        a loss nor an `Outlet`.
        """
        used = {name for layer in self._layers.values() for name in layer.inputs}
        *others, last = self._layers
        for name in others:
            layer = self._layers[name]
            if name not in used and not isinstance(layer.kind, Outlet):
                raise GraphError(
                    f"network {self.name}, layer {name} ({layer.source})",
                    "its output is read by no layer",
                    "to connect it or to leave it out",
                )
        end = self._layers[last].kind
        if KINDS[type(end)].role is not LayerRole.UNIT and not isinstance(end, Outlet):
            raise GraphError(
                f"network {self.name}", f"ends with {last!r}, which is no loss", "a CrossEntropy at the end"
            )
        return LayerGraph(self.name, tuple(self._layers.values()))


def sizes_problem(kind: LayerKind) -> tuple[str, str] | None:
    """Return what is wrong with a layer kind's sizes before they reach a formula, and what to try; None if nothing is.

    They must have the annotated types, and be 1 or more (``padding``: 0 or more).
    """
    wrong = type_problem(kind, type(kind))
    if wrong is not None:
        return f"{wrong.path.removeprefix('.')} {wrong.what}", "a value of that type"
    for f in fields(kind):  # type: ignore[arg-type]
        value = getattr(kind, f.name)
        sizes = value if isinstance(value, tuple) else (value,)
        least = 0 if f.name == "padding" else 1
        for size in sizes:
            if isinstance(size, int) and not isinstance(size, bool) and size < least:
                return f"{f.name} is {size}", f"{least} or more"
    return None


def _caller() -> str:
    """Return ``file.py:line`` of the code outside this module that is adding a layer."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return f"{frame.f_code.co_filename.replace(chr(92), '/').rsplit('/', 1)[-1]}:{frame.f_lineno}"
