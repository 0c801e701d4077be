"""The networks' structure, against what their papers and torchvision say of it."""

import re
from math import gcd

import numpy as np
import pytest

from wavecore.errors import GraphError
from wavecore.network.catalog import workload, workload_info, workload_names, workload_options
from wavecore.network.graph import LayerGraph
from wavecore.network.layers import (
    LSTM,
    AdaptiveAvgPool,
    Add,
    Concat,
    Conv,
    Dropout,
    GroupNorm,
    Inlet,
    Linear,
    Outlet,
    ReLU,
)
from wavecore.network.shapes import Shape
from wavecore.training.unroll import training_graph

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")

IMAGENET = tuple(name for name in workload_names() if "width" in workload_options(name))


def convolutions(graph: LayerGraph) -> list[Conv]:
    return [layer.kind for layer in graph if isinstance(layer.kind, Conv)]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("alexnet", 5),
        ("vgg11", 8),
        ("vgg13", 10),
        ("vgg16", 13),
        ("vgg19", 16),
        ("resnet18", 17 + 3),  # the layers in its name less the classifier, and the projections
        ("resnet34", 33 + 3),
        ("resnet50", 49 + 4),
        ("resnet101", 100 + 4),
        ("resnet152", 151 + 4),
        ("googlenet", 3 + 9 * 6),
        ("inception_v3", 5 + 3 * 7 + 4 + 4 * 10 + 6 + 2 * 9),
        ("inception_v4", 11 + 4 * 7 + 4 + 7 * 10 + 6 + 3 * 10),
        ("mobilenet_v2", 1 + 2 + 16 * 3 + 1),
    ],
)
def test_number_of_convolutions(name: str, count: int) -> None:
    assert len(convolutions(workload(name))) == count


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("alexnet", {"features.0": (64, 55), "features.5": (192, 13), "features.12": (256, 6)}),
        ("vgg16", {"features.4": (64, 112), "features.9": (128, 56), "features.30": (512, 7)}),
        ("resnet18", {"maxpool": (64, 56), "layer1.1.relu2": (64, 56), "layer4.1.relu2": (512, 7)}),
        ("resnet50", {"conv1": (64, 112), "layer1.2.relu3": (256, 56), "layer2.3.relu3": (512, 28)}),
        ("resnet101", {"layer3.22.relu3": (1024, 14), "layer4.2.relu3": (2048, 7)}),
        ("resnet152", {"layer2.7.relu3": (512, 28), "layer3.35.relu3": (1024, 14)}),
        ("googlenet", {"maxpool1": (64, 56), "maxpool2": (192, 28), "inception3a.concat": (256, 28)}),
        (
            "googlenet",
            {"maxpool3": (480, 14), "inception4e.concat": (832, 14), "inception5b.concat": (1024, 7)},
        ),
        ("inception_v3", {"maxpool2": (192, 35), "Mixed_5b.concat": (256, 35), "Mixed_5d.concat": (288, 35)}),
        ("inception_v3", {"Mixed_6a.concat": (768, 17), "Mixed_6e.concat": (768, 17)}),
        ("inception_v3", {"Mixed_7a.concat": (1280, 8), "Mixed_7b.concat": (2048, 8)}),
        ("inception_v4", {"features.3.concat": (160, 73), "features.4.concat": (192, 71)}),
        ("inception_v4", {"features.5.concat": (384, 35), "features.9.concat": (384, 35)}),
        ("inception_v4", {"features.10.concat": (1024, 17), "features.17.concat": (1024, 17)}),
        ("inception_v4", {"features.18.concat": (1536, 8), "features.21.concat": (1536, 8)}),
        (
            "mobilenet_v2",
            {"features.0.2": (32, 112), "features.3.add": (24, 56), "features.17.conv.2": (320, 7)},
        ),
    ],
)
def test_shapes_in_the_papers_tables(name: str, shapes: dict[str, tuple[int, int]]) -> None:
    layers = workload(name).by_name
    found = {layer: layers[layer].shape for layer in shapes}
    assert found == {layer: Shape(channels, side, side) for layer, (channels, side) in shapes.items()}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("alexnet", ["features.0", "features.10", "classifier.1", "classifier.6"]),
        (
            "vgg11",
            ["features.0", "features.3", "features.18", "classifier.0", "classifier.3", "classifier.6"],
        ),
        ("vgg19", ["features.34", "classifier.6"]),
        ("resnet18", ["conv1", "layer1.0.conv1", "layer2.0.conv2", "layer2.0.downsample.0", "fc"]),
        ("resnet50", ["layer1.0.conv3", "layer1.0.downsample.0", "layer4.2.conv3", "fc"]),
        ("googlenet", ["conv1.conv", "inception3a.branch1.conv", "inception5b.branch4.1.conv", "fc"]),
        ("inception_v3", ["Conv2d_1a_3x3.conv", "Mixed_5b.branch1x1.conv", "Mixed_5b.branch_pool.conv"]),
        ("inception_v3", ["Mixed_6e.branch7x7dbl_5.conv", "Mixed_7c.branch3x3dbl_3b.conv", "fc"]),
        ("inception_v4", ["features.0.conv", "features.3.conv.conv", "features.4.branch1.3.conv"]),
        ("inception_v4", ["features.21.branch2_3b.conv", "last_linear"]),
        ("mobilenet_v2", ["features.0.0", "features.1.conv.0.0", "features.1.conv.1", "features.2.conv.2"]),
        ("mobilenet_v2", ["features.17.conv.1.0", "features.18.0", "classifier.1"]),
    ],
)
def test_names_are_those_of_the_usual_checkpoints(name: str, parameters: list[str]) -> None:
    graph = workload(name)
    for layer in parameters:
        assert graph.parameters(graph.by_name[layer])[0].name == "weight"


@pytest.mark.parametrize("name", ["resnet50", "googlenet", "inception_v3", "inception_v4", "mobilenet_v2"])
def test_every_convolution_is_normalized_and_has_no_bias(name: str) -> None:
    graph = workload(name)
    for layer in graph:
        if isinstance(layer.kind, Conv):
            (reader,) = [other for other in graph if layer.name in other.inputs]
            assert reader.kind == GroupNorm(gcd(layer.shape.channels, 32))
            assert not layer.kind.bias


@pytest.mark.parametrize("name", ["alexnet", "vgg16"])
def test_convolutions_without_normalization_have_a_bias(name: str) -> None:
    graph = workload(name)
    assert all(conv.bias for conv in convolutions(graph))
    assert not any(isinstance(layer.kind, GroupNorm) for layer in graph)


def test_vgg_can_be_normalized() -> None:
    graph = workload("vgg16", norm="group")
    assert sum(isinstance(layer.kind, GroupNorm) for layer in graph) == 13
    biases = 2 * 64 + 2 * 128 + 3 * 256 + 6 * 512
    assert graph.parameter_count == 138_365_992 - biases  # torchvision's vgg16_bn, which keeps the biases


@pytest.mark.parametrize("name", RESNETS)
def test_a_residual_block_adds_its_main_branch_first(name: str) -> None:
    graph = workload(name)
    order = {layer.name: position for position, layer in enumerate(graph)}
    additions = [layer for layer in graph if isinstance(layer.kind, Add)]
    for layer in additions:
        main, shortcut = layer.inputs
        assert re.fullmatch(r"layer\d\.\d+\.norm[23]", main)
        assert shortcut.endswith((".downsample.1", ".relu2", ".relu3", "maxpool"))
        assert order[main] < order[shortcut] or "downsample" not in shortcut
    assert len(additions) == {18: 8, 34: 16, 50: 16, 101: 33, 152: 50}[int(name.removeprefix("resnet"))]


def test_a_bottlenecks_stride_is_in_its_3x3() -> None:
    strided = [layer for layer in workload("resnet50") if isinstance(layer.kind, Conv) and layer.kind.stride == 2]
    assert [layer.name for layer in strided] == ["conv1"] + [
        f"layer{stage}.0.{part}" for stage in (2, 3, 4) for part in ("conv2", "downsample.0")
    ]
    assert {layer.kind.kernel for layer in strided if layer.name.endswith("conv2")} == {3}


def test_mobilenet_adds_ten_times_and_ends_blocks_linearly() -> None:
    graph = workload("mobilenet_v2")
    assert sum(isinstance(layer.kind, Add) for layer in graph) == 10
    assert {layer.kind.ceiling for layer in graph if isinstance(layer.kind, ReLU)} == {6.0}
    assert sum(isinstance(layer.kind, ReLU) for layer in graph) == 52 - 17
    depthwise = [conv for conv in convolutions(graph) if conv.groups > 1]
    assert len(depthwise) == 17
    assert all(conv.groups == conv.out_channels for conv in depthwise)


def test_inception_towers_run_one_after_the_other() -> None:
    names = [layer.name for layer in workload("inception_v3") if layer.name.startswith("Mixed_7b")]
    branches = [re.sub(r"(_\d[ab]?)?\.(conv|norm|relu)$", "", name) for name in names]
    assert list(dict.fromkeys(branches)) == [
        *(f"Mixed_7b.{branch}" for branch in ("branch1x1", "branch3x3", "branch3x3dbl", "pool", "branch_pool")),
        "Mixed_7b.concat",
    ]
    assert names[-1] == "Mixed_7b.concat"


def test_concatenations_join_the_towers_of_the_figures() -> None:
    joined = [len(layer.inputs) for layer in workload("inception_v4") if isinstance(layer.kind, Concat)]
    assert joined == [2, 2, 2] + [4] * 4 + [3] + [4] * 7 + [3] + [6] * 3


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("alexnet", [0.5, 0.5]),
        ("vgg16", [0.5, 0.5]),
        ("resnet50", []),
        ("googlenet", [0.2]),
        ("inception_v3", [0.5]),
        ("inception_v4", [0.2]),
        ("mobilenet_v2", [0.2]),
    ],
)
def test_dropout(name: str, rates: list[float]) -> None:
    assert [layer.kind.rate for layer in workload(name) if isinstance(layer.kind, Dropout)] == rates


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("alexnet", 224, None),
        ("alexnet", 256, Shape(256, 6, 6)),
        ("vgg16", 32, Shape(512, 7, 7)),
        ("vgg16", 224, None),
        ("vgg16", 448, Shape(512, 7, 7)),
    ],
)
def test_a_classifier_of_fixed_size_takes_any_image(name: str, image: int, expected: Shape | None) -> None:
    graph = workload(name, image=image)
    pools = [layer.shape for layer in graph if isinstance(layer.kind, AdaptiveAvgPool)]
    assert pools == ([expected] if expected else [])
    usual = 61_100_840 if name == "alexnet" else 138_357_544
    assert graph.parameter_count == usual


@pytest.mark.parametrize("name", IMAGENET)
def test_classes_change_the_last_layer_only(name: str) -> None:
    few, many = workload(name, classes=10), workload(name)
    last = [layer for layer in few if isinstance(layer.kind, Linear)][-1]
    assert last.shape == few.layers[-1].shape == Shape(10)
    features = few.by_name[last.inputs[0]].shape.channels
    assert many.parameter_count - few.parameter_count == 990 * (features + 1)


@pytest.mark.parametrize("name", [name for name in IMAGENET if name != "mobilenet_v2"])
def test_width_scales_every_layer(name: str) -> None:
    half, double = workload(name, width=0.5), workload(name, width=2.0)
    assert all(conv.out_channels % 8 == 0 for conv in convolutions(half))
    for layer, doubled in zip(workload(name), double, strict=True):
        if layer.shape.channels not in (3, 1000):
            assert doubled.shape.channels == 2 * layer.shape.channels
    assert min(conv.out_channels for conv in convolutions(workload(name, width=0.001))) == 8


@pytest.mark.parametrize(("width", "channels"), [(0.5, 32), (0.56, 32), (0.57, 40), (0.9, 56), (1.0, 64), (1.1, 72)])
def test_width_is_rounded_to_a_multiple_of_eight(width: float, channels: int) -> None:
    assert workload("resnet50", width=width).by_name["conv1"].shape.channels == channels


def test_catalog_data() -> None:
    for name in IMAGENET:
        info = workload_info(name)
        assert info.name == name == workload(name).name
        assert info.batch_per_core == (64 if name == "alexnet" else 32)
        assert info.summary
        image = 299 if name.startswith("inception") else 224
        common = {"image": image, "classes": 1000, "width": 1.0}
        assert workload_options(name) == (common | {"norm": "none"} if name.startswith("vgg") else common)


@pytest.mark.parametrize("name", ["lenet5", "lenet300"])
def test_lenets_read_digits(name: str) -> None:
    assert workload_options(name) == {"image": 28, "classes": 10}
    assert workload(name).layers[0].shape == Shape(1, 28, 28)
    assert workload_info(name).batch_per_core == 50
    with pytest.raises(GraphError, match=f"network {name}: image is 0; try: "):
        workload(name, image=0)


def lstms(graph: LayerGraph) -> dict[str, tuple[int, int, bool]]:
    """Of each LSTM, what it reads, its units, and whether it runs in reverse."""
    found = {}
    for layer in graph:
        if isinstance(layer.kind, LSTM):
            (source,) = layer.inputs
            read = graph.input_shapes(graph.by_name[source])[0].channels
            found[layer.name] = (read, layer.kind.hidden, layer.kind.reverse)
    return found


def count(read: int, hidden: int) -> int:
    """Weights of an LSTM's four gates, and a bias each."""
    return 4 * hidden * (read + hidden) + 4 * hidden


def test_the_language_models_lstms() -> None:
    graph = workload("lstm_ptb")
    assert lstms(graph) == {"lstm1": (1500, 1500, False), "lstm2": (1500, 1500, False)}
    assert graph.parameter_count == 2 * count(1500, 1500) + 10_000 * 1500 + 1500 * 10_000 + 10_000
    assert graph.forward_macs == 35 * (2 * 4 * 1500 * 3000 + 1500 * 10_000)
    assert [layer.kind.rate for layer in graph if isinstance(layer.kind, Dropout)] == [0.65] * 3
    assert workload_info("lstm_ptb").batch_per_core == 10


def test_a_language_model_of_other_sizes() -> None:
    graph = workload("lstm_ptb", vocabulary=50, embedding=6, hidden=7, layers=3, steps=4)
    assert [row[:2] for row in lstms(graph).values()] == [(6, 7), (7, 7), (7, 7)]
    assert graph.parameter_count == count(6, 7) + 2 * count(7, 7) + 50 * 6 + 7 * 50 + 50


@pytest.mark.parametrize(("hidden", "steps"), [(100, 400), (3, 5)])
def test_bidafs_lstms(hidden: int, steps: int) -> None:
    """The modeling layers read 8 and 2 times ``hidden``, the output layer both and twice 2 times more."""
    graph = workload("bidaf", hidden=hidden, steps=steps)
    reads = {"mod1": 8 * hidden, "mod2": 2 * hidden, "out": 14 * hidden}
    expected = {
        f"{layer}_{direction}": (read, hidden, direction == "bwd")
        for layer, read in reads.items()
        for direction in ("fwd", "bwd")
    }
    assert lstms(graph) == expected
    assert graph.parameter_count == sum(count(read, units) for read, units, _ in expected.values())
    assert graph.forward_macs == steps * sum(4 * units * (read + units) for read, units, _ in expected.values())
    assert workload_info("bidaf").batch_per_core == 30


def test_bidaf_exchanges_values_and_their_gradients_with_the_rest() -> None:
    graph = workload("bidaf")
    inlets = {layer.name: layer.shape for layer in graph if isinstance(layer.kind, Inlet)}
    assert inlets == {"p0": Shape(800, 400), "a1i": Shape(200, 400), "g1_a1i": Shape(200, 400)}
    outlets = [graph.by_name[layer.inputs[0]] for layer in graph if isinstance(layer.kind, Outlet)]
    assert [(layer.name, layer.inputs, layer.shape) for layer in outlets] == [
        ("g1", ("mod2_fwd", "mod2_bwd"), Shape(200, 400)),
        ("g2", ("out_fwd", "out_bwd"), Shape(200, 400)),
    ]
    training = training_graph(graph)
    assert training.sent == {"mod2_fwd", "mod2_bwd", "out_fwd", "out_bwd"} | {f"{name}.gradient" for name in inlets}
    assert len(training.received) == 4


def test_an_option_may_be_a_numpy_number() -> None:
    graph = workload("resnet18", image=np.int64(64), width=np.float32(1))  # type: ignore[arg-type]
    assert graph == workload("resnet18", image=64)
