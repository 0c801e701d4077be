"""Layers from a model's operations, in their order; what no layer kind stands for is collected and told at once."""

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

LARGEST_ELEMENTS = 1 << 31  # of an activation of one sample, and of a weight
LARGEST_SIDE = 1 << 15  # of an image
MOST_LAYERS = 1 << 11

STATE_GLUE = frozenset({
    "concat", "cat", "stack", "slice", "squeeze", "unsqueeze", "transpose", "reshape", "view", "identity", "cast",
    "detach", "clone", "contiguous",
})  # fmt: skip

OperatorReader = Callable[["ModelBuilder", OperatorNode], None]
"""Adds the layers that an operation stands for; UnsupportedError, or ValueError where sizes do not fit."""


@dataclass(slots=True)
class LayerDraft:
    """A layer to be; what it reads are positions in the list of drafts."""

    kind: LayerKind
    inputs: tuple[int, ...]
    shape: Shape
    path: str
    source: str


class ModelBuilder:
    """Walks over a model's nodes and keeps what is known of every value; None is what hangs on a problem."""

    def __init__(
        self, model: ImportedModel, table: Mapping[str, OperatorReader], rules: Rules, *, turned: bool = False
    ) -> None:
        self.model = model
        self.turned = turned  # whether samples and steps of the data are the other way round than it seems
        self.table = table
        self.rules = rules
        self.values: dict[str, Activation | Fixed | None] = dict(model.fixed)
        self.drafts: list[LayerDraft] = []
        self.problems: list[Problem] = []
        self.folded: list[str] = []  # convolutions that may hold a batch normalization
        self.uneven: list[str] = []  # layers whose padding was evened out
        self.weights: set[str] = set()  # that layers read
        self.shared: list[str] = []  # layers whose weight an earlier one has, too
        self.states: set[str] = set()  # what LSTMs end with
        self.assumed: list[str] = []  # LSTMs that are taken to begin with zeros
        self.nodes = needed(model)
        self.uses = Counter(name for node in self.nodes for name in node.inputs) + Counter(model.outputs)

    def run(self) -> None:
        """Read all nodes; GraphError for what makes no network, and for all unsupported operations together."""
        shape, axes = data_shape(self.model, self.turned)
        self.drafts.append(LayerDraft(Input(shape), (), shape, "input", self.model.where))
        self.values[self.model.data] = Activation(0, self.model.dims, axes)
        for node in self.nodes:
            self._read(node)
        if self.problems:
            raise unsupported(self.model.where, self.problems)

    def _read(self, node: OperatorNode) -> None:
        """Make layers of a node, or note why not; a problem whose shape is known stands in for its output."""
        inputs = [self._found(node, name) for name in node.inputs]
        lost = any(value is None for value, name in zip(inputs, node.inputs, strict=True) if name)
        try:
            if not self.states.isdisjoint(node.inputs):
                self._read_state(node, inputs)
            elif not lost and (constant := fold(node, inputs)) is not None:
                self.give(node, constant)
            elif node.operator not in self.table:
                raise UnsupportedError("")
            elif not lost:
                self.table[node.operator](self, node)
        except UnsupportedError as problem:
            self.problems.append(Problem(node, problem.what, problem.advice))
            seen = [value for value in inputs if isinstance(value, Activation)]
            if seen and keeps_shape(node.operator) and node.outputs[0] not in self.values:
                self.values[node.outputs[0]] = seen[0]
        except ValueError as problem:
            if not self.problems:  # after one, sizes may be wrong because of it
                raise self.error(node, str(problem), "other sizes, or a larger image") from None
        for name in node.outputs:
            self.values.setdefault(name, None)

    def _read_state(self, node: OperatorNode, inputs: Sequence[Activation | Fixed | None]) -> None:
        """What only puts the last states of LSTMs into another form makes states again."""
        form = node.operator.removeprefix("aten.").lower() in STATE_GLUE
        if not form or any(isinstance(value, Activation) for value in inputs):
            raise UnsupportedError("of an LSTM's last state", "a network that reads its outputs, of all steps")
        self.keep_state(node.outputs)

    def keep_state(self, names: Sequence[str]) -> None:
        """Let values be the last states of LSTMs, which a model may return and nothing may read."""
        self.states.update(filter(None, names))
        self.values.update(dict.fromkeys(filter(None, names)))

    def _found(self, node: OperatorNode, name: str) -> Activation | Fixed | None:
        """What is known of a value; GraphError if it is not there."""
        if not name or name in self.values:
            return self.values.get(name)
        later = [other.name for other in self.model.nodes if name in other.outputs]
        if later:
            what = f"reads {clean(name)!r}, which {later[0]} makes only later"
            raise self.error(node, what, "a graph without cycles, its nodes in order")
        raise self.error(node, f"reads {clean(name)!r}, which nothing makes", "the whole model")

    # -- what a node reads -----------------------------------------------------------------------------

    def value(self, node: OperatorNode, index: int) -> Activation | Fixed | None:
        """Input ``index`` of a node; None if it is left out."""
        return self.values[node.inputs[index]] if index < len(node.inputs) and node.inputs[index] else None

    def activation(self, node: OperatorNode, index: int = 0) -> Activation:
        """The same, which must depend on the data."""
        value = self.value(node, index)
        if not isinstance(value, Activation):
            raise UnsupportedError(f"input {index} does not depend on the data", "a model of one input, its data")
        return value

    def image(self, node: OperatorNode, index: int = 0) -> Activation:
        """The same, with channels, rows and columns as the axes behind the samples."""
        value = self.activation(node, index)
        if value.axes or len(value.dims) != 4:
            raise UnsupportedError(f"reads {len(value.dims)} axes", "samples x channels x height x width")
        return self._natural(value)

    def layered(self, node: OperatorNode, index: int = 0) -> Activation:
        """The same for an image or a vector."""
        value = self.activation(node, index)
        if value.axes:
            raise UnsupportedError("reads a sequence", "layers on images and vectors")
        return self._natural(value)

    def elementwise(self, node: OperatorNode, index: int = 0) -> Activation:
        """The same for a sequence, too."""
        value = self.activation(node, index)
        return value if value.axes else self._natural(value)

    def _natural(self, value: Activation) -> Activation:
        shape = self.shape(value)
        if value.dims[1:] not in ((shape.channels, shape.height, shape.width), (shape.elements,)):
            raise UnsupportedError("reads an image whose axes were rearranged", "layers on images as they are")
        return value

    def shape(self, value: Activation) -> Shape:
        """The shape of one sample of an activation."""
        return self.drafts[value.layer].shape

    def fixed(self, node: OperatorNode, index: int) -> Fixed | None:
        """Input ``index`` of a node, which must not depend on the data; None if it is left out."""
        value = self.value(node, index)
        if isinstance(value, Activation):
            raise UnsupportedError(f"input {index} depends on the data", "a weight that is stored with the model")
        return value

    def known(self, node: OperatorNode, index: int) -> ConstantArray | None:
        """The elements of input ``index``, which must be known; None if it is left out."""
        value = self.fixed(node, index)
        if value is not None and not value.known:
            raise UnsupportedError(f"the value of input {index} is not in the file", "constants inside the model")
        return None if value is None else value.array

    # -- what it makes ---------------------------------------------------------------------------------

    def give(self, node: OperatorNode, value: Activation | Fixed) -> None:
        """Let ``value`` be the first output of a node."""
        if node.outputs[0] in self.values:
            raise self.error(node, f"makes {clean(node.outputs[0])!r}, which is there already", "a name for each value")
        self.values[node.outputs[0]] = value

    def layer(
        self, node: OperatorNode, kind: LayerKind, *inputs: Activation, dims: Dims | None = None, axes: Axes = ()
    ) -> None:
        """Add a layer as the output of a node: an image, unless ``dims`` says otherwise; a sequence has ``axes``."""
        self.give(node, self.add(node, kind, *inputs, dims=dims, axes=axes))

    def add(
        self, node: OperatorNode, kind: LayerKind, *inputs: Activation, dims: Dims | None = None, axes: Axes = ()
    ) -> Activation:
        """The same, for a node of several layers."""
        shape: Shape = KINDS[type(kind)].infer(kind, tuple(map(self.shape, inputs)))
        check_size(shape)
        if len(self.drafts) >= MOST_LAYERS:
            raise self.error(node, f"is the layer after {MOST_LAYERS}, which is the most", "a smaller model")
        read = tuple(value.layer for value in inputs)
        self.drafts.append(LayerDraft(kind, read, shape, node.path, f"{self.model.where}, {node.name}"))
        sizes = (inputs[0].dims[0], shape.channels, shape.height, shape.width) if dims is None else dims
        return Activation(len(self.drafts) - 1, sizes, axes)

    def note_shared(self, node: OperatorNode, index: int) -> None:
        """Note a layer whose weight, input ``index`` of a node, an earlier one has read."""
        if node.inputs[index] in self.weights:
            self.shared.append(node.name)
        self.weights.add(node.inputs[index])

    def error(self, node: OperatorNode, what: str, hint: str) -> GraphError:
        """An error at a node."""
        return GraphError(f"{self.model.where}, {node.operator} {node.name}", what, hint)


def needed(model: ImportedModel) -> tuple[OperatorNode, ...]:
    """The nodes that an output of the model depends on, in their order."""
    wanted = set(model.outputs)
    found = []
    for node in reversed(model.nodes):
        if not wanted.isdisjoint(node.outputs):
            found.append(node)
            wanted.update(node.inputs)
    return tuple(reversed(found))


def data_shape(model: ImportedModel, turned: bool = False) -> tuple[Shape, Axes]:
    """The shape of one sample of the data, and the axes of a sequence.

    A sequence has its samples first, or where its size is open, unless it is ``turned``.  GraphError for data that are
    no image, vector or sequence, or too large.
    """
    where = f"{model.where}, input {model.data}"
    axes: Axes = ()
    if model.sequence:
        samples_first = (0 in model.loose or 1 not in model.loose) != turned
        axes = (*(("n", "t") if samples_first else ("t", "n")), "f")[: len(model.dims)]
        if axes.index("t") in model.loose:
            raise GraphError(where, "leaves its steps open", "an export with a fixed number of steps")
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
    """ValueError for an image with an empty or too long side, or too many elements."""
    if min(shape.channels, shape.height, shape.width) < 1:
        raise ValueError(f"has an empty shape {shape}")
    if max(shape.height, shape.width) > LARGEST_SIDE:
        raise ValueError(f"{shape} has a side above {LARGEST_SIDE}")
    if shape.elements > LARGEST_ELEMENTS:
        raise ValueError(f"{shape} has more than {LARGEST_ELEMENTS} elements")
