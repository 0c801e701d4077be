"""accelerator x workload x schedule -> run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from wavecore.common import entry_points as registry
from wavecore.engines.timing import Engine, ProgressCallback
from wavecore.errors import InputError, unknown_name
from wavecore.hardware.config import content_hash, describe, load_accelerator
from wavecore.hardware.config import sources as config_sources
from wavecore.hardware.specs import Accelerator
from wavecore.network.graph import LayerGraph
from wavecore.plan.model import DEFAULT_CHOICES, Choices, Plan, Schedule
from wavecore.plan.traffic import plan_traffic
from wavecore.program.counts import count, count_totals
from wavecore.program.lower import lower
from wavecore.results.assembly import group_summaries, layer_rows, packed_tensors, total_values, totals
from wavecore.results.invariants import check_run, check_totals
from wavecore.results.run import Manifest, Run, Totals
from wavecore.sparsity.machine import for_machine
from wavecore.sparsity.profile import Profile
from wavecore.sparsity.structure import apply_profile
from wavecore.training.graph import TrainingGraph
from wavecore.training.rules import verify_training
from wavecore.training.unroll import training_graph

if TYPE_CHECKING:
    from wavecore.engines.probe import Probe

DEFAULT_BATCH_PER_CORE = 32

ENGINES = {
    "event": ("wavecore.engines.event", "run_events"),
    "analytic": ("wavecore.engines.analytic", "run_analytic"),
}
"""Engine names and where they live; loaded when asked for, since SimPy takes time to import."""


def schedule_names() -> tuple[str, ...]:
    """Names of all registered schedules."""
    return tuple(registry.collect("wavecore.schedules", "SCHEDULES", Schedule))


def find_schedule(name: str) -> Schedule:
    """The registered schedule called ``name``; `NameLookupError` if there is none."""
    schedule: Schedule = registry.find("--schedule", "schedule", name, "wavecore.schedules", "SCHEDULES", Schedule)
    return schedule


def find_engine(name: str, probe: Probe | None = None, wanted_by: str = "probe") -> Engine:
    """The engine called ``name``, watched by ``probe``.

    Raises `NameLookupError` if there is none, `InputError` at ``wanted_by`` if it has nothing to tell a probe.
    """
    if name not in ENGINES:
        raise unknown_name("--engine", "engine", name, ENGINES)
    module, function = ENGINES[name]
    if probe is None:
        engine: Engine = getattr(import_module(module), function)
        return engine
    if name != "event":
        raise InputError(wanted_by, f"the {name} engine has no events to watch", "--engine event")
    from wavecore.engines.event import run_events

    return partial(run_events, probe=probe)


def batch_per_core(batch: int, cores: int) -> int:
    """Split the chip's mini-batch evenly over its cores; InputError if that cannot be done."""
    if batch < 1:
        raise InputError("--batch", f"a mini-batch of {batch} samples is empty", f"{32 * cores}")
    if batch % cores:
        below = batch - batch % cores
        hint = f"{below + cores}" if not below else f"{below} or {below + cores}"
        raise InputError("--batch", f"{batch} samples do not split evenly over {cores} cores", hint)
    return batch // cores


def make_plan(
    training: TrainingGraph,
    schedule: str,
    accelerator: Accelerator,
    samples_per_core: int,
    choices: Choices = DEFAULT_CHOICES,
) -> Plan:
    """Ask a registered schedule for its plan, under its modelling choices."""
    return find_schedule(schedule).make(for_machine(training, accelerator), accelerator, samples_per_core, choices)


_CHOICES: Mapping[str, Mapping[str, Any]] = {
    "normalization_passes": {"1": 1, "2": 2},
    "hold_weight_gradients": {"true": True, "false": False},
    "serialize_recurrent": {"true": True, "false": False},
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
    workload: LayerGraph | TrainingGraph,
    schedule: str | Plan = "mbs2",
    accelerator: Accelerator | str = "wavecore",
    *,
    batch: int | None = None,
    choices: Choices = DEFAULT_CHOICES,
    engine: str = "event",
    sparsity: Profile | None = None,
    progress: ProgressCallback | None = None,
    sources: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    probe: Probe | None = None,
) -> Run:
    """Simulate one training step.

    ``schedule`` is a registered name or a plan; ``batch`` is the mini-batch of the whole chip (by default 32 samples
    a core, or the plan's); ``choices`` are the schedule's modelling choices; ``sparsity`` is a profile to apply;
    ``progress`` is called with the share that is done, ``probe`` (event engine only) is told what happens when.

    Raises an `InputError` for what does not fit together, `InvariantError` if the result breaks a law.
    """
    started = time.perf_counter()
    run_engine = find_engine(engine, probe)
    if isinstance(accelerator, str):
        machine, sources = load_accelerator(accelerator), sources or config_sources(accelerator)
    else:
        machine = accelerator
    whole = _unrolled(workload, sparsity)
    graph_hash = _verified_hash(whole)
    training = for_machine(whole, machine)
    plan = _plan(training, schedule, machine, batch, choices)
    program = lower(training, plan, machine)
    timing = run_engine(program, machine, progress)
    manifest = Manifest(
        version=package_version(),
        hashes={
            "workload": graph_hash,
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
        **total_values(plan, count_totals(program), timing, machine, engine),
        groups=group_summaries(plan),
        rows=layer_rows(training, count(program), timing, machine),
        packed=packed_tensors(training),
        manifest=manifest,
    )
    check_run(run, machine, plan_traffic(training, plan, machine))
    return run


def evaluate(
    training: TrainingGraph,
    schedule: str | Plan = "mbs2",
    accelerator: Accelerator | str = "wavecore",
    *,
    batch: int | None = None,
    choices: Choices = DEFAULT_CHOICES,
    engine: str = "analytic",
) -> Totals:
    """What one design point costs: `simulate` without rows, groups and manifest, for thousands of points.

    Raises what `simulate` does; the totals are equal to its.
    """
    machine = load_accelerator(accelerator) if isinstance(accelerator, str) else accelerator
    _verified_hash(training)
    training = for_machine(training, machine)
    plan = _plan(training, schedule, machine, batch, choices)
    program = lower(training, plan, machine)
    timing = find_engine(engine)(program, machine, None)
    found = totals(plan, count_totals(program), timing, machine, engine)
    check_totals(found, machine, plan_traffic(training, plan, machine))
    return found


def _unrolled(workload: LayerGraph | TrainingGraph, sparsity: Profile | None) -> TrainingGraph:
    """One training step of what a profile leaves of the workload."""
    if isinstance(workload, TrainingGraph):
        if sparsity is not None:
            raise InputError("sparsity", "a profile is of layers, and this graph is unrolled", "the LayerGraph")
        return workload
    return training_graph(workload if sparsity is None else apply_profile(workload, sparsity))


def _verified_hash(training: TrainingGraph) -> str:
    """The content hash of a training graph, which is verified when it is first asked for."""

    def verified() -> str:
        verify_training(training)
        return content_hash(training)

    return str(training.memory.recall("hash", None, verified))


def package_version() -> str:
    """The installed version."""
    try:
        return version("wavecore")
    except PackageNotFoundError:
        return "unknown (not installed)"


def _plan(
    training: TrainingGraph, schedule: str | Plan, machine: Accelerator, batch: int | None, choices: Choices
) -> Plan:
    cores = machine.chip.cores
    if isinstance(schedule, Plan):
        if batch is not None and batch_per_core(batch, cores) != schedule.batch_per_core:
            planned = schedule.batch_per_core * cores
            raise InputError("--batch", f"is {batch}, and the plan is made for {planned} samples", str(planned))
        return schedule
    samples = DEFAULT_BATCH_PER_CORE if batch is None else batch_per_core(batch, cores)
    return make_plan(training, schedule, machine, samples, choices)
