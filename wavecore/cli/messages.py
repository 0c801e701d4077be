"""Print messages and errors on stderr."""

from __future__ import annotations

import os
import sys

from wavecore.errors import WavecoreError


def say_error(error: WavecoreError) -> None:
    """Print an error: ``error: where: what`` and, below it, ``try: hint``."""
    say(f"{_styled('error:', '1;31')} {error.where}: {error.what}")
    if error.hint:
        say(f"  {_styled('try:', '1')} {error.hint}")


def say(text: str) -> None:
    """Print a line on stderr."""
    print(text, file=sys.stderr)


def _styled(text: str, code: str) -> str:
    """Return ``text`` in the style of an ANSI ``code``, or unchanged if stderr shows no colours."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stderr.isatty()
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"
