"""What holds for every layer graph, as a table of named rules; each names the first bad layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from wavecore.common.memo import remembered
from wavecore.common.text import printable
from wavecore.common.typecheck import type_problem
from wavecore.errors import GraphError
from wavecore.network.graph import Layer, LayerGraph, sizes_problem
from wavecore.network.layers import KINDS, Inlet, Input, Outlet


@dataclass(frozen=True, slots=True)
class Violation:
    """A node of a graph that breaks a rule: what is wrong with it, and what to try."""

    node: str
    what: str
    hint: str = ""


LARGEST_ELEMENTS = 1 << 44  # of one layer and one sample
LARGEST_BATCH = 1 << 16  # samples of one core


def verify_graph(graph: LayerGraph) -> None:
    """Raise `GraphError` at the first layer that makes the network ill-formed.

    A graph that has passed is not examined again.
    """
    if not isinstance(graph, LayerGraph):
        raise GraphError("network", f"is a {type(graph).__name__}, not a LayerGraph", "wavecore.workload(NAME)")
    _verify(graph)


@remembered()
def _verify(graph: LayerGraph) -> None:
    for rule in GRAPH_RULES:
        for finding in rule(graph):
            raise GraphError(f"network {graph.name}{finding.node}", finding.what, finding.hint)


def _layer(graph: LayerGraph, name: str) -> str:
    source = graph.by_name[name].source
    return f", layer {name} ({source})" if source else f", layer {name}"


def fields_have_their_types(graph: LayerGraph) -> Iterator[Violation]:
    """Every field of the graph and of its layers has the type that it is annotated with."""
    wrong = type_problem(graph, LayerGraph)
    if wrong is not None:
        yield Violation(f"{wrong.path}", wrong.what, "a value of that type")


def mini_batch_is_in_range(graph: LayerGraph) -> Iterator[Violation]:
    """The mini-batch of one core has a sample, and no more than the largest batch."""
    if not 1 <= graph.batch_per_core <= LARGEST_BATCH:
        what = f"its batch_per_core of {graph.batch_per_core} is out of range"
        yield Violation("", what, f"1 to {LARGEST_BATCH}")


def layer_names_are_unique(graph: LayerGraph) -> Iterator[Violation]:
    """No two layers have one name."""
    for name in repeated(layer.name for layer in graph):
        yield Violation(_layer(graph, name), "another layer has this name already", "a name of its own")


def layer_names_can_be_shown(graph: LayerGraph) -> Iterator[Violation]:
    """Every layer has a name, on one line and without control characters."""
    for layer in graph:
        if not layer.name.strip() or printable(layer.name) != layer.name:
            yield Violation(
                f", layer {layer.name!r}", "is no name that can be shown", "letters, digits, dots and dashes"
            )


def layers_are_registered(graph: LayerGraph) -> Iterator[Violation]:
    """Every layer is of a kind that has rules."""
    for layer in graph:
        if type(layer.kind) not in KINDS:
            what = f"{type(layer.kind).__name__} is not a registered layer kind"
            yield Violation(_layer(graph, layer.name), what, "wavecore.network.layers.KINDS")


def layers_follow_what_they_read(graph: LayerGraph) -> Iterator[Violation]:
    """Every layer reads earlier layers, so that there is no cycle."""
    seen: set[str] = set()
    for layer in graph:
        for name in layer.inputs:
            if name not in seen:
                later = "runs no earlier" if name in graph.by_name else "does not exist"
                what = f"reads {name!r}, which {later}"
                yield Violation(_layer(graph, layer.name), what, "each layer after all that it reads")
        seen.add(layer.name)


def shapes_follow_from_inputs(graph: LayerGraph) -> Iterator[Violation]:
    """Every layer has sizes that make sense, and the shape that its kind infers from its inputs."""
    for layer in graph:
        wrong = sizes_problem(layer.kind)
        if wrong is not None:
            yield Violation(_layer(graph, layer.name), *wrong)
            continue
        try:
            inferred = KINDS[type(layer.kind)].infer(layer.kind, graph.input_shapes(layer))
        except ValueError as problem:
            yield Violation(_layer(graph, layer.name), str(problem), "other sizes")
        else:
            if inferred.elements > LARGEST_ELEMENTS:
                what = f"its output is {inferred}, which no machine could hold"
                yield Violation(_layer(graph, layer.name), what, f"at most {LARGEST_ELEMENTS} elements")
            elif inferred != layer.shape:
                what = f"its output is {layer.shape}, and follows as {inferred} from its inputs"
                yield Violation(_layer(graph, layer.name), what, str(inferred))


def every_output_is_read(graph: LayerGraph) -> Iterator[Violation]:
    """Every output is read or left to the outside, but the last layer's if that is the loss."""
    if not any(isinstance(layer.kind, Input | Inlet) for layer in graph):
        yield Violation("", "has no input", "an Input as its first layer")
        return
    read = {name for layer in graph for name in layer.inputs}
    *others, last = graph.layers
    for layer in others:
        if layer.name not in read and not isinstance(layer.kind, Outlet):
            what = "its output is read by no layer"
            yield Violation(_layer(graph, layer.name), what, "to connect it or to leave it out")
    if not (isinstance(last.kind, Outlet) or _starts_backward(graph, last)):
        yield Violation("", f"ends with {last.name!r}, which is no loss", "a CrossEntropy at the end")


def _starts_backward(graph: LayerGraph, layer: Layer) -> bool:
    """Whether a layer makes its input's gradient out of nothing but what it saved, as a loss does."""
    expand = KINDS[type(layer.kind)].expand
    if expand is None:
        return False
    work = expand(layer.kind, graph.input_shapes(layer), layer.shape)
    return work.data_gradient is not None and not work.data_gradient.reads_gradient


def repeated(names: Iterable[str]) -> list[str]:
    """Those of ``names`` that occur more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


GRAPH_RULES: tuple[Callable[[LayerGraph], Iterator[Violation]], ...] = (
    fields_have_their_types,
    mini_batch_is_in_range,
    layer_names_are_unique,
    layer_names_can_be_shown,
    layers_are_registered,
    layers_follow_what_they_read,
    shapes_follow_from_inputs,
    every_output_is_read,
)
