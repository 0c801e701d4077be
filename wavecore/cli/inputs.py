"""Load what the options of a command name: the workload, the accelerator and the plan."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavecore.cli.options import MachineOptions, NetworkOptions
from wavecore.common.files import is_onnx, is_plan, is_topology
from wavecore.errors import FileError, InputError, NameLookupError, unknown_name

if TYPE_CHECKING:
    from wavecore.common.origin import SourceFile
    from wavecore.hardware.specs import Accelerator
    from wavecore.network.catalog import OptionValue, Workload
    from wavecore.network.graph import LayerGraph
    from wavecore.plan.model import Plan
    from wavecore.sparsity.profile import Profile
    from wavecore.training.graph import TrainingGraph

LARGEST_BATCH = 1 << 16
ONNX_OPTIONS = ("folded", "image", "norm")


@dataclass(frozen=True)
class LoadedWorkload:
    """A workload: its network, the options it was built with, the modelling choices as given, and its profile.

    ``file`` is the model or topology if the network was read from one.
    """

    info: Workload
    options: Mapping[str, OptionValue]
    graph: LayerGraph
    choices: tuple[str, ...] = ()
    file: SourceFile | None = None
    profile: Profile | None = None

    @cached_property
    def training(self) -> TrainingGraph:
        """One training step of the network."""
        from wavecore.training.unroll import training_graph

        return training_graph(self.graph)


@dataclass(frozen=True)
class LoadedMachine:
    """An accelerator, the source of each of its values by dotted key, and the options that it was loaded with."""

    accelerator: Accelerator
    sources: Mapping[str, str]
    settings: Mapping[str, Any]


def load_case(name: str, options: NetworkOptions) -> LoadedWorkload:
    """Build the workload called ``name``: a registered network, an ONNX model or a SCALE-Sim topology file.

    A sparsity profile is applied to the network; the profile's options of the workload hold where none are given.
    Raises `InputError` for a name, a file, an option or a size that is wrong.
    """
    if options.sparsity is None:
        return _dense_case(name, options)
    from wavecore.common.origin import KEY
    from wavecore.sparsity.profile_file import load_profile
    from wavecore.sparsity.structure import apply_profile

    with hinting("wavecore profile MODEL -o profile.toml, which writes one"):
        profile = load_profile(Path(options.sparsity))
    given = _given(options)
    more = [f"{key}={value}" for key, value in profile.options.items() if key not in given]
    case = _dense_case(name, replace(options, others=[*options.others, *more]))
    check_source_file(profile.source_file, case, profile.place(key=KEY))
    return replace(case, graph=apply_profile(case.graph, profile), profile=profile)


def _dense_case(name: str, options: NetworkOptions) -> LoadedWorkload:
    """Build the workload without a sparsity profile."""
    from wavecore.importers.named import refuse_other_files
    from wavecore.network.catalog import workload, workload_info

    if is_topology(name) and Path(name).is_file():
        return _topology_case(name, options)
    if is_onnx(name) and Path(name).exists():
        return _onnx_case(name, options)
    refuse_other_files(name)
    info = workload_info(name)
    chosen = _workload_options(name, options)
    return LoadedWorkload(info, chosen, workload(name, **chosen), tuple(options.choices))


def _topology_case(path: str, options: NetworkOptions) -> LoadedWorkload:
    """Read a SCALE-Sim topology; raise `InputError` if options of a workload are given, for it has none."""
    from wavecore.common.origin import source_file
    from wavecore.importers.topology import topology_workload
    from wavecore.network.catalog import Workload

    given = ["--image", "--classes", "--width"]
    given = [option for option in given if getattr(options, option[2:]) is not None]
    given += [f"--option {pair}" for pair in options.others]
    if given:
        raise InputError(given[0], f"{path} says all sizes itself", "no such option, or a registered network")
    graph = topology_workload(path)
    info = Workload(name=path, build=lambda: graph, summary="a SCALE-Sim topology")
    return LoadedWorkload(info, {}, graph, tuple(options.choices), source_file(path))


def _onnx_case(path: str, options: NetworkOptions) -> LoadedWorkload:
    """Read an ONNX model and print the importer's notes on what it changed; raise `InputError` for other options."""
    from wavecore.cli.messages import say
    from wavecore.common.origin import SourceFile
    from wavecore.importers.onnx import import_onnx
    from wavecore.network.catalog import Workload

    texts = _given(options)
    for key in texts:
        if key not in ONNX_OPTIONS:
            raise unknown_name(path, "option", key, ONNX_OPTIONS)
    imported = import_onnx(path, **texts)
    for note in imported.notes:
        say(f"note: {path}: {note}")
    info = Workload(name=path, build=lambda: imported.graph, summary="an ONNX model")
    file = SourceFile(path, imported.sha256)
    return LoadedWorkload(info, texts, imported.graph, tuple(options.choices), file)


def _workload_options(name: str, given: NetworkOptions) -> dict[str, OptionValue]:
    """Convert option texts to the types of the options' defaults; a text that does not fit is refused later."""
    from wavecore.network.catalog import workload_options

    defaults = workload_options(name)
    return {key: _typed(text, defaults.get(key)) for key, text in _given(given).items()}


def _given(given: NetworkOptions) -> dict[str, str]:
    """Return the options of a workload that were given, as texts; raise `InputError` if one is given twice."""
    named = {key: getattr(given, key) for key in ("image", "classes", "width")}
    texts = {key: value for key, value in named.items() if value is not None}
    for pair in given.others:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals:
            raise InputError(f"--option {pair}", "there is no '='", "norm=group")
        if key in texts:
            raise InputError(f"--option {pair}", f"{key} is given twice", "one of them")
        texts[key] = value
    return texts


def _typed(text: str, default: OptionValue | None) -> OptionValue:
    """Return ``text`` as the type of ``default``, or unchanged if it does not fit."""
    if isinstance(default, int) and re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
        return int(text)
    if isinstance(default, float):
        try:
            return float(text)
        except ValueError:
            return text
    return text


def load_machine(options: MachineOptions) -> LoadedMachine:
    """Load the accelerator that the options describe; raise `InputError` for a wrong name, file or value."""
    from wavecore.hardware.config import load_accelerator, sources

    table = [] if options.energy is None else [f"energy={options.energy}"]
    chosen: dict[str, Any] = {"memory": options.memory, "overrides": [*table, *options.overrides]}
    with hinting("wavecore list accelerators, or memories, or a TOML file of your own"):
        try:
            accelerator = load_accelerator(options.accelerator, **chosen)
        except NameLookupError as error:
            given = {"accelerator": "--accelerator", "memory": "--memory", f"--set energy={options.energy}": "--energy"}
            raise NameLookupError(given.get(error.where, error.where), error.what, error.hint) from error
    settings = {"accelerator": options.accelerator, "memory": options.memory, "set": chosen["overrides"]}
    return LoadedMachine(accelerator, sources(options.accelerator, **chosen), settings)


def say_starved(machine: LoadedMachine) -> None:
    """Print a note for each unit that waits for a port of the global buffer that is too narrow for it."""
    from wavecore.cli.messages import say
    from wavecore.hardware.ports import starved_units

    for note in starved_units(machine.accelerator):
        say(f"note: {note}")


def say_too_large(machine: LoadedMachine, needed_bytes: int) -> None:
    """Print a note if a step needs more DRAM than the memory has."""
    from wavecore.cli.messages import say
    from wavecore.common.units import format_bytes

    memory = machine.accelerator.memory
    if memory.capacity_bytes is not None and needed_bytes > memory.capacity_bytes:
        say(
            f"note: the step needs {format_bytes(needed_bytes)} of DRAM, and {memory.name} has "
            f"{format_bytes(memory.capacity_bytes)}: a smaller --batch, or more memory.capacity"
        )


@contextmanager
def hinting(hint: str) -> Iterator[None]:
    """Add ``hint`` to an `InputError` of the block that has none."""
    try:
        yield
    except InputError as error:
        if error.hint:
            raise
        raise type(error)(error.where, error.what, hint) from error


def whole_number(where: str, text: str, least: int, most: int) -> int:
    """Read a whole number from ``least`` to ``most``; raise `InputError`, located at ``where``, if it is none."""
    if not re.fullmatch(r"[+-]?[0-9]{1,30}", text.strip()):
        raise InputError(where, f"{text!r} is not a whole number", f"{least} to {most}")
    number = int(text)
    if not least <= number <= most:
        raise InputError(where, f"{number} is out of range", f"{least} to {most}")
    return number


def samples_per_core(case: LoadedWorkload, machine: LoadedMachine, batch: str | None) -> int:
    """Return the samples per core: an equal share of ``batch``, or the workload's own number.

    Raises `InputError` if ``batch`` is no whole number or does not split over the cores.
    """
    from wavecore.simulation import batch_per_core

    if batch is None:
        return case.graph.batch_per_core
    cores = machine.accelerator.chip.cores
    return batch_per_core(whole_number("--batch", batch, 1, LARGEST_BATCH), cores)


def load_or_make_plan(schedule: str, case: LoadedWorkload, machine: LoadedMachine, batch: str | None) -> Plan:
    """Read and verify a saved plan, or make the plan of a registered schedule.

    Raises `NameLookupError`, `FileError`, `PlanError` or `SpaceError`, and `InputError` for a mini-batch that does
    not split over the cores or is not the plan's, or for choices that are given with a saved plan.
    """
    from wavecore.common.origin import KEY, read_source_file
    from wavecore.common.toml import place, read_document
    from wavecore.plan.files import parse_plan
    from wavecore.plan.rules import verify_plan
    from wavecore.simulation import find_schedule, make_plan, parse_choices, planned_graph

    choices = parse_choices(case.choices)
    if not is_plan(schedule):
        find_schedule(schedule)
        samples = samples_per_core(case, machine, batch)
        return make_plan(case.training, schedule, machine.accelerator, samples, choices)
    if case.choices:
        raise InputError(f"--choice {case.choices[0]}", f"{schedule} has made its choices", "to edit the plan")
    with hinting("wavecore plan WORKLOAD --out plan.toml, which writes a plan that is right"):
        document = read_document(schedule)
        check_source_file(read_source_file(document.data.get(KEY)), case, place(document, KEY))
        plan = parse_plan(document, case.training, graph=case.graph)
    planned = plan.batch_per_core
    if batch is not None and samples_per_core(case, machine, batch) != planned:
        whole = planned * machine.accelerator.chip.cores
        raise InputError("--batch", f"is {batch}, and {schedule} is made for {whole} samples", str(whole))
    verify_plan(planned_graph(case.training, plan, machine.accelerator), plan, machine.accelerator, where=schedule)
    return plan


def check_source_file(made_for: SourceFile | None, case: LoadedWorkload, where: str) -> None:
    """Raise `InputError` if a plan or a profile that was made for a file is used with another workload."""
    if made_for is None or (case.file is not None and case.file.sha256 == made_for.sha256):
        return
    path = Path(case.info.name) if case.file is not None else None
    same = path is not None and path.name == Path(made_for.path).name
    what = f"is made for {made_for.path}, " + ("which has changed since" if same else f"not for {case.info.name}")
    raise InputError(where, what, "making it again, with the same command")


def check_schedule(schedule: str, option: str = "--schedule") -> None:
    """Raise `InputError` early, before anything is computed, for a schedule that is neither registered nor a file."""
    from wavecore.simulation import find_schedule

    if not is_plan(schedule):
        try:
            find_schedule(schedule)
        except NameLookupError as error:
            raise NameLookupError(option, error.what, error.hint) from error
    elif not Path(schedule).exists():
        raise FileError(schedule, "there is no such file", "wavecore plan WORKLOAD --out plan.toml")


def array_size(text: str) -> tuple[int, int]:
    """Read ``ROWSxCOLUMNS`` and return (rows, columns), each 1 to 4096; raise `InputError` for anything else."""
    match = re.fullmatch(r"(\d{1,9})[xX](\d{1,9})", text.strip(), re.ASCII)
    if match is None:
        raise InputError("--array", f"{text!r} is not ROWSxCOLUMNS", "128x128")
    rows, columns = int(match[1]), int(match[2])
    if not (1 <= rows <= 4096 and 1 <= columns <= 4096):
        raise InputError("--array", f"{text} is out of range", "1x1 to 4096x4096")
    return rows, columns
