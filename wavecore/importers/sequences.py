"""Embeddings and LSTMs, whichever format they come from.

An LSTM becomes the two layers of `network.layers.recurrent` for every layer and direction that it has: a `Linear` for
its inputs, and what runs step by step.  PyTorch has two vectors of biases a gate, which are only ever added and whose
gradients are the same: they are one here, the bias of the `Linear`.

Layers are called by the module: ``lstm.input`` and ``lstm``; ``lstm.l0``, ``lstm.l1``, ... of several, and with
``_reverse`` behind what runs from the last step to the first, as PyTorch ends the names of its weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from wavecore.importers.builder import ModelBuilder
from wavecore.importers.model import Activation, Axes, Fixed, OperatorNode, Origin, UnsupportedError
from wavecore.network.layers import LSTM, Concat, Dropout, Embedding, Linear
from wavecore.network.layers.recurrent import GATES

ORDERS = (("n", "t", "f"), ("t", "n", "f"))
ZEROS = "a network whose LSTMs begin with zeros, as they do when they are given no state"
WHOLE = "samples x steps x features from the input on"


class TurnedError(Exception):
    """The first LSTM has samples and steps the other way round than they were taken to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """A layer of an LSTM: ``reverse`` says of each direction whether it is the one from the last step."""

    inputs: int
    hidden: int
    reverse: tuple[bool, ...]
    bias: bool


def embedding(build: ModelBuilder, node: OperatorNode) -> None:
    """Rows of the table in input 0, by the words in input 1."""
    if isinstance(build.value(node, 0), Activation):
        raise UnsupportedError("of some steps or features", "a network that uses all steps")
    table, words = build.fixed(node, 0), build.activation(node, 1)
    if table is None or len(table.dims) != 2:
        raise UnsupportedError("from more than a matrix")
    if not words.axes or "f" in words.axes:
        raise UnsupportedError("by what are no words", "words as whole numbers, samples x steps")
    vocabulary, features = table.dims
    build.note_shared(node, 0)
    kind = Embedding(vocabulary, features)
    build.layer(node, kind, words, dims=(*words.dims, features), axes=(*words.axes, "f"))


def sequence(build: ModelBuilder, node: OperatorNode, *, batch_first: bool) -> Activation:
    """What an LSTM reads; TurnedError if that tells how the data are to be read."""
    value = build.activation(node)
    wanted, other = ORDERS if batch_first else ORDERS[::-1]
    if value.axes == wanted:
        return value
    if value.axes == other and not build.turned and not any(isinstance(d.kind, LSTM) for d in build.drafts):
        raise TurnedError
    if value.axes == other:
        what = f"of {_told(wanted)}, and {_told(other)} come"
        raise UnsupportedError(what, "batch_first alike in all LSTMs, or a transpose between them")
    raise UnsupportedError("of what is no sequence", WHOLE)


def _told(axes: Axes) -> str:
    return " x ".join({"n": "samples", "t": "steps"}[axis] for axis in axes[:2])


def check_state(build: ModelBuilder, node: OperatorNode, index: int, *, stored: bool) -> None:
    """UnsupportedError for an initial state that is not zero; a ``stored`` one may be too large to be looked at."""
    state = build.value(node, index)
    if isinstance(state, Activation) or (state is not None and state.origin is Origin.INPUT):
        raise UnsupportedError("with an initial state from outside", ZEROS)
    if state is None or state.is_zero:
        return
    if state.known or not stored:
        raise UnsupportedError("with an initial state that is not zero", ZEROS)
    if node.name not in build.assumed:
        build.assumed.append(node.name)


def layers(
    build: ModelBuilder, node: OperatorNode, value: Activation, all_layers: Sequence[Recurrence], rate: float
) -> Activation:
    """The layers of an LSTM one behind the other, with dropout between them."""
    for index, each in enumerate(all_layers):
        path = f"{node.path or 'lstm'}.l{index}" if len(all_layers) > 1 else node.path or "lstm"
        value = layer(build, replace(node, path=path), value, each)
        if rate and index < len(all_layers) - 1:
            value = build.add(node, Dropout(rate), value, dims=value.dims, axes=value.axes)
    return value


def layer(build: ModelBuilder, node: OperatorNode, value: Activation, each: Recurrence) -> Activation:
    """A layer of an LSTM: what its directions make, as features side by side."""
    if each.inputs != value.dims[-1]:
        raise ValueError(f"its weight takes {each.inputs} features, and {value.dims[-1]} come")
    made = []
    for reverse in each.reverse:
        path = f"{node.path}_reverse" if reverse else node.path
        sums = Linear(GATES * each.hidden, each.bias)
        gates = build.add(replace(node, path=f"{path}.input"), sums, value, dims=value.dims, axes=value.axes)
        dims = (*value.dims[:-1], each.hidden)
        kind = LSTM(each.hidden, reverse)
        made.append(build.add(replace(node, path=path), kind, gates, dims=dims, axes=value.axes))
    if len(made) == 1:
        return made[0]
    dims = (*value.dims[:-1], len(made) * each.hidden)
    return build.add(node, Concat(), *made, dims=dims, axes=value.axes)


def sizes(inputs: Fixed | None, recurrent: Fixed | None) -> tuple[int, int]:
    """Features and hidden units, from the weights of a direction, which may have an axis of directions before."""
    if inputs is None or recurrent is None or min(len(inputs.dims), len(recurrent.dims)) < 2:
        raise UnsupportedError("whose weights are no matrices")
    rows, features = inputs.dims[-2:]
    hidden = recurrent.dims[-1]
    if rows != recurrent.dims[-2] or rows != GATES * hidden:
        shapes = " and ".join("x".join(map(str, each.dims)) for each in (inputs, recurrent))
        raise ValueError(f"its weights are {shapes}, not of {GATES} gates of as many units")
    return features, hidden
