"""Find LSTMs in checkpoints by PyTorch's names for their weights, and remove hidden units whose weights are all zero.

PyTorch names the weights of layer K of the module ``rnn`` ``rnn.weight_ih_lK`` (input weights) and ``rnn.weight_hh_lK``
(recurrent weights); names of the reverse direction end with ``_reverse``.  Here the first belong to the layer
``X.input`` and the second to ``X``, where X is ``rnn.lK``, ``rnn`` (K = 0) or ``rnn{K+1}``, whichever the network has,
followed by ``_reverse`` for the reverse direction.

A hidden unit is removed if the rows of its four gates are zero in both matrices, and so are its columns of the
recurrent matrix and of all layers that read it (ISS, arXiv 1709.05027).  Its bias does not matter then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wavecore.errors import InputError
from wavecore.network.graph import Layer, LayerGraph
from wavecore.network.layers import LSTM, Concat, Dropout, Embedding, Linear, ReLU
from wavecore.network.layers.recurrent import GATES
from wavecore.sparsity.structure import weight_shape

if TYPE_CHECKING:
    from wavecore.network.sparsity import Booleans

_PYTORCH = re.compile(r"(?:(.+)\.)?weight_(ih|hh)_l(\d{1,4})(_reverse)?", re.ASCII)
_CONSISTENT = "tensors of the same pruned network"


def candidates(tensor: str) -> Iterator[str]:
    """Yield the layers to which a tensor may belong by its name, the most likely one first."""
    yield tensor.removesuffix(".weight")
    found = _PYTORCH.fullmatch(tensor)
    if found is None:
        return
    module, index, reverse = found[1] or "lstm", int(found[3]), found[4] or ""
    for name in (f"{module}.l{index}", *([module] if not index else []), f"{module}{index + 1}"):
        yield f"{name}{reverse}.input" if found[2] == "ih" else f"{name}{reverse}"


@dataclass
class _MadeFeatures:
    """The ``width`` output features of an LSTM or an embedding.

    ``readers`` are the linear layers that read them, each with the index of its input at which they begin.
    """

    width: int
    readers: list[tuple[str, int]] = field(default_factory=list)
    only_linear_readers: bool = True


def without_zero_units(where: str, graph: LayerGraph, weights: Mapping[str, Booleans]) -> dict[str, Booleans]:
    """Return the weights without the hidden units whose weights are all zero.

    Raises `InputError` if tensors of fewer units, or of an embedding of fewer features, do not fit together.
    """
    lstms = [layer for layer in graph if isinstance(layer.kind, LSTM)]
    for layer in lstms:
        _check_units(where, graph, layer, weights)
    values = _values(where, graph, weights)
    found = dict(weights)
    columns = {
        reader: np.ones(weights[reader].shape[1], dtype=np.bool_)
        for value in values.values()
        for reader, _ in value.readers
    }
    for layer in lstms:
        value = values[layer.name]
        kept = _kept(layer, weights, value)
        if kept.all() or not kept.any() or not _owns_sums(graph, layer):
            continue
        rows = np.tile(kept, GATES)
        found[layer.name] = found[layer.name][rows][:, kept]
        found[layer.inputs[0]] = found[layer.inputs[0]][rows]
        for reader, start in value.readers:
            columns[reader][start : start + value.width] = kept
    for reader, left in columns.items():
        found[reader] = found[reader][:, left]
    return found


def reads_units(graph: LayerGraph, layer: Layer) -> bool:
    """Return whether a layer reads only hidden units, directly or through dropout, ReLU and concatenations."""
    read = [graph.by_name[name] for name in layer.inputs]
    return bool(read) and all(
        isinstance(each.kind, LSTM) or (isinstance(each.kind, Dropout | ReLU | Concat) and reads_units(graph, each))
        for each in read
    )


def _owns_sums(graph: LayerGraph, layer: Layer) -> bool:
    """Return whether the input of an LSTM is a linear layer that has no other reader."""
    source = graph.by_name[layer.inputs[0]]
    return isinstance(source.kind, Linear) and graph.digraph.out_degree(source.name) == 1


def _check_units(where: str, graph: LayerGraph, layer: Layer, weights: Mapping[str, Booleans]) -> None:
    """Raise `InputError` unless the two matrices of an LSTM have four gates of the same number of units."""
    rows, units = weights[layer.name].shape
    if rows != GATES * units:
        what = (
            f"the tensor of {layer.name!r} is {rows}x{units}, but an LSTM of {units} units has {GATES * units}x{units}"
        )
        raise InputError(where, what, "weight_hh in PyTorch's form: the rows of four gates")
    if not _owns_sums(graph, layer):
        if (rows, units) != weight_shape(graph, layer.name):
            what = f"the tensor of {layer.name!r} has {units} units, but no Linear makes its gates' sums for it alone"
            raise InputError(where, what, "a separate Linear before the LSTM")
        return
    source = layer.inputs[0]
    if weights[source].shape[0] != rows:
        what = f"the tensor of {source!r} makes {weights[source].shape[0]} sums, but {layer.name!r} takes {rows}"
        raise InputError(where, what, _CONSISTENT)


def _values(where: str, graph: LayerGraph, weights: Mapping[str, Booleans]) -> dict[str, _MadeFeatures]:
    """Return the outputs of embeddings and LSTMs and their readers; `InputError` if a reader has another width."""
    values: dict[str, _MadeFeatures] = {}
    made: dict[str, tuple[str, ...]] = {}  # by layer: the embeddings and LSTMs whose features are its whole output
    for layer in graph:
        read = [made.get(name, ()) for name in layer.inputs]
        parts = tuple(part for each in read for part in each)
        if isinstance(layer.kind, Embedding | LSTM):
            held = weights.get(layer.name)
            values[layer.name] = _MadeFeatures(layer.shape.channels if held is None else held.shape[1])
            made[layer.name] = (layer.name,)
        elif isinstance(layer.kind, Dropout | ReLU) or (isinstance(layer.kind, Concat) and all(read)):
            made[layer.name] = parts
        elif isinstance(layer.kind, Linear) and parts:
            _read(where, layer.name, weights[layer.name].shape[1], parts, values)
        else:
            for part in parts:
                values[part].only_linear_readers = False
    return values


def _read(where: str, reader: str, width: int, parts: tuple[str, ...], values: Mapping[str, _MadeFeatures]) -> None:
    """Record that a linear layer of ``width`` inputs reads ``parts`` in this order; `InputError` if sizes differ."""
    start = 0
    for part in parts:
        values[part].readers.append((reader, start))
        start += values[part].width
    if start != width:
        what = f"the tensor of {reader!r} takes {width} inputs, but {' and '.join(map(repr, parts))} make {start}"
        raise InputError(where, what, _CONSISTENT)


def _kept(layer: Layer, weights: Mapping[str, Booleans], value: _MadeFeatures) -> Booleans:
    """Return which hidden units have a nonzero weight; all of them if other layers than linear ones read them."""
    own = weights[layer.name]
    units = own.shape[1]
    used: Booleans = np.logical_or(own.reshape(GATES, units, units).any(axis=(0, 2)), own.any(axis=0))
    source = weights.get(layer.inputs[0])
    if not value.only_linear_readers or not value.readers or source is None:
        return np.ones(units, dtype=np.bool_)
    used |= source.reshape(GATES, units, -1).any(axis=(0, 2))
    for reader, start in value.readers:
        used |= weights[reader][:, start : start + units].any(axis=0)
    return used
