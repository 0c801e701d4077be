"""Collect layers from a model's operations, in order; unsupported operations are reported together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from wavecore.errors import GraphError
from wavecore.importers.folding import fold
from wavecore.importers.model import (
    Activation,
    Axes,
    ConstantArray,
    Dims,
    Fixed,
    ImportedModel,
    OperatorNode,
    UnsupportedError,
)
from wavecore.importers.naming import clean
from wavecore.importers.normalization import Rules
from wavecore.importers.problems import Problem, keeps_shape, unsupported
from wavecore.network.layers import KINDS, Input, LayerKind
from wavecore.network.shapes import Shape

LARGEST_ELEMENTS = 1 << 31  # of one sample of an activation, and of a weight
LARGEST_SIDE = 1 << 15  # of an image
MOST_LAYERS = 1 << 11

STATE_FORM_OPERATORS = frozenset({
    "concat", "cat", "stack", "slice", "squeeze", "unsqueeze", "transpose", "reshape", "view", "identity", "cast",
    "detach", "clone", "contiguous",
})  # fmt: skip
"""Operators that only change the form of an LSTM's final state: lower-case names without ``aten.``"""

OperatorReader = Callable[["ModelBuilder", OperatorNode], None]
"""Adds the layers that represent an operation; raises UnsupportedError, or ValueError where sizes do not fit."""


@dataclass(slots=True)
class LayerDraft:
    """A layer before the graph is built; ``inputs`` are positions in the list of drafts."""

    kind: LayerKind
    inputs: tuple[int, ...]
    shape: Shape
    path: str
    source: str


class ModelBuilder:
    """Walks over a model's nodes and records what is known of every value.

    ``values`` maps a name to its activation or constant, or to None if it depends on an unsupported operation.
    """

    def __init__(
        self, model: ImportedModel, table: Mapping[str, OperatorReader], rules: Rules, *, axes_swapped: bool = False
    ) -> None:
        self.model = model
        self.axes_swapped = axes_swapped  # whether samples and steps of the data are in the other order than assumed
        self.table = table
        self.rules = rules
        self.values: dict[str, Activation | Fixed | None] = dict(model.fixed)
        self.drafts: list[LayerDraft] = []
        self.problems: list[Problem] = []
        self.folded: list[str] = []  # convolutions that may hold a batch normalization
        self.uneven: list[str] = []  # layers whose unequal padding was replaced by equal padding
        self.weights: set[str] = set()  # names of the weights that layers read
        self.shared: list[str] = []  # layers that read the weight of an earlier layer
        self.states: set[str] = set()  # names of the final states of LSTMs
        self.assumed: list[str] = []  # LSTMs whose initial state is assumed to be zero
        self.nodes = needed(model)
        self.uses = Counter(name for node in self.nodes for name in node.inputs) + Counter(model.outputs)

    def run(self) -> None:
        """Read all nodes; GraphError for a model that makes no network, or for all unsupported operations together."""
        shape, axes = data_shape(self.model, self.axes_swapped)
        self.drafts.append(LayerDraft(Input(shape), (), shape, "input", self.model.where))
        self.values[self.model.data] = Activation(0, self.model.dims, axes)
        for node in self.nodes:
            self._read(node)
        if self.problems:
            raise unsupported(self.model.where, self.problems)

    def _read(self, node: OperatorNode) -> None:
        """Add the layers of a node, or record why that is not possible.

        An unsupported node that keeps its input's shape passes its input on, so that the nodes behind it are checked.
        """
        inputs = [self._found(node, name) for name in node.inputs]
        unresolved = any(value is None for value, name in zip(inputs, node.inputs, strict=True) if name)
        try:
            if not self.states.isdisjoint(node.inputs):
                self._read_state(node, inputs)
            elif not unresolved and (constant := fold(node, inputs)) is not None:
                self.give(node, constant)
            elif node.operator not in self.table:
                raise UnsupportedError("")
            elif not unresolved:
                self.table[node.operator](self, node)
        except UnsupportedError as problem:
            self.problems.append(Problem(node, problem.what, problem.advice))
            activations = [value for value in inputs if isinstance(value, Activation)]
            if activations and keeps_shape(node.operator) and node.outputs[0] not in self.values:
                self.values[node.outputs[0]] = activations[0]
        except ValueError as problem:
            if not self.problems:  # otherwise an earlier problem may be the cause of wrong sizes
                raise self.error(node, str(problem), "other sizes, or a larger image") from None
        for name in node.outputs:
            self.values.setdefault(name, None)

    def _read_state(self, node: OperatorNode, inputs: Sequence[Activation | Fixed | None]) -> None:
        """Mark the outputs of a node that only changes the form of LSTMs' final states as such states."""
        reforms = node.operator.removeprefix("aten.").lower() in STATE_FORM_OPERATORS
        if not reforms or any(isinstance(value, Activation) for value in inputs):
            raise UnsupportedError("of an LSTM's final state", "a network that reads the LSTM's outputs of all steps")
        self.keep_state(node.outputs)

    def keep_state(self, names: Sequence[str]) -> None:
        """Mark values as final states of LSTMs, which a model may return but no layer may read."""
        self.states.update(filter(None, names))
        self.values.update(dict.fromkeys(filter(None, names)))

    def _found(self, node: OperatorNode, name: str) -> Activation | Fixed | None:
        """Return what is known of a value; GraphError if no earlier node makes it."""
        if not name or name in self.values:
            return self.values.get(name)
        later = [other.name for other in self.model.nodes if name in other.outputs]
        if later:
            what = f"reads {clean(name)!r}, which the later node {later[0]} makes"
            raise self.error(node, what, "a graph without cycles, with its nodes in order")
        raise self.error(node, f"reads {clean(name)!r}, which no node makes", "the complete model")

    # -- inputs of a node ------------------------------------------------------------------------------

    def value(self, node: OperatorNode, index: int) -> Activation | Fixed | None:
        """Return input ``index`` of a node; None if it is omitted."""
        return self.values[node.inputs[index]] if index < len(node.inputs) and node.inputs[index] else None

    def activation(self, node: OperatorNode, index: int = 0) -> Activation:
        """Return input ``index``, which must depend on the data; UnsupportedError otherwise."""
        value = self.value(node, index)
        if not isinstance(value, Activation):
            raise UnsupportedError(f"input {index} does not depend on the data", "a model of one input, its data")
        return value

    def image(self, node: OperatorNode, index: int = 0) -> Activation:
        """Return input ``index``, which must be an image: samples x channels x height x width."""
        value = self.activation(node, index)
        if value.axes or len(value.dims) != 4:
            raise UnsupportedError(f"reads {len(value.dims)} axes", "samples x channels x height x width")
        return self._natural(value)

    def layered(self, node: OperatorNode, index: int = 0) -> Activation:
        """Return input ``index``, which must be an image or a vector."""
        value = self.activation(node, index)
        if value.axes:
            raise UnsupportedError("reads a sequence", "layers on images and vectors")
        return self._natural(value)

    def elementwise(self, node: OperatorNode, index: int = 0) -> Activation:
        """Return input ``index``, which must be an image, a vector or a sequence."""
        value = self.activation(node, index)
        return value if value.axes else self._natural(value)

    def _natural(self, value: Activation) -> Activation:
        """Return ``value`` if its axes are in the order of its layer's output; UnsupportedError otherwise."""
        shape = self.shape(value)
        if value.dims[1:] not in ((shape.channels, shape.height, shape.width), (shape.elements,)):
            raise UnsupportedError("reads an image whose axes were rearranged", "layers on images as they are")
        return value

    def shape(self, value: Activation) -> Shape:
        """Return the shape of one sample of an activation."""
        return self.drafts[value.layer].shape

    def fixed(self, node: OperatorNode, index: int) -> Fixed | None:
        """Return input ``index``, which must not depend on the data (UnsupportedError); None if it is omitted."""
        value = self.value(node, index)
        if isinstance(value, Activation):
            raise UnsupportedError(f"input {index} depends on the data", "a weight that is stored with the model")
        return value

    def known(self, node: OperatorNode, index: int) -> ConstantArray | None:
        """Return the elements of input ``index``, which must be known (UnsupportedError); None if it is omitted."""
        value = self.fixed(node, index)
        if value is not None and not value.known:
            raise UnsupportedError(f"the value of input {index} is not in the file", "constants inside the model")
        return None if value is None else value.array

    # -- outputs of a node -----------------------------------------------------------------------------

    def give(self, node: OperatorNode, value: Activation | Fixed) -> None:
        """Set the first output of a node; GraphError if a value of that name exists."""
        if node.outputs[0] in self.values:
            raise self.error(
                node, f"makes {clean(node.outputs[0])!r}, which exists already", "a different name for each value"
            )
        self.values[node.outputs[0]] = value

    def layer(
        self, node: OperatorNode, kind: LayerKind, *inputs: Activation, dims: Dims | None = None, axes: Axes = ()
    ) -> None:
        """Add a layer whose output is the first output of a node.

        The output is an image unless ``dims`` gives other axes; for a sequence, ``axes`` names them.
        """
        self.give(node, self.add(node, kind, *inputs, dims=dims, axes=axes))

    def add(
        self, node: OperatorNode, kind: LayerKind, *inputs: Activation, dims: Dims | None = None, axes: Axes = ()
    ) -> Activation:
        """Add a layer and return its output, for a node that becomes several layers; else as `layer`."""
        shape: Shape = KINDS[type(kind)].infer(kind, tuple(map(self.shape, inputs)))
        check_size(shape)
        if len(self.drafts) >= MOST_LAYERS:
            raise self.error(node, f"needs more than {MOST_LAYERS} layers, which is the limit", "a smaller model")
        read = tuple(value.layer for value in inputs)
        self.drafts.append(LayerDraft(kind, read, shape, node.path, f"{self.model.where}, {node.name}"))
        sizes = (inputs[0].dims[0], shape.channels, shape.height, shape.width) if dims is None else dims
        return Activation(len(self.drafts) - 1, sizes, axes)

    def note_shared(self, node: OperatorNode, index: int) -> None:
        """Record that a node reads the weight in input ``index``, and whether an earlier layer has read it."""
        if node.inputs[index] in self.weights:
            self.shared.append(node.name)
        self.weights.add(node.inputs[index])

    def error(self, node: OperatorNode, what: str, hint: str) -> GraphError:
        """Return an error that names a node."""
        return GraphError(f"{self.model.where}, {node.operator} {node.name}", what, hint)


def needed(model: ImportedModel) -> tuple[OperatorNode, ...]:
    """Return the nodes on which an output of the model depends, in their order."""
    wanted = set(model.outputs)
    found = []
    for node in reversed(model.nodes):
        if not wanted.isdisjoint(node.outputs):
            found.append(node)
            wanted.update(node.inputs)
    return tuple(reversed(found))


def data_shape(model: ImportedModel, axes_swapped: bool = False) -> tuple[Shape, Axes]:
    """Return the shape of one sample of the data, and the axes of a sequence.

    The samples of a sequence are its first axis, or its second if only that one has an open size; with
    ``axes_swapped`` the other one of the two.

    Raises `GraphError` for data that are not an image, a vector or a sequence, or that are too large.
    """
    where = f"{model.where}, input {model.data}"
    axes: Axes = ()
    if model.sequence:
        samples_first = (0 in model.open_axes or 1 not in model.open_axes) != axes_swapped
        axes = (*(("n", "t") if samples_first else ("t", "n")), "f")[: len(model.dims)]
        if axes.index("t") in model.open_axes:
            raise GraphError(where, "leaves its number of steps open", "an export with a fixed number of steps")
        features = model.dims[2] if len(axes) > 2 else 1
        shape = Shape(features, model.dims[axes.index("t")])
    elif len(model.dims) in (2, 4):
        shape = Shape(*model.dims[1:])
    else:
        what = f"has {len(model.dims)} axes"
        raise GraphError(where, what, "samples x channels x height x width, or samples x features")
    try:
        check_size(shape)
    except ValueError as problem:
        raise GraphError(where, str(problem), "a smaller input") from None
    return shape, axes


def check_size(shape: Shape) -> None:
    """Raise ValueError for an image with an empty or too long side, or with too many elements."""
    if min(shape.channels, shape.height, shape.width) < 1:
        raise ValueError(f"has an empty shape {shape}")
    if max(shape.height, shape.width) > LARGEST_SIDE:
        raise ValueError(f"{shape} has a side above {LARGEST_SIDE}")
    if shape.elements > LARGEST_ELEMENTS:
        raise ValueError(f"{shape} has more than {LARGEST_ELEMENTS} elements")
