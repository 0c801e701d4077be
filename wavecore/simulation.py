"""Simulate a step: a workload under a schedule on an accelerator gives a run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavecore.common import entry_points
from wavecore.common.files import is_plan
from wavecore.common.memo import remembered
from wavecore.common.typecheck import require
from wavecore.engines.timing import Engine, ProgressCallback, Timing
from wavecore.errors import ConfigError, InputError, SpaceError, unknown_name
from wavecore.hardware.config import content_hash, describe, load_accelerator
from wavecore.hardware.config import sources as config_sources
from wavecore.hardware.rules import verify_accelerator
from wavecore.hardware.specs import Accelerator
from wavecore.importers.named import named_network
from wavecore.network.graph import LayerGraph
from wavecore.network.layers import KINDS
from wavecore.network.rules import verify_graph
from wavecore.plan.files import load_plan, named_plan
from wavecore.plan.model import DEFAULT_CHOICES, BranchGradients, Choices, Plan, QueueOrder, Statistics
from wavecore.plan.rules import verify_plan, verify_structure
from wavecore.plan.schedule import ATTRIBUTE, GROUP, Schedule
from wavecore.plan.traffic import plan_traffic
from wavecore.program.bounds import critical_path_cycles
from wavecore.program.capacity import dram_capacity
from wavecore.program.commands import Program
from wavecore.program.counts import count, count_totals
from wavecore.program.lower import lower
from wavecore.results.assembly import group_summaries, layer_rows, packed_tensors, total_values
from wavecore.results.invariants import check_run, check_totals
from wavecore.results.run import Manifest, Run, Totals
from wavecore.sparsity.machine import for_machine
from wavecore.sparsity.profile import Profile
from wavecore.sparsity.profile_file import load_profile
from wavecore.sparsity.structure import apply_profile
from wavecore.training.graph import TrainingGraph
from wavecore.training.rewrites import rewritten
from wavecore.training.rules import verify_training
from wavecore.training.unroll import training_graph

if TYPE_CHECKING:
    from wavecore.engines.probe import Probe

ENGINES = {
    "event": ("wavecore.engines.event", "run_events"),
    "analytic": ("wavecore.engines.analytic", "run_analytic"),
}
"""Module and function of each engine; loaded when asked for, since SimPy takes time to import."""


def schedule_names() -> tuple[str, ...]:
    """Return the names of all registered schedules."""
    return tuple(entry_points.collect(GROUP, ATTRIBUTE, Schedule))


def broken_schedules() -> tuple[ConfigError, ...]:
    """Return an error for each registered module of schedules that cannot be used."""
    return entry_points.broken(GROUP, ATTRIBUTE, Schedule)


def find_schedule(name: str) -> Schedule:
    """Return the registered schedule called ``name``; `NameLookupError` if there is none."""
    if not isinstance(name, str):
        raise InputError("schedule", f"is {_described(name)}, not a name or a plan", '"mbs2"')
    schedule: Schedule = entry_points.find("schedule", "schedule", name, GROUP, ATTRIBUTE, Schedule)
    return schedule


def find_engine(name: str, probe: Probe | None = None, wanted_by: str = "probe") -> Engine:
    """Return the engine called ``name``, watched by ``probe``.

    Raises `NameLookupError` if there is none, `InputError` at ``wanted_by`` if it has nothing to tell a probe.
    """
    if not isinstance(name, str):
        raise InputError("engine", f"is {_described(name)}, not a name", " or ".join(ENGINES))
    if name not in ENGINES:
        raise unknown_name("engine", "engine", name, ENGINES)
    module, function = ENGINES[name]
    if probe is None:
        engine: Engine = getattr(import_module(module), function)
        return engine
    if name != "event":
        raise InputError(wanted_by, f"the {name} engine has no events to watch", "--engine event")
    from wavecore.engines.event import run_events
    from wavecore.engines.probe import Probe as EngineProbe

    require(probe, EngineProbe, "probe", "an instance of a subclass of wavecore.engines.probe.Probe")
    return partial(run_events, probe=probe)


def batch_per_core(batch: int, cores: int) -> int:
    """Split the chip's mini-batch evenly over its cores; InputError if that cannot be done."""
    if isinstance(batch, bool) or not isinstance(batch, int):
        raise InputError("batch", f"is {_described(batch)}, not a whole number", f"{32 * cores}")
    if batch < 1:
        raise InputError("batch", f"a mini-batch of {batch} samples is empty", f"{32 * cores}")
    if batch % cores:
        below = batch - batch % cores
        hint = f"{below + cores}" if not below else f"{below} or {below + cores}"
        raise InputError("batch", f"{batch} samples do not split evenly over {cores} cores", hint)
    return batch // cores


def make_plan(
    training: TrainingGraph,
    schedule: str,
    accelerator: Accelerator | str,
    samples_per_core: int,
    choices: Choices = DEFAULT_CHOICES,
) -> Plan:
    """Ask a registered schedule for its plan.

    ``training`` is the step of a network (`training_graph`), ``schedule`` a registered name, ``accelerator`` a machine
    or its name or path, ``samples_per_core`` the mini-batch of one core, and ``choices`` are modelling choices.
    Raises what `Schedule.make` does, and `InputError` for an argument of a wrong type.
    """
    verify_training(training)
    if isinstance(samples_per_core, bool) or not isinstance(samples_per_core, int) or samples_per_core < 1:
        raise InputError("samples_per_core", f"is {_described(samples_per_core)}", "a whole number from 1")
    machine = _machine(accelerator)
    return find_schedule(schedule).make(for_machine(training, machine), machine, samples_per_core, choices)


def planned_graph(training: TrainingGraph, plan: Plan, accelerator: Accelerator) -> TrainingGraph:
    """Return the graph that ``plan`` runs: ``training`` as the machine runs it, after the plan's rewrites.

    Raises `PlanError` for a plan that is not of this graph.
    """
    verify_training(training)
    return rewritten(for_machine(training, accelerator), plan.rewrites)


_CHOICES: Mapping[str, Mapping[str, Any]] = {
    "normalization_passes": {"1": 1, "2": 2},
    "hold_weight_gradients": {"true": True, "false": False},
    "serialize_recurrent": {"true": True, "false": False},
    "order": {str(order): order for order in QueueOrder},
    "branch_gradients": {str(way): way for way in BranchGradients},
    "statistics": {str(way): way for way in Statistics},
}


def parse_choices(texts: Sequence[str]) -> Choices:
    """Read ``key=value`` texts as `Choices`; an `InputError` for a key or a value that does not exist."""
    given: dict[str, Any] = {}
    for text in texts:
        where = f"--choice {text}"
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise InputError(where, "there is no '='", "normalization_passes=1")
        if key not in _CHOICES:
            raise unknown_name(where, "choice", key, _CHOICES)
        if value not in _CHOICES[key]:
            raise InputError(where, f"{value!r} is no value of {key}", " or ".join(_CHOICES[key]))
        given[key] = _CHOICES[key][value]
    return Choices(**given)


def simulate(
    workload: str | Path | LayerGraph | TrainingGraph,
    schedule: str | Path | Plan = "mbs2",
    accelerator: Accelerator | str = "wavecore",
    *,
    batch: int | None = None,
    choices: Choices = DEFAULT_CHOICES,
    engine: str = "event",
    sparsity: str | Path | Profile | None = None,
    progress: ProgressCallback | None = None,
    sources: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    probe: Probe | None = None,
) -> Run:
    """Simulate one training step.

    * ``workload``: a graph, a registered name, or the path of an ONNX model or a SCALE-Sim topology.
    * ``schedule``: a registered name, a plan, or the path of one (a text that ends in ``.toml`` or has a ``/``), which
      names the run.
    * ``accelerator``: an accelerator, a registered name, or the path of a description.
    * ``batch``: the mini-batch of the whole chip; by default the plan's, or the workload's own on every core.
    * ``choices``: the schedule's modelling choices (`wavecore.Choices`); a plan has made its own.
    * ``engine``: ``"event"``, step by step, or ``"analytic"``, command by command.
    * ``sparsity``: the profile of a pruned model, or the path of one, that is applied to the layers.
    * ``progress``: a function that is called with the share of the work that is done, from 0 to 1.
    * ``sources``: where the machine's values come from, by dotted key; known where it is given by name.
    * ``settings``: what the caller was given, to be kept in the manifest.
    * ``probe``: an observer of the event engine (`wavecore.engines.probe.Probe`), told what happens when.

    Raises an `InputError` at an argument that has a wrong type, for a name or a file that does not exist, for a graph
    or a plan that is wrong, and for what does not fit together; `InvariantError` if the result breaks an invariant.
    """
    started = time.perf_counter()
    _check_options(progress, sources, settings)
    run_engine = find_engine(engine, probe)
    machine = _machine(accelerator)
    if isinstance(accelerator, str):
        sources = sources or config_sources(accelerator)
    whole = _unrolled(workload, sparsity)
    training, plan, program = _lowered(whole, schedule, machine, batch, choices)
    timing = run_engine(program, machine, progress)
    manifest = Manifest(
        version=package_version(),
        hashes={
            "workload": _graph_hash(whole),
            "plan": content_hash(plan),
            "accelerator": content_hash(machine),
            **({"profile": whole.sparsity.digest} if whole.sparsity is not None else {}),
        },
        sources=dict(sources or {}),
        machine=describe(machine),
        settings=dict(settings or {}),
        events=timing.events,
        seconds_to_simulate=time.perf_counter() - started,
    )
    run = Run(
        **_totals(training, plan, program, timing, machine, engine),
        groups=group_summaries(plan.groups, plan.batch_per_core),
        backward_groups=group_summaries(plan.backward_groups or (), plan.batch_per_core),
        rows=layer_rows(training, count(program), timing, machine),
        packed=packed_tensors(training),
        manifest=manifest,
    )
    check_run(run, machine, plan_traffic(training, plan, machine))
    return run


def evaluate(
    workload: str | Path | LayerGraph | TrainingGraph,
    schedule: str | Path | Plan = "mbs2",
    accelerator: Accelerator | str = "wavecore",
    *,
    batch: int | None = None,
    choices: Choices = DEFAULT_CHOICES,
    engine: str = "analytic",
) -> Totals:
    """Return what one design point costs: `simulate` without rows, groups and manifest, for thousands of points.

    ``workload``, ``schedule``, ``accelerator``, ``batch`` and ``choices`` are as in `simulate`; ``engine`` is
    ``"analytic"`` unless another is asked for.  Raises what `simulate` does; the totals are equal to its.
    """
    run_engine, machine = find_engine(engine), _machine(accelerator)
    training, plan, program = _lowered(_unrolled(workload, None), schedule, machine, batch, choices)
    timing = run_engine(program, machine, None)
    found = Totals(**_totals(training, plan, program, timing, machine, engine))
    check_totals(found, machine, plan_traffic(training, plan, machine))
    return found


def _totals(
    training: TrainingGraph, plan: Plan, program: Program, timing: Timing, machine: Accelerator, engine: str
) -> dict[str, Any]:
    """Return every field of the totals of a program that has run."""
    counts, path = count_totals(program), critical_path_cycles(program)
    return total_values(plan, counts, path, dram_capacity(training, plan, machine), timing, machine, engine)


def _check_options(progress: object, sources: object, settings: object) -> None:
    """Raise `InputError` at an option of `simulate` that has a wrong type."""
    if progress is not None and not callable(progress):
        hint = "a function that takes the share that is done"
        raise InputError("progress", f"is of type {type(progress).__name__}, and must be a function", hint)
    for argument, texts in (("sources", sources), ("settings", settings)):
        if texts is not None:
            require(texts, Mapping, argument, "a dict")


def _machine(accelerator: Accelerator | str) -> Accelerator:
    """Return an accelerator, loaded if it is given by name, verified if it is given as such."""
    if isinstance(accelerator, str):
        return load_accelerator(accelerator)
    if not isinstance(accelerator, Accelerator):
        raise InputError("accelerator", f"is {_described(accelerator)}, not a name or an Accelerator", '"wavecore"')
    verify_accelerator(accelerator)
    _check_units(accelerator)
    return accelerator


def _check_units(accelerator: Accelerator) -> None:
    """Raise `NameLookupError` for a unit that takes the sweeps of a kind of layer that there is not."""
    known = sorted(kind.kind for kind in KINDS)
    for at, unit in enumerate(accelerator.units):
        for kind in unit.layer_kinds:
            if kind not in known:
                raise unknown_name(f"units[{at}].layer_kinds", "kind of layer", kind, known)


@remembered()
def _graph_hash(training: TrainingGraph) -> str:
    return content_hash(training)


def _unrolled(
    workload: str | Path | LayerGraph | TrainingGraph, sparsity: str | Path | Profile | None
) -> TrainingGraph:
    """Return one training step of what a profile leaves of the workload."""
    if isinstance(sparsity, str | Path):
        sparsity = load_profile(sparsity)
    if sparsity is not None and not isinstance(sparsity, Profile):
        raise InputError(
            "sparsity", f"is {_described(sparsity)}, not a Profile or the path of one", "wavecore.load_profile(PATH)"
        )
    if isinstance(workload, TrainingGraph):
        if sparsity is not None:
            raise InputError("sparsity", "a profile is of layers, and this graph is unrolled", "the LayerGraph")
        verify_training(workload)
        return workload
    graph = named_network(workload)
    verify_graph(graph)
    return training_graph(graph if sparsity is None else apply_profile(graph, sparsity))


def _described(value: object) -> str:
    """Return a value of a wrong type as a message shows it."""
    return repr(value) if isinstance(value, (int, float, str)) else f"a {type(value).__name__}"


def package_version() -> str:
    """Return the installed version."""
    try:
        return version("wavecore")
    except PackageNotFoundError:
        return "unknown (not installed)"


def _lowered(
    whole: TrainingGraph, schedule: str | Path | Plan, machine: Accelerator, batch: int | None, choices: Choices
) -> tuple[TrainingGraph, Plan, Program]:
    """Return the graph that runs, its plan and the program of both.

    Where an operation has no room, a plan that keeps or holds tensors on chip is wrong: `PlanError`.  Otherwise the
    buffer is too small for the network: `SpaceError`.
    """
    plan = _plan(whole, schedule, machine, batch, choices)
    training = planned_graph(whole, plan, machine)
    try:
        return training, plan, lower(training, plan, machine)
    except SpaceError:
        if any(group.forward or group.backward or group.held for group in (*plan.groups, *plan.groups_of_backward)):
            where = "" if isinstance(schedule, Plan) else f"schedule {schedule}"
            verify_plan(training, plan, machine, where=where)
        raise


def _plan(
    whole: TrainingGraph, schedule: str | Path | Plan, machine: Accelerator, batch: int | None, choices: Choices
) -> Plan:
    """Return the plan that is given, or in a file, verified, or that of a registered schedule."""
    cores = machine.chip.cores
    if isinstance(schedule, Path) or (isinstance(schedule, str) and is_plan(schedule)):
        schedule = named_plan(schedule, load_plan(schedule, whole))
    if not isinstance(schedule, Plan):
        samples = whole.batch_per_core if batch is None else batch_per_core(batch, cores)
        return make_plan(whole, schedule, machine, samples, choices)
    verify_structure(planned_graph(whole, schedule, machine), schedule)
    if batch is not None and batch_per_core(batch, cores) != schedule.batch_per_core:
        planned = schedule.batch_per_core * cores
        raise InputError("batch", f"is {batch}, and the plan is made for {planned} samples", str(planned))
    return schedule
