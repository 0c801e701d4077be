"""Does a network become the graph that was written, and is every mistake named with its line?"""

import re

import pytest
from builders import chain, inception, residual

from wavecore.errors import GraphError
from wavecore.network.graph import Network
from wavecore.network.layers import Add, Conv, CrossEntropy, Flatten, Linear, ReLU
from wavecore.network.layers.base import LayerKind
from wavecore.network.shapes import Shape


def network() -> Network:
    return Network("net", Shape(3, 8, 8))


def test_layers_are_in_the_order_of_the_text() -> None:
    assert [layer.name for layer in chain()] == ["input", "one", "relu1", "two", "loss"]


def test_unnamed_layers_are_numbered_by_kind() -> None:
    net = network()
    assert net(Conv(4), net(ReLU(), net(Conv(4), net.input))) == "conv2"


def test_shapes_follow() -> None:
    graph = chain()
    assert [str(layer.shape) for layer in graph] == ["3x8x8", "4x8x8", "4x8x8", "2x1x1", "2x1x1"]
    assert graph.input_shapes(graph.by_name["two"]) == (Shape(4, 8, 8),)


def test_counts_of_the_chain() -> None:
    """3*3*3*4 and 4*8*8*2 weights; every weight of "one" is used at 64 pixels, of "two" at one."""
    graph = chain()
    assert graph.parameter_count == 108 + 512
    assert graph.forward_macs == 108 * 64 + 512
    assert graph.layer_macs(graph.by_name["relu1"]) == 0


def test_the_digraph_has_the_layers_and_their_edges() -> None:
    graph = residual().digraph
    assert set(graph.successors("stem")) == {"a", "sum"}
    assert graph.nodes["a"]["layer"].kind == Conv(4, 3, padding=1)


def test_layers_remember_their_line_and_compare_without_it() -> None:
    assert re.fullmatch(r"builders\.py:\d+", chain().by_name["one"].source)
    assert chain() == chain()
    assert hash(chain()) == hash(chain())
    assert chain() != residual()


def test_text_form() -> None:
    lines = str(inception()).splitlines()
    assert lines[:2] == ["network inception", "  input: input(shape=3x8x8) <- - : 3x8x8"]
    assert lines[6] == "  cat: concat() <- a, b, c : 6x8x8"


def mistaken(kind: LayerKind, *inputs: str, name: str | None = None) -> str:
    net = network()
    net(Conv(4, 3), "input", name="conv")
    with pytest.raises(GraphError) as caught:
        net(kind, *inputs, name=name)
    return re.sub(r"\.py:\d+", ".py:LINE", str(caught.value))


HERE = "(test_network_graph.py:LINE)"
MISTAKES = [
    (Conv(4), ("conv",), "conv", f"layer conv {HERE}: another layer has this name already; try: a name of its own"),
    (
        Conv(4),
        ("cnov",),
        "x",
        f"layer x {HERE}: reads 'cnov', which no earlier layer is named; try: its inputs first",
    ),
    (LayerKind(), ("conv",), "x",
     f"layer x {HERE}: LayerKind is not a registered layer kind; try: wavecore.network.layers.KINDS"),
    (Conv(4, 9), ("conv",), "x",
     f"layer x {HERE}: a window of 9 does not fit 6 with padding 0; try: other sizes, or a larger image"),
    (Conv(0), ("conv",), "x", f"layer x {HERE}: out_channels is 0; try: 1 or more"),
    (Conv(4, 3, padding=-1), ("conv",), "x", f"layer x {HERE}: padding is -1; try: 0 or more"),
    (Conv(4, (3, 0)), ("conv",), "x", f"layer x {HERE}: kernel is 0; try: 1 or more"),
    (
        Conv(4, groups=3),
        ("conv",),
        "x",
        f"layer x {HERE}: 3 groups do not divide 4 input and 4 output channels; try: other sizes, or a larger image",
    ),
    (
        Add(),
        ("conv", "input"),
        "x",
        f"layer x {HERE}: adds two or more equal shapes, not 4x6x6, 3x8x8; try: other sizes, or a larger image",
    ),
    (
        Linear(4),
        ("conv",),
        "x",
        f"layer x {HERE}: takes a flat input, not 4x6x6; put a Flatten before it; try: other sizes, or a larger image",
    ),
    (Flatten(), (), "x", f"layer x {HERE}: takes one input, not 0; try: other sizes, or a larger image"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "inputs", "name", "message"), MISTAKES)
def test_a_layer_that_does_not_fit(kind: LayerKind, inputs: tuple[str, ...], name: str, message: str) -> None:
    assert mistaken(kind, *inputs, name=name) == f"network net, {message}"


def test_an_empty_input() -> None:
    where = r"network net, layer input \(test_network_graph\.py:\d+\)"
    with pytest.raises(GraphError, match=rf"^{where}: has an empty shape 3x0x8"):
        Network("net", Shape(3, 0, 8))


def test_a_layer_that_nobody_reads() -> None:
    net = network()
    net(Conv(4), net.input, name="lost")
    net(CrossEntropy(), net(Conv(2, 8), net.input))
    with pytest.raises(GraphError, match=r"^network net, layer lost \(.*\): its output is read by no layer; try: to"):
        net.build()


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_network_without_a_loss(layers: int) -> None:
    net = network()
    x = net.input
    for _ in range(layers):
        x = net(Flatten(), x)
    with pytest.raises(GraphError, match=r"^network net: ends with '\w+', which is no loss; try: a CrossEntropy at"):
        net.build()
