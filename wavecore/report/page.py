"""The page: one HTML file that holds everything it needs; its policy forbids it to load anything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any

from wavecore.common.text import markup
from wavecore.errors import InputError
from wavecore.pictures.interactive import PlotlySpec, panel_spec
from wavecore.pictures.marks import LegendEntry, Picture, legend
from wavecore.report.contents import pictures
from wavecore.report.data import Report
from wavecore.report.tables import Table, front, headline, provenance

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
SHARED_KEYS = ("x", "text", "hovertext", "labelalias", "ticktext", "tickvals")
LEAST_SHARED = 8  # items that are worth sharing
LONGEST_WORD = 40
COLUMNS = {1: "", 2: " two", 3: " three"}


def page(report: Report, version: str) -> str:
    """Return the whole page, made by this ``version`` of wavecore.  Raises `InputError` if plotly is not installed."""
    drawn = pictures(report)
    names = [*(case.title for case in report.cases), *(sweep.summary.name for sweep in report.sweeps)]
    title = f"wavecore report: {', '.join(names)}"
    body = "\n".join((*_headlines(report), *map(_figure, drawn), *_provenance(report, version)))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{markup(title)}</title>
<link rel="icon" href="data:,">
<style>
{_file("page.css")}</style>
</head>
<body>
<h1>{markup(title)}</h1>
<p>Every figure is of one training step of the whole chip. Hover over a figure for its values, drag to zoom,
double-click to go back; click a name in a legend to hide it.</p>
<noscript><p>The figures are drawn by a script in this page, which this browser does not run.</p></noscript>
{_contents(drawn)}
{body}
<script type="application/json" id="figures">{_embedded(_store(drawn))}</script>
<script>{_plotly()}</script>
<script>
{_file("page.js")}</script>
</body>
</html>
"""


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]
    except ImportError as error:
        what = "the page needs plotly, which is not installed"
        raise InputError("--html", what, 'pip install "wavecore[report]", or --plot FILE') from error
    return str(get_plotlyjs())


def _file(name: str) -> str:
    return files("wavecore.report").joinpath(name).read_text(encoding="utf-8")


def _embedded(value: Any) -> str:
    """Return JSON in which no text can end the script element that holds it."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _store(drawn: Sequence[Picture]) -> dict[str, Any]:
    """Return the specifications of all panels by the id of their element; equal long lists are stored once."""
    numbers: dict[str, int] = {}
    shared: list[Any] = []

    def share(holder: PlotlySpec) -> None:
        for key in SHARED_KEYS:
            if len(holder.get(key, ())) >= LEAST_SHARED:
                number = numbers.setdefault(json.dumps(holder[key]), len(shared))
                if number == len(shared):
                    shared.append(holder[key])
                holder[key] = number

    panels = {}
    for picture in drawn:
        last = len(picture.panels) - 1
        for at, panel in enumerate(picture.panels):
            spec = panel_spec(panel, names_below=at == last or not picture.linked)
            for holder in (*spec["data"], spec["layout"]["xaxis"]):
                share(holder)
            panels[f"{picture.key}-{at}"] = spec
    return {"panels": panels, "shared": shared, "keys": SHARED_KEYS}


def _contents(drawn: Sequence[Picture]) -> str:
    entries = [("headline", "Headline figures"), *((picture.key, picture.title) for picture in drawn)]
    entries.append(("provenance", "Provenance"))
    items = "\n".join(f'<li><a href="#{markup(key)}">{markup(title)}</a></li>' for key, title in entries)
    return f'<nav aria-label="Contents">\n<ul>\n{items}\n</ul>\n</nav>'


def _headlines(report: Report) -> Iterator[str]:
    yield '<h2 id="headline">Headline figures</h2>'
    if report.cases:
        yield RATIOS
    for case in report.cases:
        yield _table(headline(case))
    for sweep in report.sweeps:
        yield _table(front(sweep))


RATIOS = (
    "<p>Ratios are to the first run of baseline, or else to the first run, for each sample; "
    "a speed-up over 1 is faster.</p>"
)


def _provenance(report: Report, version: str) -> Iterator[str]:
    yield '<h2 id="provenance">Provenance</h2>'
    yield (
        f"<p>This page was made by wavecore {markup(version)}. What a figure means: "
        "<code>wavecore explain METRIC</code>. Sources: [P] the paper's abstract, [S] a later paper that follows its "
        "settings, [R] recalled from the paper and not checked against its text, [D] a design value of this project, "
        "derived where it is stated.</p>"
    )
    for table in provenance(report):
        yield f"<details>\n<summary>{markup(table.title)}</summary>\n{_table(table, title=False)}\n</details>"


def _table(table: Table, *, title: bool = True) -> str:
    def cells(texts: Sequence[str], tag: str) -> str:
        return "".join(f"<{tag}{_class(table, at, text)}>{markup(text)}</{tag}>" for at, text in enumerate(texts))

    head = f"<h3>{markup(table.title)}</h3>\n" if title else ""
    rows = "\n".join(f"<tr>{cells(row, 'td')}</tr>" for row in table.rows)
    return f'{head}<div class="scroll"><table>\n<tr>{cells(table.columns, "th")}</tr>\n{rows}\n</table></div>'


def _class(table: Table, at: int, text: str) -> str:
    """Return the class of a cell: numbers are right-aligned, a long word such as a hash may be broken anywhere."""
    if table.numbers is not None and at >= table.numbers:
        return ' class="number"'
    return ' class="whole"' if len(text) > LONGEST_WORD and " " not in text else ""


def _figure(picture: Picture) -> str:
    entries = "\n".join(map(_entry, legend(picture)))
    panels = "\n".join(
        f'<div class="cell"><p class="title">{markup(panel.title)}</p>\n'
        f'<div class="panel" id="{markup(picture.key)}-{at}"></div></div>'
        for at, panel in enumerate(picture.panels)
    )
    notes = "\n".join(f'<p class="note">{markup(note)}</p>' for note in picture.notes)
    key = markup(picture.key)
    linked = ' data-linked="yes"' if picture.linked else ""
    return f"""<h2 id="{key}">{markup(picture.title)}</h2>
<figure data-key="{key}"{linked}>
<figcaption>{markup(picture.caption)}</figcaption>
{notes}
<ul class="legend">
{entries}
</ul>
<div class="panels{COLUMNS[picture.columns]}">
{panels}
</div>
</figure>"""


_SWATCHES = {
    "box": '<rect width="14" height="12" fill="{c}"/>',
    "line": '<path d="M0 6H22" stroke="{c}" stroke-width="2.5"/>',
    "dashes": '<path d="M0 6H22" stroke="{c}" stroke-width="2" stroke-dasharray="5 3"/>',
    "circle": '<circle cx="7" cy="6" r="5" {fill}/>',
    "square": '<rect x="2" y="1" width="10" height="10" {fill}/>',
    "triangle": '<path d="M7 1L13 11H1Z" {fill}/>',
    "diamond": '<path d="M7 0L13 6L7 12L1 6Z" {fill}/>',
    "triangle-down": '<path d="M7 11L13 1H1Z" {fill}/>',
    "pentagon": '<path d="M7 0.5L13 5L10.7 11.5H3.3L1 5Z" {fill}/>',
    "hexagon": '<path d="M7 0L12.2 3V9L7 12L1.8 9V3Z" {fill}/>',
    "star": '<path d="M7 0L8.6 4.3L13 4.5L9.5 7.2L10.8 11.5L7 9L3.2 11.5L4.5 7.2L1 4.5L5.4 4.3Z" {fill}/>',
}


def _entry(entry: LegendEntry) -> str:
    """Return an entry of the legend, a button that hides and shows what it names."""
    fill = f'fill="{"none" if entry.hollow else entry.colour}" stroke="{entry.colour}"'
    drawing = _SWATCHES[entry.shape].format(c=entry.colour, fill=fill)
    width = 22 if entry.shape in ("line", "dashes") else 14
    name = markup(entry.name)
    return (
        f'<li data-name="{name}" role="button" tabindex="0" aria-pressed="true">'
        f'<svg width="{width}" height="12" aria-hidden="true">{drawing}</svg>{name}</li>'
    )
