"""Rewrite layers into a canonical form, so that equal networks become equal graphs.

* A concatenation that only one other concatenation reads is merged into that one.
* The inputs of a sum are ordered: first those that no other layer reads (the sum may overwrite the first input), and
  among equals the one that was made first.
* A dropout directly before a flatten is moved behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from wavecore.importers.builder import LayerDraft
from wavecore.network.layers import Add, Concat, Dropout, Flatten


def canonical_form(drafts: Sequence[LayerDraft], outputs: Sequence[int]) -> list[LayerDraft]:
    """Return the layers in canonical form, in the same number and order; merged concatenations stay but are unread."""
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
    """Return the inputs of a concatenation; a concatenation that only it reads is replaced by that one's inputs."""
    found: list[int] = []
    for read in concat.inputs:
        inner = isinstance(drafts[read].kind, Concat) and readers[read] == 1
        found += drafts[read].inputs if inner else (read,)
    return tuple(found)


def _flatten_first(drafts: Sequence[LayerDraft], readers: Counter[int]) -> None:
    """Swap each flatten with the dropouts directly before it, the nearest one first."""
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
            behind = before  # noqa: PLW2901 (the flatten is now one layer earlier)


def unused_layers(drafts: Sequence[LayerDraft], outputs: Sequence[int]) -> frozenset[int]:
    """Return the indices of the layers on which no output depends."""
    used = set(outputs)
    for index in reversed(range(len(drafts))):
        if index in used:
            used.update(drafts[index].inputs)
    return frozenset(range(len(drafts))) - used
