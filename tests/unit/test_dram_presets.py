"""Memory presets and refusals of `wavecore.hardware.dram`."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from importlib import resources
from typing import Any

import pytest

from wavecore.errors import ConfigError, InvariantError
from wavecore.hardware.dram import Dram, sustained_bytes_per_second
from wavecore.hardware.specs import MemorySpec

PRESETS = ("hbm2", "hbm2x2", "gddr5", "lpddr4")
SUFFIXES = ("_bytes_per_second", "_joules_per_bit", "_seconds", "_bytes", "_watts", "_mm2")
UNITS = {
    "B": 1, "KiB": 1024, "GiB": 2**30, "GiB/s": 2**30, "ns": 1e-9, "us": 1e-6, "pJ/bit": 1e-12, "W": 1, "mm2": 1,
}  # fmt: skip


def key(field: str) -> str:
    return next((field.removesuffix(s) for s in SUFFIXES if field.endswith(s)), field)


def read(name: str) -> dict[str, Any]:
    text = resources.files("wavecore.hardware").joinpath("presets", "memories", f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)


def base_units(value: Any) -> Any:
    if isinstance(value, int) or " " not in value:
        return value
    number, unit = value.split(" ")
    return float(number) * UNITS[unit]


def memory(name: str) -> MemorySpec:
    table = read(name)
    values: dict[str, Any] = {}
    for field in fields(MemorySpec):
        value = base_units(table[key(field.name)]["value"])
        values[field.name] = round(value) if field.type in ("int", "int | None") else value
    return MemorySpec(**values)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fills_every_field_and_each_value_has_a_source(name: str) -> None:
    table = read(name)
    assert set(table) == {key(field.name) for field in fields(MemorySpec)}
    assert all(set(entry) - {"low", "high"} == {"value", "source"} for entry in table.values())
    assert all(entry["source"].startswith(("[S] ", "[R] ", "[D] ")) for entry in table.values())


@pytest.mark.parametrize(
    ("name", "bandwidth", "low", "high"),
    [
        ("hbm2", "300 GiB/s", 0.92, 0.93),
        ("hbm2x2", "600 GiB/s", 0.92, 0.93),
        ("gddr5", "384 GiB/s", 0.89, 0.92),
        ("lpddr4", "239.2 GiB/s", 0.93, 0.95),
    ],
)
def test_a_preset_sustains_what_its_refresh_leaves(name: str, bandwidth: str, low: float, high: float) -> None:
    assert read(name)["bandwidth"]["value"] == bandwidth
    spec = memory(name)
    after_slot = max(0.0, spec.trtp_seconds - spec.burst_bytes * spec.channels / spec.bandwidth_bytes_per_second)
    closed = after_slot + spec.trp_seconds + spec.trfc_seconds + spec.trcd_seconds
    refresh = 1 - closed / spec.trefi_seconds
    efficiency = sustained_bytes_per_second(spec) / spec.bandwidth_bytes_per_second
    assert low < efficiency < high
    assert efficiency == pytest.approx(refresh, abs=1e-3)


@pytest.mark.parametrize("name", PRESETS)
def test_background_power_is_not_silently_zero(name: str) -> None:
    assert 0.1 < memory(name).background_watts < 5


@pytest.mark.parametrize(("name", "gib"), [("hbm2", 8), ("hbm2x2", 16), ("gddr5", 6), ("lpddr4", 16)])
def test_a_preset_has_the_capacity_of_its_parts(name: str, gib: int) -> None:
    assert memory(name).capacity_bytes == gib * 2**30


def test_an_empty_request_is_our_fault() -> None:
    with pytest.raises(InvariantError, match=r"^dram: a request of 0 bytes$"):
        Dram(memory("hbm2")).serve(0, 0, 0, False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 0}, "memory 'hbm2': channels is 0; try: a positive number"),
        (
            {"interleave_bytes": 100},
            "memory 'hbm2': interleave_bytes is 100, not a whole number of 32-byte bursts; try: a multiple of 32",
        ),
        (
            {"trefi_seconds": 3e-7},
            "memory 'hbm2': tREFI of 300000 ps leaves no time between refreshes; try: trefi above 367260 ps",
        ),
    ],
)
def test_an_impossible_memory_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Dram(replace(memory("hbm2"), **change))
    assert caught.value.message == message
