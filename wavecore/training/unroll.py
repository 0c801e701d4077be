"""LayerGraph -> TrainingGraph: the network unrolled into the operations of one training step.

Layers become *units*: a layer that computes, with the elementwise layers fused into its pass.  Views (concatenation,
flattening) disappear: who reads one reads its parts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypedDict

from wavecore.errors import GraphError, InvariantError
from wavecore.network.compute import VectorPass
from wavecore.network.graph import Layer, LayerGraph
from wavecore.network.layers import KINDS, Inlet, Input, Outlet
from wavecore.network.layers.base import ACCUMULATOR_BYTES, ELEMENT_BYTES, Expansion, LayerRole, LayerRules, PhaseSpec
from wavecore.network.rules import verify_graph
from wavecore.network.sparsity import Sparsity
from wavecore.training.graph import ROWS, FusedLayer, TrainingGraph
from wavecore.training.operations import OperandRole, Operation, Phase, Tensor, TensorClass, Use
from wavecore.training.rules import verify_training

UPDATE_LANE_OPERATIONS = 4  # momentum, weight decay, step, rounding to fp16: one each
OPTIMIZER_BYTES = 2 * ACCUMULATOR_BYTES  # fp32 master weight and momentum


def training_graph(graph: LayerGraph, *, pairwise_sums: bool = True) -> TrainingGraph:
    """Unroll ``graph`` into the operations of one training step.

    The graph is verified first (`GraphError`), and so is the result (`InvariantError`).

    The gradients of a value's readers are added two at a time as they come, or (``pairwise_sums=False``) all in
    one sweep at the end, which reads and writes DRAM less where they are there and takes more room where they
    are on chip.  With two readers, as in residual networks, both are the same.
    """
    verify_graph(graph)
    return _verified(graph, pairwise_sums)


@lru_cache(maxsize=64)
def _verified(graph: LayerGraph, pairwise_sums: bool) -> TrainingGraph:
    training = _Unroller(graph, pairwise_sums).run()
    try:
        verify_training(training)
    except GraphError as error:
        raise InvariantError(error.where, error.what, "a report of this bug") from error
    return training


@dataclass
class _FusedLayerDraft:
    """A unit while it is being put together."""

    layer: Layer
    expansion: Expansion
    inputs: tuple[str, ...]  # tensor names, concatenations resolved
    parts: tuple[tuple[str, ...], ...]  # the same for each input of the layer
    fused: list[Layer]
    masked: bool = False
    parameters: int = 0
    trained: bool = False  # it or something before it has parameters: gradients must come this far

    @property
    def of_itself(self) -> bool:
        """Whether its weight gradient is made of the gradient that it gives to its input."""
        work = self.expansion.weight_gradient
        return work is not None and work.of_itself


class _Unroller:
    """Carries what is known while a graph is unrolled: forward first, then the units in reverse."""

    def __init__(self, graph: LayerGraph, pairwise_sums: bool) -> None:
        self.graph = graph
        self.pairwise_sums = pairwise_sums
        self.tensors: dict[str, Tensor] = {}
        self.values: dict[str, tuple[str, ...]] = {}  # layer -> tensors that hold its output
        self.drafts: dict[str, _FusedLayerDraft] = {}
        self.hosts: dict[str, _FusedLayerDraft] = {}  # layer -> the unit in whose pass it runs
        self.consumers: dict[str, list[str]] = {}  # tensor -> units that read it, in order
        self.contributions: dict[str, list[tuple[str, bool]]] = {}  # tensor -> (gradient part, owned?)
        self.gradients: dict[str, str] = {}  # tensor -> tensor that holds its gradient
        self.inlets: set[str] = set()  # tensors whose gradients are wanted outside
        self.outlets: dict[str, tuple[str, ...]] = {}  # outlet -> tensors that it hands on
        self.received: set[str] = set()

    def run(self) -> TrainingGraph:
        for layer in self.graph:
            self._place(layer)
        for draft in self.drafts.values():
            for tensor in dict.fromkeys(draft.inputs):
                self.consumers.setdefault(tensor, []).append(draft.layer.name)
        for outlet, handed in self.outlets.items():
            for tensor in dict.fromkeys(handed):
                self._receive(tensor, outlet)
        forward = {name: self._forward(draft) for name, draft in self.drafts.items()}
        backward = {name: self._backward(draft) for name, draft in reversed(self.drafts.items())}
        units = tuple(
            FusedLayer(
                name,
                draft.layer.kind.kind,
                tuple(layer.name for layer in draft.fused),
                draft.parts,
                forward[name],
                backward[name],
                self._update(draft),
            )
            for name, draft in self.drafts.items()
        )
        return TrainingGraph(
            self.graph.name,
            units,
            self.tensors,
            self.graph.forward_macs,
            self.graph.parameter_count,
            frozenset(tensor for handed in self.outlets.values() for tensor in handed if tensor in self.drafts)
            | {self.gradients[tensor] for tensor in self.inlets if tensor in self.gradients},
            frozenset(self.received),
            self._sparsity(),
            self.graph.batch_per_core,
        )

    def _sparsity(self) -> Sparsity | None:
        """What is known of zeros, by tensor instead of layer."""
        known = self.graph.sparsity
        if known is None:
            return None
        values = ((tensor, density) for layer, density in known.densities for tensor in self.values[layer])
        return replace(known, densities=tuple(values))

    def _tensor(self, name: str, tensor_class: TensorClass, nbytes: int, batched: bool = True) -> str:
        self.tensors[name] = Tensor(name, tensor_class, nbytes, batched)
        return name

    def _same_size(self, tensor: str, others: tuple[str, ...]) -> tuple[str, ...]:
        """Those of ``others`` whose space ``tensor`` fills exactly; one that holds a concatenation is larger."""
        nbytes = self.tensors[tensor].nbytes
        return tuple(other for other in others if self.tensors[other].nbytes == nbytes)

    def _share(self, gradient: str, tensor: str) -> int | None:
        """Bytes of a sample's gradient that are of a tensor, where the whole is that of a concatenation."""
        nbytes = self.tensors[tensor].nbytes
        return nbytes if nbytes < self.tensors[gradient].nbytes else None

    def _trained(self, tensor: str) -> bool:
        """Whether the gradient of a tensor is wanted."""
        return tensor in self.inlets or (tensor in self.drafts and self.drafts[tensor].trained)

    def _masked(self, tensor: str) -> bool:
        return tensor in self.drafts and self.drafts[tensor].masked

    def _receive(self, tensor: str, outlet: str) -> None:
        """Let an outlet read a tensor, and contribute a gradient that comes from outside."""
        self.consumers.setdefault(tensor, []).append(outlet)
        if self._trained(tensor):
            part = self._tensor(f"{tensor}.gradient@{outlet}", TensorClass.GRADIENT, self.tensors[tensor].nbytes)
            self._contribute(tensor, part, owned=not self._masked(tensor))
            self.received.add(part)

    # -- forward ---------------------------------------------------------------------------------------

    def _place(self, layer: Layer) -> None:
        """Turn a layer into a unit, fuse it into one, or make it a view."""
        rules = KINDS[type(layer.kind)]
        if isinstance(layer.kind, Input | Inlet):
            self._tensor(layer.name, TensorClass.ACTIVATION, layer.shape.elements * ELEMENT_BYTES)
            self.values[layer.name] = (layer.name,)
            if isinstance(layer.kind, Inlet):
                self.inlets.add(layer.name)
            return
        parts = tuple(self.values[name] for name in layer.inputs)
        flat = tuple(tensor for part in parts for tensor in part)
        if rules.role is LayerRole.VIEW:
            self.values[layer.name] = flat
            if isinstance(layer.kind, Outlet):
                self.outlets[layer.name] = flat
            return
        host = self._fusion_host(layer) if rules.role is LayerRole.ELEMENTWISE else None
        if host is not None:
            host.fused.append(layer)
            host.masked = True
            self.hosts[layer.name] = host
            self.values[layer.name] = flat
            return
        shapes = self.graph.input_shapes(layer)
        expansion = (
            rules.expand(layer.kind, shapes, layer.shape) if rules.expand else _elementwise(rules, layer.shape.elements)
        )
        draft = _FusedLayerDraft(layer, expansion, flat, parts, [], masked=rules.role is LayerRole.ELEMENTWISE)
        draft.parameters = sum(parameter.elements for parameter in self.graph.parameters(layer))
        draft.trained = draft.parameters > 0 or any(map(self._trained, flat))
        self.drafts[layer.name] = self.hosts[layer.name] = draft
        self.values[layer.name] = (layer.name,)
        self._tensor(layer.name, TensorClass.ACTIVATION, layer.shape.elements * ELEMENT_BYTES)

    def _fusion_host(self, layer: Layer) -> _FusedLayerDraft | None:
        """The unit into whose pass an elementwise ``layer`` can be fused: its only source, read by it alone."""
        (source,) = layer.inputs
        digraph = self.graph.digraph
        while digraph.out_degree(source) == 1:
            if source in self.hosts:
                host = self.hosts[source]
                return host if KINDS[type(host.layer.kind)].takes_fused else None
            inputs = self.graph.by_name[source].inputs
            if len(inputs) != 1:
                return None
            (source,) = inputs
        return None

    def _forward(self, draft: _FusedLayerDraft) -> tuple[Operation, ...]:
        name, work = draft.layer.name, draft.expansion.forward
        writes = [name] if name in self.consumers else []
        if not writes:
            del self.tensors[name]
        if draft.masked and draft.trained:
            bits = draft.layer.shape.elements
            writes.append(self._tensor(f"{name}.mask", TensorClass.MASK, -(-bits // 8)))
        for saved in draft.expansion.saved if draft.trained else ():
            mask = TensorClass.MASK if saved.name == "indices" else TensorClass.ACTIVATION
            writes.append(self._tensor(f"{name}.{saved.name}", mask, -(-saved.bits // 8)))
        if draft.parameters:
            self._tensor(f"{name}.weight", TensorClass.WEIGHT, draft.parameters * ELEMENT_BYTES, batched=False)
        lane_operations = sum(KINDS[type(layer.kind)].lane_operations for layer in draft.fused)
        return (
            Operation(
                name=f"{name}.forward",
                unit=name,
                phase=Phase.FORWARD,
                reads=self._uses(draft, work, left="input"),
                writes=tuple(writes),
                gemms=work.gemms,
                passes=_plus(work.passes, lane_operations),
                in_place=self._same_size(name, draft.inputs[:1]) if work.in_place else (),
                **_manner(work),
            ),
        )

    def _uses(self, draft: _FusedLayerDraft, work: PhaseSpec, left: str) -> tuple[Use, ...]:
        """What a phase of a unit reads, with the operand each tensor is when the phase is a GEMM."""
        name = draft.layer.name
        # what a time step multiplies with its weights is what the one before hands on: all else is beside that
        first = OperandRole.LEFT if work.gemms and not work.time_steps else OperandRole.SIDE
        second = OperandRole.RIGHT if work.gemms else OperandRole.SIDE
        uses: list[Use] = []
        if work.of_itself:
            return Use(name, first), Use(self._part(draft.inputs[0], draft), second)
        if work.reads_input:
            uses += [Use(tensor, first, work.reads_input) for tensor in dict.fromkeys(draft.inputs)]
        if work.reads_gradient:
            role = first if left == "gradient" else second
            gradient = self.gradients[name]
            uses.append(Use(gradient, role, work.reads_gradient, self._share(gradient, name)))
        if work.reads_weight and draft.parameters:
            uses.append(Use(f"{name}.weight", second))
        if work.reads_row_bytes:
            uses.append(Use(self._tensor(f"{name}{ROWS}", TensorClass.WEIGHT, work.reads_row_bytes)))
        uses += [Use(f"{name}.{saved}") for saved in work.reads_saved]
        return tuple(uses)

    # -- backward --------------------------------------------------------------------------------------

    def _backward(self, draft: _FusedLayerDraft) -> tuple[Operation, ...]:
        """The backward operations of a unit: weight gradient, data gradient, sums of gradients that end here.

        The weight gradient runs first, so that the saved input is gone before the input's gradient comes; only one
        that is made of the input's gradient has to follow it.
        """
        name = draft.layer.name
        operations: list[Operation] = []
        if not draft.trained:
            return ()
        if self.consumers.get(name, [""])[0] in self.outlets:  # nothing in the network reads it
            operations += self._gather(name, draft, last=True)
        weight_work, data_work = draft.expansion.weight_gradient, draft.expansion.data_gradient
        if weight_work is not None and not draft.of_itself:
            operations.append(self._weight_gradient(draft, weight_work))
        wanted = [tensor for tensor in draft.inputs if self._trained(tensor)]
        if data_work is None and draft.expansion.weight_gradient is None:
            for tensor in wanted:
                self._contribute(tensor, self.gradients[name], owned=False)
        elif data_work is not None and (wanted or data_work.writes_weight_gradient or draft.of_itself):
            operations.append(self._data_gradient(draft, data_work, wanted))
        if weight_work is not None and draft.of_itself:
            operations.append(self._weight_gradient(draft, weight_work))
        for tensor in dict.fromkeys(wanted):
            operations += self._gather(tensor, draft, last=self.consumers[tensor][0] == name)
        return tuple(operations)

    def _weight_gradient(self, draft: _FusedLayerDraft, work: PhaseSpec) -> Operation:
        return Operation(
            name=f"{draft.layer.name}.weight_gradient",
            unit=draft.layer.name,
            phase=Phase.WEIGHT_GRADIENT,
            reads=self._uses(draft, work, left="input"),
            writes=(self._weight_gradient_tensor(draft),),
            gemms=work.gemms,
            passes=work.passes,
            accumulates=True,
            **_manner(work),
        )

    def _part(self, tensor: str, draft: _FusedLayerDraft) -> str:
        """The gradient that a unit gives to a tensor: all there is of it, or what is still to be added up or masked.

        What the unit itself uses again must not be masked.
        """
        masked = draft.of_itself and self._masked(tensor)
        alone = len(self.consumers[tensor]) == 1 and not masked
        return f"{tensor}.gradient" if alone else f"{tensor}.gradient@{draft.layer.name}"

    def _weight_gradient_tensor(self, draft: _FusedLayerDraft) -> str:
        nbytes = draft.parameters * ACCUMULATOR_BYTES
        name = f"{draft.layer.name}.weight_gradient"
        return self._tensor(name, TensorClass.WEIGHT_GRADIENT, nbytes, batched=False)

    def _data_gradient(self, draft: _FusedLayerDraft, work: PhaseSpec, wanted: list[str]) -> Operation:
        name = draft.layer.name
        reads = list(self._uses(draft, work, left="gradient"))
        writes = []
        masks = 0
        for tensor in dict.fromkeys(draft.inputs if draft.of_itself else wanted):
            part = self._part(tensor, draft)
            direct = part == f"{tensor}.gradient"
            writes.append(self._tensor(part, TensorClass.GRADIENT, self.tensors[tensor].nbytes))
            if tensor in wanted:
                self._contribute(tensor, part, owned=direct or not draft.of_itself)
            if direct and self._masked(tensor):
                reads.append(Use(f"{tensor}.mask"))
                masks = 1
        in_place = work.in_place and wanted
        if work.writes_weight_gradient:
            writes.append(self._weight_gradient_tensor(draft))
        return Operation(
            name=f"{name}.data_gradient",
            unit=name,
            phase=Phase.DATA_GRADIENT,
            reads=tuple(reads),
            writes=tuple(writes),
            gemms=work.gemms,
            passes=_plus(work.passes, masks),
            accumulates=work.writes_weight_gradient,
            in_place=self._same_size(writes[0], (self.gradients[name], *draft.inputs)) if in_place else (),
            **_manner(work),
        )

    def _contribute(self, tensor: str, part: str, owned: bool) -> None:
        self.contributions.setdefault(tensor, []).append((part, owned))

    def _gather(self, tensor: str, draft: _FusedLayerDraft, last: bool) -> list[Operation]:
        """Add up the gradients that have reached ``tensor`` so far; its first reader, last in reverse, ends that.

        Branches' gradients are added as they come, as automatic differentiation does; a mask is applied with the
        last sum, or in a sweep of its own where a lone gradient was passed on by an addition.
        """
        parts = self.contributions[tensor]
        masked = last and self._masked(tensor)
        operations = []
        due = len(parts) > 1 and (last or self.pairwise_sums)
        if due or (masked and not parts[0][1]):
            operations.append(self._gradient_sum(tensor, draft, last, masked))
        if last:
            self.gradients[tensor] = self.contributions[tensor][0][0]
        return operations

    def _gradient_sum(self, tensor: str, draft: _FusedLayerDraft, last: bool, masked: bool) -> Operation:
        """One sweep over all parts that wait to be added; its result takes their place."""
        parts = self.contributions[tensor]
        unit, nbytes = draft.layer.name, self.tensors[tensor].nbytes
        total = f"{tensor}.gradient" if last else f"{tensor}.gradient+{unit}"
        named = dict.fromkeys(part for part, _ in parts)
        reads = [Use(part, part_bytes=self._share(part, tensor)) for part in named]
        reads += [Use(f"{tensor}.mask")] if masked else []
        self.contributions[tensor] = [(self._tensor(total, TensorClass.GRADIENT, nbytes), True)]
        return Operation(
            name=f"{total}.sum",
            unit=unit,
            phase=Phase.DATA_GRADIENT,
            reads=tuple(reads),
            writes=(total,),
            passes=(VectorPass(nbytes // ELEMENT_BYTES, len(parts) - 1 + masked),),
            in_place=self._same_size(tensor, tuple(part for part, _ in reversed(parts))),
            sums=len(parts) > 1,
            lookahead=(0, 1),
        )

    # -- update ----------------------------------------------------------------------------------------

    def _update(self, draft: _FusedLayerDraft) -> tuple[Operation, ...]:
        if not draft.parameters:
            return ()
        name = draft.layer.name
        optimizer = self._tensor(
            f"{name}.optimizer", TensorClass.OPTIMIZER, draft.parameters * OPTIMIZER_BYTES, batched=False
        )
        return (
            Operation(
                name=f"{name}.update",
                unit=name,
                phase=Phase.UPDATE,
                reads=(Use(f"{name}.weight_gradient"), Use(optimizer)),
                writes=(optimizer, f"{name}.weight"),
                passes=(VectorPass(draft.parameters, UPDATE_LANE_OPERATIONS, batched=False),),
            ),
        )


def _elementwise(rules: LayerRules, elements: int) -> Expansion:
    """The phases of an elementwise layer that found no pass to be fused into.

    Its mask is applied where the gradient of its output is produced, so its own backward only passes it on.
    """
    sweep = VectorPass(elements, rules.lane_operations)
    return Expansion(forward=PhaseSpec(passes=(sweep,), reads_input=1, in_place=True, lookahead=(0, 1)))


class _Manner(TypedDict):
    lookahead: tuple[int, int]
    whole_batch: bool
    time_steps: int
    state_bytes: int


def _manner(work: PhaseSpec) -> _Manner:
    """How a phase runs over its samples and its time steps, which is the same of its operation."""
    lookahead = (0, 1) if work.time_steps else work.lookahead  # steps follow each other, not samples
    return _Manner(
        lookahead=lookahead, whole_batch=work.whole_batch, time_steps=work.time_steps, state_bytes=work.state_bytes
    )


def _plus(passes: tuple[VectorPass, ...], lane_operations: int) -> tuple[VectorPass, ...]:
    """Add fused ``lane_operations`` to the last sweep."""
    if not lane_operations or not passes:
        return passes
    last = replace(passes[-1], lane_operations=passes[-1].lane_operations + lane_operations)
    return (*passes[:-1], last)
