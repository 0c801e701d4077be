"""Build a workload as a PyTorch module, so that the trained network is the costed one, with the same layer names."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavecore.errors import InputError
from wavecore.network.catalog import workload
from wavecore.network.graph import Layer, LayerGraph
from wavecore.network.layers import Conv, Flatten, Linear, MaxPool, ReLU
from wavecore.network.layers.base import pair


class Net(nn.Module):
    """A chain of convolutions, linear layers, ReLUs and max-poolings; parameters are named like ``conv1.weight``.

    ``rates`` are winner rates by the layer before a ReLU: the share of values that `winners` keeps behind that ReLU.
    Raises `InputError` for a graph with other layers.
    """

    def __init__(self, graph: LayerGraph) -> None:
        super().__init__()
        self.graph = graph
        self.rates: dict[str, float] = {}
        self.weighted = tuple(layer.name for layer in graph if isinstance(layer.kind, Conv | Linear))
        self.steps = tuple(layer for layer in graph if layer.kind.kind not in ("input", "cross_entropy"))
        for layer in self.steps:
            if isinstance(layer.kind, Conv | Linear):
                self.add_module(layer.name, _module(graph, layer))
            elif not isinstance(layer.kind, ReLU | MaxPool | Flatten):
                what = f"its layer {layer.name!r} is a {layer.kind.kind}, which cannot be trained here"
                raise InputError(f"network {graph.name}", what, "lenet5 or lenet300")

    def weight(self, layer: str) -> Tensor:
        """Return the weights of a layer: (outputs, inputs, ...)."""
        return self.get_parameter(f"{layer}.weight")

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores (samples, classes) of images (samples, channels, height, width)."""
        return self.values(images)[self.steps[-1].name]

    def values(self, images: Tensor) -> dict[str, Tensor]:
        """Return the output of every layer by its name; that of a ReLU has only its winners."""
        found: dict[str, Tensor] = {}
        value = images
        for layer in self.steps:
            value = self._value(layer, value)
            found[layer.name] = value
        return found

    def _value(self, layer: Layer, value: Tensor) -> Tensor:
        kind = layer.kind
        if isinstance(kind, ReLU):
            rate = self.rates.get(layer.inputs[0])
            positive = functional.relu(value)
            return positive if rate is None else winners(positive, rate)
        if isinstance(kind, MaxPool):
            return functional.max_pool2d(value, pair(kind.kernel), pair(kind.stride), pair(kind.padding))
        if isinstance(kind, Flatten):
            return value.flatten(1)
        made: Tensor = self.get_submodule(layer.name)(value)
        return made


def network(name: str) -> Net:
    """Return the workload of that name, with PyTorch's initialization from the current seed."""
    return Net(workload(name))


def winners(values: Tensor, rate: float) -> Tensor:
    """Keep the max(1, round(rate n)) values of largest magnitude of each sample's n values; set the others to zero.

    The gradient passes through the kept values only.
    """
    flat = values.detach().abs().flatten(1)
    count = max(1, round(rate * flat.shape[1]))
    if count >= flat.shape[1]:
        return values
    indices = flat.topk(count, dim=1, sorted=False).indices
    mask = torch.zeros_like(flat).scatter_(1, indices, 1.0)
    return values * mask.view_as(values)


def hidden(net: Net) -> tuple[str, ...]:
    """Return the layers that a ReLU follows, in order."""
    return tuple(layer.inputs[0] for layer in net.steps if isinstance(layer.kind, ReLU))


def set_rates(net: Net, rates: Mapping[str, float]) -> None:
    """Set the winner rate of each layer in ``rates``; all values of other layers are kept."""
    net.rates = dict(rates)


def _module(graph: LayerGraph, layer: Layer) -> nn.Module:
    kind, inputs = layer.kind, graph.input_shapes(layer)[0].channels
    if isinstance(kind, Linear):
        return nn.Linear(inputs, kind.out_features, bias=kind.bias)
    assert isinstance(kind, Conv)
    kernel, stride, padding = pair(kind.kernel), pair(kind.stride), pair(kind.padding)
    return nn.Conv2d(inputs, kind.out_channels, kernel, stride, padding, groups=kind.groups, bias=kind.bias)
