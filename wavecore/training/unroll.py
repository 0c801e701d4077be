"""LayerGraph -> TrainingGraph: the network unrolled into the operations of one training step.

`training.fusion` decides which layers are fused, `training.forward` and `training.backward` make their operations, and
`training.gradients` adds up the gradients of what several layers read.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from wavecore.common.precision import ELEMENT_BYTES
from wavecore.errors import GraphError, InvariantError
from wavecore.importers.named import named_network
from wavecore.network.graph import LayerGraph
from wavecore.network.rules import verify_graph
from wavecore.network.sparsity import Sparsity
from wavecore.training.backward import backward_operations
from wavecore.training.forward import forward_operation, update_operations
from wavecore.training.fusion import FusedNetwork, fuse
from wavecore.training.gradients import GradientSums
from wavecore.training.graph import FusedLayer, TrainingGraph
from wavecore.training.operations import TensorClass
from wavecore.training.rules import verify_training
from wavecore.training.tensor_table import TensorTable


def training_graph(workload: str | Path | LayerGraph) -> TrainingGraph:
    """Unroll ``workload``, a network or the name or path of one, into the operations of one training step.

    The graph is verified first (`GraphError`), and so is the result (`InvariantError`).  Raises what `named_network`
    does for a name or a path.
    """
    graph = named_network(workload)
    verify_graph(graph)
    return _verified(graph)


@lru_cache(maxsize=64)
def _verified(graph: LayerGraph) -> TrainingGraph:
    training = _unroll(graph)
    try:
        verify_training(training)
    except GraphError as error:
        raise InvariantError(error.where, error.what, "a report of this bug") from error
    return training


def _unroll(graph: LayerGraph) -> TrainingGraph:
    """Return the step: forward of every layer first, then backward in reverse, then the updates."""
    net, table = fuse(graph), TensorTable()
    for layer in net.sources:
        table.declare(layer.name, TensorClass.ACTIVATION, layer.shape.elements * ELEMENT_BYTES)
    sums = GradientSums(net, table)
    for outlet, handed in net.outlets.items():
        for tensor in dict.fromkeys(handed):
            sums.receive(tensor, outlet)
    forward = {name: forward_operation(net, table, fusion) for name, fusion in net.layers.items()}
    backward = {name: backward_operations(net, table, sums, fusion) for name, fusion in reversed([*net.layers.items()])}
    units = tuple(
        FusedLayer(
            name,
            fusion.layer.kind.kind,
            tuple(layer.name for layer in fusion.fused),
            fusion.parts,
            (forward[name],),
            backward[name],
            update_operations(table, fusion),
        )
        for name, fusion in net.layers.items()
    )
    return TrainingGraph(
        graph.name,
        units,
        table.tensors,
        graph.forward_macs,
        graph.parameter_count,
        frozenset(tensor for handed in net.outlets.values() for tensor in handed if tensor in net.layers)
        | {sums.complete[tensor] for tensor in net.inlets if tensor in sums.complete},
        frozenset(sums.received),
        _sparsity(net),
        graph.batch_per_core,
    )


def _sparsity(net: FusedNetwork) -> Sparsity | None:
    """Return what is known of zeros, by tensor instead of layer."""
    known = net.graph.sparsity
    if known is None:
        return None
    values = ((tensor, density) for layer, density in known.densities for tensor in net.values[layer])
    return replace(known, densities=tuple(values))
