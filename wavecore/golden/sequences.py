"""What the layers of sequences compute: arrays are (samples, channels, steps, 1), words are whole numbers.

Gates and their sums are in PyTorch's order i, f, g, o; the formulas are in `wavecore.network.layers.recurrent`.
"""

from __future__ import annotations

import numpy as np

from wavecore.golden.operands import AnyArray, Kernels, LayerOperands, present
from wavecore.network.layers import LSTM, Embedding, LayerKind
from wavecore.network.layers.recurrent import GATES


def gather(embedding: Embedding, words: AnyArray, weight: AnyArray) -> AnyArray:
    """The rows of the flat ``weight`` that ``words`` name: (samples, features x steps)."""
    table = weight.reshape(embedding.vocabulary, embedding.features)
    rows = table[words.reshape(len(words), -1).astype(np.int64)]
    return rows.transpose(0, 2, 1).reshape(len(words), -1)


def _embedding_forward(o: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    return o.saved["rows"].reshape(-1, o.output.channels, o.output.height, 1), {}


def _embedding_weight_gradient(o: LayerOperands) -> AnyArray:
    gradient = present(o.gradient)[:, :, :, 0].transpose(0, 2, 1)
    table = np.zeros((o.kind.vocabulary, o.kind.features), dtype=gradient.dtype)
    np.add.at(table, o.inputs[0].reshape(len(gradient), -1).astype(np.int64), gradient)
    return table.ravel()


def _steps(lstm: LSTM, count: int) -> range:
    return range(count - 1, -1, -1) if lstm.reverse else range(count)


def _matrix(o: LayerOperands) -> AnyArray:
    size = GATES * o.kind.hidden * o.kind.hidden
    return present(o.weight)[:size].reshape(GATES * o.kind.hidden, o.kind.hidden)


def _sigmoid(value: AnyArray) -> AnyArray:
    return 1 / (1 + np.exp(-value))


def _lstm_forward(o: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    sums, matrix = o.inputs[0][:, :, :, 0], _matrix(o)
    bias = present(o.weight)[matrix.size :] if o.kind.bias else 0
    value = np.zeros((len(sums), o.kind.hidden, sums.shape[2]), dtype=sums.dtype)
    gates, cells = np.zeros_like(sums), np.zeros_like(value)
    hidden = cell = np.zeros(value.shape[:2], dtype=sums.dtype)
    for step in _steps(o.kind, sums.shape[2]):
        i, f, g, s = np.split(sums[:, :, step] + hidden @ matrix.T + bias, GATES, axis=1)
        i, f, g, s = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(s)
        cell = f * cell + i * g
        hidden = s * np.tanh(cell)
        gates[:, :, step] = np.concatenate([i, f, g, s], axis=1)
        cells[:, :, step], value[:, :, step] = cell, hidden
    return value[:, :, :, None], {"gates": gates, "cells": cells}


def _shifted(lstm: LSTM, values: AnyArray) -> AnyArray:
    """(samples, channels, steps) as each step finds them: what the step before has left, zeros at the first."""
    earlier = np.zeros_like(values)
    if lstm.reverse:
        earlier[:, :, :-1] = values[:, :, 1:]
    else:
        earlier[:, :, 1:] = values[:, :, :-1]
    return earlier


def _lstm_data_gradient(o: LayerOperands) -> list[AnyArray]:
    matrix, gradient = _matrix(o), present(o.gradient)[:, :, :, 0]
    shape = (len(gradient), -1, gradient.shape[2])
    gates, cells = o.saved["gates"].reshape(shape), o.saved["cells"].reshape(shape)
    before = _shifted(o.kind, cells)
    result = np.zeros_like(gates)
    of_hidden = of_cell = np.zeros(gradient.shape[:2], dtype=gradient.dtype)
    for step in reversed(_steps(o.kind, gradient.shape[2])):
        i, f, g, s = np.split(gates[:, :, step], GATES, axis=1)
        of_hidden = gradient[:, :, step] + of_hidden
        squashed = np.tanh(cells[:, :, step])
        of_cell = of_cell + of_hidden * s * (1 - squashed**2)
        parts = (
            of_cell * g * i * (1 - i),
            of_cell * before[:, :, step] * f * (1 - f),
            of_cell * i * (1 - g**2),
            of_hidden * squashed * s * (1 - s),
        )
        result[:, :, step] = np.concatenate(parts, axis=1)
        of_cell = of_cell * f
        of_hidden = result[:, :, step] @ matrix
    return [result[:, :, :, None]]


def _lstm_weight_gradient(o: LayerOperands) -> AnyArray:
    hidden = present(o.value).reshape(-1, o.output.channels, o.output.height)
    gradient = present(o.input_gradient).reshape(len(hidden), -1, o.output.height)
    weight = np.einsum("ngt,nht->gh", gradient, _shifted(o.kind, hidden)).ravel()
    return np.concatenate([weight, gradient.sum(axis=(0, 2))]) if o.kind.bias else weight


SEQUENCE_KERNELS: dict[type[LayerKind], Kernels] = {
    Embedding: Kernels(_embedding_forward, weight_gradient=_embedding_weight_gradient),
    LSTM: Kernels(_lstm_forward, _lstm_data_gradient, _lstm_weight_gradient),
}
