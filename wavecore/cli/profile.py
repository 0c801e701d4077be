"""``wavecore profile``: measure the zeros of a checkpoint and write a sparsity profile."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavecore.cli.inputs import load_case
from wavecore.cli.messages import say
from wavecore.cli.options import Force, Json, NetworkOptions, grouped
from wavecore.cli.tables import show, table
from wavecore.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wavecore.cli.inputs import LoadedWorkload
    from wavecore.network.sparsity import Booleans
    from wavecore.sparsity.measure.weights import Measured

ModelArgument = Annotated[
    Path,
    typer.Argument(metavar="MODEL", help="A .safetensors, .npz, .pt, .pth or .onnx file.", show_default=False),
]
OutOption = Annotated[
    Path | None, typer.Option("-o", "--out", metavar="FILE", help="Write the profile to FILE.", show_default=False)
]
NetworkOption = Annotated[
    str | None,
    typer.Option("--workload", metavar="NAME", help="Network of the checkpoint; names and shapes are checked."),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="SAMPLES.npz", help="Measure activations on these images.", show_default=False),
]
MasksOption = Annotated[
    bool,
    typer.Option("--masks", help="Write masks of zero weights next to the profile, instead of densities."),
]


@grouped
def profile(
    model: ModelArgument,
    network: NetworkOptions,
    out: OutOption = None,
    workload: NetworkOption = None,
    data: Data = None,
    masks: MasksOption = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Measure the sparsity of a pruned model: zero elements, filters, channels and 128x128 tiles of every layer."""
    from wavecore.sparsity.measure.checkpoint import read_checkpoint
    from wavecore.sparsity.measure.weights import match, measure_all, measured_profile
    from wavecore.sparsity.profile_file import save_profile

    _check_options(network, out, workload, data, force)
    case = None if workload is None else load_case(workload, replace(network, sparsity=None))
    graph = None if case is None else case.graph
    weights = match(str(model), read_checkpoint(model), graph)
    measured = measure_all(str(model), weights, graph)
    activations = {} if data is None or case is None else _activations(case, model, data, weights)
    if out is not None:
        source = f"measured by wavecore profile on {model.name}" + (f" with {data.name}" if data is not None else "")
        options = {} if case is None else _options(case)
        made = measured_profile(
            model.stem, source, weights, graph, options=options, activations=activations, masks=masks
        )
        save_profile(replace(made, source_file=None if case is None else case.file), out)
        say(f"written to {out}")
    if json:
        from wavecore.results.folder import json_text

        layers = [{**asdict(each), "shape": list(each.shape)} for each in measured]
        sys.stdout.write(json_text({"schema": "wavecore.measured/1", "layers": layers, "activations": activations}))
    else:
        show(_tables(str(model), measured, activations))


def _check_options(
    network: NetworkOptions, out: Path | None, workload: str | None, data: Path | None, force: bool
) -> None:
    from wavecore.common.files import writable_file

    if network.sparsity is not None:
        raise InputError("--sparsity", "is what this command makes", "leaving it out")
    if data is not None and workload is None:
        raise InputError("--data", "needs to know the network", "--workload NAME")
    if out is not None:
        if out.suffix.lower() != ".toml":
            raise InputError("--out", f"{out} is no .toml file", f"{out.stem or 'profile'}.toml")
        writable_file(out, replace=force)


def _options(case: LoadedWorkload) -> Mapping[str, int | float | str]:
    """Return the options of the workload that differ from its defaults."""
    from wavecore.network.catalog import workload_options

    if case.file is not None or not case.options:
        return {}
    defaults = workload_options(case.info.name)
    return {key: value for key, value in case.options.items() if value != defaults[key]}


def _activations(case: LoadedWorkload, model: Path, data: Path, weights: Mapping[str, Booleans]) -> dict[str, float]:
    from wavecore.sparsity.measure.activations import activation_densities
    from wavecore.sparsity.structure import weight_shape

    for name, array in weights.items():
        if array.shape != weight_shape(case.graph, name):
            raise InputError("--data", f"{name!r} has fewer channels than {case.info.name}", "leaving it out")
    return activation_densities(case.graph, model, data)


def _tables(model: str, measured: list[Measured], activations: Mapping[str, float]) -> Iterator[RenderableType]:
    columns = ["layer", "shape", "weights", "non-zero", "zero filters", "zero channels", "zero tiles"]
    rows = [
        [
            each.name,
            "x".join(map(str, each.shape)),
            f"{each.elements:,}",
            f"{100 * each.nonzeros / each.elements:.2f}%",
            f"{each.zero_filters} of {each.filters}",
            f"{each.zero_channels} of {each.channels}",
            f"{each.zero_tiles} of {each.tiles}",
        ]
        for each in measured
    ]
    elements, nonzeros = sum(each.elements for each in measured), sum(each.nonzeros for each in measured)
    if any(each.units for each in measured):
        columns.append("units left")
        for row, each in zip(rows, measured, strict=True):
            row.append("" if each.units is None else f"{each.units_left} of {each.units}")
    tiles = f"{sum(each.zero_tiles for each in measured)} of {sum(each.tiles for each in measured)}"
    rows.append(
        ["all", "", f"{elements:,}", f"{100 * nonzeros / elements:.2f}%", "", "", tiles, *[""] * (len(columns) - 7)]
    )
    yield table(f"zeros of {model}", columns, rows, right=columns[2:])
    if activations:
        shown = [[name, f"{100 * density:.2f}%"] for name, density in activations.items()]
        yield table("non-zero activations, behind the ReLU", ["layer", "non-zero"], shown, right=["non-zero"])
