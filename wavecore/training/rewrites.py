"""Passes that change a training graph: applied in order, verified after each, registered by name.

A pass is a frozen dataclass (see `wavecore.training.graph.Rewrite`).  A module registers its classes under the
entry-point group ``wavecore.rewrites`` in a table ``REWRITES: Mapping[str, type]``.  A plan's file can name only
registered passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from wavecore.common.entry_points import find
from wavecore.common.memo import remembered
from wavecore.common.records import build
from wavecore.common.typecheck import type_problem
from wavecore.errors import GraphError, InputError, WavecoreError
from wavecore.training.graph import Rewrite, TrainingGraph
from wavecore.training.rules import verify_training

GROUP = "wavecore.rewrites"
ATTRIBUTE = "REWRITES"


def rewritten(training: TrainingGraph, rewrites: tuple[Rewrite, ...]) -> TrainingGraph:
    """Return ``training`` after ``rewrites``, of which it may have had the first few already.

    The same passes of the same graph return the same object again.  Raises `InputError` where the graph has had other
    passes or one of them does not fit it, and `GraphError` where a pass returns a graph that breaks a rule.
    """
    _check(rewrites)
    had = training.rewrites
    if rewrites == had:
        return training
    if rewrites[: len(had)] != had:
        what = f"has been rewritten by {names_of(had)}, and not by {names_of(rewrites)}"
        raise InputError(f"training graph of {training.name}", what, "the graph as it was unrolled")
    return _apply_all(training, rewrites)


@remembered()
def _apply_all(training: TrainingGraph, rewrites: tuple[Rewrite, ...]) -> TrainingGraph:
    return _apply(rewritten(training, rewrites[:-1]), rewrites[-1])


def _check(rewrites: tuple[Rewrite, ...]) -> None:
    wrong = type_problem(rewrites, tuple[Rewrite, ...])
    if wrong is not None:
        raise InputError(f"rewrites{wrong.path}", wrong.what, "a tuple of frozen dataclasses with a name and apply()")
    for rewrite in rewrites:
        if not is_dataclass(rewrite) or not _is_hashable(rewrite):
            what = "is no frozen dataclass: its options must not change"
            raise InputError(f"rewrite {rewrite.name}", what, "@dataclass(frozen=True)")


def _is_hashable(value: object) -> bool:
    """Return whether a value and all that it holds cannot change."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _apply(training: TrainingGraph, rewrite: Rewrite) -> TrainingGraph:
    try:
        changed = rewrite.apply(training)
    except WavecoreError:
        raise
    except Exception as error:  # the code of another package may raise anything
        what = f"failed: {type(error).__name__}: {error}"
        raise GraphError(f"rewrite {rewrite.name}", what, "mending the rewrite: --debug shows where") from error
    if not isinstance(changed, TrainingGraph):
        what = f"returned a {type(changed).__name__}, not a TrainingGraph"
        raise GraphError(f"rewrite {rewrite.name}", what, "the graph itself where there is nothing to change")
    changed = replace(changed, rewrites=(*training.rewrites, rewrite))
    try:
        verify_training(changed)
    except GraphError as error:
        raise GraphError(f"rewrite {rewrite.name}: {error.where}", error.what, error.hint) from error
    return changed


def names_of(rewrites: tuple[Rewrite, ...]) -> str:
    """Return the names of passes as a message lists them."""
    return ", ".join(rewrite.name for rewrite in rewrites) or "no pass"


def find_rewrite(where: str, name: str, options: Mapping[str, Any]) -> Rewrite:
    """Build the registered pass called ``name`` from its options as plain values of a file.

    Raises `NameLookupError` for a name that is not registered, and `InputError` for an option that is missing, unknown
    or of a wrong type.
    """
    kind = find(where, "rewrite", name, GROUP, ATTRIBUTE, type)
    rewrite: Rewrite = build(kind, dict(options), where)
    return rewrite


def rewrite_options(rewrite: Rewrite) -> Mapping[str, Any]:
    """Return the options of a pass by name."""
    return {each.name: getattr(rewrite, each.name) for each in fields(rewrite)}  # type: ignore[arg-type]
