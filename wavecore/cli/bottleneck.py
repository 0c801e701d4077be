"""The sentence at the end of ``wavecore run``: what bounds the step, and which change of the machine helps most."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

from wavecore.cli.tables import amount, heading, share
from wavecore.errors import InputError

if TYPE_CHECKING:
    from wavecore.cli.inputs import LoadedMachine, LoadedWorkload
    from wavecore.hardware.specs import Accelerator
    from wavecore.plan.model import Plan
    from wavecore.results.run import Run

CHANGES: Mapping[str, Callable[[Accelerator], str]] = {
    "twice the vector lanes": lambda machine: f"vector.lanes={2 * machine.vector.lanes}",
    "twice the DRAM bandwidth": lambda machine: f"memory.bandwidth={2 * machine.memory.bandwidth_bytes_per_second} B/s",
    "a global buffer of twice the size": lambda machine: f"core.global_buffer={2 * machine.core.global_buffer_bytes} B",
    "twice the rows of the array": lambda machine: f"array.rows={2 * machine.array.rows}",
}
"""Changes of one setting each, as ``--set`` takes them; settings that nobody states follow, others stay."""

LEAST_SAVED = 0.01  # of a step: less is within what the analytic engine leaves out
BOUNDS = {
    "array": "the array, which works {share} of the step and",
    "vector": "the vector unit, which works {share} of the step; the array",
    "dram": "DRAM, whose bytes alone take {share} of the step; the array",
    "critical_path": "operations that need each other's results, {share} of the step; the array",
}


class WhatIf(NamedTuple):
    """A changed machine, and the seconds that the step takes on it."""

    change: str
    seconds: float


def bottleneck(run: Run, case: LoadedWorkload, machine: LoadedMachine, schedule: str, plan: Plan) -> str:
    """Return the sentence about a run; steps of changed machines are those of the analytic engine."""
    before, *changed = _what_if(case, machine, schedule, plan)
    text = f"Bottleneck: {_bound(run)} {_main_wait(run)}; "
    best = min(changed, key=lambda each: each.seconds, default=before)
    saved = 1 - best.seconds / before.seconds
    if saved < LEAST_SAVED:
        changes = " or ".join(each.change for each in changed) or "no change that its settings allow"
        return f"{text}{changes} would save less than {LEAST_SAVED:.0%} of the step (analytic engine)."
    took, takes = (amount("step_seconds", each.seconds) for each in (before, best))
    return (
        f"{text}with {best.change} the step would take {takes} instead of {took}, {saved:.0%} less (analytic engine)."
    )


def _bound(run: Run) -> str:
    return BOUNDS[run.bound_cycles.binding].format(share=share(run.bound_cycles.largest, run.step_cycles))


def _main_wait(run: Run) -> str:
    """Return what the array waits for longest."""
    waits = asdict(run.stall_cycles)
    longest = max(waits, key=lambda name: waits[name])
    return f"{heading(f'stall_cycles.{longest}')} for {share(waits[longest], run.step_cycles)}"


def _what_if(case: LoadedWorkload, machine: LoadedMachine, schedule: str, plan: Plan) -> Iterator[WhatIf]:
    """Yield the step of the machine as it is, and those of changed machines that can run it.

    A registered schedule plans anew for each machine; a plan from a file stays as it is.
    """
    from wavecore.common.files import is_plan
    from wavecore.hardware.config import load_accelerator
    from wavecore.simulation import evaluate, parse_choices

    choices, settings = parse_choices(case.choices), machine.settings
    batch = plan.batch_per_core * machine.accelerator.chip.cores
    policy = plan if is_plan(schedule) else schedule

    def seconds(accelerator: Accelerator) -> float:
        return evaluate(case.training, policy, accelerator, batch=batch, choices=choices).step_seconds

    yield WhatIf("", seconds(machine.accelerator))
    for change, override in CHANGES.items():
        overrides = [*settings["set"], override(machine.accelerator)]
        try:
            changed = load_accelerator(settings["accelerator"], memory=settings["memory"], overrides=overrides)
            yield WhatIf(change, seconds(changed))
        except InputError:  # what is stated does not go with the change
            continue
