"""Does arithmetic in specifications mean what it says, and is nothing else possible in it?"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import pytest

from wavecore.errors import ConfigError
from wavecore.sweep.expressions import Expression, ExpressionValue, Type, parse_expression, quantity_type

UNITS = {"buffer": "B", "clock": "Hz", "port": "B/cycle", "bandwidth": "B/s", "power": "W", "per_bit": "J/bit"}
METRICS = {"seconds": "s", "joules": "J"}
VALUES: Mapping[str, ExpressionValue] = {
    "rows": Fraction(96),
    "buffer": Fraction(10 << 20),
    "clock": Fraction(700_000_000),
    "port": Fraction(512),
    "bandwidth": Fraction(600 << 30),
    "power": Fraction(56),
    "per_bit": Fraction(39, 10**13) * 8,
    "seconds": Fraction(1, 10),
    "joules": Fraction(4),
    "schedule": "mbs2",
    "double": True,
}


def type_of(name: str) -> Type:
    if name in ("schedule", "double"):
        return Type("text" if name == "schedule" else "flag", {})
    symbol = UNITS.get(name) or METRICS.get(name, "")
    return quantity_type(symbol, strict=name in UNITS)[0]


def parse(text: str) -> Expression:
    return parse_expression(text, "s.toml:3", type_of)


def value(text: str) -> ExpressionValue:
    return parse(text).value(VALUES.__getitem__)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("16384 / rows", Fraction(16384, 96)),
        ("16384 // rows", 170),
        ("16384 % rows", 64),
        ("2 ** -2 + 0.1", Fraction(7, 20)),
        ("-rows + +1", -95),
        ("(rows + 4) * 2 - 1", 199),
        ("min(rows, 7, 9) + max(rows, 100)", 107),
        ("min(rows)", 96),
        ("abs(-3) + floor(7 / 2) + ceil(7 / 2) + round(2.6)", 13),
        ("sqrt(rows * rows)", 96),
        ("log2(rows / 3)", 5),
        ("buffer / 1 MiB", 10),
        ("5 MiB * 2", 10 << 20),
        ("20 MiB/rows", Fraction(20 << 20, 96)),
        ("1_000 KiB", 1000 << 10),
    ],
)
def test_numbers_are_exact(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("buffer <= 10 MiB", True),
        ("5 MiB < buffer < 10 MiB", False),
        ("buffer <= 10 MiB and rows == 96", True),
        ("rows == 95 or not double", False),
        ("not rows < 96", True),
        ('schedule == "mbs2"', True),
        ("schedule != 'mbs2'", False),
        ('schedule in ["il", "mbs2"]', True),
        ('schedule not in ("il", "mbs2")', False),
        ('schedule == "5 MiB"', False),
        ("rows in [64, 96]", True),
        ("double == true", True),
        ("double == False", False),
        ("port * clock > 300 GiB/s", True),
        ("bandwidth / clock > port", True),
        ("seconds < 0.2", True),
        ("seconds < 90 ms", False),
        ("joules / seconds <= 40 W", True),
        ("power * seconds < joules", False),
        ("per_bit < 4 pJ/bit", True),
        ("clock == 700 MHz", True),
    ],
)
def test_conditions(text: str, expected: bool) -> None:
    assert value(text) is expected


def test_names_are_collected() -> None:
    assert parse("rows * 2 <= 64 and schedule == 'il' or 5 MiB < buffer").names == {"rows", "schedule", "buffer"}


def test_and_stops_as_soon_as_it_knows() -> None:
    assert value("rows > 100 and 1 / (rows - 96) > 0") is False


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "().__class__",
        "[x for x in (1, 2)]",
        "lambda: 1",
        "rows if double else 1",
        "(rows := 3)",
        "rows[0]",
        "f'{rows}'",
        "rows @ 2",
        "rows | 2",
        "~rows",
        "print(rows)",
        "min(rows, key=abs)",
        "round(1, 2)",
        "schedule is 'mbs2'",
        "9 ** 9 ** 9",
        "2 ** rows",
        "1j",
        "...",
        "rows; rows",
        "_quantity_0",
        "1" * 1001,
        "(" * 300 + ")" * 300,
    ],
)
def test_what_is_not_arithmetic_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text)


@pytest.mark.parametrize("text", ["rows / (rows - 96)", "((9 ** 64) ** 64) ** 64", "log2(rows - 96)"])
def test_what_cannot_be_worked_out_is_an_error_of_ours(text: str) -> None:
    with pytest.raises(ConfigError):
        value(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("buffer <= 20", "buffer <= 20 sets bytes beside a number without a unit; try: 10 MiB"),
        ("buffer + 1 > 3 MiB", "buffer + 1 sets bytes beside a number without a unit; try: 10 MiB"),
        ("port > 3", "port > 3 sets bytes per cycle beside a number without a unit; try: 10 B/cycle"),
        ("buffer <= 20 GHz", "buffer <= 20 GHz mixes bytes and hz; try: quantities of one kind"),
        ("buffer * buffer < rows", "buffer * buffer < rows mixes a mixed unit and a plain number; "
         "try: quantities of one kind"),
        ("rows < 3 foo", "there is no unit 'foo'; try: MiB, GiB/s, GHz, ms, mJ, W or cycles"),
        ("schedule == 3", "schedule == 3 mixes a text and a plain number; try: two of a kind"),
        ("schedule < 'a'", "schedule < 'a' puts a text in an order; try: == or !="),
        ("schedule + 1", "schedule is a text, not a number; try: numbers and quantities"),
        ("rows and double", "rows is a plain number, not a condition; try: a comparison such as batch <= 64"),
        ("floor(buffer)", "floor takes a plain number, and buffer is in bytes; try: floor(x / 1 unit)"),
        ("rows in 3", "3 is not a list; try: rows in [\"...\", \"...\"]"),
        ("rows ** rows", "the exponent of rows ** rows is not a whole number; try: -64 to 64"),
        ("rows +", "'rows +' is no expression; try: arithmetic as in 16384 / array.rows, a condition as in "
         "batch <= 64"),
        ("", "'' is no expression; try: arithmetic as in 16384 / array.rows, a condition as in batch <= 64"),
    ],
)  # fmt: skip
def test_messages(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value) == f"s.toml:3: {message}"
