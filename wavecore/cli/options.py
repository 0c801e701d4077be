"""The options that several commands share, and `grouped`, by which a command takes several options as one argument."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

WorkloadName = Annotated[
    str,
    typer.Argument(
        metavar="WORKLOAD",
        help="A registered network (wavecore list workloads), an .onnx model or a SCALE-Sim topology .csv.",
        show_default=False,
    ),
]
ScheduleOption = Annotated[
    str, typer.Option("--schedule", metavar="NAME|PLAN.toml", help="A registered schedule or a saved plan.")
]
EngineOption = Annotated[
    str, typer.Option("--engine", metavar="event|analytic", help="Simulate events, or compute times in closed form.")
]
Batch = Annotated[
    str | None,
    typer.Option(
        "--batch",
        metavar="N",
        help="Samples per training step, all cores.  [default: the workload's own]",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on stdout.")]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineOptions:
    """The options that describe the accelerator."""

    accelerator: Annotated[
        str,
        typer.Option("--accelerator", metavar="NAME|FILE", help="A registered accelerator or a TOML file."),
    ] = "wavecore"
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory", metavar="NAME|FILE", help="Memory to use instead of the accelerator's.", show_default=False
        ),
    ] = None
    energy: Annotated[
        str | None,
        typer.Option(
            "--energy",
            metavar="NAME|FILE",
            help="Energy table to use instead of the accelerator's.",
            show_default=False,
        ),
    ] = None
    overrides: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help='Set any field of the accelerator: core.global_buffer="5 MiB".',
            show_default=False,
        ),
    ] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """The options that a workload is built with, its sparsity profile, and the modelling choices of its plan."""

    image: Annotated[
        str | None,
        typer.Option("--image", metavar="N", help="Height and width of the input image.", show_default=False),
    ] = None
    classes: Annotated[
        str | None,
        typer.Option("--classes", metavar="N", help="Number of classes.", show_default=False),
    ] = None
    width: Annotated[
        str | None, typer.Option("--width", metavar="X", help="Factor on the number of channels.", show_default=False)
    ] = None
    others: Annotated[
        list[str],
        typer.Option(
            "--option",
            metavar="KEY=VALUE",
            help="Set any option of the workload: norm=group.",
            show_default=False,
        ),
    ] = field(default_factory=list)
    sparsity: Annotated[
        str | None,
        typer.Option(
            "--sparsity",
            metavar="FILE",
            help="A sparsity profile of the workload; compare takes several, separated by commas.",
            show_default=False,
        ),
    ] = None
    choices: Annotated[
        list[str],
        typer.Option(
            "--choice",
            metavar="KEY=VALUE",
            help="Set a modelling choice of the schedules: normalization_passes=1, hold_weight_gradients=false, "
            "serialize_recurrent=false, order=program, branch_gradients=sweep, "
            "statistics=drain.",
            show_default=False,
        ),
    ] = field(default_factory=list)


def grouped(function: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses of options as arguments; each field becomes an option on the command line."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for each in inspect.signature(function).parameters.values():
        if each.name in groups:
            inner = get_type_hints(groups[each.name], include_extras=True)
            parameters += [
                _parameter(item.name, inner[item.name], _default(item)) for item in fields(groups[each.name])
            ]
        else:
            parameters.append(_parameter(each.name, hints[each.name], each.default))

    @functools.wraps(function)
    def command(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{item.name: given.pop(item.name) for item in fields(group)})
        function(**given)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _default(item: Field[Any]) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()
