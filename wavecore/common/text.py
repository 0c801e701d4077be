"""Texts from files and names of users, made safe for where they are shown: a terminal, a CSV cell, a page.

A terminal obeys control characters, a spreadsheet runs what begins as a formula, and marks of writing direction let a
name look like another one.  What cannot be shown is written as its escape: ``\\x1b``, ``\\u202e``.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator

LONGEST = 2000  # characters of a part of a message

_UNSAFE = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]")
_UNSAFE_IN_LINES = re.compile(_UNSAFE.pattern.replace("\0-\x1f", "\0-\x09\x0b-\x1f"))
_FORMULA = ("=", "+", "-", "@")


def printable(text: str, *, lines: bool = False) -> str:
    """Return ``text`` with its control characters and direction marks as escapes; with ``lines``, line feeds stay."""
    return (_UNSAFE_IN_LINES if lines else _UNSAFE).sub(lambda found: ascii(found[0])[1:-1], text)


def shortened(text: str, longest: int = LONGEST) -> str:
    """Return ``text`` with its middle left out if it is longer than ``longest`` characters."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} ... ({len(text) - 2 * half:,} characters left out) ... {text[-half:]}"


def markup(text: str) -> str:
    """Return a text for HTML: printable, without markup."""
    return html.escape(printable(text, lines=True))


def csv_cells(values: Iterable[object]) -> Iterator[object]:
    """Yield the cells of a row; a text that a spreadsheet would take for a formula begins with an apostrophe."""
    for value in values:
        yield _csv_text(value) if isinstance(value, str) else value


def from_csv(text: str) -> str:
    """Return the text that `csv_cells` has written."""
    return text[1:] if text.startswith("'") and text[1:2] in _FORMULA else text


def _csv_text(text: str) -> str:
    shown = printable(text, lines=True)
    return f"'{shown}" if shown.startswith(_FORMULA) and not _is_number(shown) else shown


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
