"""Do the ports of the global buffer follow their units unless they are given, and is a starved unit named?"""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import machine

from wavecore.cli import main
from wavecore.hardware.config import load_accelerator, sources
from wavecore.hardware.ports import starved_units


@pytest.mark.parametrize(
    ("overrides", "array", "vector", "memory"),
    [
        ((), 512, 1024, 512),
        (("array.rows=32", "array.columns=64"), 192, 1024, 512),
        (("vector.lanes=1024",), 512, 4096, 512),
        (("memory.bandwidth=1200 GiB/s",), 512, 1024, 1024),
        (("chip.clock=350 MHz",), 512, 1024, 1024),
        (("chip.cores=8",), 512, 1024, 128),
        (("core.array_port=64 B/cycle", "array.rows=32"), 64, 1024, 512),
    ],
)
def test_ports(overrides: tuple[str, ...], array: int, vector: int, memory: int) -> None:
    core = machine(*overrides).core
    found = core.array_port_bytes_per_cycle, core.vector_port_bytes_per_cycle, core.memory_port_bytes_per_cycle
    assert found == (array, vector, memory)


def test_the_source_of_a_derived_port() -> None:
    assert sources()["core.vector_port"] == "[D] one fp16 read and one written a lane and cycle: 256 x 4 B"


def test_a_derived_port_never_starves_its_unit() -> None:
    for overrides in ((), ("vector.lanes=65536",), ("memory.bandwidth=2 TiB/s",), ("array.rows=4096",)):
        assert starved_units(machine(*overrides)) == ()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "core.array_port=128 B/cycle",
            "core.array_port of 128 B/cycle starves the array, which takes up to 512 B/cycle: "
            "it works at 25 % of its rate where the port binds",
        ),
        (
            "core.vector_port=64 B/cycle",
            "core.vector_port of 64 B/cycle starves the vector unit, which takes up to 1024 B/cycle: "
            "it works at 6 % of its rate where the port binds",
        ),
        (
            "core.memory_port=230 B/cycle",
            "core.memory_port of 230 B/cycle starves DRAM, which takes up to 461 B/cycle: "
            "it works at 50 % of its rate where the port binds",
        ),
    ],
)
def test_a_starved_unit_is_named(override: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert starved_units(load_accelerator(overrides=[override])) == (said,)
    assert main(["run", "resnet18", "--image", "32", "--engine", "analytic", "--set", override]) == 0
    assert capsys.readouterr().err == f"note: {said}\n"
    key, _, value = override.partition("=")
    path = tmp_path / "mine.toml"
    path.write_text(f'name = "mine"\nbase = "wavecore"\n[core]\n{key.removeprefix("core.")} = "{value}"\n')
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().err == f"note: {said}\n"
