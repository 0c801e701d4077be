"""Pictures as files, through matplotlib: one per file, or all on one sheet.

Everything is placed in pixels from the top left, as on a page, so that nothing depends on measuring text.
"""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavecore.common.files import staged_file
from wavecore.errors import InputError
from wavecore.pictures.marks import (
    GRID,
    LONGEST_BESIDE,
    Band,
    Bars,
    Heat,
    LegendEntry,
    Panel,
    Picture,
    legend,
    middle_cut,
)
from wavecore.pictures.matplotlib_marks import CHARACTER, LABEL_ROW, MARKERS, draw_mark, set_axis, turned_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
PIXELS_PER_INCH = 100
PAD, TITLE, TEXT_LINE, PANEL_TITLE = 20, 24, 16, 22
TOP, BOTTOM, LEFT, RIGHT = 8, 48, 84, 24  # around a plotting area
CHARACTERS_A_PIXEL = 190 / 1240  # of a caption
TALLEST_SHEET = 40_000  # pixels at 150 to the inch, of the 65,536 that a PNG can have
TEXT = "#222222"


def draw_each(pictures: Sequence[Picture], paths: Sequence[Path]) -> None:
    """Draw each picture into a file of its own; `FileError` if one cannot be written."""
    for picture, path in zip(pictures, paths, strict=True):
        draw_sheet([picture], path)


def draw_sheet(pictures: Sequence[Picture], path: Path) -> None:
    """Draw pictures below each other into one file.

    Raises `InputError` if there are too many for one, `FileError` if it cannot be written.
    """
    height = PAD + sum(map(_height, pictures))
    if height * 1.5 > TALLEST_SHEET:
        raise InputError(
            "--plot", f"{len(pictures)} pictures do not fit one file", "a folder, which takes each by itself"
        )
    with _plain_text():
        _save(sheet(pictures), path)


def sheet(pictures: Sequence[Picture]) -> Figure:
    """Return pictures below each other, on a figure that is as high as they need."""
    from matplotlib.figure import Figure

    width, height = max(picture.width for picture in pictures), PAD + sum(map(_height, pictures))
    with _plain_text():
        figure = Figure(figsize=(width / PIXELS_PER_INCH, height / PIXELS_PER_INCH), dpi=PIXELS_PER_INCH)
        canvas = _Canvas(figure, width, height)
        top = float(PAD)
        for picture in pictures:
            _draw(canvas, picture, top)
            top += _height(picture)
    return figure


def _save(figure: Figure, path: Path) -> None:
    """Write a figure without the date, so that equal figures are equal files."""
    import matplotlib as mpl

    suffix = path.suffix.lower()
    dateless: dict[str, Any] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[suffix]
    with staged_file(path) as staged, mpl.rc_context({"svg.hashsalt": "wavecore", "svg.fonttype": "path"}):
        figure.savefig(staged, format=suffix[1:], dpi=150, metadata=dateless)


@contextmanager
def _plain_text() -> Iterator[None]:
    """Draw names literally, not as formulas, and letters that the font lacks as boxes, without a warning."""
    import matplotlib as mpl

    with mpl.rc_context({"text.parse_math": False, "font.size": 8}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


class _Canvas:
    """A figure addressed in pixels from its top left corner."""

    def __init__(self, figure: Figure, width: float, height: float) -> None:
        self.figure = figure
        self.width, self.height = width, height

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes with their plotting area there."""
        bottom = self.height - top - height
        return self.figure.add_axes((left / self.width, bottom / self.height, width / self.width, height / self.height))

    def text(self, left: float, top: float, text: str, **style: Any) -> None:
        """Add a text with its top left corner there."""
        at = left / self.width, 1 - top / self.height
        self.figure.text(*at, text, va="top", ha="left", color=style.pop("color", TEXT), **style)


def _paragraphs(picture: Picture) -> list[str]:
    longest = int(CHARACTERS_A_PIXEL * picture.width)
    return [line for text in (picture.caption, *picture.notes) for line in textwrap.wrap(text, longest)]


def _legend_columns(picture: Picture, entries: Sequence[LegendEntry]) -> int:
    longest = max((len(entry.name) for entry in entries), default=1)
    return max(1, min(len(entries), int((picture.width - 2 * PAD) / (CHARACTER * longest + 50))))


def _head(picture: Picture) -> int:
    """Return the pixels of title, caption, notes and legend."""
    entries = legend(picture)
    rows = math.ceil(len(entries) / _legend_columns(picture, entries)) if entries else 0
    return TITLE + TEXT_LINE * (len(_paragraphs(picture)) + rows) + (8 if rows else 2)


def _rows(picture: Picture) -> list[list[Panel]]:
    across = picture.columns
    return [list(picture.panels[at : at + across]) for at in range(0, len(picture.panels), across)]


def _room(picture: Picture, panel: Panel) -> tuple[int, int]:
    """Return the pixels above and below the plotting area of a panel."""
    bands = max((band.row + 1 for band in panel.of(Band)), default=0)
    above = TOP + LABEL_ROW * bands + (PANEL_TITLE if panel.title else 0)
    return above, (BOTTOM + turned_names(panel.x, _plot_width(picture, panel))) if _named(picture, panel) else 12


def _named(picture: Picture, panel: Panel) -> bool:
    """Whether a panel has names below it: of linked ones only the last."""
    return not picture.linked or panel is picture.panels[-1]


def _plot_width(picture: Picture, panel: Panel) -> float:
    """Return the width in pixels of the plotting area of a panel."""
    return (picture.width - 2 * PAD) / picture.columns - _left(panel) - RIGHT - _right(panel)


def _row_height(picture: Picture, row: Sequence[Panel]) -> int:
    return max(panel.height + sum(_room(picture, panel)) for panel in row)


def _height(picture: Picture) -> int:
    return _head(picture) + sum(_row_height(picture, row) for row in _rows(picture)) + PAD


def _draw(canvas: _Canvas, picture: Picture, top: float) -> None:
    canvas.text(PAD, top, picture.title, size=11, weight="bold")
    for at, line in enumerate(_paragraphs(picture)):
        canvas.text(PAD, top + TITLE + at * TEXT_LINE, line, color="#444444")
    _draw_legend(canvas, picture, top)
    below = top + _head(picture)
    for row in _rows(picture):
        for column, panel in enumerate(row):
            _draw_panel(canvas, picture, panel, column, below)
        below += _row_height(picture, row)


def _draw_legend(canvas: _Canvas, picture: Picture, top: float) -> None:
    entries = legend(picture)
    if not entries:
        return
    columns = _legend_columns(picture, entries)
    rows = math.ceil(len(entries) / columns)
    # matplotlib fills column by column; people read row by row.
    order = [
        entries[row * columns + column]
        for column in range(columns)
        for row in range(rows)
        if row * columns + column < len(entries)
    ]
    below = top + TITLE + TEXT_LINE * len(_paragraphs(picture))
    canvas.figure.legend(
        handles=[_handle(entry) for entry in order],
        loc="upper left",
        bbox_to_anchor=(PAD / canvas.width, 1 - below / canvas.height),
        ncols=columns,
        frameon=False,
        borderpad=0,
        borderaxespad=0,
        labelspacing=0.4,
    )


def _handle(entry: LegendEntry) -> Any:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    name = f"\u200b{entry.name}"  # matplotlib leaves out labels that begin with an underscore
    if entry.shape == "box":
        return Patch(facecolor=entry.colour, label=name)
    if entry.shape in ("line", "dashes"):
        return Line2D([], [], color=entry.colour, linestyle="--" if entry.shape == "dashes" else "-", label=name)
    face = "none" if entry.hollow else entry.colour
    return Line2D(
        [], [], linestyle="", marker=MARKERS[entry.shape], color=entry.colour, markerfacecolor=face, label=name
    )


def _draw_panel(canvas: _Canvas, picture: Picture, panel: Panel, column: int, top: float) -> None:
    above, _ = _room(picture, panel)
    cell = (picture.width - 2 * PAD) / picture.columns
    left = PAD + column * cell
    if panel.title:
        canvas.text(left, top + 2, panel.title, size=9, weight="bold")
    width = _plot_width(picture, panel)
    axes = canvas.axes(left + _left(panel), top + above, width, panel.height)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#888888")
    axes.set_axisbelow(True)
    for mark in panel.marks:
        draw_mark(axes, mark)
    turned = turned_names(panel.x, width) > 0
    set_axis(axes, "x", panel.x, named=_named(picture, panel), turned=turned)
    set_axis(axes, "y", panel.y)
    lying = any(not bars.upright for bars in panel.of(Bars))
    if lying:
        axes.invert_yaxis()
    if not panel.of(Heat):
        axes.grid(axis="x" if lying else "y" if panel.x.names else "both", color=GRID, linewidth=0.7)
    axes.minorticks_off()


def _left(panel: Panel) -> float:
    """Return the pixels left of the plotting area: more where long names stand there."""
    longest = max((len(middle_cut(name, LONGEST_BESIDE)) for name in panel.y.names), default=0)
    return max(LEFT, 24 + 1.25 * CHARACTER * longest + 16 * bool(panel.y.title)) if longest else LEFT


def _right(panel: Panel) -> float:
    return 70.0 if panel.of(Heat) else 0.0
