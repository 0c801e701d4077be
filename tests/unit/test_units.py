"""Quantities come out exact, and print as people write them."""

import pytest

from wavecore.common import units


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("10 MiB", "bytes", 10 * 1024**2),
        ("10MiB", "bytes", 10 * 1024**2),
        ("64 kB", "bytes", 64_000),
        ("1.5 KiB", "bytes", 1536),
        ("16 bit", "bytes", 2),
        ("1_000 B", "bytes", 1000),
        ("300 GiB/s", "bytes_per_second", 300 * 1024**3),
        ("8 Gbit/s", "bytes_per_second", 10**9),
        ("0.7 GHz", "hz", 700_000_000),
        ("512 B/cycle", "bytes_per_cycle", 512),
        ("1 cycle", "cycles", 1),
        ("13.75 ns", "seconds", 13.75e-9),
        ("3.9 us", "seconds", 3.9e-6),
        ("3.9 µs", "seconds", 3.9e-6),
        ("1.1 pJ", "joules", 1.1e-12),
        ("3.9 pJ/bit", "joules_per_bit", 3.9e-12),
        ("32 pJ/B", "joules_per_bit", 4e-12),
        ("57.6 fJ/B", "joules_per_byte", 57.6e-15),
        ("1.2 W", "watts", 1.2),
        ("2 mW/MiB", "watts_per_byte", 0.002 / 1024**2),
    ],
)
def test_parse(text: str, unit: str, value: float) -> None:
    parsed = units.parse(text, unit)
    assert parsed == value
    assert type(parsed) is type(value)


def test_a_rate_is_rounded_to_whole_bytes_a_second() -> None:
    assert units.parse("239.2 GiB/s", "bytes_per_second") == 256_839_044_301


def test_zero_and_loss_only_on_request() -> None:
    assert units.parse("0 ns", "seconds", allow_zero=True) == 0
    assert units.parse("0.01 KiB", "bytes", lossy=True) == 10


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (units.format_bytes(0), "0 B"),
        (units.format_bytes(1023), "1023 B"),
        (units.format_bytes(10 * 1024**2), "10 MiB"),
        (units.format_bytes(1_567_000_000), "1.46 GiB"),
        (units.format_bytes(1024**2 - 1), "1 MiB"),
        (units.format_bytes(1020 * 1024), "1020 KiB"),
        (units.format_rate(600 * 1024**3), "600 GiB/s"),
        (units.format_seconds(13.75e-9), "13.8 ns"),
        (units.format_seconds(0.9996), "1 s"),
        (units.format_seconds(3600.0), "3600 s"),
        (units.format_joules(3.07e-3), "3.07 mJ"),
        (units.format_joules(-12.0), "-12 J"),
        (units.format_hz(7e8), "700 MHz"),
        (units.format_hz(float("inf")), "inf Hz"),
        (units.format_watts(46.04), "46 W"),
        (units.format_watts(0.4912), "491 mW"),
        (units.format_joule_seconds(0.1867), "187 mJ s"),
        (units.format_quantity(57.6e-15, "J/B"), "57.6 fJ/B"),
        (units.format_quantity(10 << 20, "B"), "10 MiB"),
        (units.format_quantity(2048, ""), "2,048"),
    ],
)
def test_format(printed: str, expected: str) -> None:
    assert printed == expected


@pytest.mark.parametrize("unit", units.UNITS)
def test_every_example_of_a_unit_can_be_parsed(unit: str) -> None:
    for example in units.UNITS[unit].examples:
        assert units.parse(f"10 {example}", unit) > 0
