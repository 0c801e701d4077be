"""Do random PyTorch networks import with PyTorch's shapes and parameters, and their ONNX exports as the same graph?"""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from torch import Tensor, nn  # noqa: E402

from wavecore.importers.onnx import import_onnx  # noqa: E402
from wavecore.importers.torch import import_torch  # noqa: E402
from wavecore.network.layers import BatchNorm, GroupNorm  # noqa: E402
from wavecore.network.rules import verify_graph  # noqa: E402
from wavecore.training.rules import verify_training  # noqa: E402
from wavecore.training.unroll import training_graph  # noqa: E402


class Branches(nn.Module):
    """Two chains of the same input, added or concatenated."""

    def __init__(self, one: nn.Module, two: nn.Module, join: str) -> None:
        super().__init__()
        self.one, self.two, self.join = one, two, join

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.one(x), self.two(x)
        return one + two if self.join == "add" else torch.cat([two, one], 1)


def convolution(draw: st.DrawFn, channels: int, outputs: int) -> nn.Module:
    """A convolution that keeps the image, with what stands behind convolutions."""
    height, width = draw(st.sampled_from([(1, 1), (3, 3), (1, 5), (5, 3)]))
    groups = draw(st.sampled_from([1, 2]))
    padding = (height // 2, width // 2)
    conv = nn.Conv2d(channels, outputs, (height, width), 1, padding, groups=groups, bias=draw(st.booleans()))
    norm = draw(st.sampled_from([nn.Identity(), nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)]))
    return nn.Sequential(conv, norm, draw(st.sampled_from([nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6()])))


@st.composite
def modules(draw: st.DrawFn) -> tuple[nn.Module, int]:
    """A classifier of images of some side."""
    side = draw(st.integers(12, 17))
    layers: list[nn.Module] = [nn.Conv2d(3, 4, 3, draw(st.integers(1, 2)), 1)]
    channels = 4
    for _ in range(draw(st.integers(1, 3))):
        match draw(st.sampled_from(["plain", "add", "concat", "max", "average", "stride"])):
            case "plain":
                layers.append(convolution(draw, channels, channels))
            case "max":
                layers.append(nn.MaxPool2d(2, 1, draw(st.integers(0, 1)), ceil_mode=draw(st.booleans())))
            case "average":
                layers.append(nn.AvgPool2d(3, 1, 1))
            case "stride":
                layers.append(nn.Conv2d(channels, 8, 3, 2, 1, bias=False))
                channels = 8
            case join:
                pair = (convolution(draw, channels, channels), draw(st.sampled_from([nn.Identity(), nn.ReLU()])))
                layers.append(Branches(*pair, join))
                channels *= 1 if join == "add" else 2
    head = (nn.AdaptiveAvgPool2d(1), *draw(st.permutations([nn.Flatten(), nn.Dropout(0.25)])))
    return nn.Sequential(*layers, *head, nn.Linear(channels, 10)), side


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laws") / "model.onnx"


@settings(max_examples=12)
@given(modules())
def test_shapes_and_parameters_are_pytorchs(case: tuple[nn.Module, int]) -> None:
    module, side = case
    graph = import_torch(module, (1, 3, side, side)).graph
    verify_graph(graph)
    verify_training(training_graph(graph))
    assert graph.parameter_count == sum(parameter.numel() for parameter in module.parameters())
    shapes = []
    with torch.no_grad():
        x = torch.zeros(2, 3, side, side)
        for layer in module:
            x = layer(x)
            shapes.append(tuple(x.shape[1:]))
    ours = [(layer.shape.channels, layer.shape.height, layer.shape.width) for layer in graph]
    for shape in shapes:
        assert (*shape, 1, 1)[:3] in ours


@settings(max_examples=8)
@given(modules())
def test_an_export_is_the_same_graph(path: Path, case: tuple[nn.Module, int]) -> None:
    module, side = case
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        mode = torch.onnx.TrainingMode.TRAINING
        torch.onnx.export(module, (torch.zeros(2, 3, side, side),), str(path), dynamo=False, training=mode)
    exported, traced = import_onnx(path), import_torch(module, (1, 3, side, side))
    assert (exported.graph.layers, exported.notes) == (traced.graph.layers, traced.notes)


@settings(max_examples=8)
@given(modules())
def test_keeping_batch_statistics_changes_nothing_but_normalizations(case: tuple[nn.Module, int]) -> None:
    module, side = case
    group, batch = (import_torch(module, (1, 3, side, side), norm=norm).graph for norm in ("group", "batch"))
    assert group.parameter_count == batch.parameter_count
    for one, other in zip(group, batch, strict=True):
        assert (one.name, one.inputs, one.shape) == (other.name, other.inputs, other.shape)
        assert one.kind == other.kind or (isinstance(one.kind, GroupNorm) and isinstance(other.kind, BatchNorm))
