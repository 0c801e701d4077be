"""Does what moves over DRAM obey the same laws whichever matrix stays in the array?"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from builders import SCHEDULES
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strategies import networks
from wavecore_example.dataflows import OUTPUT_STATIONARY

from wavecore.errors import SpaceError
from wavecore.hardware.config import load_accelerator
from wavecore.hardware.dataflows import DATAFLOWS
from wavecore.hardware.specs import Accelerator
from wavecore.network.graph import LayerGraph
from wavecore.results.run import Run
from wavecore.simulation import simulate

law = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=25)
NAMES = ("weight_stationary", "output_stationary")
batches = st.integers(1, 6)


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATAFLOWS, OUTPUT_STATIONARY.name, OUTPUT_STATIONARY)
        yield


def machine(dataflow: str, buffer: str, *overrides: str) -> Accelerator:
    return load_accelerator(overrides=[f"array.dataflow={dataflow}", f"core.global_buffer={buffer}", *overrides])


def moved(run: Run) -> dict[str, int]:
    classes = ("read", "write", "weight", "activation", "gradient", "weight_gradient", "mask", "optimizer")
    return {name: getattr(run.dram_bytes, name) for name in classes}


def run(network: LayerGraph, schedule: str, accelerator: Accelerator, batch: int, engine: str = "analytic") -> Run:
    """A run, whose bytes, roofline, space and energy `simulate` itself checks; it must fit."""
    try:
        return simulate(network, schedule, accelerator, batch=2 * batch, engine=engine)
    except SpaceError:
        assume(False)
        raise


@law
@given(networks(max_blocks=3), st.sampled_from(sorted(SCHEDULES)), batches, st.sampled_from([256, 1024, 4096]))
def test_engines_move_the_planned_bytes(network: LayerGraph, schedule: str, batch: int, kib: int) -> None:
    accelerator = machine("output_stationary", f"{kib} KiB", "array.rows=32", "array.columns=16", "array.tile_rows=64")
    event, analytic = (run(network, schedule, accelerator, batch, engine) for engine in ("event", "analytic"))
    assert moved(event) == moved(analytic)
    assert event.macs == analytic.macs
    assert 0 < event.array_utilization <= 1


@law
@given(networks(max_blocks=3), st.sampled_from(sorted(SCHEDULES)), batches)
def test_in_a_large_buffer_the_dataflow_moves_no_byte_more(network: LayerGraph, schedule: str, batch: int) -> None:
    """Each operand passes once, so that what moves is the plan's alone."""
    held, streamed = (run(network, schedule, machine(name, "1 GiB"), batch) for name in NAMES)
    assert moved(held) == moved(streamed)


@law
@given(networks(max_blocks=3), batches, st.sampled_from([256, 1024, 4096]), st.sampled_from([16, 128]))
def test_each_schedule_moves_no_more_than_what_it_builds_on(
    network: LayerGraph, batch: int, kib: int, size: int
) -> None:
    sides = (f"array.rows={size}", f"array.columns={size}")
    accelerator = machine("output_stationary", f"{kib} KiB", *sides)
    total = {name: run(network, name, accelerator, batch).dram_bytes.total for name in SCHEDULES}
    assert total["baseline"] == total["archopt"] >= total["il"] >= total["mbs1"] >= total["mbs2"]
