"""Pruned networks whose published figures come out of our graphs."""

import csv
import json
from pathlib import Path

import pytest

from wavecore.catalog import workload
from wavecore.config import load_accelerator
from wavecore.ir import LayerGraph, Network
from wavecore.layers import Conv, CrossEntropy, Flatten, GlobalAvgPool, Linear, MaxPool, ReLU
from wavecore.shapes import Shape
from wavecore.sparsity.machine import for_machine
from wavecore.sparsity.profile import LayerSparsity, Profile
from wavecore.sparsity.profilefile import load_profile
from wavecore.sparsity.structure import apply_profile
from wavecore.training import training_graph

ROOT = Path(__file__).parents[2]
DATA = next(
    (each / "shared/data" for each in ROOT.parents if (each / "shared/data").is_dir()), Path("/work/shared/data")
)
real = pytest.mark.skipif(not DATA.is_dir(), reason="the real pruning data are not here")
PUBLISHED = ROOT / "examples/profiles/published"
EPOCHS = {
    10: 0.998, 20: 0.918, 30: 0.791, 40: 0.708, 50: 0.663, 60: 0.623, 70: 0.602, 80: 0.580, 90: 0.566,
}  # fmt: skip


def convolutions(graph: LayerGraph) -> list[tuple[str, int, int]]:
    return [
        (layer.name, graph.input_shapes(layer)[0].channels, layer.shape.channels)
        for layer in graph
        if isinstance(layer.kind, Conv)
    ]


@real
@pytest.mark.parametrize(("network", "share"), [("dense", 1.0), ("r_low", 0.652), ("r_high", 0.529)])
def test_prunetrain_resnet50_after_channel_union(network: str, share: float) -> None:
    rows = json.loads((DATA / "prunetrain_resnet50_imagenet_union.json").read_text())[network]
    dense = workload("resnet50")
    names = [name for name, _, _ in convolutions(dense)]
    layers = {name: LayerSparsity(kept_outputs=row["cout"]) for name, row in zip(names, rows, strict=False)}
    pruned = apply_profile(dense, Profile(name=network, source="PruneTrain", layers=layers))
    channels = [(cin, cout) for _, cin, cout in convolutions(pruned)]
    assert channels == [(row["cin"], row["cout"]) for row in rows[: len(channels)]]
    assert pruned.forward_macs / dense.forward_macs == pytest.approx(share, abs=0.0015)


def vgg11_cifar() -> LayerGraph:
    """VGG-11 for 32 x 32 images and 100 classes, as the data have it: one linear layer."""
    net = Network("vgg11_cifar", Shape(3, 32, 32))
    x = net.input
    for index, channels in enumerate((64, 128, 256, 256, 512, 512, 512, 512), start=1):
        x = net(ReLU(), net(Conv(channels, 3, padding=1), x, name=f"conv{index}"))
        if index in (1, 2, 4, 6, 8):
            x = net(MaxPool(2, 2), x)
    x = net(Linear(100), net(Flatten(), net(GlobalAvgPool(), x)), name="fc")
    net(CrossEntropy(), x, name="loss")
    return net.build()


@real
@pytest.mark.parametrize(("epoch", "share"), EPOCHS.items())
def test_prunetrain_vgg11(epoch: int, share: float) -> None:
    """The published share is of training FLOPs, and ours of MACs: up to 2.5 points more.

    The difference is proportional to the weights (about 3 operations a weight and sample), so it is not convolution.
    """
    with (DATA / "prunetrain_vgg11_cifar100.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["epoch"] == str(epoch)]
    layers = {row["layer"]: LayerSparsity(kept_outputs=int(row["out_channels"])) for row in rows}
    pruned = apply_profile(vgg11_cifar(), Profile(name="vgg", source="PruneTrain", layers=layers))
    assert [cin for _, cin, _ in convolutions(pruned)] == [int(row["in_channels"]) for row in rows[:-1]]
    assert pruned.forward_macs / vgg11_cifar().forward_macs == pytest.approx(share + 0.0125, abs=0.0135)


@real
def test_prunetrain_gated_macs() -> None:
    """Forward GMAC a sample of epoch 0, before anything is pruned, and what the rows of epoch 90 add up to."""
    with (DATA / "prunetrain_resnet50_imagenet_gated_r0.2.csv").open() as file:
        rows = list(csv.DictReader(file))
    macs = {
        epoch: sum(
            int(row["kernel_h"]) * int(row["kernel_w"]) * int(row["in_channels"]) * int(row["out_channels"])
            * int(row["out_size"]) ** 2
            for row in rows if row["epoch"] == epoch
        )
        for epoch in ("0", "90")
    }  # fmt: skip
    fc = 2048 * 1000 * ("fc" not in {row["layer"] for row in rows})
    assert (macs["0"] + fc) / 1e9 == pytest.approx(4.089, abs=0.003)
    assert macs["90"] / 1e9 == pytest.approx(2.366, abs=0.003)


def test_alexnet_joint_profile() -> None:
    """The table's "FLOP%" column is weights x what the layer before lets through: 84 33 18 14 14 3 3 10, in all 30."""
    graph = apply_profile(workload("alexnet"), load_profile(PUBLISHED / "alexnet_han2015.toml"))
    training = for_machine(training_graph(graph), load_accelerator())
    shares = [unit.forward[0].nonzero_share for unit in training.units if unit.forward[0].gemms]
    assert [int(100 * share) for share in shares] == [84, 33, 18, 13, 14, 3, 3, 10]
    left = sum(unit.forward[0].macs * unit.forward[0].nonzero_share for unit in training.units)
    assert left / graph.forward_macs == pytest.approx(0.30, abs=0.05)


def test_alexnet_weights_are_a_ninth() -> None:
    profile = load_profile(PUBLISHED / "alexnet_han2015.toml")
    graph = workload("alexnet")
    left = sum(
        graph.parameters(graph.by_name[name])[0].elements * (said.weight_density or 0)
        for name, said in profile.layers.items()
    )
    assert left / graph.parameter_count == pytest.approx(0.11, abs=0.005)


def test_prunetrain_profile_is_what_its_rule_gives() -> None:
    profile = load_profile(PUBLISHED / "prunetrain_resnet50.toml")
    pruned = apply_profile(workload("resnet50"), profile)
    assert pruned.forward_macs / workload("resnet50").forward_macs == pytest.approx(0.529, abs=0.02)
