"""Print messages and errors on stderr."""

from __future__ import annotations

import os
import sys

from wavecore.common.text import printable, shortened
from wavecore.errors import WavecoreError

ARGUMENTS = ("batch", "engine", "jobs", "layer", "queue", "schedule")
"""Arguments of functions, named in their errors, that are options of the same name here."""


def say_error(error: WavecoreError) -> None:
    """Print an error: ``error: where: what`` and, below it, ``try: hint``.  What files put into it is made harmless."""
    option = f"--{error.where}" if error.where in ARGUMENTS else error.where
    where, what, hint = (shortened(printable(part)) for part in (option, error.what, error.hint))
    _write(f"{_styled('error:', '1;31')} {where}: {what}")
    if hint:
        _write(f"  {_styled('try:', '1')} {hint}")


def say(text: str) -> None:
    """Print a line on stderr."""
    _write(shortened(printable(text, lines=True)))


def _write(text: str) -> None:
    print(text, file=sys.stderr)


def _styled(text: str, code: str) -> str:
    """Return ``text`` in the style of an ANSI ``code``, or unchanged if stderr shows no colours."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stderr.isatty()
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"
