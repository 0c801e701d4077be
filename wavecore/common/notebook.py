"""How a large value is shown in a notebook cell: a title and a table of its first rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

MOST_ROWS = 40


def table_html(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], whole: str) -> str:
    """Return a table as HTML, cut after `MOST_ROWS` rows; ``whole`` says then how all of it is printed."""
    listed = list(rows)
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in listed[:MOST_ROWS])
    left = len(listed) - MOST_ROWS
    more = f"<p>and {left} more: <code>{escape(whole)}</code> prints all</p>" if left > 0 else ""
    return f"<p>{escape(title)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"
