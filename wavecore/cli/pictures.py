"""``wavecore report``: pictures of runs and sweeps, on a page or in files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavecore.cli.messages import say
from wavecore.cli.options import Force
from wavecore.errors import InputError, unknown_name

if TYPE_CHECKING:
    from wavecore.pictures.marks import Picture
    from wavecore.report.data import Report

PAGE = Path("report.html")

Paths = Annotated[
    list[Path],
    typer.Argument(
        metavar="DIR|RUN.json...",
        help="Folders of runs or sweeps, folders that hold several, or what run or compare --json printed.",
        show_default=False,
    ),
]
Html = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write one page there.  [default: report.html]", show_default=False),
]
PlotOption = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="FILE|DIR",
        help="Draw all into a .png, .svg or .pdf file, or each into a file of that folder.",
        show_default=False,
    ),
]
Format = Annotated[str, typer.Option("--format", metavar="png|svg|pdf", help="Of the files in the folder.")]


def report(
    paths: Paths, html: Html = None, plot: PlotOption = None, format: Format = "png", force: Force = False
) -> None:
    """Draw runs and sweeps: one page that opens without a network, or pictures in files."""
    from wavecore.report.contents import pictures
    from wavecore.report.data import load

    page = PAGE if html is None and plot is None else html
    check_outputs(page, plot, format, force)
    read = load(paths)
    if page is not None:
        _write_page(read, page)
    if plot is not None:
        _draw(pictures(read), plot, format, force)


def check_outputs(page: Path | None, plot: Path | None, format: str, force: bool) -> None:
    """Raise `InputError` for an output that cannot be written, before any input is read."""
    from wavecore.common.files import writable_file
    from wavecore.pictures.static import FORMATS

    if page is not None:
        if page.suffix.lower() not in (".html", ".htm"):
            raise InputError("--html", f"{page} is no .html file", f"{page.stem or PAGE.stem}.html")
        writable_file(page, replace=force)
    if f".{format}" not in FORMATS:
        raise unknown_name("--format", "format", format, [suffix[1:] for suffix in FORMATS])
    if plot is not None and plot.suffix.lower() in FORMATS:
        writable_file(plot, replace=force)
    elif plot is not None and plot.suffix and not plot.is_dir():
        raise InputError("--plot", f"{plot} is no {' or '.join(FORMATS)} file", f"{plot.stem}.png, or a folder")


def _write_page(read: Report, path: Path) -> None:
    from wavecore.common.files import write_file
    from wavecore.report.page import page
    from wavecore.simulation import package_version

    write_file(path, page(read, package_version()))
    say(f"written to {path}")


def _draw(pictures: Sequence[Picture], plot: Path, format: str, force: bool) -> None:
    """Draw those pictures that have something to show; what has not says why."""
    from wavecore.pictures.static import FORMATS, draw_each, draw_sheet

    drawn = [picture for picture in pictures if picture.panels]
    if not drawn:
        raise InputError("--plot", "there is nothing to draw", "a [figure] in the sweep's specification")
    single = plot.suffix.lower() in FORMATS
    files = [] if single else _files(drawn, plot, format, force)
    for picture in pictures:
        if not picture.panels:
            say(f"{picture.title}: {' '.join(picture.notes)}")
    if single:
        draw_sheet(drawn, plot)
    else:
        draw_each(drawn, files)
    say(f"written to {plot}" if single else f"written to {plot}: {len(files)} files")


def _files(pictures: Sequence[Picture], folder: Path, format: str, force: bool) -> list[Path]:
    """Return a file for each picture in a folder, which is created."""
    from wavecore.common.files import file_errors, writable_file

    with file_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{picture.key}.{format}" for picture in pictures]
    for file in files:
        writable_file(file, replace=force)
    return files
