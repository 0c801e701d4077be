"""accelerator x workload x schedule -> run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from wavecore import registry
from wavecore.config import content_hash, describe, load_accelerator
from wavecore.counts import RowCounts, count
from wavecore.energy import add, energy
from wavecore.errors import InputError, unknown_name
from wavecore.ir import LayerGraph
from wavecore.laws import check_run
from wavecore.lower import lower
from wavecore.operations import TensorClass
from wavecore.plan import DEFAULT_CHOICES, Choices, Plan, Schedule
from wavecore.results import (
    BufferBytes,
    DramBytes,
    GroupSummary,
    LayerRow,
    Manifest,
    Run,
    StallCycles,
)
from wavecore.sim.timing import DramProbe, Engine, Progress, Timing
from wavecore.specs import Accelerator
from wavecore.traffic import plan_traffic
from wavecore.training import TrainingGraph, training_graph
from wavecore.verify import verify_training

DEFAULT_BATCH_PER_CORE = 32

ENGINES = {
    "event": ("wavecore.sim.event", "run_events"),
    "analytic": ("wavecore.sim.analytic", "run_analytic"),
}
"""Engine names and where they live; loaded when asked for, since SimPy takes time to import."""


def schedule_names() -> tuple[str, ...]:
    """Names of all registered schedules."""
    return tuple(registry.collect("wavecore.schedules", "SCHEDULES", Schedule))


def find_schedule(name: str) -> Schedule:
    """The registered schedule called ``name``; `NameLookupError` if there is none."""
    schedule: Schedule = registry.find("--schedule", "schedule", name, "wavecore.schedules", "SCHEDULES", Schedule)
    return schedule


def find_engine(name: str, dram_probe: DramProbe | None = None) -> Engine:
    """The engine called ``name``, watched by ``dram_probe``.

    Raises `NameLookupError` if there is none, `InputError` if it makes no requests that could be watched.
    """
    if name not in ENGINES:
        raise unknown_name("--engine", "engine", name, ENGINES)
    module, function = ENGINES[name]
    if dram_probe is None:
        engine: Engine = getattr(import_module(module), function)
        return engine
    if name != "event":
        raise InputError("--dram-trace", f"the {name} engine makes no requests to DRAM", "--engine event")
    from wavecore.sim.event import run_events

    return partial(run_events, probe=dram_probe)


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
    return find_schedule(schedule).make(training, accelerator, samples_per_core, choices)


_CHOICES: Mapping[str, Mapping[str, Any]] = {
    "normalization_passes": {"1": 1, "2": 2},
    "hold_weight_gradients": {"true": True, "false": False},
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
    progress: Progress | None = None,
    sources: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    dram_probe: DramProbe | None = None,
) -> Run:
    """Simulate one training step.

    ``schedule`` is a registered name or a plan; ``batch`` is the mini-batch of the whole chip (by default 32 samples
    a core, or the plan's); ``choices`` are the schedule's modelling choices; ``progress`` is called with the share
    that is done, ``dram_probe`` (event engine only) with every request to DRAM.

    Raises an `InputError` for what does not fit together, `InvariantError` if the result breaks a law.
    """
    started = time.perf_counter()
    run_engine = find_engine(engine, dram_probe)
    machine = load_accelerator(accelerator) if isinstance(accelerator, str) else accelerator
    training = workload if isinstance(workload, TrainingGraph) else training_graph(workload)
    graph_hash = _verified_hash(training)
    plan = _plan(training, schedule, machine, batch, choices)
    program = lower(training, plan, machine)
    timing = run_engine(program, machine, progress)
    run = assemble(
        training,
        plan,
        count(program),
        timing,
        machine,
        engine,
        Manifest(
            version=package_version(),
            hashes={
                "workload": graph_hash,
                "plan": content_hash(plan),
                "accelerator": content_hash(machine),
            },
            sources=dict(sources or {}),
            machine=describe(machine),
            settings=dict(settings or {}),
            events=timing.events,
            seconds_to_simulate=time.perf_counter() - started,
        ),
    )
    check_run(run, machine, plan_traffic(training, plan, machine))
    return run


def _verified_hash(training: TrainingGraph) -> str:
    """The content hash of a training graph, which is verified when it is first asked for."""
    if "hash" not in training.memory:
        verify_training(training)
        training.memory["hash"] = content_hash(training)
    return str(training.memory["hash"])


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


def assemble(
    training: TrainingGraph,
    plan: Plan,
    counts: Mapping[tuple[str, Any], RowCounts],
    timing: Timing,
    accelerator: Accelerator,
    engine: str,
    manifest: Manifest,
) -> Run:
    """Put a result together from what was counted and what was timed."""
    rows, parts = [], []
    for key, row in counts.items():
        unit = training.units[training.unit_index[key[0]]]
        timed = timing.rows[key]
        joules = energy(row, timed.cycles, accelerator)
        parts.append(joules)
        rows.append(
            LayerRow(
                name=unit.name,
                kind=unit.kind,
                fused=unit.fused,
                phase=key[1],
                cycles=timed.cycles,
                array_busy_cycles=timed.array_busy_cycles,
                vector_busy_cycles=timed.vector_busy_cycles,
                macs=row.macs,
                vector_operations=row.vector_operations,
                dram_read_bytes=row.dram_read_bytes,
                dram_write_bytes=row.dram_write_bytes,
                **{f"dram_{kind}_bytes": nbytes for kind, nbytes in _by_class(row.dram_bytes).items()},
                global_buffer_read_bytes=row.buffer_read_bytes,
                global_buffer_write_bytes=row.buffer_write_bytes,
                energy_joules=joules.total,
                **{f"energy_{part}_joules": value for part, value in asdict(joules).items()},
            )
        )
    cores, array = accelerator.chip.cores, accelerator.array
    macs = sum(row.macs for row in rows)
    seconds = timing.step_cycles / accelerator.chip.clock_hz
    batch = plan.batch_per_core * cores
    return Run(
        workload=plan.workload,
        schedule=plan.schedule,
        accelerator=accelerator.name,
        memory=accelerator.memory.name,
        engine=engine,
        batch=batch,
        step_cycles=timing.step_cycles,
        step_seconds=seconds,
        samples_per_second=batch / seconds,
        macs=macs,
        array_utilization=macs / (timing.step_cycles * array.rows * array.columns * cores),
        array_occupancy=timing.array_busy_cycles / timing.step_cycles,
        dram_bytes=_dram(timing),
        global_buffer_bytes=BufferBytes(
            read=sum(row.buffer_read_bytes for row in counts.values()),
            write=sum(row.buffer_write_bytes for row in counts.values()),
            peak=timing.buffer_peak_bytes,
        ),
        stall_cycles=StallCycles(
            dram=timing.stall_dram_cycles,
            vector=timing.stall_vector_cycles,
            dependency=timing.stall_dependency_cycles,
        ),
        energy_joules=add(parts),
        groups=tuple(
            GroupSummary(
                layers=group.units,
                sub_batch=group.sub_batch,
                iterations=group.iterations(plan.batch_per_core),
            )
            for group in plan.groups
        ),
        rows=tuple(rows),
        manifest=manifest,
    )


def _by_class(moved: Mapping[tuple[TensorClass, bool], int]) -> dict[str, int]:
    """Bytes of each class, both directions together."""
    return {kind.value: moved.get((kind, False), 0) + moved.get((kind, True), 0) for kind in TensorClass}


def _dram(timing: Timing) -> DramBytes:
    return DramBytes(
        read=sum(nbytes for (_, write), nbytes in timing.dram_bytes.items() if not write),
        write=sum(nbytes for (_, write), nbytes in timing.dram_bytes.items() if write),
        **_by_class(timing.dram_bytes),
    )
