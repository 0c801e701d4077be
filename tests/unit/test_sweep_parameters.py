"""Is each thing that can be varied read, shown, drawn and given to a run as it should be?"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavecore.errors import ConfigError, InputError, NameLookupError
from wavecore.hardware.config import load_accelerator, machine_keys
from wavecore.sweep.parameters import (
    SweepParameter,
    exact,
    find_parameter,
    is_file,
    is_machine_field,
    is_of_machine,
    path_from,
    plain_number,
    positive,
)

QUANTITIES = sorted(name for name, key in machine_keys().items() if key.unit)


def find(name: str, workloads: Sequence[str] = ("resnet18",)) -> SweepParameter:
    return find_parameter(name, "s.toml:3", workloads, Path())


@pytest.mark.parametrize(
    ("name", "column", "kind", "unit"),
    [
        ("schedule", "schedule", "text", ""),
        ("memory", "memory", "text", ""),
        ("batch", "batch", "whole", ""),
        ("core.global_buffer", "core.global_buffer_bytes", "whole", "bytes"),
        ("chip.clock", "chip.clock_hz", "whole", "hz"),
        ("memory.tcl", "memory.tcl_seconds", "real", "seconds"),
        ("memory.bandwidth", "memory.bandwidth_bytes_per_second", "whole", "bytes_per_second"),
        ("core.array_port", "core.array_port_bytes_per_cycle", "whole", "bytes_per_cycle"),
        ("energy.static_per_core", "energy.static_watts_per_core", "real", "watts"),
        ("array.rows", "array.rows", "whole", ""),
        ("array.weight_double_buffering", "array.weight_double_buffering", "flag", ""),
        ("array.weight_load", "array.weight_load", "text", ""),
        ("option.image", "option.image", "whole", ""),
        ("option.width", "option.width", "real", ""),
        ("choice.normalization_passes", "choice.normalization_passes", "whole", ""),
        ("choice.hold_weight_gradients", "choice.hold_weight_gradients", "flag", ""),
    ],
)
def test_what_there_is_to_vary(name: str, column: str, kind: str, unit: str) -> None:
    found = find(name)
    assert (found.name, found.column, found.kind, found.unit) == (name, column, kind, unit)
    assert found.numeric == (kind in ("whole", "real"))


@pytest.mark.parametrize(
    "name", ["core", "core.", "core.globalbuffer", "memory.name", "bach", "option.none", "choice.x", ""]
)
def test_what_there_is_not(name: str) -> None:
    with pytest.raises(NameLookupError):
        find(name)


def test_an_option_must_be_one_of_every_workload() -> None:
    assert find("option.image", ("resnet18", "alexnet")).kind == "whole"
    with pytest.raises(ConfigError, match=r"net\.csv says all sizes itself"):
        find("option.image", ("resnet18", "net.csv"))


@given(st.sampled_from(QUANTITIES), st.integers(1, 10**6))
def test_the_text_of_a_quantity_is_what_set_reads_as_the_same(name: str, amount: int) -> None:
    parameter = find(name)
    key = machine_keys()[name]
    value = amount if parameter.kind == "whole" else amount * 1e-15
    assert parameter.read(parameter.text(value), "s") == value
    if name == "core.global_buffer":
        machine = load_accelerator(overrides=[f"{name}={parameter.text(value)}"])
        assert getattr(machine.core, key.field) == value


@given(st.sampled_from(QUANTITIES), st.fractions(Fraction(1, 10**15), 10**12))
def test_what_is_next_to_an_amount_is_next_to_it(name: str, amount: Fraction) -> None:
    parameter = find(name)
    value = parameter.near(amount)
    assert isinstance(value, int if parameter.kind == "whole" else float)
    off = abs(exact(value) - amount)
    assert off <= (Fraction(501, 1000) if parameter.kind == "whole" else 0) + amount / 10**11


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("core.global_buffer", 5 << 20, "5 MiB"),
        ("memory.bandwidth", 600 << 30, "600 GiB/s"),
        ("chip.clock", 700_000_000, "700 MHz"),
        ("memory.tcl", 14e-9, "14 ns"),
        ("energy.mac", 1.5e-12, "1.5 pJ"),
        ("core.array_port", 512, "512 B/cycle"),
        ("array.rows", 128, "128"),
        ("option.width", 0.5, "0.5"),
        ("array.weight_double_buffering", True, "true"),
        ("schedule", "mbs2", "mbs2"),
    ],
)
def test_values_for_people(name: str, value: int | float | str, shown: str) -> None:
    assert find(name).show(value) == shown


def test_terms_are_in_the_base_of_their_kind() -> None:
    """An energy per bit and one per byte compare with each other."""
    assert find("memory.energy").term(1e-12) == Fraction(8, 10**12)
    assert find("energy.register").term(1e-12) == Fraction(1, 10**12)
    assert find("memory.energy").value(Fraction(8, 10**12), "s") == 1e-12
    assert find("schedule").term("il") == "il"
    assert find("array.weight_double_buffering").term(True) is True


@pytest.mark.parametrize(
    ("name", "term", "message"),
    [
        ("array.rows", Fraction(257, 2), "s: 128.5 is not a whole number; try: 128"),
        ("array.rows", Fraction(5000), "s: 5000 is out of range; try: 1 to 4096"),
        ("array.rows", Fraction(-1), "s: -1 is out of range; try: 1 to 4096"),
        ("core.global_buffer", Fraction(0), "s: 0 B is zero; try: 10 MiB or 10 KiB or 10 MB"),
        ("schedule", "none", "s: there is no schedule named 'none'; try: one of "),
    ],
)
def test_terms_that_are_no_value(name: str, term: Fraction | str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        find(name).value(term, "s")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("name", "given_", "value"), [
    ("array.rows", 3, Fraction(3)),
    ("option.width", 0.1, Fraction(1, 10)),
    ("core.global_buffer", "1 KiB", Fraction(1024)),
    ("memory.tcl", "0.5 ns", Fraction(5, 10**10)),
])  # fmt: skip
def test_steps(name: str, given_: object, value: Fraction) -> None:
    assert positive(find(name), given_, "s") == value


@pytest.mark.parametrize("value", [True, "1", None, float("nan"), float("inf"), [1]])
def test_what_is_no_plain_number(value: object) -> None:
    with pytest.raises(ConfigError, match="is not a number; try: a number, without quotes or unit"):
        plain_number(value, "s")


def test_floats_count_as_they_are_written() -> None:
    assert exact(0.1) == Fraction(1, 10)
    assert exact(13.75e-9) == Fraction(1375, 10**11)


def test_names_and_paths() -> None:
    assert [is_file(name) for name in ("hbm2", "x.toml", "nets/x", "net.csv", "hbm2x2")] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert path_from(Path("/specs"), "hbm2") == "hbm2"
    assert path_from(Path("/specs"), "../x.toml") == "/x.toml"
    assert path_from(Path("/specs"), "/far/x.toml") == "/far/x.toml"


def test_what_belongs_to_the_machine() -> None:
    names = ("memory", "energy", "accelerator", "core.global_buffer", "batch", "schedule", "option.image")
    assert [is_of_machine(name) for name in names] == [True] * 4 + [False] * 3
    assert [is_machine_field(name) for name in names] == [False] * 3 + [True] + [False] * 3


def test_a_file_with_a_mistake_says_where_the_mistake_is(tmp_path: Path) -> None:
    (tmp_path / "slow.toml").write_text('channels = 4\nbandwith = "1 GiB/s"\n')
    parameter = find_parameter("memory", "s.toml:3", (), tmp_path)
    with pytest.raises(ConfigError) as caught:
        parameter.read("slow.toml", "s.toml:3")
    assert str(caught.value) == f"{tmp_path}/slow.toml:2: bandwith: unknown key; try: bandwidth"


def test_an_accelerator_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\nbase = "wavecore"\n[chip]\ncores = 4\n')
    parameter = find_parameter("accelerator", "s.toml:3", (), tmp_path)
    assert parameter.read("mine.toml", "s.toml:3") == "mine.toml"
    with pytest.raises(ConfigError, match=r"s\.toml:3: 3 is not a name"):
        parameter.read(3, "s.toml:3")
