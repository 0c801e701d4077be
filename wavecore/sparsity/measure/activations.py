"""Measure activation densities: run a network in PyTorch on samples and count its nonzero values.

Networks with normalization are not supported: a checkpoint's running statistics belong to batch normalization, which
the workloads do not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wavecore.errors import FileError, InputError
from wavecore.network.graph import Layer, LayerGraph
from wavecore.network.layers import Add, AvgPool, Concat, Conv, Dropout, Flatten, GlobalAvgPool, Linear, MaxPool, ReLU
from wavecore.network.layers.base import pair
from wavecore.sparsity.arrays import read_arrays
from wavecore.sparsity.measure.state import pruned_weights, torch_state

BATCH = 64
MOST_SAMPLES = 1 << 14


def activation_densities(graph: LayerGraph, checkpoint: Path, samples: Path) -> dict[str, float]:
    """Return the share of nonzero values of the input, of every ReLU and of every max-pooling, by layer name.

    The density of a ReLU is given under the name of the layer before it.  ``samples`` is an ``.npz`` with one array of
    shape (samples, channels, height, width), scaled as for training.  Raises `InputError` for a network, checkpoint or
    samples that cannot be run, and `FileError` for a file that cannot be used or if PyTorch is missing.
    """
    try:
        import torch
    except ImportError as error:
        raise FileError("--data", "needs PyTorch to run the network", 'pip install "wavecore[torch]"') from error
    for layer in graph:
        if layer.kind.kind not in _RUN and layer.kind.kind not in ("input", "cross_entropy"):
            what = f"layer {layer.name!r} of {graph.name} is a {layer.kind.kind}, which cannot be run from a checkpoint"
            raise InputError("--data", what, "activation_density in the profile, measured during training")
    weights = _parameters(graph, checkpoint)
    images = _samples(graph, samples)
    counts: dict[str, int] = {}
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            values = _forward(graph, weights, images[start : start + BATCH])
            for name, value in values.items():
                counts[name] = counts.get(name, 0) + int(torch.count_nonzero(value))
    wanted = {"input": "input"} | {
        layer.name: _before(graph, layer) for layer in graph if layer.kind.kind in ("relu", "max_pool")
    }
    return {owner: counts[name] / (len(images) * graph.by_name[name].shape.elements) for name, owner in wanted.items()}


def _before(graph: LayerGraph, layer: Layer) -> str:
    """Return the layer under whose name a profile has a layer's density: for a ReLU the layer before it."""
    return layer.inputs[0] if isinstance(layer.kind, ReLU) else layer.name


def _samples(graph: LayerGraph, path: Path) -> Any:
    """Return the samples as a tensor in fp32; `FileError` if the file does not hold one array of the input's shape."""
    import numpy as np
    import torch

    arrays = list(read_arrays(path).values())
    shape = graph.layers[0].shape
    wanted = (shape.channels, shape.height, shape.width)
    if len(arrays) != 1 or arrays[0].ndim != 4 or arrays[0].shape[1:] != wanted or not len(arrays[0]):
        held = ", ".join("x".join(map(str, array.shape)) for array in arrays) or "nothing"
        what = f"holds {held}, not one array of samples x {'x'.join(map(str, wanted))}"
        raise FileError(str(path), what, "numpy.savez(path, images)")
    if len(arrays[0]) > MOST_SAMPLES:
        raise FileError(str(path), f"holds {len(arrays[0])} samples", f"at most {MOST_SAMPLES}")
    return torch.from_numpy(np.ascontiguousarray(arrays[0].astype(np.float32)))


def _parameters(graph: LayerGraph, path: Path) -> Mapping[str, Any]:
    """Return the tensors of a ``.pt`` or ``.npz`` checkpoint; `InputError` if one is missing.

    Their shapes are not checked here: `wavecore.sparsity.measure.weights.match` has done so.
    """
    import numpy as np
    import torch

    if path.suffix.lower() in (".pt", ".pth"):
        found = {name: value.float() for name, value in torch_state(path).items()}
    elif path.suffix.lower() == ".npz":
        found = {name: torch.from_numpy(np.array(value, dtype=np.float32)) for name, value in read_arrays(path).items()}
    else:
        raise InputError("--data", f"cannot be used with {path.suffix} files", "a .pt or an .npz checkpoint")
    found = pruned_weights(path, found)
    for layer in graph:
        if isinstance(layer.kind, Conv | Linear):
            wanted = ["weight", "bias"] if layer.kind.bias else ["weight"]
            for name in (f"{layer.name}.{part}" for part in wanted):
                if name not in found:
                    raise InputError(str(path), f"has no {name!r}, which --data needs", "a complete state dict")
    return found


def _forward(graph: LayerGraph, weights: Mapping[str, Any], images: Any) -> dict[str, Any]:
    """Return the output of every layer for a batch of images."""
    values: dict[str, Any] = {}
    for layer in graph:
        if layer.kind.kind == "input":
            values[layer.name] = images
        elif layer.kind.kind != "cross_entropy":
            values[layer.name] = _RUN[layer.kind.kind](layer, weights, [values[name] for name in layer.inputs])
    return values


def _conv(layer: Layer, weights: Mapping[str, Any], inputs: list[Any]) -> Any:
    from torch.nn import functional

    kind = layer.kind
    assert isinstance(kind, Conv)
    bias = weights[f"{layer.name}.bias"] if kind.bias else None
    stride, padding = pair(kind.stride), pair(kind.padding)
    return functional.conv2d(inputs[0], weights[f"{layer.name}.weight"], bias, stride, padding, 1, kind.groups)


def _linear(layer: Layer, weights: Mapping[str, Any], inputs: list[Any]) -> Any:
    from torch.nn import functional

    assert isinstance(layer.kind, Linear)
    bias = weights[f"{layer.name}.bias"] if layer.kind.bias else None
    return functional.linear(inputs[0], weights[f"{layer.name}.weight"], bias)


def _pool(layer: Layer, weights: Mapping[str, Any], inputs: list[Any]) -> Any:
    from torch.nn import functional

    kind = layer.kind
    assert isinstance(kind, MaxPool | AvgPool)
    pool = functional.max_pool2d if isinstance(kind, MaxPool) else functional.avg_pool2d
    return pool(inputs[0], pair(kind.kernel), pair(kind.stride), pair(kind.padding), ceil_mode=kind.round_up)


def _cat(layer: Layer, weights: Mapping[str, Any], inputs: list[Any]) -> Any:
    import torch

    return torch.cat(inputs, dim=1)


_RUN: Mapping[str, Any] = {
    Conv.kind: _conv,
    Linear.kind: _linear,
    MaxPool.kind: _pool,
    AvgPool.kind: _pool,
    Concat.kind: _cat,
    ReLU.kind: lambda layer, weights, inputs: inputs[0].clamp(0, layer.kind.ceiling),
    Dropout.kind: lambda layer, weights, inputs: inputs[0],
    Add.kind: lambda layer, weights, inputs: sum(inputs[1:], inputs[0]),
    Flatten.kind: lambda layer, weights, inputs: inputs[0].flatten(1),
    GlobalAvgPool.kind: lambda layer, weights, inputs: inputs[0].mean((2, 3), keepdim=True),
}
