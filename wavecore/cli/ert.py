"""``wavecore import-ert``: make an energy table from an energy reference table (ERT) of Accelergy."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavecore.cli.inputs import hinting
from wavecore.cli.messages import say
from wavecore.cli.options import Force

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wavecore.hardware.ert_map import ImportedConstant

ErtFile = Annotated[
    Path, typer.Argument(metavar="ERT.yaml", help="ERT.yaml or ERT_summary.yaml of Accelergy.", show_default=False)
]
MapFile = Annotated[
    Path,
    typer.Option(
        "--map", metavar="MAP.toml", help="File that says which action gives which constant.", show_default=False
    ),
]
Base = Annotated[
    str,
    typer.Option("--energy", metavar="NAME|FILE", help="Energy table for the constants that the map does not name."),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE", help="Write the table to FILE.  [default: stdout]", show_default=False),
]


def import_ert(
    ert: ErtFile, map_file: MapFile, energy: Base = "32nm", out: OutOption = None, force: Force = False
) -> None:
    """Make an energy table, for --energy, from an energy reference table (ERT) of Accelergy.

    A map says which component and action gives which constant, and how many bits an action moves: docs/energy.md.
    """
    from wavecore.common.toml import read_document
    from wavecore.hardware.ert import read_ert
    from wavecore.hardware.ert_map import import_table, parse_map, table_text

    if out is not None:
        from wavecore.common.files import writable_file

        writable_file(out, replace=force)
    with hinting("docs/energy.md, which shows an ERT and a map"):
        mapping = parse_map(read_document(map_file))
        reference = read_ert(ert)
    table = import_table(reference, mapping, energy)
    text = table_text(table, reference, mapping, energy)
    if out is None:
        sys.stdout.write(text)
        return
    from wavecore.cli.tables import show
    from wavecore.common.files import write_file

    write_file(out, text)
    say(f"written to {out}")
    show(_imported(table, energy))


def _imported(table: tuple[ImportedConstant, ...], base: str) -> Iterator[RenderableType]:
    from wavecore.cli.tables import table as made

    given = sum(each.from_ert for each in table)
    rows = [(each.name, each.value or "-", each.source) for each in table]
    yield made(f"{given} of {len(table)} constants are from the ERT, the others from {base}", ROW, rows, right=ROW[1:2])


ROW = ("constant", "value", "source")
