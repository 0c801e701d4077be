"""Which layers cannot be fused, in the sense of sub-batches that pass through both, where statistics are of batches."""

from __future__ import annotations

from collections.abc import Iterator

from wavecore.network.graph import LayerGraph
from wavecore.network.layers import KINDS, BatchNorm
from wavecore.network.layers.base import LayerRole


def forbidden_fusions(graph: LayerGraph) -> tuple[str, ...]:
    """For each normalization over the mini-batch: ``layer before / normalization / layers behind``.

    Elementwise layers behind it run in its own sweep.
    """
    readers: dict[str, list[str]] = {}
    for layer in graph:
        for name in layer.inputs:
            readers.setdefault(name, []).append(layer.name)

    def behind(name: str) -> Iterator[str]:
        for reader in readers.get(name, []):
            elementwise = KINDS[type(graph.by_name[reader].kind)].role is LayerRole.ELEMENTWISE
            yield from behind(reader) if elementwise else [reader]

    return tuple(
        f"{layer.inputs[0]} / {layer.name} / {' and '.join(dict.fromkeys(behind(layer.name)))}"
        for layer in graph
        if isinstance(layer.kind, BatchNorm)
    )
