"""Kernels of the sequence layers, embedding and LSTM.

Arrays are (samples, channels, time steps, 1), and words are whole numbers.  The gates of an LSTM are in PyTorch's
order: i (input), f (forget), g (cell candidate), o (output).  `wavecore.network.layers.recurrent` has the formulas.
"""

from __future__ import annotations

import numpy as np

from wavecore.golden.operands import AnyArray, Kernels, LayerOperands, present
from wavecore.network.layers import LSTM, Embedding, LayerKind
from wavecore.network.layers.recurrent import GATES


def gather(embedding: Embedding, words: AnyArray, weight: AnyArray) -> AnyArray:
    """Return the rows of the flat embedding table ``weight`` that ``words`` name: (samples, features x time steps)."""
    table = weight.reshape(embedding.vocabulary, embedding.features)
    rows = table[words.reshape(len(words), -1).astype(np.int64)]
    return rows.transpose(0, 2, 1).reshape(len(words), -1)


def _embedding_forward(operands: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    return operands.saved["rows"].reshape(-1, operands.output.channels, operands.output.height, 1), {}


def _embedding_weight_gradient(operands: LayerOperands) -> AnyArray:
    gradient = present(operands.gradient)[:, :, :, 0].transpose(0, 2, 1)
    table = np.zeros((operands.kind.vocabulary, operands.kind.features), dtype=gradient.dtype)
    np.add.at(table, operands.inputs[0].reshape(len(gradient), -1).astype(np.int64), gradient)
    return table.ravel()


def _steps(lstm: LSTM, count: int) -> range:
    """Return the time steps in the order in which the LSTM computes them."""
    return range(count - 1, -1, -1) if lstm.reverse else range(count)


def _matrix(operands: LayerOperands) -> AnyArray:
    """Return the recurrent weights as (gates x hidden, hidden)."""
    size = GATES * operands.kind.hidden * operands.kind.hidden
    return present(operands.weight)[:size].reshape(GATES * operands.kind.hidden, operands.kind.hidden)


def _sigmoid(value: AnyArray) -> AnyArray:
    return 1 / (1 + np.exp(-value))


def _lstm_forward(operands: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    sums, matrix = operands.inputs[0][:, :, :, 0], _matrix(operands)
    bias = present(operands.weight)[matrix.size :] if operands.kind.bias else 0
    value = np.zeros((len(sums), operands.kind.hidden, sums.shape[2]), dtype=sums.dtype)
    gates, cells = np.zeros_like(sums), np.zeros_like(value)
    hidden = cell = np.zeros(value.shape[:2], dtype=sums.dtype)
    for step in _steps(operands.kind, sums.shape[2]):
        i, f, g, s = np.split(sums[:, :, step] + hidden @ matrix.T + bias, GATES, axis=1)
        i, f, g, s = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(s)
        cell = f * cell + i * g
        hidden = s * np.tanh(cell)
        gates[:, :, step] = np.concatenate([i, f, g, s], axis=1)
        cells[:, :, step], value[:, :, step] = cell, hidden
    return value[:, :, :, None], {"gates": gates, "cells": cells}


def _shifted(lstm: LSTM, values: AnyArray) -> AnyArray:
    """Return ``values`` (samples, channels, time steps) as each step reads them: those of the step before.

    The first step that the LSTM computes reads zeros.
    """
    earlier = np.zeros_like(values)
    if lstm.reverse:
        earlier[:, :, :-1] = values[:, :, 1:]
    else:
        earlier[:, :, 1:] = values[:, :, :-1]
    return earlier


def _lstm_data_gradient(operands: LayerOperands) -> list[AnyArray]:
    matrix, gradient = _matrix(operands), present(operands.gradient)[:, :, :, 0]
    shape = (len(gradient), -1, gradient.shape[2])
    gates, cells = operands.saved["gates"].reshape(shape), operands.saved["cells"].reshape(shape)
    previous_cells = _shifted(operands.kind, cells)
    result = np.zeros_like(gates)
    hidden_gradient = cell_gradient = np.zeros(gradient.shape[:2], dtype=gradient.dtype)
    for step in reversed(_steps(operands.kind, gradient.shape[2])):
        i, f, g, s = np.split(gates[:, :, step], GATES, axis=1)
        hidden_gradient = gradient[:, :, step] + hidden_gradient
        tanh_cell = np.tanh(cells[:, :, step])
        cell_gradient = cell_gradient + hidden_gradient * s * (1 - tanh_cell**2)
        parts = (
            cell_gradient * g * i * (1 - i),
            cell_gradient * previous_cells[:, :, step] * f * (1 - f),
            cell_gradient * i * (1 - g**2),
            hidden_gradient * tanh_cell * s * (1 - s),
        )
        result[:, :, step] = np.concatenate(parts, axis=1)
        cell_gradient = cell_gradient * f
        hidden_gradient = result[:, :, step] @ matrix
    return [result[:, :, :, None]]


def _lstm_weight_gradient(operands: LayerOperands) -> AnyArray:
    hidden = present(operands.value).reshape(-1, operands.output.channels, operands.output.height)
    gradient = present(operands.input_gradient).reshape(len(hidden), -1, operands.output.height)
    weight = np.einsum("ngt,nht->gh", gradient, _shifted(operands.kind, hidden)).ravel()
    return np.concatenate([weight, gradient.sum(axis=(0, 2))]) if operands.kind.bias else weight


SEQUENCE_KERNELS: dict[type[LayerKind], Kernels] = {
    Embedding: Kernels(_embedding_forward, weight_gradient=_embedding_weight_gradient),
    LSTM: Kernels(_lstm_forward, _lstm_data_gradient, _lstm_weight_gradient),
}
