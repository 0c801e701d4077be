"""One form for what can be written in several ways, so that equal networks become equal graphs.

* A concatenation that only another one reads is part of that.
* A sum reads first what nobody else reads, and may take its place; of those, what was made first.
* A dropout right before a flatten goes behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from wavecore.importers.builder import LayerDraft
from wavecore.network.layers import Add, Concat, Dropout, Flatten


def tidy(drafts: Sequence[LayerDraft], outputs: Sequence[int]) -> list[LayerDraft]:
    """The layers in that form: as many, in order, with joined concatenations left in place and read by nobody."""
    found = [replace(draft) for draft in drafts]
    readers = Counter(read for draft in found for read in draft.inputs) + Counter(outputs)
    for draft in found:
        if isinstance(draft.kind, Concat):
            draft.inputs = _joined(found, draft, readers)
    _flatten_first(found, readers)
    for draft in found:
        if isinstance(draft.kind, Add):
            draft.inputs = tuple(sorted(draft.inputs, key=lambda read: (readers[read] > 1, read)))
    return found


def _joined(drafts: Sequence[LayerDraft], concat: LayerDraft, readers: Counter[int]) -> tuple[int, ...]:
    """What a concatenation reads, with what those read that it alone reads in their stead."""
    found: list[int] = []
    for read in concat.inputs:
        inner = isinstance(drafts[read].kind, Concat) and readers[read] == 1
        found += drafts[read].inputs if inner else (read,)
    return tuple(found)


def _flatten_first(drafts: Sequence[LayerDraft], readers: Counter[int]) -> None:
    """Swap dropouts with the flatten behind them, the last one first."""
    for behind in drafts:
        while isinstance(behind.kind, Flatten) and behind.inputs:
            (read,) = behind.inputs
            before = drafts[read]
            if not isinstance(before.kind, Dropout) or readers[read] > 1:
                break
            before.kind, behind.kind = behind.kind, before.kind
            before.path, behind.path = behind.path, before.path
            before.source, behind.source = behind.source, before.source
            before.shape = behind.shape
            behind = before  # noqa: PLW2901 (the flatten is there now)


def dead(drafts: Sequence[LayerDraft], outputs: Sequence[int]) -> frozenset[int]:
    """Layers that no output is made from."""
    alive = set(outputs)
    for index in reversed(range(len(drafts))):
        if index in alive:
            alive.update(drafts[index].inputs)
    return frozenset(range(len(drafts))) - alive
