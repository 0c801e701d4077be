"""Every registered workload, whatever its family: it builds, and what it builds is a network."""

import networkx as nx
import pytest

from wavecore.errors import GraphError
from wavecore.network.catalog import broken_workloads, workload, workload_names, workload_options
from wavecore.network.graph import Layer, LayerGraph
from wavecore.network.layers import KINDS, CrossEntropy, Inlet, Input, Outlet
from wavecore.network.layers.base import LayerRole

NAMES = workload_names()
IMAGENET = tuple(name for name in NAMES if "width" in workload_options(name))
PIECES = ("bidaf",)  # of networks the rest of which is not described


def test_all_entry_points_load() -> None:
    assert broken_workloads() == ()
    assert len(NAMES) >= 14


def ends(graph: LayerGraph) -> tuple[list[Layer], list[Layer]]:
    """The layers that read nothing, and those that nothing reads."""
    sources, sinks = (
        [graph.by_name[node] for node, degree in degrees if degree == 0]
        for degrees in (graph.digraph.in_degree(), graph.digraph.out_degree())
    )
    return sources, sinks


@pytest.mark.parametrize("name", NAMES)
def test_is_one_connected_dag(name: str) -> None:
    digraph = workload(name).digraph
    assert nx.is_directed_acyclic_graph(digraph)
    assert nx.is_weakly_connected(digraph)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PIECES])
def test_goes_from_its_data_to_its_loss(name: str) -> None:
    graph = workload(name)
    assert ends(graph) == ([graph.layers[0]], [graph.layers[-1]])
    assert isinstance(graph.layers[0].kind, Input)
    assert isinstance(graph.layers[-1].kind, CrossEntropy)


@pytest.mark.parametrize("name", PIECES)
def test_a_piece_goes_from_inlets_to_outlets(name: str) -> None:
    sources, sinks = ends(workload(name))
    assert {type(layer.kind) for layer in sources} == {Inlet}
    assert {type(layer.kind) for layer in sinks} == {Outlet}


@pytest.mark.parametrize("name", NAMES)
def test_layers_come_after_what_they_read(name: str) -> None:
    order = {layer.name: position for position, layer in enumerate(workload(name))}
    assert all(order[read] < order[layer.name] for layer in workload(name) for read in layer.inputs)


@pytest.mark.parametrize("name", NAMES)
def test_every_unit_can_be_expanded(name: str) -> None:
    graph = workload(name)
    for layer in graph:
        rules = KINDS[type(layer.kind)]
        assert rules.infer(layer.kind, graph.input_shapes(layer)) == layer.shape
        if rules.role is LayerRole.UNIT:
            assert rules.expand is not None
            assert rules.expand(layer.kind, graph.input_shapes(layer), layer.shape).forward.passes


@pytest.mark.parametrize("name", NAMES)
def test_is_the_same_every_time(name: str) -> None:
    assert str(workload(name)) == str(workload(name, **workload_options(name)))


@pytest.mark.parametrize(
    ("name", "least"),
    [(name, {"alexnet": 63, "inception_v3": 75, "inception_v4": 75}.get(name, 32)) for name in IMAGENET],
)
def test_smallest_image(name: str, least: int) -> None:
    assert workload(name, image=least).forward_macs > 0
    for image in (least - 1, 16, 1, 0, -224):
        with pytest.raises(GraphError, match=f"network {name}: image is {image}; try: {least} to "):
            workload(name, image=image)


@pytest.mark.parametrize("name", IMAGENET)
@pytest.mark.parametrize("options", [{"image": 320, "classes": 7, "width": 0.3}, {"width": 1e-9}, {"image": 257}])
def test_builds_with_odd_options(name: str, options: dict[str, float]) -> None:
    assert workload(name, **options).parameter_count > 0
