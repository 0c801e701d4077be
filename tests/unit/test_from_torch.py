"""Does `from_torch` read what a module's forward does, without touching the module?"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

import wavecore as wc  # noqa: E402
from wavecore.network.layers import (  # noqa: E402
    AdaptiveAvgPool,
    AvgPool,
    Conv,
    Dropout,
    GlobalAvgPool,
    GroupNorm,
    LayerKind,
    Linear,
    MaxPool,
    ReLU,
)


def kinds(*modules: nn.Module, shape: tuple[int, ...] = (1, 8, 12, 12)) -> list[LayerKind]:
    """Layer kinds behind a first convolution, up to the loss or the outlet."""
    graph = wc.from_torch(nn.Sequential(nn.Conv2d(shape[1], 8, 3, padding=1), *modules), shape)
    return [layer.kind for layer in graph.layers[2:-1]]


class Does(nn.Module):
    """A module whose forward is a function."""

    def __init__(self, function) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        (nn.Conv2d(8, 4, 3, 2, 1), Conv(4, 3, 2, 1, bias=True)),
        (nn.Conv2d(8, 4, (1, 7), padding="same", bias=False), Conv(4, (1, 7), 1, (0, 3))),
        (nn.Conv2d(8, 4, 3, padding="valid", groups=2), Conv(4, 3, groups=2, bias=True)),
        (nn.BatchNorm2d(8), GroupNorm(8)),
        (nn.GroupNorm(2, 8), GroupNorm(2)),
        (nn.InstanceNorm2d(8, affine=True), GroupNorm(8)),
        (nn.ReLU(), ReLU()),
        (nn.ReLU6(inplace=True), ReLU(6.0)),
        (nn.Hardtanh(0.0, 3.0), ReLU(3.0)),
        (Does(lambda x: x.clamp(min=0)), ReLU()),
        (Does(lambda x: x.clamp(0, 6)), ReLU(6.0)),
        (Does(functional.relu6), ReLU(6.0)),
        (nn.Dropout(0.1), Dropout(0.1)),
        (nn.Dropout2d(0.1), Dropout(0.1)),
        (nn.MaxPool2d(2), MaxPool(2, 2)),
        (nn.MaxPool2d(3, 2, 1, ceil_mode=True), MaxPool(3, 2, 1, True)),
        (nn.AvgPool2d(3, 1, 1), AvgPool(3, 1, 1)),
        (nn.AvgPool2d(12), GlobalAvgPool()),
        (nn.AdaptiveAvgPool2d(1), GlobalAvgPool()),
        (nn.AdaptiveAvgPool2d((5, 7)), AdaptiveAvgPool((5, 7))),
        (nn.AdaptiveMaxPool2d(4), MaxPool(3, 3)),
        (Does(lambda x: x.mean((2, 3), keepdim=True)), GlobalAvgPool()),
    ],
    ids=lambda value: str(value).partition("(")[0],
)
def test_a_module_is_a_layer(module: nn.Module, kind: LayerKind) -> None:
    assert kinds(module) == [kind]


@pytest.mark.parametrize("module", [nn.Identity(), nn.Dropout(0.0), nn.AdaptiveAvgPool2d(12), nn.MaxPool2d(1)])
def test_what_does_nothing_vanishes(module: nn.Module) -> None:
    assert kinds(module) == []


@pytest.mark.parametrize(
    "flat",
    [
        nn.Flatten(),
        Does(lambda x: x.view(x.size(0), -1)),
        Does(lambda x: x.reshape(len(x), 8 * 144)),
        Does(lambda x: torch.flatten(x, 1).contiguous()),
    ],
)
def test_a_flatten_and_a_linear_layer(flat: nn.Module) -> None:
    assert [kind.kind for kind in kinds(flat, nn.Linear(1152, 10))] == ["flatten", "linear"]
    assert kinds(flat, nn.Linear(1152, 10, bias=False))[-1] == Linear(10, bias=False)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: functional.relu(x) + x,
        lambda x: torch.add(x, functional.relu(x)),
        lambda x: functional.relu(x).add_(x),
    ],
)
def test_a_sum_reads_first_what_it_alone_reads(function) -> None:  # type: ignore[no-untyped-def]
    graph = wc.from_torch(nn.Sequential(nn.Conv2d(3, 8, 1), Does(function)), (1, 3, 8, 8))
    assert [layer.kind.kind for layer in graph] == ["input", "conv", "relu", "add", "outlet"]
    assert graph.layers[3].inputs == (graph.layers[2].name, graph.layers[1].name)


def test_what_is_changed_in_place_is_read_as_changed() -> None:
    def forward(x: Tensor) -> Tensor:
        functional.relu(x, inplace=True)
        return x

    assert kinds(Does(forward)) == [ReLU()]


@pytest.mark.parametrize("training", [True, False])
def test_the_module_is_left_as_it_was(training: bool) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout(), nn.ReLU(inplace=True)).train(training)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    graph = wc.from_torch(module, torch.zeros(1, 3, 8, 8))
    assert [layer.kind.kind for layer in graph] == ["input", "conv", "norm", "dropout", "relu", "outlet"]
    assert module.training is training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_the_example_gives_only_its_shape() -> None:
    with torch.device("meta"):
        module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    shapes = ((1, 3, 8, 8), [7, 3, 8, 8], torch.zeros(1, 3, 8, 8), torch.empty(5, 3, 8, 8, device="meta"))
    graphs = {str(wc.from_torch(module, shape)) for shape in shapes}
    assert len(graphs) == 1


def test_one_sample_is_enough_for_a_norm_that_cannot_train_on_one() -> None:
    assert kinds(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(8))[-1] == GroupNorm(8)


def test_names() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act = nn.Conv2d(8, 8, 1), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.act(self.conv(x)) + x)  # type: ignore[no-any-return]

    graph = wc.from_torch(nn.Sequential(Block(), Block()), (1, 8, 4, 4), name="mine")
    assert graph.name == "mine"
    names = [layer.name for layer in graph]
    assert names[1:5] == ["0.conv", "0.act", "0.add", "0.act_1"]
    assert graph.layers[5].source == "module Sequential, conv2d_1"


def test_an_imported_network_runs() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
    run = wc.simulate(wc.from_torch(module, (1, 3, 8, 8)), "mbs2", batch=8)
    assert run.macs == 8 * (3 * 36 * 27 * 8 - 36 * 27 * 8 + 3 * 2880)  # the first layer has no data gradient
