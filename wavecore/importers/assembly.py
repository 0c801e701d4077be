"""Build a `LayerGraph` from an imported model, the same way for all formats."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from wavecore.errors import GraphError
from wavecore.importers.builder import ModelBuilder, OperatorReader
from wavecore.importers.canonical import canonical_form, unused_layers
from wavecore.importers.fusions import forbidden_fusions
from wavecore.importers.model import Activation, ImportedModel
from wavecore.importers.naming import layer_names
from wavecore.importers.normalization import Rules
from wavecore.importers.sequences import SwappedAxesError
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import CrossEntropy, Outlet


class ModelNote(UserWarning):
    """A warning that an imported model may differ from what the user meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedNetwork:
    """An imported network, the notes on how it was read, and the SHA-256 of its file (empty without a file)."""

    graph: LayerGraph
    notes: tuple[str, ...]
    sha256: str = ""

    def warned(self, stacklevel: int = 3) -> LayerGraph:
        """Issue each note as a `ModelNote` warning and return the network."""
        for note in self.notes:
            warnings.warn(f"{self.graph.name}: {note}", ModelNote, stacklevel=stacklevel)
        return self.graph


def assemble(
    model: ImportedModel, table: Mapping[str, OperatorReader], rules: Rules, sha256: str = ""
) -> ImportedNetwork:
    """Build the network of a model.

    A model with a single output that is a vector or a sequence of class scores ends in the loss (`CrossEntropy`).
    Any other output is written to DRAM, and its gradient is read from there (`Outlet`).

    Raises `GraphError` for a model that cannot be costed or makes no network.
    """
    build = _built(model, table, rules)
    ends = _ends(build)
    drafts = canonical_form(build.drafts, list(ends))
    unused = unused_layers(drafts, list(ends))
    used = [index for index in range(1, len(drafts)) if index not in unused]
    net = Network(model.name, drafts[0].shape)
    names = {0: net.input}
    paths = [(drafts[index].path, drafts[index].kind.kind) for index in used]
    for index, name in zip(used, layer_names(paths), strict=True):
        draft = drafts[index]
        names[index] = net(draft.kind, *(names[read] for read in draft.inputs), name=name, source=draft.source)
    _finish(net, {names[index]: value for index, value in ends.items()})
    graph = net.build()
    if not graph.parameter_count:
        raise GraphError(
            model.where, "has no layer with weights, so there is nothing to train", "a model with trainable weights"
        )
    return ImportedNetwork(graph=graph, notes=(*_notes(build), *_unfused(graph)), sha256=sha256)


def _built(model: ImportedModel, table: Mapping[str, OperatorReader], rules: Rules) -> ModelBuilder:
    """Collect the layers of a model; build again with samples and steps swapped if its first LSTM asks for that."""
    build = ModelBuilder(model, table, rules)
    try:
        build.run()
    except SwappedAxesError:
        build = ModelBuilder(model, table, rules, axes_swapped=True)
        build.run()
    return build


def _ends(build: ModelBuilder) -> dict[int, Activation]:
    """Return the layers that make the model's outputs, by index; the final states of LSTMs are left out."""
    ends: dict[int, Activation] = {}
    for name in build.model.outputs:
        if name in build.states:
            continue
        value = build.values.get(name)
        if not isinstance(value, Activation):
            what = f"its output {name!r} does not depend on its input"
            raise GraphError(build.model.where, what, "a model whose output is computed from its input")
        ends[value.layer] = value
    if not ends:
        what = f"has no output{' other than the final state of an LSTM' if build.model.outputs else ''}"
        raise GraphError(build.model.where, what, "a model that returns an output")
    return ends


def _finish(net: Network, ends: Mapping[str, Activation]) -> None:
    """Add the loss behind a single output of class scores, or an outlet behind each output."""
    (end, value), *others = ends.items()
    if not others and (value.axes or net.shape(end).pixels == 1):
        net(CrossEntropy(), end, name="loss")
        return
    for end in ends:
        net(Outlet(), end, name=f"{end}.output")


def _notes(build: ModelBuilder) -> Iterator[str]:
    if build.folded:
        count = f"{len(build.folded)} of the convolutions seem to contain a folded batch normalization"
        if build.rules.folded == "keep":
            yield (
                f"{count} ({_some(build.folded)}), which changes the training step; "
                "try: an export that keeps it (torch.onnx.export with optimize=False, or with dynamo=False and "
                "training=TrainingMode.TRAINING), or folded=restore"
            )
        else:
            yield f"{count}; a normalization is added after each, and its bias is removed"
    if build.shared:
        yield f"layers that share the weight of an earlier one are costed as if each had its own: {_some(build.shared)}"
    if not build.states.isdisjoint(build.model.outputs):
        yield "the final LSTM states that it returns are not written to DRAM"
    if build.assumed:
        yield f"initial LSTM states that are too large to be read are assumed to be zero: {_some(build.assumed)}"
    if build.uneven:
        yield (
            "unequal padding of opposite sides is replaced by equal padding with the same output size in "
            f"{_some(build.uneven)}"
        )


def _unfused(graph: LayerGraph) -> Iterator[str]:
    """Yield a note on the fusions that normalization over the mini-batch prevents, if there are any."""
    found = forbidden_fusions(graph)
    if found:
        yield (
            "a normalization over the mini-batch needs all its samples at once, so no layer is fused with one unless "
            f"the whole mini-batch fits on chip; {len(found)} kept: {_some(found)}"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
