"""Does a network unroll into the operations of a training step, saving what backward needs and nothing else?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from builders import chain, inception, residual
from hypothesis import given
from strategies import networks

from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import (
    Add,
    AvgPool,
    Conv,
    CrossEntropy,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    Linear,
    MaxPool,
    ReLU,
)
from wavecore.network.shapes import Shape
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import Operation, Phase, TensorClass
from wavecore.training.unroll import training_graph


def ended(net: Network, x: str) -> TrainingGraph:
    net(CrossEntropy(), net(Linear(2), net(Flatten(), net(GlobalAvgPool(), x))), name="loss")
    return training_graph(net.build())


def operations(training: TrainingGraph, phase: Phase) -> dict[str, Operation]:
    every = (op for unit in training.units for op in (*unit.forward, *unit.backward, *unit.update))
    return {op.name: op for op in every if op.phase is phase}


def reads(op: Operation) -> list[str]:
    return [use.tensor for use in op.reads]


def fused(training: TrainingGraph) -> dict[str, tuple[str, ...]]:
    return {unit.name: unit.fused for unit in training.units if unit.fused}


# -- what is computed ----------------------------------------------------------------------------------------


def test_the_chain_operation_by_operation() -> None:
    assert str(training_graph(chain())).splitlines() == [
        # forward 108*64 + 512, weight gradients the same; the data gradient of ``two`` is 2 x 4*64
        "training step of chain: 3 units, 15360 MACs per sample",
        "one (conv) + relu1",
        "  forward: input, one.weight -> one, one.mask",
        "  weight_gradient: input, one.gradient -> one.weight_gradient",
        "  update: one.weight_gradient, one.optimizer -> one.optimizer, one.weight",
        "two (conv)",
        "  forward: one, two.weight -> two",
        "  weight_gradient: one, two.gradient -> two.weight_gradient",
        "  data_gradient: two.gradient, two.weight, one.mask -> one.gradient",
        "  update: two.weight_gradient, two.optimizer -> two.optimizer, two.weight",
        "loss (cross_entropy)",
        "  forward: two -> loss.probabilities",
        "  data_gradient: loss.probabilities -> two.gradient",
    ]


@given(networks())
def test_weight_gradients_multiply_as_often_as_forward(network: LayerGraph) -> None:
    training = training_graph(network)
    forward, weights = operations(training, Phase.FORWARD), operations(training, Phase.WEIGHT_GRADIENT)
    assert sum(op.macs for op in forward.values()) == sum(op.macs for op in weights.values()) == network.forward_macs
    for op in weights.values():
        assert op.macs == forward[f"{op.unit}.forward"].macs


@given(networks())
def test_the_networks_input_has_no_gradient(network: LayerGraph) -> None:
    training = training_graph(network)
    assert "input.gradient" not in training.tensors
    for unit in training.units:
        first = unit.forward[0].reads[0].tensor == "input"
        gemms = [op for op in unit.backward if op.phase is Phase.DATA_GRADIENT and op.gemms]
        assert len(gemms) == (0 if first else unit.kind in ("conv", "linear"))


@given(networks())
def test_every_tensor_has_one_writer_and_a_reader(network: LayerGraph) -> None:
    training = training_graph(network)
    steps = [op for unit in training.units for op in (*unit.forward, *unit.backward)]
    writers = Counter(name for op in steps for name in op.writes)
    assert set(writers.values()) == {1}
    read = {name for op in (*steps, *operations(training, Phase.UPDATE).values()) for name in reads(op)}
    assert set(writers) <= read


@given(networks())
def test_every_layer_is_in_one_unit_or_a_view(network: LayerGraph) -> None:
    training = training_graph(network)
    placed = [name for unit in training.units for name in (unit.name, *unit.fused)]
    views = {layer.name for layer in network if layer.kind.kind in ("input", "flatten", "concat")}
    assert Counter(placed) == Counter(layer.name for layer in network if layer.name not in views)


# -- what is saved -------------------------------------------------------------------------------------------


def test_saved_tensors() -> None:
    """Inputs of layers with parameters and of normalizations, masks, indices, statistics; nothing else."""
    net = Network("saves", Shape(3, 8, 8))
    x = net(ReLU(), net(GroupNorm(2), net(Conv(4, 3, padding=1), net.input, name="conv"), name="norm"))
    x = net(AvgPool(3, 1, 1), net(MaxPool(2, 2), x, name="pool"), name="mean")
    training = ended(net, net(Conv(4), x, name="last"))
    assert training.saved == {
        "conv",  # norm's input
        "norm.statistics",
        "norm.mask",  # of the ReLU; norm itself is read by the pooling only, which needs no input
        "pool.indices",
        "mean",  # last's input
        "global_avg_pool1",  # linear's input
        "loss.probabilities",
    }


def test_sizes_of_what_is_saved() -> None:
    tensors = training_graph(chain()).tensors
    sizes = {name: tensors[name].nbytes for name in ("input", "one", "one.mask", "two", "loss.probabilities")}
    assert sizes == {"input": 384, "one": 512, "one.mask": 32, "two": 4, "loss.probabilities": 4}
    assert {name: tensors[f"one.{name}"].nbytes for name in ("weight", "weight_gradient", "optimizer")} == {
        "weight": 108 * 2,  # fp16
        "weight_gradient": 108 * 4,  # fp32
        "optimizer": 108 * 8,  # fp32 master weight and momentum
    }
    assert not any(tensors[f"one.{name}"].batched for name in ("weight", "weight_gradient", "optimizer"))


def test_masks_and_indices_are_their_own_class() -> None:
    net = Network("pool", Shape(3, 8, 8))
    training = ended(net, net(MaxPool(2, 2), net(ReLU(), net(Conv(4), net.input, name="conv")), name="pool"))
    masks = {name: tensor.nbytes for name, tensor in training.tensors.items() if tensor.tensor_class == "mask"}
    assert masks == {"conv.mask": 4 * 64 // 8, "pool.indices": 4 * 16 * 2 // 8}
    assert training.tensors["loss.probabilities"].tensor_class is TensorClass.ACTIVATION


def test_the_last_output_is_not_kept() -> None:
    assert "loss" not in training_graph(chain()).tensors


# -- fusion --------------------------------------------------------------------------------------------------


def test_a_relu_is_fused_into_the_pass_before_it() -> None:
    forward = operations(training_graph(chain()), Phase.FORWARD)["one.forward"]
    assert fused(training_graph(chain())) == {"one": ("relu1",)}
    assert [sweep.lane_operations for sweep in forward.passes] == [2]  # the drain and the ReLU


def test_several_elementwise_layers_are_fused_under_one_mask() -> None:
    net = Network("twice", Shape(3, 8, 8))
    training = ended(net, net(Dropout(), net(ReLU(), net(Conv(4), net.input, name="conv"))))
    assert fused(training) == {"conv": ("relu1", "dropout1")}
    assert [name for name in training.tensors if name.endswith(".mask")] == ["conv.mask"]


def test_a_relu_beside_another_reader_is_not_fused() -> None:
    net = Network("apart", Shape(3, 8, 8))
    conv = net(Conv(4), net.input, name="conv")
    training = ended(net, net(Add(), net(ReLU(), conv, name="relu"), conv, name="sum"))
    assert fused(training) == {}
    (sweep,) = training.units[training.unit_index["relu"]].forward
    assert (reads(sweep), sweep.writes) == (["conv"], ("relu", "relu.mask"))


def test_a_relu_of_the_input_is_a_pass_of_its_own() -> None:
    net = Network("first", Shape(3, 8, 8))
    training = ended(net, net(Conv(4), net(ReLU(), net.input, name="relu")))
    assert training.units[0].name == "relu"
    assert training.units[0].forward[0].passes[0].lane_operations == 1
    assert training.units[0].backward == ()  # its mask is applied where its output's gradient is made


def test_a_relu_behind_a_view_is_fused_through_it() -> None:
    net = Network("view", Shape(3, 1, 1))
    x = net(ReLU(), net(Flatten(), net(Conv(4), net.input, name="conv")))
    net(CrossEntropy(), net(Linear(2), x))
    assert fused(training_graph(net.build())) == {"conv": ("relu1",)}


def test_a_residual_relu_is_fused_into_the_addition() -> None:
    net = Network("sum", Shape(3, 8, 8))
    conv = net(Conv(4), net.input, name="conv")
    x = net(ReLU(), net(Add(), net(Conv(4), conv, name="branch"), conv, name="sum"))
    training = ended(net, net(Conv(4), x, name="next"))
    assert fused(training) == {"sum": ("relu1",)}
    assert "sum.mask" in reads(operations(training, Phase.DATA_GRADIENT)["next.data_gradient"])


# -- views and branches --------------------------------------------------------------------------------------


def test_who_reads_a_concatenation_reads_its_parts() -> None:
    training = training_graph(inception())
    assert "cat" not in training.tensors
    assert reads(training.units[training.unit_index["head"]].forward[0]) == ["a", "b", "c", "head.weight"]
    gradient = operations(training, Phase.DATA_GRADIENT)["head.data_gradient"]
    assert gradient.writes == ("a.gradient", "b.gradient", "c.gradient")


def test_an_addition_passes_its_gradient_on() -> None:
    training = training_graph(residual())
    assert training.units[training.unit_index["sum"]].backward == ()
    phases = operations(training, Phase.DATA_GRADIENT)
    assert reads(phases["b.data_gradient"]) == ["sum.gradient", "b.weight"]


def test_a_mask_has_a_sweep_of_its_own_where_an_addition_passes_the_gradient() -> None:
    net = Network("passed", Shape(3, 8, 8))
    a, b = (net(ReLU(), net(Conv(4), net.input, name=name)) for name in "ab")
    training = ended(net, net(Add(), a, b, name="sum"))
    masked = {name: reads(op) for name, op in operations(training, Phase.DATA_GRADIENT).items() if "sum" in name}
    assert masked["a.gradient.sum"] == ["sum.gradient", "a.mask"]
    assert masked["b.gradient.sum"] == ["sum.gradient", "b.mask"]
    assert not any(op.sums for op in operations(training, Phase.DATA_GRADIENT).values())


def test_normalization_reads_twice_and_saves_statistics() -> None:
    net = Network("norm", Shape(3, 8, 8))
    training = ended(net, net(GroupNorm(2), net(Conv(4), net.input, name="conv"), name="norm"))
    unit = training.units[training.unit_index["norm"]]
    assert [(use.tensor, use.passes) for use in unit.forward[0].reads] == [("conv", 2), ("norm.weight", 1)]
    assert [(use.tensor, use.passes) for use in unit.backward[0].reads] == [
        ("conv", 2),
        ("norm.gradient", 2),
        ("norm.weight", 1),
        ("norm.statistics", 1),
    ]
    assert unit.backward[0].writes == ("conv.gradient", "norm.weight_gradient")


# -- blocks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "blocks"),
    [
        (chain, [["one"], ["two"], ["loss"]]),
        (residual, [["stem"], ["a", "b", "sum"], ["head"], ["loss"]]),
        (inception, [["stem"], ["a", "b", "c"], ["head"], ["loss"]]),
    ],
)
def test_blocks_are_found_in_the_graph(network: Callable[[], LayerGraph], blocks: list[list[str]]) -> None:
    training = training_graph(network())
    names = [unit.name for unit in training.units]
    assert [names[first : last + 1] for first, last in training.blocks] == blocks


@given(networks())
def test_blocks_cover_the_units_in_order(network: LayerGraph) -> None:
    training = training_graph(network)
    covered = [index for first, last in training.blocks for index in range(first, last + 1)]
    assert covered == list(range(len(training.units)))
