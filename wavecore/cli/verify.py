"""``wavecore verify``: compare what the lowered program computes with PyTorch's autograd."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavecore.cli.inputs import (
    ONNX_OPTIONS,
    LoadedMachine,
    LoadedWorkload,
    check_schedule,
    load_case,
    load_machine,
    load_or_make_plan,
)
from wavecore.cli.options import Batch, Json, MachineOptions, NetworkOptions, ScheduleOption, WorkloadName, grouped
from wavecore.cli.tables import facts, show, table
from wavecore.common.files import is_onnx, is_plan
from wavecore.common.units import format_bytes
from wavecore.errors import GraphError, SpaceError, unknown_name

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wavecore.golden.verification import Verification
    from wavecore.plan.model import Plan

SCHEMA = "wavecore.verify/1"
DTYPES = ("float64", "float32")
IMAGES = (64, 80, 96, 128, 160, 192, 224, 299)  # the smallest for which the network can be built is used
SCALE = {"width": "0.125", "classes": "10", "vocabulary": "50", "embedding": "24", "hidden": "20", "steps": "7"}
SAMPLES_PER_CORE = 7  # a prime, so that sub-batches leave a remainder
SMALLEST_BUFFER_KIB = 64
LARGEST_BUFFER_KIB = 1 << 20
SHOWN = 10  # rows of the printed table


@grouped
def verify(
    *,
    workload: WorkloadName,
    machine: MachineOptions,
    network: NetworkOptions,
    schedule: ScheduleOption = "mbs2",
    batch: Batch = None,
    dtype: Annotated[
        str, typer.Option("--dtype", metavar="float64|float32", help="Data type of all numbers.")
    ] = "float64",
    json: Json = False,
) -> None:
    """Run a scaled-down network's program on real numbers, and compare every gradient with PyTorch's autograd.

    Unless options say otherwise, the network has an eighth of its channels, a small image and 10 classes (a recurrent
    one: few words, units and time steps). Each core has seven samples, and the global buffer is the smallest with which
    the schedule can run.
    """
    from wavecore.golden.reference import import_torch
    from wavecore.golden.verification import verify_workload

    if dtype not in DTYPES:
        raise unknown_name("--dtype", "dtype", dtype, DTYPES)
    check_schedule(schedule)
    import_torch()
    case = scaled_down(workload, network)
    loaded, plan = _fitted(case, machine, schedule, batch)
    samples = plan.batch_per_core * loaded.accelerator.chip.cores
    chosen: Any = dtype
    verified = verify_workload(case.graph, plan, loaded.accelerator, samples, chosen)
    if json:
        from wavecore.results.folder import json_text

        sys.stdout.write(json_text({"schema": SCHEMA, **asdict(verified)}))
    else:
        show(_tables(case, loaded, plan, verified))
    if not verified.passed:
        raise typer.Exit(1)


def scaled_down(workload: str, network: NetworkOptions) -> LoadedWorkload:
    """Build the workload with few channels, classes, words, units and time steps, and a small image, where it has them.

    Options that are given stay as they are.  Raises `InputError` as `load_case` does.
    """
    free = {key for key in ("image", *SCALE) if key in _options(workload) and getattr(network, key, None) is None}
    free -= {pair.partition("=")[0].strip() for pair in network.others}
    scale = [f"{key}={value}" for key, value in SCALE.items() if key in free]
    small = replace(network, others=[*network.others, *scale])
    if "image" not in free:
        return load_case(workload, small)
    for image in IMAGES[:-1]:
        try:
            return load_case(workload, replace(small, image=str(image)))
        except GraphError:
            continue
    return load_case(workload, small if is_onnx(workload) else replace(small, image=str(IMAGES[-1])))


def _options(workload: str) -> Collection[str]:
    """Return the names of the options that a workload takes."""
    from wavecore.network.catalog import workload_names, workload_options

    if is_onnx(workload):
        return ONNX_OPTIONS
    return workload_options(workload) if workload in workload_names() else ()


def _fitted(
    case: LoadedWorkload, options: MachineOptions, schedule: str, batch: str | None
) -> tuple[LoadedMachine, Plan]:
    """Load the accelerator and make the plan; return both.

    Unless a buffer size or a saved plan is given, the buffer is the smallest of 64 KiB, 128 KiB, ... that suffices.
    """
    from wavecore.program.lower import lower
    from wavecore.training.rewrites import rewritten

    loaded = load_machine(options)
    samples = batch if batch or is_plan(schedule) else str(SAMPLES_PER_CORE * loaded.accelerator.chip.cores)
    if is_plan(schedule) or any(pair.strip().startswith("core.global_buffer") for pair in options.overrides):
        return loaded, load_or_make_plan(schedule, case, loaded, samples)
    kib = SMALLEST_BUFFER_KIB
    while True:
        try:
            tight = _with_buffer(options, kib)
            plan = load_or_make_plan(schedule, case, tight, samples)
            lower(rewritten(case.training, plan.rewrites), plan, tight.accelerator)
            return tight, plan
        except SpaceError:
            if kib >= LARGEST_BUFFER_KIB:
                raise
            kib *= 2


def _with_buffer(options: MachineOptions, kib: int) -> LoadedMachine:
    return load_machine(replace(options, overrides=[*options.overrides, f"core.global_buffer={kib} KiB"]))


def _tables(
    case: LoadedWorkload, loaded: LoadedMachine, plan: Plan, verified: Verification
) -> Iterator[RenderableType]:
    sizes = "".join(f", {key} {value}" for key, value in case.options.items())
    buffer = format_bytes(loaded.accelerator.core.global_buffer_bytes)
    iterations = max(group.iterations(plan.batch_per_core) for group in (*plan.groups, *plan.groups_of_backward))
    yield facts(
        f"{verified.workload}{sizes}: {verified.schedule} against PyTorch's autograd, {verified.dtype}",
        [
            ("samples per core", str(plan.batch_per_core), ""),
            ("global buffer", buffer, ""),
            ("groups", str(len(plan.groups)), f"up to {iterations} iterations"),
            ("tensors compared", str(len(verified.tensors)), "loss, gradients, weights, momentum"),
            ("largest error", f"{verified.largest_error:.1e}", "passed" if verified.passed else "FAILED"),
        ],
    )
    worst = sorted(verified.tensors, key=lambda tensor: -tensor.error)[:SHOWN]
    rows = [(tensor.name, f"{tensor.error:.1e}") for tensor in worst]
    yield table("largest relative errors", ("tensor", "error"), rows, right=("error",))
