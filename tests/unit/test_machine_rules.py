"""Is a machine that a program has put together wrongly refused, by both engines, at the field that is wrong?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import chain, machine

from wavecore.errors import ConfigError
from wavecore.hardware.config import available, load_accelerator
from wavecore.hardware.rules import RULES, verify_accelerator
from wavecore.hardware.specs import CORE_UNITS, Accelerator, MappingSpec, UnitKind, UnitSpec
from wavecore.simulation import simulate

GOOD = machine()
LOAD, ARRAY, VECTOR, STORE = CORE_UNITS
NORMS = UnitSpec(name="norms", kind=UnitKind.VECTOR, layer_kinds=("norm",))


def with_units(*units: UnitSpec) -> Accelerator:
    return replace(GOOD, units=units)


MISTAKES: list[tuple[Accelerator, str]] = [
    (replace(GOOD, vector=replace(GOOD.vector, lanes=0)), "vector.lanes: is 0; try: 1 or more"),
    (replace(GOOD, chip=replace(GOOD.chip, cores=-2)), "chip.cores: is -2; try: 1 or more"),
    (replace(GOOD, energy=replace(GOOD.energy, mac_joules=float("nan"))), "energy.mac_joules: is nan; try: 0 or more"),
    (replace(GOOD, chip=replace(GOOD.chip, cores=10**7)), "chip.cores: is 10000000; try: 1024 or less"),
    (
        replace(GOOD, memory=replace(GOOD.memory, tcl_seconds=1e300)),
        "memory.tcl_seconds: is 1e+300; try: 0.001 or less",
    ),
    (
        with_units(LOAD, replace(ARRAY, result_slots=2**70), VECTOR, STORE),
        f"units[1].result_slots: is {2**70}; try: 4096 or less",
    ),
    (
        replace(GOOD, array=replace(GOOD.array, dataflow="row_stationary")),
        "array.dataflow: there is no dataflow named 'row_stationary'; try: weight_stationary",
    ),
    (
        with_units(LOAD, ARRAY, VECTOR, replace(NORMS, name="vector"), STORE),
        "units: has 2 units named 'vector'; try: a name of its own for each",
    ),
    (with_units(ARRAY, VECTOR, STORE), "units: has 0 units of kind load; try: one of them, as in CORE_UNITS"),
    (
        with_units(LOAD, ARRAY, replace(ARRAY, name="second"), VECTOR, STORE),
        "units: has 2 units of kind array; try: one of them, as in CORE_UNITS",
    ),
    (
        with_units(LOAD, replace(ARRAY, result_slots=0), VECTOR, STORE),
        "units[1].result_slots: is 0: its results would have no room; try: 1 or more",
    ),
    (
        with_units(LOAD, ARRAY, NORMS, STORE),
        "units: has no vector unit for all other layers; try: one without layer_kinds",
    ),
    (
        with_units(LOAD, ARRAY, VECTOR, NORMS, replace(NORMS, name="more"), STORE),
        "units: has 2 vector units for layers of kind 'norm'; try: one of them",
    ),
    (
        replace(GOOD, mapping=MappingSpec(by_group=False, packed=False, vector=False)),
        "mapping: forbids every mapping of grouped convolutions; try: by_group, packed or vector = true",
    ),
]


@pytest.mark.parametrize(("accelerator", "message"), MISTAKES)
@pytest.mark.parametrize("engine", ["event", "analytic"])
def test_an_impossible_machine(accelerator: Accelerator, message: str, engine: str) -> None:
    with pytest.raises(ConfigError) as caught:
        simulate(chain(), "mbs1", accelerator, batch=2, engine=engine)
    assert caught.value.message == f"accelerator {GOOD.name}: {message}"


def test_a_value_of_another_type() -> None:
    with pytest.raises(ConfigError, match=r"accelerator.*chip"):
        verify_accelerator(replace(GOOD, chip=2))  # type: ignore[arg-type]


def test_every_rule_is_broken_above() -> None:
    assert {next(rule for rule in RULES if list(rule(wrong))) for wrong, _ in MISTAKES} == set(RULES)


def test_every_preset_and_a_second_vector_unit_pass() -> None:
    for name in available("accelerators"):
        verify_accelerator(load_accelerator(name))
    verify_accelerator(with_units(LOAD, ARRAY, VECTOR, NORMS, STORE))


@pytest.mark.parametrize("engine", ["event", "analytic"])
def test_a_row_of_dram_that_is_no_whole_bursts(engine: str) -> None:
    wrong = replace(GOOD, memory=replace(GOOD.memory, row_bytes=1))
    with pytest.raises(ConfigError, match="row_bytes is 1, not a whole number of 32-byte bursts"):
        simulate(chain(), "mbs1", wrong, batch=2, engine=engine)
