"""The reference result: one training step of the same network on the same numbers with PyTorch's autograd and SGD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wavecore.errors import InputError
from wavecore.golden.kernels import EPSILON
from wavecore.golden.numbers import StepData, StepNumbers
from wavecore.golden.semantics import LEARNING_RATE, MOMENTUM, WEIGHT_DECAY
from wavecore.network.graph import Layer, LayerGraph
from wavecore.network.layers import (
    LSTM,
    AdaptiveAvgPool,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    CrossEntropy,
    Dropout,
    Embedding,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    LayerKind,
    Linear,
    MaxPool,
    ReLU,
)
from wavecore.network.layers.base import pair


def import_torch() -> Any:
    """Return the module ``torch``; raise InputError, which says what to install, if it is missing."""
    try:
        import torch
    except ImportError:
        raise InputError("wavecore verify", "PyTorch is not installed", 'pip install "wavecore[torch]"') from None
    return torch


def _conv(f: Any, conv: Conv, inputs: Sequence[Any], weight: Any) -> Any:
    channels = inputs[0].shape[1]
    shape = (conv.out_channels, channels // conv.groups, *pair(conv.kernel))
    count = int(np.prod(shape))
    bias = weight[count:] if conv.bias else None
    stride, padding = pair(conv.stride), pair(conv.padding)
    return f.conv2d(inputs[0], weight[:count].view(shape), bias, stride, padding, groups=conv.groups)


def _linear(f: Any, linear: Linear, inputs: Sequence[Any], weight: Any) -> Any:
    steps: Any = inputs[0][:, :, :, 0].transpose(1, 2)  # PyTorch wants features last
    count = linear.out_features * steps.shape[2]
    bias = weight[count:] if linear.bias else None
    return f.linear(steps, weight[:count].view(linear.out_features, -1), bias).transpose(1, 2)[:, :, :, None]


def _norm(f: Any, norm: GroupNorm, inputs: Sequence[Any], weight: Any) -> Any:
    scale, shift = weight.chunk(2)
    return f.group_norm(inputs[0], norm.groups, scale, shift, EPSILON)


def _relu(f: Any, relu: ReLU, inputs: Sequence[Any], weight: Any) -> Any:
    return f.relu(inputs[0]) if relu.ceiling is None else f.hardtanh(inputs[0], 0.0, relu.ceiling)


def _max_pool(f: Any, pool: MaxPool, inputs: Sequence[Any], weight: Any) -> Any:
    sizes = pair(pool.kernel), pair(pool.stride), pair(pool.padding)
    return f.max_pool2d(inputs[0], *sizes, ceil_mode=pool.round_up)


def _avg_pool(f: Any, pool: AvgPool, inputs: Sequence[Any], weight: Any) -> Any:
    return f.avg_pool2d(inputs[0], pair(pool.kernel), pair(pool.stride), pair(pool.padding), pool.round_up)


FORWARD: Mapping[type[LayerKind], Any] = {
    Conv: _conv,
    Linear: _linear,
    GroupNorm: _norm,
    ReLU: _relu,
    MaxPool: _max_pool,
    AvgPool: _avg_pool,
    GlobalAvgPool: lambda f, kind, inputs, weight: inputs[0].mean((2, 3), keepdim=True),
    AdaptiveAvgPool: lambda f, kind, inputs, weight: f.adaptive_avg_pool2d(inputs[0], pair(kind.size)),
    Add: lambda f, kind, inputs, weight: sum(inputs[1:], inputs[0]),
    Flatten: lambda f, kind, inputs, weight: inputs[0].flatten(1)[:, :, None, None],
}


def _lstm(torch: Any, lstm: LSTM, sums: Any, weight: Any) -> Any:
    """Run PyTorch's LSTM on the gates' input sums; its input weights are the unit matrix, as the sums are given."""
    gates, count = sums.shape[1], sums.shape[1] * lstm.hidden
    module = torch.nn.LSTM(gates, lstm.hidden, batch_first=True, dtype=sums.dtype)
    given = {
        "weight_ih_l0": torch.eye(gates, dtype=sums.dtype),
        "weight_hh_l0": weight[:count].view(gates, lstm.hidden),
        "bias_ih_l0": torch.zeros(gates, dtype=sums.dtype),
        "bias_hh_l0": weight[count:] if lstm.bias else torch.zeros(gates, dtype=sums.dtype),
    }
    steps = sums.transpose(1, 2)
    steps = steps.flip(1) if lstm.reverse else steps
    value, _ = torch.func.functional_call(module, given, (steps,))
    value = value.flip(1) if lstm.reverse else value
    return value.transpose(1, 2)[:, :, :, None]


def reference(graph: LayerGraph, data: StepData, cores: int = 1) -> StepNumbers:
    """Run one training step of ``graph`` on ``data`` in PyTorch; raise InputError if it is not installed.

    Batch normalization takes its statistics over each of the ``cores`` equal shares of the samples, as on the chip.
    """
    torch = import_torch()
    weights = {unit: torch.tensor(value, requires_grad=True) for unit, value in data.weights.items()}
    values: dict[str, Any] = {graph.layers[0].name: torch.tensor(data.images)}
    loss: Any = None
    for layer in graph.layers[1:]:
        inputs = [values[name] for name in layer.inputs]
        if isinstance(layer.kind, CrossEntropy):
            loss = torch.nn.functional.cross_entropy(inputs[0][:, :, :, 0], torch.tensor(data.labels))
        else:
            values[layer.name] = _forward(torch, layer, inputs, weights.get(layer.name), data, cores)
    loss.backward()
    gradients = {unit: weight.grad.numpy().copy() for unit, weight in weights.items()}
    optimizer = torch.optim.SGD(weights.values(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY)
    for unit, weight in weights.items():
        optimizer.state[weight]["momentum_buffer"] = torch.tensor(data.momentum[unit])
    optimizer.step()
    return StepNumbers(
        loss=loss.item(),
        gradients=gradients,
        weights={unit: weight.detach().numpy() for unit, weight in weights.items()},
        momentum={unit: optimizer.state[weight]["momentum_buffer"].numpy() for unit, weight in weights.items()},
    )


def _forward(torch: Any, layer: Layer, inputs: list[Any], weight: Any, data: StepData, cores: int) -> Any:
    if isinstance(layer.kind, Concat):
        return torch.cat(inputs, 1)
    if isinstance(layer.kind, BatchNorm):
        normalize, (scale, shift) = torch.nn.functional.batch_norm, weight.chunk(2)
        shares = inputs[0].chunk(cores)
        return torch.cat([normalize(each, None, None, scale, shift, training=True, eps=EPSILON) for each in shares])
    if isinstance(layer.kind, Dropout):
        kept = torch.tensor(data.dropout_masks[layer.name]).view_as(inputs[0])
        return inputs[0] * kept / (1 - layer.kind.rate)
    if isinstance(layer.kind, Embedding):
        rows = torch.nn.functional.embedding(inputs[0][:, 0, :, 0].long(), weight.view(layer.kind.vocabulary, -1))
        return rows.transpose(1, 2)[:, :, :, None]
    if isinstance(layer.kind, LSTM):
        return _lstm(torch, layer.kind, inputs[0][:, :, :, 0], weight)
    return FORWARD[type(layer.kind)](torch.nn.functional, layer.kind, inputs, weight)
