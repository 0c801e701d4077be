"""The tables of ``--uncertainty``: energy over the ranges of its constants, and which rankings of runs survive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavecore.cli.inputs import LoadedMachine
from wavecore.cli.tables import amount, table
from wavecore.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wavecore.results.run import Run
    from wavecore.results.uncertainty import EnergyUncertainty, Ranking, Spread, UncertainMachine

MOST_CONSTANTS = 10

Uncertainty = Annotated[
    bool,
    typer.Option("--uncertainty", help="Take each constant of energy over its range; tell which rankings survive."),
]


def uncertain(loaded: LoadedMachine) -> UncertainMachine:
    """Return a loaded machine with the ranges of its constants."""
    from wavecore.results.uncertainty import uncertain_machine

    settings = loaded.settings
    return uncertain_machine(settings["accelerator"], settings["memory"], settings["set"])


def refuse_json(uncertainty: bool, json: bool, command: str) -> None:
    """Raise `InputError` if the JSON of a run is asked for with its uncertainty, which is no part of it."""
    if uncertainty and json:
        hint = "wavecore energy WORKLOAD --uncertainty --json"
        raise InputError("--uncertainty", f"{command} --json prints runs, and a run has no uncertainty", hint)


def uncertainty_tables(runs: Sequence[Run], loaded: LoadedMachine) -> Iterator[RenderableType]:
    """Yield the tables of the runs of each workload, all on one machine."""
    from wavecore.results.uncertainty import energy_uncertainty

    machine = uncertain(loaded)
    for workload in dict.fromkeys(run.workload for run in runs):
        own = [run for run in runs if run.workload == workload]
        yield from _tables(own, energy_uncertainty(own, machine))


def uncertainty_values(runs: Sequence[Run], loaded: LoadedMachine) -> dict[str, Any]:
    """Return for JSON the uncertainty of the runs of one workload on one machine."""
    from wavecore.results.uncertainty import energy_uncertainty

    found = energy_uncertainty(runs, uncertain(loaded))
    names = [run.schedule for run in runs]
    return {
        "joules": [{"schedule": name, **asdict(each)} for name, each in zip(names, found.joules, strict=True)],
        "constants": [
            {
                "name": each.name,
                "low": each.ends[0],
                "high": each.ends[1],
                "joules": [
                    {"schedule": name, "low": at[0], "high": at[1]} for name, at in zip(names, each.joules, strict=True)
                ],
            }
            for each in found.constants
        ],
        "rankings": [
            {
                "less": names[each.first],
                "more": names[each.second],
                "ratio": asdict(each.ratio),
                "alone": each.alone,
                "together": each.together,
            }
            for each in found.rankings
        ],
    }


def _tables(runs: Sequence[Run], found: EnergyUncertainty) -> Iterator[RenderableType]:
    yield f"{runs[0].workload} with {runs[0].memory}: energy over the ranges of its constants"
    rows = [
        [run.schedule, *(amount("energy_joules.total", joules) for joules in (each.value, each.low, each.high))]
        for run, each in zip(runs, found.joules, strict=True)
    ]
    columns = ["schedule", "energy", "all constants low", "all high"]
    yield table("", columns, rows, right=columns[1:])
    if found.rankings:
        columns = ["ranking", "ratio", "each constant alone", "all together"]
        yield table("which takes less energy", columns, [_ranking(runs, found, each) for each in found.rankings])
    shown = found.constants[:MOST_CONSTANTS]
    lines = [[each.name, *each.ends, *map(_change, each.joules, found.joules)] for each in shown]
    names = [run.schedule for run in runs]
    yield f"energy with each constant alone: the {len(shown)} that matter most, of {len(found.constants)}"
    yield table("", ["constant", "low", "high", *names], lines, right=names)


def _ranking(runs: Sequence[Run], found: EnergyUncertainty, each: Ranking) -> list[str]:
    ratio = f"{each.ratio.value:.2f} ({each.ratio.low:.2f} to {each.ratio.high:.2f})"
    alone = "survives" if each.alone else f"not with {', '.join(_swapping(found, each.first, each.second))}"
    together = "survives" if each.together else "may turn round"
    return [f"{runs[each.first].schedule} < {runs[each.second].schedule}", ratio, alone, together]


def _change(at_ends: tuple[float, float], joules: Spread) -> str:
    return " to ".join(f"{100 * (each / joules.value - 1):+.1f}%" for each in at_ends)


def _swapping(found: EnergyUncertainty, first: int, second: int) -> list[str]:
    return [each.name for each in found.constants if (first, second) in each.swapped]
