"""List the layers that cannot be fused because a normalization between them needs the whole mini-batch.

Two layers are fused if each sub-batch passes through both before the next one begins.
"""

from __future__ import annotations

from collections.abc import Iterator

from wavecore.network.graph import LayerGraph
from wavecore.network.layers import KINDS, BatchNorm
from wavecore.network.layers.base import LayerRole


def forbidden_fusions(graph: LayerGraph) -> tuple[str, ...]:
    """Return ``layer before / normalization / layers behind`` for each normalization over the mini-batch.

    Elementwise layers directly behind it are skipped: they run in the normalization's own pass over its output.
    """
    readers: dict[str, list[str]] = {}
    for layer in graph:
        for name in layer.inputs:
            readers.setdefault(name, []).append(layer.name)

    def behind(name: str) -> Iterator[str]:
        """Yield the first readers of a layer that are not elementwise."""
        for reader in readers.get(name, []):
            elementwise = KINDS[type(graph.by_name[reader].kind)].role is LayerRole.ELEMENTWISE
            yield from behind(reader) if elementwise else [reader]

    return tuple(
        f"{layer.inputs[0]} / {layer.name} / {' and '.join(dict.fromkeys(behind(layer.name)))}"
        for layer in graph
        if isinstance(layer.kind, BatchNorm)
    )
