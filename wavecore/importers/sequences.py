"""Add embeddings and LSTMs, for all formats.

Every layer and direction of an LSTM becomes two layers, as `wavecore.network.layers.recurrent` explains: a `Linear` for
its inputs, and an `LSTM` that runs step by step.  PyTorch has two bias vectors per gate, which are only used as their
sum and have the same gradient; they become one here, the bias of the `Linear`.

Layers are named after the module: ``lstm.input`` and ``lstm``.  A stack of LSTMs has ``lstm.l0``, ``lstm.l1``, ...
The names of a direction that runs from the last step to the first end with ``_reverse``, as in PyTorch's weight names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from wavecore.importers.builder import ModelBuilder
from wavecore.importers.model import Activation, Axes, Fixed, OperatorNode, Origin, UnsupportedError
from wavecore.network.layers import LSTM, Concat, Dropout, Embedding, Linear
from wavecore.network.layers.recurrent import GATES

ORDERS = (("n", "t", "f"), ("t", "n", "f"))
ZEROS = "a network whose LSTMs are given no initial state, so that they begin with zeros"
WHOLE = "samples x steps x features from the input to the LSTM"


class SwappedAxesError(Exception):
    """Raised if the first LSTM shows that samples and steps of the data are in the other order than assumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """One layer of an LSTM: ``reverse`` tells for each direction whether it runs from the last step to the first."""

    inputs: int
    hidden: int
    reverse: tuple[bool, ...]
    bias: bool


def embedding(build: ModelBuilder, node: OperatorNode) -> None:
    """Add an embedding: rows of the table in input 0, selected by the words in input 1."""
    if isinstance(build.value(node, 0), Activation):
        raise UnsupportedError("of parts of an activation", "a network that uses all steps and features")
    table, words = build.fixed(node, 0), build.activation(node, 1)
    if table is None or len(table.dims) != 2:
        raise UnsupportedError("from a table that is not a matrix")
    if not words.axes or "f" in words.axes:
        raise UnsupportedError("by an input that is not words", "words as integers, samples x steps")
    vocabulary, features = table.dims
    build.note_shared(node, 0)
    kind = Embedding(vocabulary, features)
    build.layer(node, kind, words, dims=(*words.dims, features), axes=(*words.axes, "f"))


def sequence(build: ModelBuilder, node: OperatorNode, *, batch_first: bool) -> Activation:
    """Return the input of an LSTM, which must be a sequence in the order of axes that ``batch_first`` says.

    Raises SwappedAxesError if it is in the other order and no LSTM was added before, else UnsupportedError.
    """
    value = build.activation(node)
    wanted, other = ORDERS if batch_first else ORDERS[::-1]
    if value.axes == wanted:
        return value
    if value.axes == other and not build.axes_swapped and not any(isinstance(d.kind, LSTM) for d in build.drafts):
        raise SwappedAxesError
    if value.axes == other:
        what = f"over {_axis_names(wanted)}, but its input is {_axis_names(other)}"
        raise UnsupportedError(what, "the same batch_first in all LSTMs, or a transpose between them")
    raise UnsupportedError("of an input that is not a sequence", WHOLE)


def _axis_names(axes: Axes) -> str:
    """Return the first two axes of a sequence in words."""
    return " x ".join({"n": "samples", "t": "steps"}[axis] for axis in axes[:2])


def check_state(build: ModelBuilder, node: OperatorNode, index: int, *, stored: bool) -> None:
    """Check that the initial state of an LSTM is zero; UnsupportedError otherwise.

    A ``stored`` state of unknown elements (too large to be read) is assumed to be zero, and recorded in
    ``build.assumed``.
    """
    state = build.value(node, index)
    if isinstance(state, Activation) or (state is not None and state.origin is Origin.INPUT):
        raise UnsupportedError("with an initial state that is an input or depends on one", ZEROS)
    if state is None or state.is_zero:
        return
    if state.known or not stored:
        raise UnsupportedError("with an initial state that is not zero", ZEROS)
    if node.name not in build.assumed:
        build.assumed.append(node.name)


def layers(
    build: ModelBuilder, node: OperatorNode, value: Activation, all_layers: Sequence[Recurrence], rate: float
) -> Activation:
    """Add the layers of an LSTM one after the other, with dropout of ``rate`` between them, and return the output."""
    for index, each in enumerate(all_layers):
        path = f"{node.path or 'lstm'}.l{index}" if len(all_layers) > 1 else node.path or "lstm"
        value = layer(build, replace(node, path=path), value, each)
        if rate and index < len(all_layers) - 1:
            value = build.add(node, Dropout(rate), value, dims=value.dims, axes=value.axes)
    return value


def layer(build: ModelBuilder, node: OperatorNode, value: Activation, each: Recurrence) -> Activation:
    """Add one layer of an LSTM, and return its output: the features of its directions, concatenated."""
    if each.inputs != value.dims[-1]:
        raise ValueError(f"its weight takes {each.inputs} features, but its input has {value.dims[-1]}")
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
    """Return (input features, hidden units) from the input and recurrent weights of a direction.

    The weights are 4 hidden x features and 4 hidden x hidden, possibly with a leading axis of directions.  Raises
    UnsupportedError or ValueError for other shapes.
    """
    if inputs is None or recurrent is None or min(len(inputs.dims), len(recurrent.dims)) < 2:
        raise UnsupportedError("whose weights are not matrices")
    rows, features = inputs.dims[-2:]
    hidden = recurrent.dims[-1]
    if rows != recurrent.dims[-2] or rows != GATES * hidden:
        shapes = " and ".join("x".join(map(str, each.dims)) for each in (inputs, recurrent))
        raise ValueError(f"its weights are {shapes}, which are not {GATES} gates of the same number of units")
    return features, hidden
