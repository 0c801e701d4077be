"""Laws of quantities; the referee is exact arithmetic of the standard library."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavecore.common import units
from wavecore.errors import UnitError

POWERS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


@settings(deadline=None)
@given(st.decimals("0.001", "9999", places=3), st.sampled_from(sorted(POWERS)))
def test_bytes_are_exact_or_refused(number: Decimal, prefix: str) -> None:
    exact = Fraction(number) * POWERS[prefix]
    if exact.denominator == 1:
        assert units.parse(f"{number} {prefix}B", "bytes") == exact
    else:
        with pytest.raises(UnitError, match="is not a whole number of bytes"):
            units.parse(f"{number} {prefix}B", "bytes")


@settings(deadline=None)
@given(st.decimals("0.001", "9999", places=3))
def test_a_real_quantity_is_the_nearest_float(number: Decimal) -> None:
    assert units.parse(f"{number} ns", "seconds") == float(Fraction(number) / 10**9)


@pytest.mark.parametrize(
    ("printer", "unit", "smallest"),
    [
        (units.format_bytes, "bytes", 1.0),
        (units.format_rate, "bytes_per_second", 1.0),
        (units.format_hz, "hz", 1.0),
        (units.format_seconds, "seconds", 1e-15),
        (units.format_joules, "joules", 1e-18),
    ],
)
@settings(deadline=None)
@given(data=st.data())
def test_parsing_what_was_printed_gives_three_digits_back(
    printer: Callable[[float], str], unit: str, smallest: float, data: st.DataObject
) -> None:
    value = data.draw(st.floats(smallest, 1e20))
    if units.UNITS[unit].whole != "no":
        value = round(value)
    assert units.parse(printer(value), unit, lossy=True) == pytest.approx(value, rel=0.005)


@settings(deadline=None)
@given(st.text(max_size=20), st.sampled_from(sorted(units.UNITS)))
def test_any_text_is_a_quantity_or_a_unit_error(text: str, unit: str) -> None:
    try:
        assert units.parse(text, unit) > 0
    except UnitError as error:
        assert error.what
