"""``wavecore check``: check input files, and say what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavecore.cli.inputs import check_source_file, hinting, load_case, load_machine, say_starved, say_too_large
from wavecore.cli.messages import say_error
from wavecore.cli.options import MachineOptions, NetworkOptions, grouped
from wavecore.common.files import is_onnx
from wavecore.errors import ConfigError, FileError, InputError

if TYPE_CHECKING:
    from wavecore.common.toml import Document

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="TOML, .onnx, SCALE-Sim .csv or ERT .yaml files.", show_default=False),
]
Check = Callable[["Document", MachineOptions, NetworkOptions], None]

SUFFIXES = (".toml", ".onnx", ".csv", ".yaml")


@grouped
def check(files: Files, machine: MachineOptions, network: NetworkOptions) -> None:
    """Check accelerators, memories, energy tables, ERTs and maps, plans, sweeps, profiles, ONNX models, topologies.

    A plan is checked against its workload and the accelerator, which are chosen by the same options as for a run.
    """
    from wavecore.cli import WRONG_INPUT
    from wavecore.common.text import printable

    wrong = False
    for path in files:
        try:
            with hinting("a TOML description, a plan, an .onnx model, or a SCALE-Sim topology .csv"):
                print(printable(f"{path}: ok, {check_file(path, machine, network)}"), flush=True)
        except InputError as error:
            say_error(error)
            wrong = True
    if wrong:
        raise typer.Exit(WRONG_INPUT)


def check_file(path: Path, machine: MachineOptions, network: NetworkOptions) -> str:
    """Check one file and return what it is; raise the `InputError` of the first mistake."""
    from wavecore.common.toml import read_document
    from wavecore.hardware.scalesim import parse_topology

    suffix = path.suffix.lower()
    if suffix == ".csv":
        layers = len(parse_topology(path))
        return f"a SCALE-Sim topology of {layers} {'layer' if layers == 1 else 'layers'}"
    if is_onnx(str(path)):
        graph = load_case(str(path), network).graph
        size = f"{graph.parameter_count:,} parameters, {graph.forward_macs:,} MACs per sample"
        return f"an ONNX model of {len(graph.layers)} layers, {size}"
    if suffix == ".yaml":
        return _ert(path)
    document = read_document(path)
    if suffix != ".toml":
        raise FileError(str(path), "has no known suffix", " or ".join(SUFFIXES))
    kind = _kind(document)
    _CHECKS[kind](document, machine, network)
    return kind


def _ert(path: Path) -> str:
    """Check an energy reference table of Accelergy and return its description."""
    from wavecore.hardware.ert import read_ert

    components = len(read_ert(path).components)
    return f"an ERT of {components} {'component' if components == 1 else 'components'}"


def _kind(document: Document) -> str:
    """Return what a TOML file describes, by its top-level keys; raise ConfigError if they are of nothing known."""
    from wavecore.hardware import specs
    from wavecore.plan.files import SCHEMA

    if document.data.get("schema") == SCHEMA or "group" in document.data:
        return "a plan"
    from wavecore.sparsity.profile import SCHEMA as PROFILE

    if document.data.get("schema") == PROFILE or "layers" in document.data:
        return "a sparsity profile"
    if "unit" in document.data:
        return "a map of an ERT"
    if not document.data.keys().isdisjoint(("axes", "objectives", "search")):
        return "a sweep"
    sections = {item.name for item in fields(specs.Accelerator)} - {"name", "technology"} | {"base"}
    keys = {
        "an accelerator": sections,
        "a memory": {item.name for item in fields(specs.MemorySpec)} - {"name"},
        "an energy table": {item.name for item in fields(specs.EnergySpec)} | {"technology"},
    }
    found = {kind: sum(_names(key, names) for key in document.data) for kind, names in keys.items()}
    best = max(found, key=lambda kind: found[kind])
    if not found[best]:
        known = "is no accelerator, memory, energy table, plan or sweep"
        raise ConfigError(document.label, known, 'base = "wavecore" and what differs, for an accelerator')
    return best


def _names(key: str, names: set[str]) -> bool:
    """Return whether a TOML key is one of ``names``, with or without its unit."""
    return any(name == key or name.startswith(f"{key}_") for name in names)


def _location(document: Document) -> str:
    """Return the path of a document in a form that cannot be taken for a registered name: ``./NAME``."""
    return os.path.join(".", document.label)  # noqa: PTH118 (pathlib drops the leading dot)


def _accelerator(document: Document, machine: MachineOptions, network: NetworkOptions) -> None:
    say_starved(load_machine(replace(machine, accelerator=_location(document))))


def _memory(document: Document, machine: MachineOptions, network: NetworkOptions) -> None:
    load_machine(MachineOptions(memory=_location(document)))


def _energy(document: Document, machine: MachineOptions, network: NetworkOptions) -> None:
    load_machine(MachineOptions(overrides=[f"energy={_location(document)}"]))


def _plan(document: Document, machine: MachineOptions, network: NetworkOptions) -> None:
    from wavecore.common.origin import KEY, read_source_file
    from wavecore.common.toml import place
    from wavecore.errors import PlanError
    from wavecore.plan.files import parse_plan
    from wavecore.plan.rules import verify_plan
    from wavecore.program.capacity import dram_capacity
    from wavecore.simulation import planned_graph

    name = document.data.get("workload")
    if not isinstance(name, str):
        raise PlanError(place(document, "workload"), "does not name the workload", 'workload = "resnet50"')
    file = read_source_file(document.data.get(KEY))
    if file is not None:
        name = file.moved(document.folder, Path()).path
    try:
        case = load_case(name, network)
    except InputError as error:
        if error.where not in ("workload", name):
            raise
        raise type(error)(place(document, "workload"), error.what, error.hint) from error
    check_source_file(file, case, place(document, KEY))
    plan = parse_plan(document, case.training, graph=case.graph)
    loaded = load_machine(machine)
    training = planned_graph(case.training, plan, loaded.accelerator)
    verify_plan(training, plan, loaded.accelerator, where=document.label)
    say_too_large(loaded, sum(dram_capacity(training, plan, loaded.accelerator).values()))


def _map(document: Document, machine: MachineOptions, network: NetworkOptions) -> None:
    from wavecore.hardware.ert_map import parse_map

    parse_map(document)


def _sweep(document: Document, machine: MachineOptions, network: NetworkOptions) -> None:
    from wavecore.sweep.space import listed_points
    from wavecore.sweep.spec import parse_spec

    listed_points(parse_spec(document))


def _profile(document: Document, machine: MachineOptions, network: NetworkOptions) -> None:
    from wavecore.sparsity.profile_file import parse_profile

    profile = parse_profile(document)
    name = profile.workload if profile.source_file is None else profile.source_file.path
    if name:
        load_case(name, replace(network, sparsity=document.label))


_CHECKS: dict[str, Check] = {
    "an accelerator": _accelerator,
    "a memory": _memory,
    "an energy table": _energy,
    "a plan": _plan,
    "a map of an ERT": _map,
    "a sweep": _sweep,
    "a sparsity profile": _profile,
}
