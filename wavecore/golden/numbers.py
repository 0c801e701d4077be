"""The numbers that a training step begins with, and those that it yields."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from wavecore.golden.operands import AnyArray
from wavecore.network.graph import Layer, LayerGraph
from wavecore.network.layers import BatchNorm, Dropout, Embedding, GroupNorm


@dataclass(frozen=True, slots=True, kw_only=True)
class StepData:
    """The numbers of one training step.

    ``images`` (samples, channels, height, width), of words where there is an embedding, ``labels`` (samples, steps),
    flat ``weights`` and ``momentum`` by unit, and for each dropout the elements that it keeps, (samples, elements).
    All arrays of reals have one dtype.
    """

    images: AnyArray
    labels: AnyArray
    weights: dict[str, AnyArray]
    momentum: dict[str, AnyArray]
    kept: dict[str, AnyArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepNumbers:
    """What a step yields: the mean loss, and by unit the gradient of the weights and their values and momentum."""

    loss: float
    gradients: dict[str, AnyArray]
    weights: dict[str, AnyArray]
    momentum: dict[str, AnyArray]


def random_data(graph: LayerGraph, batch: int, dtype: npt.DTypeLike, seed: int = 0) -> StepData:
    """Random images, labels, masks, and weights of a size that lets activations through (He's initialization)."""
    draw = np.random.default_rng(seed)
    result = graph.layers[-1].shape
    words = [layer.kind.vocabulary for layer in graph if isinstance(layer.kind, Embedding)]
    shape = graph.layers[0].shape
    weights = {layer.name: _weight(graph, layer, draw) for layer in graph if graph.parameters(layer)}
    size = batch, shape.channels, shape.height, shape.width
    return StepData(
        images=(draw.integers(min(words), size=size) if words else draw.standard_normal(size)).astype(dtype),
        labels=draw.integers(result.channels, size=(batch, result.height)),
        weights={name: weight.astype(dtype) for name, weight in weights.items()},
        momentum={name: (0.01 * draw.standard_normal(weight.size)).astype(dtype) for name, weight in weights.items()},
        kept={
            layer.name: draw.random((batch, layer.shape.elements)) >= layer.kind.rate
            for layer in graph
            if isinstance(layer.kind, Dropout)
        },
    )


def in_double(data: StepData) -> StepData:
    """The same numbers in float64."""
    return replace(
        data,
        images=data.images.astype(np.float64),
        weights={name: weight.astype(np.float64) for name, weight in data.weights.items()},
        momentum={name: value.astype(np.float64) for name, value in data.momentum.items()},
    )


def _weight(graph: LayerGraph, layer: Layer, draw: np.random.Generator) -> npt.NDArray[Any]:
    main, *rest = graph.parameters(layer)
    noise = draw.standard_normal(main.elements + sum(parameter.elements for parameter in rest))
    if isinstance(layer.kind, GroupNorm | BatchNorm):
        noise = 0.1 * noise
        noise[: main.elements] += 1
        return noise
    noise[: main.elements] *= np.sqrt(2 * layer.shape.channels / main.elements)
    noise[main.elements :] *= 0.1
    return noise
