"""The command group of the whole command line."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from wavecore.cli.area import area
from wavecore.cli.arrays import gemm, scalesim
from wavecore.cli.check import check
from wavecore.cli.compare import compare
from wavecore.cli.energy import energy
from wavecore.cli.ert import import_ert
from wavecore.cli.knowledge import explain, list_registered
from wavecore.cli.pictures import report
from wavecore.cli.plan import plan, program
from wavecore.cli.profile import profile
from wavecore.cli.run import run
from wavecore.cli.sweep import sweep
from wavecore.cli.train import train
from wavecore.cli.verify import verify
from wavecore.errors import unknown_name

HELP = """What one training step of a CNN costs on a WaveCore-class systolic accelerator.

\b
wavecore run resnet50 --schedule mbs2
wavecore compare resnet50 --schedules baseline,mbs2
wavecore explain array_utilization
"""


class Commands(TyperGroup):
    """The group of all commands; the error for an unknown one names the nearest."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands in the order in which they are registered."""
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of that name; raise `NameLookupError` if there is none."""
        if cmd_name not in self.commands:
            raise unknown_name("wavecore", "command", cmd_name, self.commands)
        return self.commands[cmd_name]


def _print_version(asked: bool) -> None:
    if asked:
        from wavecore.simulation import package_version

        print(f"wavecore {package_version()}")
        raise typer.Exit


def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of any error.")] = False,
) -> None:
    """Declare the options that come before the command; `wavecore.cli.main` reads ``--debug`` itself."""


def command() -> Any:
    """Build the click command of the whole command line."""
    # Help is printed without rich, whose import would double the time of `wavecore --help`.
    app = typer.Typer(cls=Commands, help=HELP, add_completion=False, rich_markup_mode=None)
    app.callback()(_common)
    for function in (run, compare, sweep, energy, area, report, plan, program, profile, train):
        app.command()(function)
    app.command("list")(list_registered)
    app.command("import-ert")(import_ert)
    for function in (explain, check, gemm, verify, scalesim):
        app.command()(function)
    return get_command(app)
