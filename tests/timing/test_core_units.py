"""Can a core have another unit by an entry in its list?  A second vector unit takes the normalizations."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from builders import command, machine, program

from wavecore.engines.analytic import run_analytic
from wavecore.engines.event import run_events
from wavecore.engines.timing import Stall, Timing
from wavecore.hardware.specs import CORE_UNITS, Accelerator, UnitKind, UnitSpec
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import Conv, CrossEntropy, GroupNorm, ReLU
from wavecore.network.shapes import Shape
from wavecore.program.commands import Command, CommandCost, Flow, StageCost, StepProfile, Token
from wavecore.results.run import Run
from wavecore.simulation import simulate
from wavecore.timeline.collect import TimelineProbe
from wavecore.timeline.drawing import draw
from wavecore.timeline.model import Timeline, Track
from wavecore.training.operations import Phase

NORMALIZER = UnitSpec(name="normalizer", kind=UnitKind.VECTOR, layer_kinds=("norm",))
ENGINES = {"event": run_events, "analytic": run_analytic}
engines = pytest.mark.parametrize("engine", ENGINES)


def with_units(*units: UnitSpec) -> Accelerator:
    return replace(machine("memory.trefi=1 ms", "chip.cores=1"), units=units)


MACHINE = with_units(*CORE_UNITS[:3], NORMALIZER, CORE_UNITS[3])


def sweep(name: str, cycles: int, unit: str = "vector", **changes: object) -> Command:
    swept = command(name, steps=8, **changes)
    return replace(swept, work=CommandCost(stages=(StageCost(unit, cycles),)))


def gemm(name: str, array: int, vector: int, drained_by: str = "vector", **changes: object) -> Command:
    product = command(name, steps=8, **changes)
    return replace(
        product, work=CommandCost(stages=(StageCost("array", array, 128, 254), StageCost(drained_by, vector)))
    )


def run(engine: str, *commands: Command, accelerator: Accelerator = MACHINE) -> Timing:
    return ENGINES[engine](program(*commands), accelerator)


# -- hand-made programs --------------------------------------------------------------------------------------


@engines
def test_sweeps_on_two_units_run_beside_each_other(engine: str) -> None:
    timing = run(engine, sweep("a", 1000), sweep("b", 800, "normalizer"), sweep("c", 400))
    assert timing.step_cycles == 1000 + 400
    assert {name: unit.busy_cycles for name, unit in timing.units.items()} == {
        "array": 0,
        "vector": 1400,
        "normalizer": 800,
    }
    assert timing.rows["b", "forward"].busy_cycles == {"array": 0, "vector": 0, "normalizer": 800}
    alone = run(engine, sweep("a", 1000), sweep("b", 800), sweep("c", 400))
    assert alone.step_cycles == 1000 + 800 + 400


@engines
def test_a_sweep_waits_for_what_the_other_unit_makes(engine: str) -> None:
    """The second sweep needs all of the first; the third runs meanwhile on the first one's unit."""
    whole = Flow(800, StepProfile.AT_ONCE)
    made = sweep("made", 1000, posts=(Token("x", Flow(800, StepProfile.EVEN)),), reserves=(("x", 800),))
    used = sweep("used", 600, "normalizer", waits=(Token("x", whole),), releases=(("x", 800),))
    timing = run(engine, made, used, sweep("beside", 500))
    assert timing.step_cycles == 1000 + 600


@engines
def test_a_unit_drains_the_array_beside_a_sweep_of_the_other(engine: str) -> None:
    """A sweep of 4000 cycles keeps the vector unit busy, but neither the array nor the unit that drains it."""
    timing = run(engine, sweep("sweep", 4000), gemm("gemm", 8000, 80, drained_by="normalizer"))
    fill = 128 if engine == "event" else 0  # the analytic engine leaves out that of a step's first cycle
    assert timing.step_cycles == fill + 8000 + 254 + 10
    assert timing.units["array"].stall_cycles[Stall.VECTOR] == 10, "the last step's"


@pytest.mark.parametrize(
    ("slots", "step_cycles", "stall_cycles"),
    [
        (1, 8 * (128 + 100 + 1000) + 254, 8 * 1000),  # array and vector unit take turns
        (2, 128 + 100 + 8 * 1000 + 254, 900 + 5 * 772 + 1772),  # the third step waits for the first drain
        (4, 128 + 100 + 8 * 1000 + 254, 700 + 3 * 772 + 3772),  # the fifth does
    ],
)
def test_the_slots_behind_the_array_are_an_entry_of_the_list(slots: int, step_cycles: int, stall_cycles: int) -> None:
    """A step takes the array 100 cycles, and 128 to fill after a wait; its drain takes 1000; the last ones count."""
    accelerator = with_units(CORE_UNITS[0], replace(CORE_UNITS[1], result_slots=slots), *CORE_UNITS[2:])
    timing = run("event", gemm("gemm", 800, 8000), accelerator=accelerator)
    assert (timing.step_cycles, timing.units["array"].stall_cycles[Stall.VECTOR]) == (step_cycles, stall_cycles)


# -- a network ------------------------------------------------------------------------------------------------


def network() -> LayerGraph:
    net = Network("normalized", Shape(16, 8, 8))
    x = net.input
    for _ in range(3):
        x = net(ReLU(), net(GroupNorm(groups=4), net(Conv(16, 3, padding=1), x)))
    net(CrossEntropy(), net(Conv(2, 8), x))
    return net.build()


@cache
def watched() -> tuple[Run, Timeline]:
    probe = TimelineProbe(MACHINE)
    return simulate(network(), "mbs2", MACHINE, batch=4, probe=probe), probe.timeline()


def norms(run_: Run) -> set[str]:
    return {row.name for row in run_.rows if row.kind == "norm"}


def test_normalizations_run_on_the_second_unit_and_nothing_else_does() -> None:
    run_, timeline = watched()
    layers = {
        unit.name: {item.instance.command.unit for item in timeline.tracks[Track(0, unit.name)] if item.instance}
        for unit in MACHINE.units
    }
    assert len(norms(run_)) == 3
    assert layers["normalizer"] >= norms(run_)
    swept = [item.instance.command for item in timeline.tracks[Track(0, "vector")] if item.instance]
    assert {each.phase for each in swept if each.unit in norms(run_)} == {"update"}
    assert {each.phase for each in swept if each.unit not in norms(run_)} == set(Phase)


def test_the_second_unit_is_drawn_between_its_neighbours() -> None:
    groups = {group.name: group for group in draw(watched()[1], "a run", {})}
    assert [row.name for row in groups["core 0"].rows] == [
        "load queue",
        "array queue",
        "vector queue",
        "normalizer queue",
        "store queue",
    ]
    (row,) = (row for row in groups["core 0"].rows if row.name == "normalizer queue")
    assert {box.category for box in row.boxes()} == {"normalizer", "wait"}
    waits = [box.args["unit"] for box in groups["core 0"].rows[-1].boxes() if box.name == "waits for vector unit"]
    assert set(waits) == {"vector", "normalizer"}


@engines
def test_a_row_has_the_cycles_of_all_vector_units(engine: str) -> None:
    """The same work on two units instead of one: no row has more or less of it, and the step is no longer."""
    one, two = (
        simulate(network(), "mbs2", each, batch=4, engine=engine) for each in (with_units(*CORE_UNITS), MACHINE)
    )
    busy = [[(row.name, row.array_busy_cycles, row.vector_busy_cycles) for row in each.rows] for each in (one, two)]
    assert busy[0] == busy[1]
    assert (one.dram_bytes, one.macs) == (two.dram_bytes, two.macs)
    assert two.step_cycles <= one.step_cycles
