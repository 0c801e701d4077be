"""What a piece of a network exchanges with the rest: what enters and leaves over DRAM, forward and backward."""

from __future__ import annotations

import pytest
from builders import ORDER, machine

from wavecore.errors import GraphError
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import Add, Conv, CrossEntropy, Flatten, Inlet, Outlet, ReLU
from wavecore.network.rules import verify_graph
from wavecore.network.shapes import Shape
from wavecore.simulation import simulate
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import TensorClass
from wavecore.training.rules import verify_training
from wavecore.training.unroll import training_graph

IMAGE = Shape(4, 8, 8)
VALUE = 4 * 8 * 8 * 2  # bytes of a sample of any tensor here


def piece(relu: bool = False, reader: bool = False) -> LayerGraph:
    """The data through one convolution to the outside; what comes from outside through another one, and out."""
    net = Network("piece", IMAGE)
    net(Outlet(), net(Conv(4), net.input, name="one"), name="end")
    x = net(Conv(4), net(Inlet(IMAGE), name="inlet"), name="two")
    x = net(ReLU(), x) if relu else x
    net(Outlet(), x, name="out")
    if reader:
        net(Outlet(), net(Conv(4), x, name="three"), name="last")
    return net.build()


def built(graph: LayerGraph) -> TrainingGraph:
    verify_graph(graph)
    training = training_graph(graph)
    verify_training(training)
    return training


def operations(training: TrainingGraph) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [
        (op.name, tuple(use.tensor for use in op.reads), op.writes) for unit in training.units for op in unit.backward
    ]


def test_gradients_come_in_at_outlets_and_go_out_at_inlets() -> None:
    training = built(piece())
    assert operations(training) == [
        ("one.weight_gradient", ("input", "one.gradient@end"), ("one.weight_gradient",)),
        ("two.weight_gradient", ("inlet", "two.gradient@out"), ("two.weight_gradient",)),
        ("two.data_gradient", ("two.gradient@out", "two.weight"), ("inlet.gradient",)),
    ]
    assert training.sent == {"one", "two", "inlet.gradient"}
    assert training.received == {"one.gradient@end", "two.gradient@out"}
    assert training.blocks == ((0, 0), (1, 1))


def test_a_mask_is_applied_to_a_gradient_from_outside() -> None:
    name, reads, writes = operations(built(piece(relu=True)))[1]
    assert (name, reads, writes) == ("two.gradient.sum", ("two.gradient@out", "two.mask"), ("two.gradient",))


@pytest.mark.parametrize("relu", [False, True])
def test_gradients_from_outside_and_inside_are_added(relu: bool) -> None:
    training = built(piece(relu, reader=True))
    mask = ("two.mask",) if relu else ()
    reads = ("three.gradient@last", "three.weight", "two.gradient@out", *mask)
    assert ("three.data_gradient", reads, ("two.gradient",)) in operations(training)
    assert not any(op.sums for unit in training.units for op in unit.backward)


@pytest.mark.parametrize("engine", ["event", "analytic"])
@pytest.mark.parametrize("schedule", ORDER)
def test_every_value_crosses_the_border_once(schedule: str, engine: str) -> None:
    """On chip as long as it is used: two inputs, two outputs; their gradients, of which the data's is unwanted.

    Without a group that keeps data, both operations of "two" read its gradient.
    """
    run = simulate(piece(), schedule, machine(), batch=2, engine=engine)
    assert run.dram_bytes.activation == 2 * (2 + 2) * VALUE + 2 * 2 * VALUE  # inputs are read by backward too
    keeps = schedule not in ("baseline", "archopt")
    assert run.dram_bytes.gradient == 2 * (3 if keeps else 4) * VALUE


def test_an_addition_passes_the_gradient_of_an_outlet_to_an_inlet() -> None:
    net = Network("sum", IMAGE)
    x = net(Conv(4), net.input, name="one")
    net(Outlet(), net(Add(), x, net(Inlet(IMAGE), name="inlet"), name="sum"), name="out")
    training = built(net.build())
    assert training.received == {"sum.gradient@out"}
    assert "sum.gradient@out" in training.sent
    simulate(net.build(), "mbs2", machine(), batch=2)


def test_what_the_loss_needs_is_as_before() -> None:
    net = Network("loss", IMAGE)
    x = net(Conv(4, 8), net(Conv(4), net(Inlet(IMAGE), name="inlet"), name="one"), name="two")
    net(Outlet(), net(Conv(4), net.input, name="aside"), name="out")
    net(CrossEntropy(), net(Flatten(), x), name="loss")
    training = built(net.build())
    assert training.sent == {"aside", "inlet.gradient"}
    assert {t.tensor_class for t in training.tensors.values() if t.name in training.received} == {TensorClass.GRADIENT}


@pytest.mark.parametrize(
    ("kind", "inputs", "what"),
    [
        (Inlet(IMAGE), ("input",), "comes from outside the network and reads nothing; try: "),
        (Inlet(Shape(0, 8, 8)), (), "has an empty shape 0x8x8; try: "),
        (Outlet(), (), "takes one input, not 0; try: "),
    ],
)
def test_mistakes(kind: Inlet | Outlet, inputs: tuple[str, ...], what: str) -> None:
    net = Network("net", IMAGE)
    with pytest.raises(GraphError) as caught:
        net(kind, *inputs, name="x")
    assert what in caught.value.message


def test_a_piece_may_have_no_data_of_its_own() -> None:
    net = Network("bare")
    assert net.input == ""
    net(Outlet(), net(Conv(4), net(Inlet(IMAGE), name="inlet"), name="one"), name="out")
    training = built(net.build())
    assert training.sent == {"one", "inlet.gradient"}
    run = simulate(net.build(), "mbs2", machine(), batch=2)
    assert run.dram_bytes.activation == 2 * (2 * VALUE + VALUE)  # the inlet for both phases, the outlet
    assert run.dram_bytes.gradient == 2 * 2 * VALUE
