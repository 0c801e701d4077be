"""From options to values: the network, the machine and the plan that a command works on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavecore.cli.options import MachineOptions, NetworkOptions
from wavecore.errors import FileError, InputError, NameLookupError

if TYPE_CHECKING:
    from wavecore.catalog import Option, Workload
    from wavecore.ir import LayerGraph
    from wavecore.plan import Plan
    from wavecore.specs import Accelerator
    from wavecore.training import TrainingGraph

LARGEST_BATCH = 1 << 16


@dataclass(frozen=True)
class Case:
    """A network, ready to be planned for, and what it was made with."""

    info: Workload
    options: Mapping[str, Option]
    graph: LayerGraph

    @cached_property
    def training(self) -> TrainingGraph:
        """One training step of the network."""
        from wavecore.training import training_graph

        return training_graph(self.graph)


@dataclass(frozen=True)
class Machine:
    """An accelerator, the sources of its values, and the options that chose it."""

    accelerator: Accelerator
    sources: Mapping[str, str]
    settings: Mapping[str, Any]


def load_case(name: str, options: NetworkOptions) -> Case:
    """Build the workload called ``name``; an `InputError` for a name, an option or a size that is wrong."""
    from wavecore.catalog import workload, workload_info

    _refuse_files(name)
    info = workload_info(name)
    chosen = _workload_options(name, options)
    return Case(info, chosen, workload(name, **chosen))


def _refuse_files(name: str) -> None:
    """Say of a path that it is missing, or that networks are not read from such files."""
    from wavecore.catalog import workload_names

    path = Path(name)
    if name in workload_names() or not (path.suffix or "/" in name):
        return
    hint = "a registered name: wavecore list workloads"
    if path.is_dir():
        raise FileError(name, "is a folder, not a workload", hint)
    if not path.exists():
        raise FileError(name, "there is no such file, and no workload of that name", hint)
    kind = f"{path.suffix} files" if path.suffix else "files without a suffix"
    raise FileError(name, f"workloads are not read from {kind}", hint)


def _workload_options(name: str, given: NetworkOptions) -> dict[str, Option]:
    """Read the options' texts as the types of their defaults; what does not fit stays text, and is refused later."""
    from wavecore.catalog import workload_options

    defaults = workload_options(name)
    named = {key: getattr(given, key) for key in ("image", "classes", "width")}
    texts = {key: value for key, value in named.items() if value is not None}
    for pair in given.others:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals:
            raise InputError(f"--option {pair}", "there is no '='", "norm=group")
        if key in texts:
            raise InputError(f"--option {pair}", f"{key} is given twice", "one of them")
        texts[key] = value
    return {key: _typed(text, defaults.get(key)) for key, text in texts.items()}


def _typed(text: str, default: Option | None) -> Option:
    if isinstance(default, int) and re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
        return int(text)
    if isinstance(default, float):
        try:
            return float(text)
        except ValueError:
            return text
    return text


def load_machine(options: MachineOptions) -> Machine:
    """Load the accelerator; an `InputError` for a name, a file or a value that is wrong."""
    from wavecore.config import load_accelerator, sources

    chosen = {"memory": options.memory, "overrides": options.overrides}
    return Machine(
        load_accelerator(options.accelerator, **chosen),  # type: ignore[arg-type]
        sources(options.accelerator, **chosen),  # type: ignore[arg-type]
        {"accelerator": options.accelerator, "memory": options.memory, "set": options.overrides},
    )


def samples_per_core(case: Case, machine: Machine, batch: int | None) -> int:
    """Samples of one core: the even share of ``batch``, or the workload's own number."""
    from wavecore.simulate import batch_per_core

    if batch is None:
        return case.info.batch_per_core
    if batch > LARGEST_BATCH:
        raise InputError("--batch", f"{batch} samples are out of range", f"at most {LARGEST_BATCH}")
    return batch_per_core(batch, machine.accelerator.chip.cores)


def load_or_make_plan(schedule: str, case: Case, machine: Machine, batch: int | None) -> Plan:
    """Read a saved plan, or ask a registered schedule for one.

    Raises `NameLookupError`, `FileError`, `PlanError` or `SpaceError`, and `InputError` for a mini-batch that does
    not split over the cores or is not the plan's.
    """
    from wavecore.planfile import load_plan
    from wavecore.simulate import find_schedule, make_plan
    from wavecore.verify import verify_plan

    if not is_plan_file(schedule):
        find_schedule(schedule)
        return make_plan(case.training, schedule, machine.accelerator, samples_per_core(case, machine, batch))
    plan = load_plan(Path(schedule), case.training, graph=case.graph)
    planned = plan.batch_per_core
    if batch is not None and samples_per_core(case, machine, batch) != planned:
        whole = planned * machine.accelerator.chip.cores
        raise InputError("--batch", f"is {batch}, and {schedule} is made for {whole} samples", str(whole))
    verify_plan(case.training, plan, machine.accelerator, where=schedule)
    return plan


def check_schedule(schedule: str) -> None:
    """Refuse a schedule that is neither registered nor a file, before anything is worked out."""
    from wavecore.simulate import find_schedule

    if not is_plan_file(schedule):
        find_schedule(schedule)
    elif not Path(schedule).exists():
        raise FileError(schedule, "there is no such file", "wavecore plan WORKLOAD --out plan.toml")


def is_plan_file(schedule: str) -> bool:
    """Whether a ``--schedule`` is the path of a plan and not a name."""
    return schedule.endswith(".toml") or "/" in schedule


def array_size(text: str) -> tuple[int, int]:
    """Read ``ROWSxCOLUMNS``; `InputError` if it is something else."""
    match = re.fullmatch(r"(\d{1,9})[xX](\d{1,9})", text.strip(), re.ASCII)
    if match is None:
        raise InputError("--array", f"{text!r} is not ROWSxCOLUMNS", "128x128")
    rows, columns = int(match[1]), int(match[2])
    if not (1 <= rows <= 4096 and 1 <= columns <= 4096):
        raise InputError("--array", f"{text} is out of range", "1x1 to 4096x4096")
    return rows, columns


def unknown_to(error: NameLookupError, option: str) -> NameLookupError:
    """The same error, said of an ``option``."""
    return NameLookupError(option, error.what, error.hint)
