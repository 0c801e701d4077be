"""Do voltage, SRAM, wires and leakage follow the stated laws, and do these agree with what the laws come from?"""

from __future__ import annotations

import csv
from dataclasses import asdict, replace
from math import log, sqrt
from pathlib import Path

import pytest
from builders import machine

from wavecore.errors import ConfigError
from wavecore.hardware.area import area_mm2
from wavecore.hardware.config import load_accelerator, sources
from wavecore.hardware.scaling import derived_energy, highest_clock_hz, sram_joules_per_byte, voltage_volts

MIB = 2**20
TECHNOLOGY = machine().technology
DATA = Path(__file__).parent.parent / "data" / "cacti_32nm.csv"


def cacti(**wanted: object) -> list[dict[str, float]]:
    """The rows of CACTI's results with these values; pJ per byte and mm2 per MiB beside what it printed."""
    lines = [line for line in DATA.read_text("utf-8").splitlines() if not line.startswith("#")]
    found = []
    for row in csv.DictReader(lines):
        values = {key: value if key == "cells" else float(value) for key, value in row.items()}
        if all(values[key] == value for key, value in wanted.items()):
            values["per_byte"] = (values["read_pj"] + values["write_pj"]) / 2 / (values["width_bits"] / 8)
            values["per_mib"] = values["area_mm2"] / values["capacity_bytes"] * MIB
            found.append(values)
    assert found
    return found


ONE_PORT = {"read_write_ports": 1, "read_ports": 0, "write_ports": 0, "cells": "itrs-hp", "kelvin": 360}


# -- voltage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clock_hz", "volts"),
    [(1, 0.9), (700_000_000, 0.9), (1_046_000_000, 0.9), (1_450_000_000, 1.05), (1_800_000_000, 1.2)],
)
def test_the_voltage_is_that_of_silicon_in_32_nm(clock_hz: int, volts: float) -> None:
    """1.45 GHz at 1.05 V and 1.8 GHz at 1.2 V are measured (Kaul et al., ISSCC 2012)."""
    assert voltage_volts(TECHNOLOGY, clock_hz) == pytest.approx(volts, abs=0.001)


def test_the_voltage_by_hand() -> None:
    """At 1.1 V the law gives 1.046 GHz x ((1.1 - 0.565) / (0.9 - 0.565))^1.3 x 0.9 / 1.1."""
    clock = 1.046e9 * (0.535 / 0.335) ** 1.3 * 0.9 / 1.1
    assert voltage_volts(TECHNOLOGY, round(clock)) == pytest.approx(1.1, abs=1e-6)
    assert highest_clock_hz(TECHNOLOGY) == pytest.approx(1.046e9 * (0.635 / 0.335) ** 1.3 * 0.75)


def test_energy_and_leakage_take_the_square_of_the_voltage() -> None:
    """The ports stay, so that only the voltage differs."""
    slow, fast = machine("core.memory_port=512 B/cycle"), machine("core.memory_port=512 B/cycle", "chip.clock=1.45 GHz")
    factor = (1.05 / 0.9) ** 2
    for name, value in asdict(slow.energy).items():
        assert getattr(fast.energy, name) == pytest.approx(value * factor, rel=2e-3), name


def test_a_clock_beyond_the_technology_is_refused_unless_all_energies_are_given() -> None:
    with pytest.raises(ConfigError, match="5 GHz is beyond the technology"):
        load_accelerator(overrides=["chip.clock=5 GHz"])
    given = [f"energy.{key}={value}" for key, value in GIVEN.items()]
    assert load_accelerator(overrides=["chip.clock=5 GHz", *given]).energy.mac_joules == 1e-12
    with pytest.raises(ConfigError, match="5 GHz is beyond the technology"):
        load_accelerator(overrides=["chip.clock=5 GHz", *given[1:]])


GIVEN = {
    "mac": "1 pJ",
    "register": "1 fJ/B",
    "local_buffer": "1 pJ/B",
    "global_buffer": "1 pJ/B",
    "vector_operation": "1 pJ",
    "interconnect": "1 pJ/bit",
    "static_per_core": "1 W",
    "static_per_global_buffer_byte": "1 mW/MiB",
}


@pytest.mark.parametrize("key", GIVEN)
def test_what_is_given_is_not_scaled(key: str) -> None:
    """Whatever the sizes and the clock."""
    small = load_accelerator(overrides=[f"energy.{key}={GIVEN[key]}"])
    other = ["array.rows=32", "core.global_buffer=1 MiB", "chip.clock=1.4 GHz", "chip.cores=1"]
    large = load_accelerator(overrides=[f"energy.{key}={GIVEN[key]}", *other])
    field = next(
        name for name in asdict(small.energy) if name.startswith(f"{key}_") or key in name.replace("_watts", "")
    )
    assert getattr(small.energy, field) == getattr(large.energy, field)


# -- the constants by hand -----------------------------------------------------------------------------------


def test_the_constants_of_the_default_by_hand() -> None:
    """From the figures of Horowitz 2014, Aladdin 2014 and Keckler 2011, without the code of the laws."""
    energy = machine().energy
    assert energy.mac_joules == pytest.approx((1.1 + 0.9) * 32 / 45 * 1e-12, rel=1e-3)
    assert energy.register_joules_per_byte == pytest.approx(9.0e-15 * 8 * 32 / 40)
    registers = 16 * 8 * 9.0e-15 * 32 / 40
    assert energy.vector_operation_joules == pytest.approx((3.7 + 0.9) * 32 / 45 * 1e-12 + registers, rel=1e-3)
    wide = (512 / 64) ** -0.17
    wires = 0.75 * (sqrt(16.9) - sqrt(1.69)) * 8 * 121e-15
    assert energy.global_buffer_joules_per_byte == pytest.approx(8.89e-12 * wide + wires, rel=1e-3)
    assert energy.local_buffer_joules_per_byte == pytest.approx(20 / 8 * 32 / 45 * 1e-12 * wide, rel=2e-3)
    area = area_mm2(machine())
    side = sqrt(area.total - area.interconnect)
    assert energy.interconnect_joules_per_bit == pytest.approx(side / 2 * 121e-15)
    assert energy.static_watts_per_core == pytest.approx((area.total - area.global_buffer) / 2 * 34.4e-3)
    buffer = area.global_buffer / 2 * 34.4e-3
    assert energy.static_watts_per_global_buffer_byte * 10 * MIB == pytest.approx(buffer)


def test_a_narrow_small_buffer_by_hand() -> None:
    """256 KiB in one bank, whose ports take 2 + 2 + 2 x 4 = 12 bytes a cycle; no wires to other banks."""
    ports = ("array_port=2", "vector_port=2", "memory_port=4")
    small = machine("core.global_buffer=256 KiB", *(f"core.{port} B/cycle" for port in ports))
    expected = 8.89e-12 * (1 / 4) ** 0.464 * (12 / 8) ** -0.17
    assert small.energy.global_buffer_joules_per_byte == pytest.approx(expected)


def test_derived_constants_say_how() -> None:
    found = sources()
    assert found["energy.mac"] == "[D] technology.fp16_multiply + fp32_add"
    assert found["energy.static_per_core"].startswith("[D] technology.leakage x 9")
    fast = sources(overrides=["chip.clock=1.45 GHz"])
    assert fast["energy.mac"].endswith(", x (1.05 V / 0.9 V)^2 at this clock")


def test_a_programs_machine_can_be_derived_again() -> None:
    small = replace(machine(), chip=replace(machine().chip, cores=1))
    again = {name: each.value for name, each in derived_energy(small)}
    assert again["static_watts_per_core"] > machine().energy.static_watts_per_core  # all DRAM interfaces are its own
    assert again["interconnect_joules_per_bit"] == 0


# -- CACTI ---------------------------------------------------------------------------------------------------


def test_energy_follows_capacity_as_in_cacti() -> None:
    """From 8 KiB to 32 MiB a factor of 4096 in capacity; the exponent is Horowitz's, the points are CACTI's."""
    rows = cacti(width_bits=64, **ONE_PORT)
    (reference,) = (row["per_byte"] for row in rows if row["capacity_bytes"] == MIB)
    for row in rows:
        law = sram_joules_per_byte(TECHNOLOGY, row["capacity_bytes"], 8) / TECHNOLOGY.sram_access_joules_per_byte
        assert law == pytest.approx(row["per_byte"] / reference, rel=0.15), row
    ends = rows[0], rows[-1]
    exponent = log(ends[1]["per_byte"] / ends[0]["per_byte"]) / log(
        ends[1]["capacity_bytes"] / ends[0]["capacity_bytes"]
    )
    assert exponent == pytest.approx(TECHNOLOGY.sram_capacity_exponent, abs=0.01)


@pytest.mark.parametrize(("capacity_bytes", "within"), [(MIB, 0.07), (256 * 1024, 0.12), (32 * 1024, 0.25)])
def test_energy_follows_width_as_in_cacti(capacity_bytes: int, within: float) -> None:
    rows = [row for row in cacti(capacity_bytes=capacity_bytes, **ONE_PORT) if row["width_bits"] <= 512]
    for row in rows:
        law = sram_joules_per_byte(TECHNOLOGY, MIB, row["width_bits"] / 8) / TECHNOLOGY.sram_access_joules_per_byte
        assert law == pytest.approx(row["per_byte"] / rows[0]["per_byte"], rel=within), row


def test_energy_of_an_access_lies_between_cacti_and_figures_that_are_not_scaled() -> None:
    low = min(row["per_byte"] for row in cacti(capacity_bytes=MIB, width_bits=64, read_write_ports=1))
    assert low * 1e-12 < TECHNOLOGY.sram_access_joules_per_byte < 100e-12 / 8


def test_leakage_grows_with_temperature_as_in_cacti() -> None:
    """From 300 K, at which libraries state it, to 360 K; SRAM of the same cells lies on both sides of it."""
    cold, hot = (cacti(capacity_bytes=MIB, cells="itrs-lop", kelvin=kelvin)[0] for kelvin in (300, 360))
    growth = hot["leakage_mw"] / cold["leakage_mw"]
    assert TECHNOLOGY.leakage_watts_per_mm2 == pytest.approx(12.4e-3 * growth, rel=0.01)
    densities = [row["leakage_mw"] / row["area_mm2"] for row in cacti(capacity_bytes=MIB, width_bits=64, kelvin=360)]
    assert min(densities) < TECHNOLOGY.leakage_watts_per_mm2 * 1e3 < max(densities)


def test_area_is_that_of_cacti() -> None:
    per_byte = TECHNOLOGY.sram_area_mm2_per_byte * MIB
    for row in cacti(width_bits=64, **ONE_PORT):
        assert row["per_mib"] == pytest.approx(per_byte, rel=0.14), row
    one, two = (cacti(capacity_bytes=MIB, width_bits=64, cells="itrs-hp", read_ports=ports)[0] for ports in (0, 1))
    assert two["per_mib"] / one["per_mib"] == pytest.approx(TECHNOLOGY.sram_second_port, abs=0.01)


@pytest.mark.parametrize(("kib", "picojoules"), [(8, 10), (32, 20), (1024, 100)])
def test_energy_is_that_of_horowitz(kib: int, picojoules: float) -> None:
    """Accesses of 64 bits in 45 nm."""
    law = sram_joules_per_byte(TECHNOLOGY, kib * 1024, 8) * 8 * 45 / 32
    assert law == pytest.approx(picojoules * 1e-12, rel=0.06)


# -- channels ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "share"), [(32, 1), (8, 1 / 4), (1, 1 / 32), (64, 2)])
def test_background_power_and_capacity_follow_the_channels_in_use(channels: int, share: float) -> None:
    changed = machine(f"memory.channels={channels}")
    assert changed.memory.background_watts == pytest.approx(machine().memory.background_watts * share)
    assert changed.memory.capacity_bytes == share * 16 * 2**30
    stated = sources(overrides=[f"memory.channels={channels}"])
    for key in ("memory.background", "memory.capacity"):
        assert stated[key].endswith(f"x {channels} of 32 channels") == (channels != 32)


def test_background_power_follows_the_channels_of_a_file_that_states_differences(tmp_path: Path) -> None:
    file = tmp_path / "wide.toml"
    file.write_text('name = "wide"\nbase = "wavecore"\n[memory]\nchannels = 64\n')
    assert load_accelerator(str(file)).memory.background_watts == pytest.approx(2 * machine().memory.background_watts)


def test_a_background_power_that_is_given_holds_for_the_channels_in_use() -> None:
    words = ["memory.channels=4", "memory.background=1 W"]
    for overrides in (words, words[::-1]):
        assert load_accelerator(overrides=overrides).memory.background_watts == 1.0


def test_a_memory_after_the_channels_takes_its_own() -> None:
    found = load_accelerator(overrides=["memory.channels=4", "memory=hbm2"]).memory
    assert (found.channels, found.background_watts) == (16, load_accelerator(memory="hbm2").memory.background_watts)
