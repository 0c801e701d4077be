"""Is the energy over the ranges of its constants that of machines with these constants, and do rankings hold?"""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from wavecore.hardware.area import area_mm2
from wavecore.hardware.config import load_accelerator, ranges
from wavecore.network.catalog import workload
from wavecore.results.energy import static_watts
from wavecore.results.run import Run
from wavecore.results.uncertainty import (
    EFFECTIVE,
    EnergyUncertainty,
    UncertainMachine,
    area_spreads,
    energy_uncertainty,
    spreads,
    uncertain_machine,
)
from wavecore.simulation import simulate
from wavecore.training.unroll import training_graph

SCHEDULES = ("baseline", "archopt", "mbs1", "mbs2")
TRAINING = training_graph(workload("resnet18", image=64))


def simulated(machine: UncertainMachine, schedule: str) -> Run:
    return simulate(TRAINING, schedule, machine.accelerator, batch=8, engine="analytic")


@pytest.fixture(scope="module")
def default() -> UncertainMachine:
    return uncertain_machine("wavecore", None, [])


@pytest.fixture(scope="module")
def runs(default: UncertainMachine) -> list[Run]:
    return [simulated(default, schedule) for schedule in SCHEDULES]


@pytest.fixture(scope="module")
def found(default: UncertainMachine, runs: list[Run]) -> EnergyUncertainty:
    return energy_uncertainty(runs, default)


def test_each_constant_alone_is_a_simulation_with_it(found: EnergyUncertainty) -> None:
    for effect in found.constants:
        for end in (0, 1):
            changed = uncertain_machine("wavecore", None, [f"{effect.name}={effect.ends[end]}"])
            for number, schedule in ((0, "baseline"), (3, "mbs2")):
                joules = simulated(changed, schedule).energy_joules.total
                assert effect.joules[number][end] == pytest.approx(joules, rel=1e-9), effect.name


def test_the_constants_are_those_with_a_range_in_order_of_effect(found: EnergyUncertainty) -> None:
    assert {each.name: each.ends for each in found.constants} == ranges()
    effects = [each.effect for each in found.constants]
    assert effects == sorted(effects, reverse=True)
    assert found.constants[0].effect > 0.1 * found.joules[0].value


def test_every_combination_of_ends_lies_in_the_bounds(
    default: UncertainMachine, runs: list[Run], found: EnergyUncertainty
) -> None:
    dice = random.Random(1)
    for _ in range(12):
        chosen = {key: dice.randrange(2) for key in default.ends}
        machine = default.with_ends(chosen)
        changed = UncertainMachine(name="", memory=None, overrides=(), accelerator=machine, ends={})
        joules = [simulated(changed, schedule).energy_joules.total for schedule in SCHEDULES]
        for value, spread in zip(joules, found.joules, strict=True):
            assert spread.low * (1 - 1e-9) <= value <= spread.high * (1 + 1e-9)
        for ranking in found.rankings:
            if ranking.together:
                assert joules[ranking.first] < joules[ranking.second]


def test_rankings(runs: list[Run], found: EnergyUncertainty) -> None:
    assert len(found.rankings) == 6
    for ranking in found.rankings:
        first, second = runs[ranking.first].energy_joules.total, runs[ranking.second].energy_joules.total
        assert first <= second
        assert ranking.ratio.value == pytest.approx(first / second)
        assert ranking.ratio.low <= ranking.ratio.value <= ranking.ratio.high
        if ranking.together:
            assert ranking.alone


def test_a_ranking_that_hangs_on_a_constant_is_found(default: UncertainMachine, runs: list[Run]) -> None:
    """A run that moves fewer bytes and takes longer wins where DRAM is dear, and loses where leakage is."""
    machine, fast = default.accelerator, runs[0]
    watts = static_watts(machine) + machine.memory.background_watts
    longer = 0.2 * fast.step_seconds
    fewer = round(1.1 * longer * watts / (8 * machine.memory.energy_joules_per_bit))  # saves 1.1 of what the time costs
    moved = replace(fast.dram_bytes, read=fast.dram_bytes.read - fewer)
    background = longer * machine.memory.background_watts
    spent = replace(
        fast.energy_joules,
        dram=fast.energy_joules.dram - 8 * fewer * machine.memory.energy_joules_per_bit + background,
        static=fast.energy_joules.static + longer * static_watts(machine),
    )
    slow = replace(fast, step_seconds=fast.step_seconds + longer, dram_bytes=moved, energy_joules=spent)
    found = energy_uncertainty([fast, slow], default)
    (ranking,) = found.rankings
    assert (ranking.first, ranking.second, ranking.alone, ranking.together) == (1, 0, False, False)
    assert ranking.ratio.low < 1 < ranking.ratio.high
    swapping = {each.name for each in found.constants if each.swapped}
    assert {"technology.leakage", "memory.background", "memory.energy"} <= swapping
    assert "technology.fp16_multiply" not in swapping, "both do the same multiplications"


def test_a_constant_that_is_set_is_certain() -> None:
    machine = uncertain_machine("wavecore", None, ["technology.leakage=10 mW/mm2", "energy.mac=1 pJ"])
    assert "technology.leakage" not in machine.ends and "technology.wire" in machine.ends
    bounds = spreads(machine, lambda each: {name: value(each) for name, value in EFFECTIVE.items()})
    assert bounds["energy.mac"].low == bounds["energy.mac"].high == 1e-12


def test_areas_over_all_corners_of_three_constants() -> None:
    """Against all eight corners, with every other constant fixed at its value."""
    base = uncertain_machine("wavecore", None, [])
    names = ("technology.placement_density", "technology.wire_pitch", "technology.fp32_adder")
    machine = UncertainMachine(
        name="wavecore",
        memory=None,
        overrides=(),
        accelerator=base.accelerator,
        ends={name: base.ends[name] for name in names},
    )
    corners = [
        area_mm2(load_accelerator(overrides=[f"{name}={end}" for name, end in zip(names, ends, strict=True)])).total
        for ends in itertools.product(*(machine.ends[name] for name in names))
    ]
    total = area_spreads(machine)["total"]
    assert (total.low, total.high) == pytest.approx((min(corners), max(corners)))
    assert total.value == area_mm2(base.accelerator).total
