"""Does energy follow its constants, and does every breakdown of it add up, whatever the network?"""

from __future__ import annotations

from dataclasses import asdict, replace
from math import fsum

import pytest
from builders import SCHEDULES
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strategies import machines, networks

from wavecore.errors import SpaceError
from wavecore.hardware.specs import Accelerator
from wavecore.network.graph import LayerGraph
from wavecore.results.energy_report import COMPONENTS, Epoch, energy_report, to_dict
from wavecore.results.run import Run
from wavecore.simulation import simulate

CONSTANTS = {
    "array": ("mac_joules", "register_joules_per_byte"),
    "local_buffer": ("local_buffer_joules_per_byte",),
    "global_buffer": ("global_buffer_joules_per_byte",),
    "vector": ("vector_operation_joules",),
    "interconnect": ("interconnect_joules_per_bit",),
    "static": ("static_watts_per_core", "static_watts_per_global_buffer_byte"),
}
RUNS = settings(max_examples=15, suppress_health_check=list(HealthCheck))


def simulated(network: LayerGraph, machine: Accelerator, schedule: str) -> Run:
    try:
        return simulate(network, schedule, machine, batch=2 * machine.chip.cores, engine="analytic")
    except SpaceError:
        assume(False)
        raise


def scaled(machine: Accelerator, component: str, factor: float) -> Accelerator:
    """The machine with all constants of one component multiplied."""
    if component == "dram":
        memory = machine.memory
        energy, background = factor * memory.energy_joules_per_bit, factor * memory.background_watts
        return replace(machine, memory=replace(memory, energy_joules_per_bit=energy, background_watts=background))
    table = {name: factor * getattr(machine.energy, name) for name in CONSTANTS[component]}
    return replace(machine, energy=replace(machine.energy, **table))


@RUNS
@given(networks(), machines(), st.sampled_from(sorted(SCHEDULES)), st.sampled_from(COMPONENTS))
def test_twice_the_constants_is_twice_the_component(
    network: LayerGraph, machine: Accelerator, schedule: str, component: str
) -> None:
    once = energy_report(simulated(network, machine, schedule))
    twice = energy_report(simulated(network, scaled(machine, component, 2.0), schedule))
    for one, two in zip((once, *once.phases, *once.layers), (twice, *twice.phases, *twice.layers), strict=True):
        for part in COMPONENTS:
            factor = 2.0 if part == component else 1.0
            assert getattr(two.energy, part) == pytest.approx(factor * getattr(one.energy, part), rel=1e-12)
    assert twice.step_seconds == once.step_seconds


@RUNS
@given(networks(), machines(), st.sampled_from(sorted(SCHEDULES)), st.integers(1, 10**7))
def test_breakdowns_add_up(network: LayerGraph, machine: Accelerator, schedule: str, samples: int) -> None:
    report = energy_report(simulated(network, machine, schedule), Epoch(samples, "a test"))
    plain, total = to_dict(report), report.joules_per_step
    for rows in ("phases", "layers"):
        for part in COMPONENTS:
            whole = asdict(report.energy)[part]
            assert fsum(row[f"{part}_joules"] for row in plain[rows]) == pytest.approx(whole, rel=1e-12)
    for rows in ("components", "phases", "layers"):
        assert fsum(row["joules"] for row in plain[rows]) == pytest.approx(total, rel=1e-12)
        assert all(0 <= row["share"] <= 1 for row in plain[rows])
    assert plain["joules_per_epoch"] * report.batch == pytest.approx(total * samples)
    assert plain["average_watts"] * plain["energy_delay_joule_seconds"] == pytest.approx(total**2)
