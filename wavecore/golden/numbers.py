"""The values that a training step begins with, and those that it yields."""

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
    """The inputs of one training step.

    ``images`` is (samples, channels, height, width), with word numbers as values where the network has an embedding;
    ``labels`` is (samples, time steps).  ``weights`` and ``momentum`` are flat arrays by unit.  ``dropout_masks`` is
    for each dropout layer (samples, elements), True where the element is kept.  All floating-point arrays have one
    dtype.
    """

    images: AnyArray
    labels: AnyArray
    weights: dict[str, AnyArray]
    momentum: dict[str, AnyArray]
    dropout_masks: dict[str, AnyArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepNumbers:
    """The results of one training step: the mean loss, and by unit weight gradients, new weights and new momentum."""

    loss: float
    gradients: dict[str, AnyArray]
    weights: dict[str, AnyArray]
    momentum: dict[str, AnyArray]


def random_data(graph: LayerGraph, batch: int, dtype: npt.DTypeLike, seed: int = 0) -> StepData:
    """Return random images, labels, dropout masks, momentum and weights for ``batch`` samples, from ``seed``.

    Weights are scaled so that activations keep their size from layer to layer [He et al., ICCV 2015].
    """
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
        dropout_masks={
            layer.name: draw.random((batch, layer.shape.elements)) >= layer.kind.rate
            for layer in graph
            if isinstance(layer.kind, Dropout)
        },
    )


def in_double(data: StepData) -> StepData:
    """Return a copy of ``data`` in float64."""
    return replace(
        data,
        images=data.images.astype(np.float64),
        weights={name: weight.astype(np.float64) for name, weight in data.weights.items()},
        momentum={name: value.astype(np.float64) for name, value in data.momentum.items()},
    )


def _weight(graph: LayerGraph, layer: Layer, draw: np.random.Generator) -> npt.NDArray[Any]:
    """Draw the flat parameters of a layer: normalization scales near 1 and its shifts near 0, others around 0."""
    main, *rest = graph.parameters(layer)
    noise = draw.standard_normal(main.elements + sum(parameter.elements for parameter in rest))
    if isinstance(layer.kind, GroupNorm | BatchNorm):
        noise = 0.1 * noise
        noise[: main.elements] += 1
        return noise
    noise[: main.elements] *= np.sqrt(2 * layer.shape.channels / main.elements)
    noise[main.elements :] *= 0.1
    return noise
