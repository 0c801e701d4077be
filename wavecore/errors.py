"""The exception tree.  Every error says where it happened, what is wrong and what to try.

::

    WavecoreError
    ├── InputError                 the user's input is wrong; the command line exits with 2
    │   ├── UnitError              a quantity without a unit, with a wrong one, or out of range
    │   ├── NameLookupError        a name that is not registered (the nearest ones are offered)
    │   ├── ConfigError            an accelerator, memory or energy file
    │   ├── GraphError             a network or a training step that is not well formed
    │   ├── PlanError              a plan that does not fit its workload or its machine
    │   ├── SpaceError             something that cannot fit the buffer it needs
    │   └── FileError              a file that cannot be read or written
    └── InvariantError             an invariant of the product does not hold: our fault, exit code 1
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WavecoreError(Exception):
    """Base of all errors: ``where`` it happened, ``what`` is wrong, and the ``hint`` what to try."""

    def __init__(self, where: str, what: str, hint: str = "") -> None:
        self.where = where
        self.what = what
        self.hint = hint
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The whole message, on one line: ``where: what; try: hint``."""
        text = f"{self.where}: {self.what}"
        return f"{text}; try: {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[type[WavecoreError], tuple[str, str, str]]:
        return type(self), (self.where, self.what, self.hint)


class InputError(WavecoreError):
    """The user's input is wrong."""


class UnitError(InputError):
    """A quantity without a unit, with the wrong unit, or out of range."""


class NameLookupError(InputError):
    """A name that nothing is registered under."""


class ConfigError(InputError):
    """An accelerator, memory or energy description that is wrong."""


class GraphError(InputError):
    """A workload that is not a well-formed network."""


class PlanError(InputError):
    """A plan that contradicts its workload or its machine."""


class SpaceError(InputError):
    """A layer that cannot fit the buffer it needs."""


class FileError(InputError):
    """A file that cannot be read or written."""


class InvariantError(WavecoreError):
    """An invariant that the product checks after every stage does not hold."""


def nearest(name: str, allowed: Iterable[str], count: int = 3) -> list[str]:
    """Return up to ``count`` of the ``allowed`` names that look like ``name``, best first."""
    by_folded = {candidate.lower().replace("_", "-"): candidate for candidate in allowed}
    folded = name.lower().replace("_", "-")
    close = difflib.get_close_matches(folded, by_folded, n=count, cutoff=0.5)
    return [by_folded[match] for match in close]


def unknown_name(where: str, kind: str, name: str, allowed: Iterable[str]) -> NameLookupError:
    """Build the error for a ``name`` that is not one of the ``allowed`` names of its ``kind``."""
    names = sorted(allowed)
    close = nearest(name, names)
    hint = " or ".join(close) if close else "one of " + ", ".join(names)
    return NameLookupError(where, f"there is no {kind} named {name!r}", hint)
