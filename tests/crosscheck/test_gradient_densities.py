"""Densities of gradients against real backward passes of PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import wavecore as wc
from wavecore.network.sparsity import Sparsity
from wavecore.sparsity.gradients import gradient_densities
from wavecore.training.unroll import training_graph

SAMPLES = 64


def measured(layers: list[nn.Module], size: tuple[int, ...]) -> tuple[dict[str, float], dict[str, float]]:
    """The densities of the outputs of all layers, and of the gradients at them, by number of the layer."""
    torch.manual_seed(0)
    values: dict[str, float] = {}
    gradients: dict[str, float] = {}
    value: Any = torch.randn(SAMPLES, *size)
    for number, layer in enumerate(layers):
        value = layer(value)
        values[str(number)] = float((value != 0).float().mean())

        def hook(gradient: torch.Tensor, key: str = str(number)) -> None:
            gradients[key] = float((gradient != 0).float().mean())

        value.register_hook(hook)
    nn.functional.cross_entropy(value, torch.randint(0, 10, (SAMPLES,))).backward()
    return values, gradients


NETWORKS: dict[str, tuple[list[nn.Module], tuple[int, ...]]] = {
    "lenet": (
        [nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.ReLU(), nn.MaxPool2d(2),
         nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10)],
        (1, 28, 28),
    ),
    "stride beyond the kernel": (
        [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 9, 10)],
        (3, 7, 7),
    ),
    "pooling without a ReLU": (
        [nn.Conv2d(3, 8, 3), nn.MaxPool2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 9, 10)],
        (3, 11, 11),
    ),
    "average": (
        [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8 * 9, 10)],
        (3, 8, 8),
    ),
    "overlapping windows": (
        [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(), nn.Linear(8 * 9, 10)],
        (3, 9, 9),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_have_the_zeros_of_a_real_backward_pass(name: str) -> None:
    layers, size = NETWORKS[name]
    values, gradients = measured(layers, size)
    training = training_graph(wc.from_torch(nn.Sequential(*layers), (1, *size)))
    # The density of a unit is that behind its fused ReLU.
    known = {unit.name: values[unit.fused[-1] if unit.fused else unit.name] for unit in training.units[:-1]}
    found = gradient_densities(training, known)
    for unit in training.units[:-1]:
        real = gradients[unit.name]
        ours = found.get(f"{unit.name}.gradient", 1.0)
        if name == "overlapping windows" and unit.name == "0":
            assert real <= ours < known["0"]
        else:
            assert ours == pytest.approx(real, rel=0.03, abs=0.002), unit.name


def test_packed_gradients_of_lenet_take_the_bytes_of_their_zeros() -> None:
    """48.5 % nonzero values behind conv1's ReLU, 57.2 % behind the pooling: 14.3 % of the gradient's values."""
    graph = wc.workload("lenet5")
    known = Sparsity("p", "", (), (("conv1", 0.485), ("pool1", 0.572)))
    found = gradient_densities(training_graph(graph), dict(known.densities))
    assert found["conv1.gradient"] == pytest.approx(0.143)
