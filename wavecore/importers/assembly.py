"""From a model to a `LayerGraph`, the same for all formats."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from wavecore.errors import GraphError
from wavecore.importers.builder import ModelBuilder, OperatorReader
from wavecore.importers.fusions import forbidden_fusions
from wavecore.importers.model import Activation, ImportedModel
from wavecore.importers.naming import layer_names
from wavecore.importers.normalization import Rules
from wavecore.importers.sequences import TurnedError
from wavecore.importers.tidy import dead, tidy
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import CrossEntropy, Outlet


class ModelNote(UserWarning):
    """Something about an imported model that may not be what was meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedNetwork:
    """A network, the notes on how it was read, and the SHA-256 of its file, if it has one."""

    graph: LayerGraph
    notes: tuple[str, ...]
    sha256: str = ""

    def warned(self, stacklevel: int = 3) -> LayerGraph:
        """The network, after a `ModelNote` for each note."""
        for note in self.notes:
            warnings.warn(f"{self.graph.name}: {note}", ModelNote, stacklevel=stacklevel)
        return self.graph


def assemble(
    model: ImportedModel, table: Mapping[str, OperatorReader], rules: Rules, sha256: str = ""
) -> ImportedNetwork:
    """Build the network of a model; GraphError for one that cannot be costed, or makes none.

    A single output of one score a class, of a vector or a step, ends in the loss; any other goes to DRAM, and its
    gradient comes from there.
    """
    build = _built(model, table, rules)
    ends = _ends(build)
    drafts = tidy(build.drafts, list(ends))
    unread = dead(drafts, list(ends))
    alive = [index for index in range(1, len(drafts)) if index not in unread]
    net = Network(model.name, drafts[0].shape)
    names = {0: net.input}
    paths = [(drafts[index].path, drafts[index].kind.kind) for index in alive]
    for index, name in zip(alive, layer_names(paths), strict=True):
        draft = drafts[index]
        names[index] = net(draft.kind, *(names[read] for read in draft.inputs), name=name, source=draft.source)
    _finish(net, {names[index]: value for index, value in ends.items()})
    graph = net.build()
    if not graph.parameter_count:
        raise GraphError(model.where, "has no layer with weights, so there is nothing to train", "another model")
    return ImportedNetwork(graph=graph, notes=(*_notes(build), *_unfused(graph)), sha256=sha256)


def _built(model: ImportedModel, table: Mapping[str, OperatorReader], rules: Rules) -> ModelBuilder:
    """The layers of a model; which axis of its data is the samples, its first LSTM may know better."""
    build = ModelBuilder(model, table, rules)
    try:
        build.run()
    except TurnedError:
        build = ModelBuilder(model, table, rules, turned=True)
        build.run()
    return build


def _ends(build: ModelBuilder) -> dict[int, Activation]:
    """The layers that make the model's outputs, each once; the last states of LSTMs are none."""
    ends: dict[int, Activation] = {}
    for name in build.model.outputs:
        if name in build.states:
            continue
        value = build.values.get(name)
        if not isinstance(value, Activation):
            what = f"its output {name!r} does not depend on its input"
            raise GraphError(build.model.where, what, "a model whose output is made from its input")
        ends[value.layer] = value
    if not ends:
        what = f"has no output{' but the last state of an LSTM' if build.model.outputs else ''}"
        raise GraphError(build.model.where, what, "a model that makes something")
    return ends


def _finish(net: Network, ends: Mapping[str, Activation]) -> None:
    (end, value), *others = ends.items()
    if not others and (value.axes or net.shape(end).pixels == 1):
        net(CrossEntropy(), end, name="loss")
        return
    for end in ends:
        net(Outlet(), end, name=f"{end}.output")


def _notes(build: ModelBuilder) -> Iterator[str]:
    if build.folded:
        count = f"{len(build.folded)} of the convolutions seem to hold a batch normalization that was folded in"
        if build.rules.folded == "keep":
            yield (
                f"{count} ({_some(build.folded)}), which changes the training step; "
                "try: an export that keeps it (torch.onnx.export with optimize=False, or with dynamo=False and "
                "training=TrainingMode.TRAINING), or folded=restore"
            )
        else:
            yield f"{count}; a normalization is put behind each, and its bias taken away"
    if build.shared:
        yield f"layers that share the weight of an earlier one are costed with their own: {_some(build.shared)}"
    if not build.states.isdisjoint(build.model.outputs):
        yield "the last states of its LSTMs, which it returns, are not written to DRAM"
    if build.assumed:
        yield f"initial states that are too large to be looked at are taken to be zeros: {_some(build.assumed)}"
    if build.uneven:
        yield f"padding of unequal sides is evened out, for the same output, in {_some(build.uneven)}"


def _unfused(graph: LayerGraph) -> Iterator[str]:
    """What normalization over the mini-batch forbids."""
    found = forbidden_fusions(graph)
    if found:
        yield (
            f"no sub-batch passes through a normalization over the mini-batch, {len(found)} of which are kept, so "
            f"nothing is fused with them unless the whole mini-batch fits on chip: {_some(found)}"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
