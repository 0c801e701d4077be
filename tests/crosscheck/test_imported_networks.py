"""Do networks written in PyTorch, and the ONNX files exported from them, import as exactly the built-in workloads?"""

from __future__ import annotations

import warnings
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from wavecore.importers.onnx import import_onnx
from wavecore.importers.torch import import_torch
from wavecore.network.catalog import workload
from wavecore.network.graph import LayerGraph
from wavecore.network.layers import LayerKind
from wavecore.network.layers.base import pair
from wavecore.simulation import simulate

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from torch import nn  # noqa: E402
from torch_networks import MODULES, LanguageModel  # noqa: E402

SIZES = ("kernel", "stride", "padding")


def described(kind: LayerKind) -> tuple[Any, ...]:
    """A layer kind, sizes written as pairs."""
    values = {field.name: getattr(kind, field.name) for field in fields(kind)}  # type: ignore[arg-type]
    return kind.kind, *((name, pair(value) if name in SIZES else value) for name, value in values.items())


def structure(graph: LayerGraph) -> list[tuple[Any, ...]]:
    """Layers in order, what they read by position, and their shapes: everything but names."""
    position = {layer.name: index for index, layer in enumerate(graph)}
    return [(described(layer.kind), tuple(position[name] for name in layer.inputs), layer.shape) for layer in graph]


@cache
def traced(name: str) -> LayerGraph:
    """The module, without memory for its weights, as a network."""
    module, side = MODULES[name]
    with torch.device("meta"):
        built = module()
    imported = import_torch(built, (1, 3, side, side), name=name)
    assert imported.notes == ()
    return imported.graph


def exported(name: str, path: Path) -> Path:
    """The module as an ONNX file without weights, which PyTorch's first exporter writes."""
    module, side = MODULES[name]
    with torch.device("meta"):
        built = module()
    built.to_empty(device="cpu")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # it is deprecated
        mode = torch.onnx.TrainingMode.TRAINING
        image = torch.zeros(1, 3, side, side)
        torch.onnx.export(built, (image,), str(path), dynamo=False, training=mode, export_params=False)
    return path


def costs(graph: LayerGraph, schedule: str) -> tuple[Any, ...]:
    """What a run says of the network, by row where there are rows, without names."""
    run = simulate(graph, schedule, engine="analytic")
    rows = [(row.kind, row.phase, row.cycles, row.macs, row.dram_read_bytes, row.dram_write_bytes) for row in run.rows]
    groups = [(len(group.layers), group.sub_batch) for group in run.groups]
    return run.step_cycles, run.macs, run.dram_bytes, run.global_buffer_bytes, run.energy_joules, groups, rows


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_the_built_in_network(name: str) -> None:
    built_in = workload(name)
    assert structure(traced(name)) == structure(built_in)
    assert traced(name).parameter_count == built_in.parameter_count
    assert traced(name).forward_macs == built_in.forward_macs


@pytest.mark.parametrize("schedule", ["baseline", "mbs2"])
@pytest.mark.parametrize("name", MODULES)
def test_a_module_costs_what_the_built_in_network_does(name: str, schedule: str) -> None:
    assert costs(traced(name), schedule) == costs(workload(name), schedule)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_an_onnx_file_is_the_same_network(name: str, tmp_path: Path) -> None:
    """The very same graph as that of the module, names and all."""
    imported = import_onnx(exported(name, tmp_path / f"{name}.onnx"))
    assert imported.notes == ()
    assert imported.graph == traced(name)


def test_layers_are_called_by_their_modules() -> None:
    assert [layer.name for layer in traced("vgg16")] == [layer.name for layer in workload("vgg16")]
    names = [layer.name for layer in traced("resnet50")]
    assert names[:7] == ["input", "conv1", "bn1", "relu", "maxpool", "layer1.0.conv1", "layer1.0.bn1"]
    assert names[-5:] == ["layer4.2.relu_2", "avgpool", "flatten", "fc", "loss"]
    assert "Mixed_7b.concat" in {layer.name for layer in traced("inception_v3")}
    assert "features.3.add" in {layer.name for layer in traced("mobilenet_v2")}


class Small(nn.Module):
    """What exporters rewrite: group normalization, a flatten by view, dropouts, a bias beside a normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu6 = nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU6()
        self.conv2, self.bn = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.norm, self.pool = nn.GroupNorm(4, 16), nn.AdaptiveAvgPool2d(1)
        self.drop, self.fc = nn.Dropout(0.2), nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu6(self.conv1(x))
        x = self.norm(torch.relu(self.bn(self.conv2(x))) + x)
        x = self.pool(x)
        return self.fc(self.drop(x.view(x.size(0), -1)))  # type: ignore[no-any-return]


def converted(path: Path, **options: Any) -> Path:
    """The small module as PyTorch's exporters write it, in training mode."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Small().train(), (torch.zeros(2, 3, 16, 16),), str(path), verbose=False, **options)
    return path


@pytest.mark.slow
def test_every_exporter_writes_the_same_network(tmp_path: Path) -> None:
    """The default one folds batch normalization away, even in training mode; it can be put back."""
    pytest.importorskip("onnxscript")
    wanted = structure(import_torch(Small(), (1, 3, 16, 16)).graph)
    legacy = {"dynamo": False, "training": torch.onnx.TrainingMode.TRAINING}
    for options in (legacy, {"dynamo": True, "optimize": False}):
        imported = import_onnx(converted(tmp_path / "small.onnx", **options))
        assert (imported.notes, structure(imported.graph)) == ((), wanted)
    folded = converted(tmp_path / "folded.onnx", dynamo=True)
    assert structure(import_onnx(folded, folded="restore").graph) == wanted
    kept = import_onnx(folded)
    assert "1 of the convolutions seem to contain a folded batch normalization" in kept.notes[0]
    assert len(kept.graph.layers) == len(wanted) - 1


SMALL = {"vocabulary": 60, "embedding": 24, "hidden": 16}
"""Options of a small `lstm_ptb`."""


def words(samples: int, steps: int, batch_first: bool) -> torch.Tensor:
    return torch.zeros((samples, steps) if batch_first else (steps, samples), dtype=torch.long)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("samples", [1, 7, 64])
def test_a_language_model_is_the_built_in_one(batch_first: bool, samples: int) -> None:
    """Names and all, whatever the size of its mini-batch and the order of its axes."""
    module = LanguageModel(**SMALL, layers=3, batch_first=batch_first)  # type: ignore[arg-type]
    imported = import_torch(module, words(samples, 7, batch_first), name="lstm_ptb")
    assert imported.notes == ()
    assert in_the_mini_batch_of_lstm_ptb(imported.graph) == workload("lstm_ptb", **SMALL, layers=3, steps=7)


@pytest.mark.parametrize("schedule", ["baseline", "mbs2"])
def test_a_whole_language_model_costs_what_the_built_in_one_does(schedule: str) -> None:
    with torch.device("meta"):
        module = LanguageModel()
    graph, built_in = import_torch(module, words(20, 35, False)).graph, workload("lstm_ptb")
    graph = in_the_mini_batch_of_lstm_ptb(graph)
    biases = sum(value.numel() for name, value in module.named_parameters() if "bias_hh" in name)
    assert graph.parameter_count == built_in.parameter_count
    assert sum(value.numel() for value in module.parameters()) == built_in.parameter_count + biases
    assert costs(graph, schedule) == costs(built_in, schedule)


def in_the_mini_batch_of_lstm_ptb(graph: LayerGraph) -> LayerGraph:
    """The network in 10 samples per core; an imported one, of which none is known, is taken to have 32."""
    assert graph.batch_per_core == 32
    return replace(graph, batch_per_core=10)


EXPORTERS: dict[str, dict[str, Any]] = {
    "first": {"dynamo": False, "training": torch.onnx.TrainingMode.TRAINING},
    "second": {"dynamo": True},
    "plain": {"dynamo": True, "optimize": False},
}


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("exporter", EXPORTERS)
def test_a_language_model_in_an_onnx_file_is_the_built_in_one(exporter: str, batch_first: bool, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    module, path = LanguageModel(**SMALL, batch_first=batch_first), tmp_path / "lstm_ptb.onnx"  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = (words(3, 7, batch_first),)
        torch.onnx.export(module.train(), example, str(path), verbose=False, **EXPORTERS[exporter])
    imported = import_onnx(path)
    assert imported.notes == ()
    assert in_the_mini_batch_of_lstm_ptb(imported.graph) == workload("lstm_ptb", **SMALL, steps=7)


class Stack(nn.Module):
    """An LSTM of several layers in both directions, from numbers to scores."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(12, 8, 2, dropout=0.2, bidirectional=True, batch_first=True)
        self.decoder = nn.Linear(16, 30)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.lstm(x)[0])  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("exporter", ["second", "plain"])
def test_an_lstm_of_several_layers_is_the_same_in_an_onnx_file(exporter: str, samples: int, tmp_path: Path) -> None:
    """The first exporter writes none with dropout between its layers."""
    pytest.importorskip("onnxscript")
    path, example = tmp_path / "stack.onnx", torch.zeros(samples, 5, 12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Stack().train(), (example,), str(path), verbose=False, **EXPORTERS[exporter])
    imported = import_onnx(path)
    assert (imported.notes, imported.graph) == ((), import_torch(Stack(), example, name="stack").graph)
