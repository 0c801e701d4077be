"""Do layers other than convolutions cost the lane operations and saved bytes that their formulas say?  Per sample."""

from __future__ import annotations

import pytest
from builders import chain, residual

from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import (
    LSTM,
    Add,
    AvgPool,
    BatchNorm,
    Conv,
    CrossEntropy,
    Embedding,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    LayerKind,
    Linear,
    MaxPool,
    Outlet,
)
from wavecore.network.shapes import Shape
from wavecore.plan.model import Group, Residency
from wavecore.plan.placement import Direction, Place, place_group
from wavecore.training.operations import Operation, TensorClass
from wavecore.training.unroll import training_graph


def behind_a_convolution(kind: LayerKind, channels: int = 8, side: int = 6) -> dict[str, Operation]:
    """The operations of a network in which ``x`` reads a convolution's output."""
    net = Network("net", Shape(3, side, side))
    x = net(kind, net(Conv(channels), net.input, name="conv"), name="x")
    net(CrossEntropy(), net(Linear(2), net(Flatten(), net(GlobalAvgPool(), x)), name="head"), name="loss")
    return operations(net.build())


def operations(graph: LayerGraph) -> dict[str, Operation]:
    every = (op for unit in training_graph(graph).units for op in (*unit.forward, *unit.backward, *unit.update))
    return {op.name: op for op in every}


def lanes(op: Operation) -> list[tuple[int, int]]:
    return [(sweep.elements, sweep.lane_operations) for sweep in op.passes]


@pytest.mark.parametrize(
    ("kind", "forward", "backward"),
    [
        # 8 x 3 x 3 outputs of 2 x 2 taps; backward goes over the 8 x 6 x 6 inputs
        (MaxPool(2, 2), [(72, 4)], [(288, 1)]),
        # windows that overlap: more outputs (8 x 7 x 7) than inputs
        (MaxPool(2, 1, 1), [(392, 4)], [(392, 1)]),
        (AvgPool(3, 1, 1), [(288, 9)], [(288, 9)]),
        # statistics 2, scale and shift 1; reductions 3, gradient 2
        (GroupNorm(4), [(288, 2), (288, 1)], [(288, 3), (288, 2)]),
    ],
)
def test_sweeps(kind: LayerKind, forward: list[tuple[int, int]], backward: list[tuple[int, int]]) -> None:
    found = behind_a_convolution(kind)
    assert lanes(found["x.forward"]) == forward
    assert lanes(found["x.data_gradient"]) == backward


def test_the_mean_of_an_image_goes_over_its_inputs_both_ways() -> None:
    """8 x 6 x 6 inputs of one operation each; the loss: 2 classes, 4 operations forward, one backward."""
    found = behind_a_convolution(Conv(8))
    (pool,) = (name.removesuffix(".forward") for name in found if name.startswith("global") and ".forward" in name)
    assert lanes(found[f"{pool}.forward"]) == lanes(found[f"{pool}.data_gradient"]) == [(288, 1)]
    assert lanes(found["loss.forward"]) == [(2, 4)]
    assert lanes(found["loss.data_gradient"]) == [(2, 1)]


def test_a_linear_layer_drains_its_results() -> None:
    """8 inputs, 2 outputs: results, sums of the weight gradient, gradients of the inputs; 18 weights are updated."""
    found = behind_a_convolution(Conv(8))
    assert lanes(found["head.forward"]) == [(2, 1)]
    assert lanes(found["head.weight_gradient"]) == [(16, 1)]
    assert lanes(found["head.data_gradient"]) == [(8, 1)]
    assert lanes(found["head.update"]) == [(18, 4)]
    assert not found["head.weight_gradient"].passes[0].batched
    assert found["head.weight_gradient"].accumulates and not found["head.data_gradient"].accumulates


def test_a_sum_of_three_adds_twice_and_may_take_over_its_first_input() -> None:
    net = Network("net", Shape(3, 6, 6))
    branches = [net(Conv(4), net.input, name=name) for name in "abc"]
    net(Outlet(), net(Add(), *branches, name="sum"), name="out")
    forward = operations(net.build())["sum.forward"]
    assert (lanes(forward), forward.in_place, forward.lookahead) == ([(144, 2)], ("a",), (0, 1))


@pytest.mark.parametrize(("hidden", "steps"), [(8, 5), (3, 1)])
def test_an_lstm_by_its_definition(hidden: int, steps: int) -> None:
    """12 operations per unit and step forward, 18 backward; gates (fp16) and cells are saved; 4 h h weights."""
    net = Network("net", Shape(4 * hidden, steps))
    net(CrossEntropy(), net(LSTM(hidden), net.input, name="lstm"))
    training = training_graph(net.build())
    found = operations(net.build())
    assert lanes(found["lstm.forward"]) == [(hidden * steps, 12)]
    assert lanes(found["lstm.data_gradient"]) == [(hidden * steps, 18)]
    assert lanes(found["lstm.weight_gradient"]) == [(4 * hidden * hidden, 1)]
    assert found["lstm.forward"].macs == found["lstm.data_gradient"].macs == 4 * hidden * hidden * steps
    sizes = [training.tensors[f"lstm.{name}"].nbytes for name in ("gates", "cells", "weight", "weight_gradient")]
    assert sizes == [8 * hidden * steps, 2 * hidden * steps, 8 * hidden * hidden, 16 * hidden * hidden]
    assert found["lstm.forward"].time_steps == found["lstm.data_gradient"].time_steps == steps
    assert found["lstm.weight_gradient"].time_steps == 0


def test_an_embedding_adds_a_row_for_each_word() -> None:
    """5 words of 4 features from a table of 10: rows of 40 B are read, and the gradient of 160 B is fp32."""
    net = Network("net", Shape(1, 5))
    net(CrossEntropy(), net(Linear(2), net(Embedding(10, 4), net.input, name="words")))
    training, found = training_graph(net.build()), operations(net.build())
    assert lanes(found["words.forward"]) == lanes(found["words.weight_gradient"]) == [(20, 1)]
    assert training.tensors["words.rows"].nbytes == 40
    assert training.tensors["words.weight_gradient"].nbytes == 160
    assert training.tensors["words.rows"].tensor_class is TensorClass.WEIGHT


def test_nothing_runs_backward_before_the_first_parameters() -> None:
    """A pooling of the input has nothing to learn and passes no gradient on: it saves no indices either."""
    net = Network("net", Shape(3, 8, 8))
    x = net(Conv(4), net(MaxPool(2, 2), net.input, name="pool"), name="conv")
    net(CrossEntropy(), net(Conv(2, 4), x, name="head"), name="loss")
    training = training_graph(net.build())
    pool = training.units[training.unit_index["pool"]]
    assert (pool.backward, pool.forward[0].writes) == ((), ("pool",))
    conv = training.units[training.unit_index["conv"]]
    assert [op.name for op in conv.backward] == ["conv.weight_gradient"]


def test_weights_that_a_group_holds_are_found_on_chip_and_samples_are_not_touched() -> None:
    """``a`` streams its input; of its weights and gradient, which it holds, the one is resident and the other stays."""
    training = training_graph(residual())
    group = Group(("stem", "a"), 2, {}, {}, frozenset({"a.weight", "a.weight_gradient"}))
    forward = {each.operation.name: each for each in place_group(training, group, Direction.FORWARD, 2)}
    places = {read.tensor.name: read.place for read in forward["a.forward"].reads}
    assert places == {"stem": Place.STREAMED, "a.weight": Place.RESIDENT}
    assert {read.place for read in forward["stem.forward"].reads} == {Place.STREAMED}
    backward = {each.operation.name: each for each in place_group(training, group, Direction.BACKWARD, 2)}
    assert [write.kept for write in backward["a.weight_gradient"].writes] == [True]
    assert [write.kept for write in backward["stem.weight_gradient"].writes] == [False]


def test_a_tensor_that_is_resident_keeps_its_place_beside_held_weights() -> None:
    training = training_graph(residual())
    group = Group(("stem", "a"), 2, {"stem": Residency.NEXT}, {}, frozenset({"a.weight"}))
    forward = {each.operation.name: each for each in place_group(training, group, Direction.FORWARD, 2)}
    assert {read.tensor.name: read.place for read in forward["a.forward"].reads} == {
        "stem": Place.RESIDENT,
        "a.weight": Place.RESIDENT,
    }


def test_a_mask_is_one_more_operation_in_the_drain_of_its_gradient() -> None:
    """Gradients of 4 x 8 x 8 values behind a ReLU: the drain of the product, and the mask."""
    found = operations(chain())
    assert lanes(found["two.data_gradient"]) == [(256, 1), (256, 1)]
    assert lanes(found["one.forward"]) == [(256, 2)]  # and the ReLU itself
    assert lanes(operations(residual())["b.data_gradient"]) == [(256, 1)]
    assert lanes(operations(residual())["a.data_gradient"]) == [(256, 1), (256, 1)]  # and the shortcut's gradient


def test_an_embedding_reads_the_gradient_of_its_words_once() -> None:
    net = Network("net", Shape(1, 5))
    net(CrossEntropy(), net(Linear(2), net(Embedding(10, 4), net.input, name="words")))
    gradient = operations(net.build())["words.weight_gradient"]
    assert [(use.tensor, use.passes) for use in gradient.reads] == [("input", 1), ("words.gradient", 1)]


def test_batch_statistics_need_the_whole_mini_batch_both_ways() -> None:
    found = behind_a_convolution(BatchNorm())
    assert found["x.forward"].whole_batch and found["x.data_gradient"].whole_batch
    group = behind_a_convolution(GroupNorm(4))
    assert not group["x.forward"].whole_batch and not group["x.data_gradient"].whole_batch


def test_sums_of_gradients_follow_element_by_element() -> None:
    """Nothing beyond the share that is computed; the mean of an image needs all of it."""
    found = operations(residual())
    assert found["sum.forward"].lookahead == (0, 1)
    assert found["loss.forward"].lookahead == (1, 1)
