"""What a profile leaves of a network, against PyTorch modules that have no more than that."""

import math
from typing import Any

import numpy as np
import pytest

from wavecore.errors import ConfigError
from wavecore.network.catalog import workload
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import Add, Concat, Conv, CrossEntropy, Flatten, GlobalAvgPool, GroupNorm, Linear, ReLU
from wavecore.network.shapes import Shape
from wavecore.network.sparsity import mask_of
from wavecore.sparsity.profile import LayerSparsity, Profile
from wavecore.sparsity.structure import apply_profile


def pruned(graph: LayerGraph, masks: dict[str, Any] | None = None, **layers: dict[str, Any]) -> LayerGraph:
    said = {name.replace("__", "."): LayerSparsity(**each) for name, each in layers.items()}
    held = {name: mask_of(mask) for name, mask in (masks or {}).items()}
    return apply_profile(graph, Profile(name="p", source="a test", layers=said, masks=held))


def residual(*, project: bool = True) -> LayerGraph:
    net = Network("residual", Shape(3, 8, 8))
    x = net(ReLU(), net(GroupNorm(4), net(Conv(16, 3, padding=1), net.input, name="stem"), name="norm"), name="relu")
    y = net(Conv(8, 3, padding=1), x, name="a")
    y = net(Conv(16, 3, padding=1), net(ReLU(), y, name="relu_a"), name="b")
    short = net(Conv(16), x, name="short") if project else x
    x = net(ReLU(), net(Add(), y, short, name="add"), name="relu_b")
    net(CrossEntropy(), net(Linear(10), net(Flatten(), net(GlobalAvgPool(), x)), name="fc"), name="loss")
    return net.build()


def channels(graph: LayerGraph) -> dict[str, tuple[int, int]]:
    return {
        layer.name: (graph.input_shapes(layer)[0].channels, layer.shape.channels)
        for layer in graph
        if isinstance(layer.kind, Conv | Linear)
    }


def test_pytorch_counts_the_same_parameters_and_macs() -> None:
    import torch
    from torch import nn

    left = pruned(workload("lenet5"), conv1={"kept_outputs": 7}, conv2={"kept_outputs": 11}, fc1={"kept_outputs": 90})
    module = nn.Sequential(
        nn.Conv2d(1, 7, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(7, 11, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(11 * 16, 90), nn.ReLU(), nn.Linear(90, 10),
    )  # fmt: skip
    macs = 0

    def counted(layer: Any, inputs: Any, output: Any) -> None:
        nonlocal macs
        weights = layer.weight.shape
        macs += math.prod(weights[1:]) * output.numel()

    for layer in module:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(counted)
    module(torch.zeros(1, 1, 28, 28))
    assert left.parameter_count == sum(parameter.numel() for parameter in module.parameters())
    assert left.forward_macs == macs


def test_channels_that_meet_are_the_union() -> None:
    left = pruned(residual(), b={"kept_outputs": (0, 1, 2)}, short={"kept_outputs": (2, 3)}, stem={"kept_outputs": 12})
    assert channels(left) == {"stem": (3, 12), "a": (12, 8), "b": (8, 4), "short": (12, 4), "fc": (4, 10)}
    assert left.by_name["norm"].kind == GroupNorm(4)


def test_an_identity_shortcut_ties_the_stem() -> None:
    left = pruned(residual(project=False), b={"kept_outputs": 5}, stem={"kept_outputs": 6})
    assert channels(left) == {"stem": (3, 6), "a": (6, 8), "b": (8, 6), "fc": (6, 10)}
    assert left.by_name["norm"].kind == GroupNorm(2)


def test_a_producer_that_says_nothing_keeps_all() -> None:
    assert channels(pruned(residual(), b={"kept_outputs": 5}))["short"] == (16, 16)


def test_readers_alone_decide_if_all_do() -> None:
    few = {"kept_inputs": (1, 4, 5)}
    assert channels(pruned(residual(), a=few, short=few))["stem"] == (3, 3)
    assert channels(pruned(residual(), a=few))["stem"] == (3, 16)


def test_a_reader_widens_what_a_producer_keeps() -> None:
    assert channels(pruned(residual(), a={"kept_outputs": (0, 1)}, b={"kept_inputs": (1, 5)}))["a"] == (16, 3)


def test_features_go_with_their_channels() -> None:
    left = pruned(workload("lenet5"), fc1={"kept_inputs": tuple(range(5, 40))})
    assert channels(left)["conv2"] == (20, 3)  # features 5 to 39 are of channels 0, 1 and 2 of 4 x 4
    assert channels(left)["fc1"] == (48, 500)


def test_pixels_of_the_input_are_dropped_where_they_are_read_one_by_one() -> None:
    left = pruned(workload("lenet300"), fc1={"kept_inputs": 349, "kept_outputs": 39}, fc2={"kept_outputs": 15})
    assert channels(left) == {"fc1": (349, 39), "fc2": (39, 15), "fc3": (15, 10)}


def test_an_empty_branch_is_removed() -> None:
    left = pruned(residual(project=False), a={"removed": True})
    assert [layer.name for layer in left][1:4] == ["stem", "norm", "relu"]
    assert {"a", "relu_a", "b", "add"}.isdisjoint(left.by_name)
    assert left.by_name["relu_b"].inputs == ("relu",)


def test_concatenations_keep_their_parts_apart() -> None:
    net = Network("concat", Shape(3, 4, 4))
    parts = [net(Conv(width), net.input, name=f"c{width}") for width in (4, 6)]
    x = net(Conv(5, 4), net(Concat(), *parts, name="both"), name="last")
    net(CrossEntropy(), net(Flatten(), x), name="loss")
    left = pruned(net.build(), c4={"kept_outputs": (0, 2)}, last={"kept_inputs": (0, 2, 4, 9)})
    assert channels(left)["last"] == (4, 5)
    left = pruned(net.build(), last={"kept_inputs": (0, 2, 4, 9)})
    assert channels(left) == {"c4": (3, 2), "c6": (3, 2), "last": (4, 5)}


@pytest.mark.parametrize("kind", ["channel", "spatial"])
def test_low_rank_layers_are_two(kind: str) -> None:
    left = pruned(workload("resnet18", image=64), **{"layer1__0__conv1": {"rank": 20, "decomposition": kind}})
    first, second = (left.by_name[name] for name in ("layer1.0.conv1.rank", "layer1.0.conv1"))
    dense = workload("resnet18", image=64)
    taps = (9, 1) if kind == "channel" else (3, 3)
    assert [left.parameters(each)[0].elements for each in (first, second)] == [64 * 20 * taps[0], 20 * 64 * taps[1]]
    assert second.shape == dense.by_name["layer1.0.conv1"].shape


def test_a_whole_mask_is_cut_to_what_is_left() -> None:
    mask = np.random.default_rng(0).random((50, 20, 5, 5)) < 0.3
    layers = {"conv1": {"kept_outputs": (1, 3)}, "conv2": {"kept_outputs": (0, 7, 9)}}
    left = pruned(workload("lenet5"), {"conv2": mask}, **layers)
    assert left.sparsity is not None
    facts = dict(left.sparsity.weights)["conv2"].mask
    assert facts is not None
    assert (facts.array == mask[[0, 7, 9]][:, [1, 3]]).all()


def test_densities_are_of_the_value_behind_the_relu() -> None:
    left = pruned(residual(), stem={"activation_density": 0.5}, b={"activation_density": 0.6})
    assert left.sparsity is not None
    assert left.sparsity.densities == (("relu", 0.5), ("b", 0.6))


def test_what_a_profile_leaves_keeps_the_mini_batch_of_its_workload() -> None:
    """AlexNet is trained in 64 samples per core, pruned or not; the default of other networks is 32."""
    profile = Profile(name="p", source="a test", layers={"features.0": LayerSparsity(kept_outputs=8)}, masks={})
    assert apply_profile(workload("alexnet"), profile).batch_per_core == 64


def separable(multiplier: int = 1, groups: int = 16) -> LayerGraph:
    """A 1x1 convolution, a grouped one, and another 1x1 convolution."""
    net = Network("separable", Shape(3, 8, 8))
    x = net(ReLU(), net(Conv(16), net.input, name="expand"), name="relu")
    x = net(Conv(16 * multiplier, 3, padding=1, groups=groups), x, name="middle")
    net(CrossEntropy(), net(Flatten(), net(Conv(4, 8), x, name="last")), name="loss")
    return net.build()


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("cut", ["expand", "middle", "both", "readers"])
def test_a_cut_reaches_through_a_depthwise_convolution(multiplier: int, cut: str) -> None:
    """PyTorch counts the parameters of the small network."""
    from torch import nn

    outputs = {"kept_outputs": tuple(range(6 * multiplier))}
    entries = {
        "expand": {"expand": {"kept_outputs": (0, 1, 2, 3, 4, 5)}},
        "middle": {"middle": outputs},
        "both": {"expand": {"kept_outputs": 6}, "middle": {"kept_outputs": 6 * multiplier}},
        "readers": {"last": {"kept_inputs": 6 * multiplier}},
    }
    left = pruned(separable(multiplier), **entries[cut])
    module = nn.Sequential(
        nn.Conv2d(3, 6, 1, bias=False),
        nn.Conv2d(6, 6 * multiplier, 3, groups=6, bias=False),
        nn.Conv2d(6 * multiplier, 4, 8, bias=False),
    )
    assert left.parameter_count == sum(parameter.numel() for parameter in module.parameters())
    assert left.by_name["middle"].kind == Conv(6 * multiplier, 3, padding=1, groups=6)


def test_a_profile_of_another_layer_leaves_a_depth_multiplier_alone() -> None:
    graph = separable(2)
    assert pruned(graph, last={"weight_density": 0.5}).layers == graph.layers


@pytest.mark.parametrize(
    ("groups", "multiplier", "layer", "entry", "said"),
    [
        (4, 1, "expand", {"kept_outputs": 8}, "removes channels that 'middle' needs all of"),
        (4, 1, "last", {"kept_inputs": 8}, "removes channels that 'middle' needs all of"),
        (4, 1, "middle", {"kept_outputs": 8}, "its 4 groups of channels cannot be pruned"),
        (
            16,
            2,
            "middle",
            {"kept_outputs": 5},
            "each input channel makes 2 outputs, which can only be removed together",
        ),
        (16, 2, "middle", {"kept_outputs": (0, 1, 3)}, "which can only be removed together"),
    ],
)
def test_a_cut_that_would_change_nothing_is_refused(
    groups: int, multiplier: int, layer: str, entry: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        pruned(separable(multiplier, groups), **{layer: entry})


def test_an_entry_that_keeps_all_channels_is_no_cut() -> None:
    assert pruned(separable(1, 4), expand={"kept_outputs": 16}).layers == separable(1, 4).layers


def test_a_cut_between_a_concatenation_and_a_depthwise_convolution() -> None:
    net = Network("concat", Shape(3, 4, 4))
    parts = [net(Conv(width), net.input, name=f"c{width}") for width in (4, 6)]
    x = net(Conv(10, 3, padding=1, groups=10), net(Concat(), *parts, name="both"), name="middle")
    net(CrossEntropy(), net(Flatten(), net(Conv(5, 4), x, name="last")), name="loss")
    left = pruned(net.build(), middle={"kept_outputs": (0, 2, 4, 9)})
    assert channels(left) == {"c4": (3, 2), "c6": (3, 2), "middle": (4, 4), "last": (4, 5)}
    with pytest.raises(ConfigError, match="the layer reads several values"):
        pruned(net.build(), middle={"kept_outputs": 4})


def test_a_depthwise_convolution_cannot_drop_what_others_read() -> None:
    net = Network("shared", Shape(3, 8, 8))
    x = net(Conv(16), net.input, name="expand")
    y = net(Conv(16, 3, padding=1, groups=16), x, name="middle")
    net(CrossEntropy(), net(Flatten(), net(Conv(4, 8), net(Concat(), x, y, name="both"), name="last")), name="loss")
    with pytest.raises(ConfigError, match="drops channels that other layers read as well"):
        pruned(net.build(), middle={"kept_outputs": 6})
    assert channels(pruned(net.build(), expand={"kept_outputs": 6}))["last"] == (12, 4)
