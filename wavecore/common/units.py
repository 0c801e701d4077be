"""Parsing and printing of quantities: the only module that knows units and their prefixes.

A quantity is a number and a unit: ``"10 MiB"``, ``"600 GiB/s"``, ``"13.75 ns"``, ``"3.9 pJ/bit"``, ``"12.4 mW/mm2"``.
``k M G ...`` are powers of 1000 and ``Ki Mi Gi ...`` powers of 1024 (IEC 80000-13); a byte is ``B``, a bit is
``bit``.  Case counts, since ``mW`` and ``MW`` differ by nine orders of magnitude.  Arithmetic is exact until
the last step: bytes, hertz and cycles come out as whole numbers, and a fraction of one is an error.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from wavecore.errors import UnitError, nearest

SMALL_PREFIXES = {"a": -18, "f": -15, "p": -12, "n": -9, "u": -6, "µ": -6, "m": -3}
LARGE_PREFIXES = {"k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
DECIMAL_PREFIXES = SMALL_PREFIXES | {"": 0} | LARGE_PREFIXES
BINARY_PREFIXES = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}

# symbol -> (kind of quantity, size in the kind's own base, which prefixes it takes)
_SYMBOLS: dict[str, tuple[str, Fraction, Literal["small", "large", "all", "none"]]] = {
    "B": ("data", Fraction(1), "large"),
    "bit": ("data", Fraction(1, 8), "large"),
    "s": ("time", Fraction(1), "small"),
    "Hz": ("frequency", Fraction(1), "large"),
    "J": ("energy", Fraction(1), "all"),
    "W": ("power", Fraction(1), "all"),
    "V": ("voltage", Fraction(1), "small"),
    "um": ("length", Fraction(1, 1000), "none"),
    "mm": ("length", Fraction(1), "none"),
    "um2": ("area", Fraction(1, 10**6), "none"),
    "mm2": ("area", Fraction(1), "none"),
    "cycle": ("cycles", Fraction(1), "none"),
    "cycles": ("cycles", Fraction(1), "none"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseUnit:
    """A base unit: its symbol, the unit that people write, and how a fraction of it is taken.

    ``whole`` is "exact" (a fraction is an error), "nearest" (it is rounded) or "no" (a real number).
    """

    symbol: str
    examples: tuple[str, ...]
    whole: Literal["exact", "nearest", "no"]


# Bytes a second are rounded: 239.2 GiB/s is no whole number of bytes, and 1 B/s is below all meaning.
UNITS: dict[str, BaseUnit] = {
    "bytes": BaseUnit(symbol="B", examples=("MiB", "KiB", "MB"), whole="exact"),
    "bits": BaseUnit(symbol="bit", examples=("bit", "B"), whole="exact"),
    "hz": BaseUnit(symbol="Hz", examples=("GHz", "MHz"), whole="exact"),
    "cycles": BaseUnit(symbol="cycles", examples=("cycles",), whole="exact"),
    "seconds": BaseUnit(symbol="s", examples=("ns", "us"), whole="no"),
    "joules": BaseUnit(symbol="J", examples=("pJ", "fJ"), whole="no"),
    "watts": BaseUnit(symbol="W", examples=("W", "mW"), whole="no"),
    "bytes_per_second": BaseUnit(symbol="B/s", examples=("GiB/s", "GB/s"), whole="nearest"),
    "bytes_per_cycle": BaseUnit(symbol="B/cycle", examples=("B/cycle", "KiB/cycle"), whole="exact"),
    "joules_per_bit": BaseUnit(symbol="J/bit", examples=("pJ/bit", "fJ/bit"), whole="no"),
    "joules_per_byte": BaseUnit(symbol="J/B", examples=("pJ/B", "fJ/B"), whole="no"),
    "watts_per_byte": BaseUnit(symbol="W/B", examples=("mW/MiB", "W/MiB"), whole="no"),
    "volts": BaseUnit(symbol="V", examples=("V", "mV"), whole="no"),
    "mm": BaseUnit(symbol="mm", examples=("um", "mm"), whole="no"),
    "mm2": BaseUnit(symbol="mm2", examples=("mm2", "um2"), whole="no"),
    "mm2_per_byte": BaseUnit(symbol="mm2/B", examples=("mm2/MiB",), whole="no"),
    "joules_per_bit_mm": BaseUnit(symbol="J/bit/mm", examples=("fJ/bit/mm", "pJ/bit/mm"), whole="no"),
    "watts_per_mm2": BaseUnit(symbol="W/mm2", examples=("mW/mm2", "W/mm2"), whole="no"),
}

_QUANTITY = re.compile(r"([+-]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*(.*)", re.ASCII | re.DOTALL)
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)\b", re.IGNORECASE)
_LONGEST = 64
_LARGEST_EXPONENT = 40


def parse(
    text: object, unit: str, *, where: str = "value", allow_zero: bool = False, lossy: bool = False
) -> int | float:
    """Return the quantity ``text`` in the base unit ``unit``, one of `UNITS`.

    Bytes, hertz, cycles and bytes per cycle come out as an exact int (the nearest one if ``lossy``), bytes per
    second as the nearest int, all else as the nearest float.  Raises `UnitError`, located at ``where``, for a
    number without a unit, an unknown or wrong unit, and for a value that is negative, not finite, not whole,
    or zero (unless ``allow_zero``).
    """
    base = UNITS[unit]
    number, symbol = _split(text, base, where)
    amount = number * _factor(symbol, base, number, where)
    shown = str(text).strip()
    if amount < 0 or (amount == 0 and not allow_zero):
        raise UnitError(where, f"{shown} is {'negative' if amount < 0 else 'zero'}", _hint(base))
    if base.whole == "no":
        return float(amount)
    rounded = round(amount)
    if amount != rounded and base.whole == "exact" and not lossy:
        whole = f"{max(rounded, 1)} {base.symbol}"
        raise UnitError(where, f"{shown} is not a whole number of {unit}", whole)
    if rounded == 0 and not allow_zero:
        raise UnitError(where, f"{shown} is less than one {base.symbol}", _hint(base))
    return rounded


def _split(text: object, base: BaseUnit, where: str) -> tuple[Fraction, str]:
    """Cut a quantity into its number and the symbol of its unit."""
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        raise UnitError(where, f"{text!r} is not a quantity", _hint(base))
    stripped = str(text).strip()
    if len(stripped) > _LONGEST:
        raise UnitError(where, f"a quantity of {len(stripped)} characters is too long", _hint(base))
    if _NOT_FINITE.match(stripped):
        raise UnitError(where, f"{stripped} is not a finite quantity", _hint(base))
    match = _QUANTITY.fullmatch(stripped)
    if match is None:
        raise UnitError(where, f"{stripped!r} is not a number and a unit", _hint(base))
    digits, symbol = match.groups()
    number = Decimal(digits)
    if number and abs(number.adjusted()) > _LARGEST_EXPONENT:
        raise UnitError(where, f"{stripped} is out of range", _hint(base))
    if not symbol:
        raise UnitError(where, f"{stripped} has no unit", _hint(base, digits))
    return Fraction(number), symbol.strip()


def _factor(symbol: str, base: BaseUnit, number: Fraction, where: str) -> Fraction:
    """Return how many base units one ``symbol`` is."""
    expected, size = kind_and_size(base.symbol)
    kind, given = kind_and_size(symbol)
    if not kind:
        close = _close_symbols(symbol, expected)
        raise UnitError(where, f"there is no unit {symbol!r}", " or ".join(close) or _hint(base))
    if kind != expected:
        raise UnitError(where, f"{symbol} is a unit of {kind}, not of {expected}", _hint(base, _near(number)))
    return given / size


def _symbols() -> dict[str, tuple[str, Fraction]]:
    """Map every simple symbol, prefix included, to its kind and size."""
    known: dict[str, tuple[str, Fraction]] = {}
    for symbol, (kind, size, taken) in _SYMBOLS.items():
        for prefix, exponent in DECIMAL_PREFIXES.items():
            if exponent == 0 or taken in ("all", "large" if exponent > 0 else "small"):
                known[prefix + symbol] = kind, size * Fraction(10) ** exponent
        if kind == "data":
            for prefix, exponent in BINARY_PREFIXES.items():
                known[prefix + symbol] = kind, size * 2**exponent
    return known


_KNOWN = _symbols()


def kind_and_size(symbol: str) -> tuple[str, Fraction]:
    """Return the kind of a unit's symbol ("data", "data per time", "" if unknown) and its size in that kind's base."""
    above, *below = (part.strip() for part in symbol.split("/"))
    if above not in _KNOWN or any(part not in _KNOWN for part in below):
        return "", Fraction(0)
    kind, size = _KNOWN[above]
    for part in below:
        kind, size = f"{kind} per {_KNOWN[part][0]}", size / _KNOWN[part][1]
    return kind, size


def _close_symbols(symbol: str, expected: str) -> list[str]:
    """Return up to three symbols of the expected kind that look like ``symbol``, other cases first."""
    above, _, below = expected.partition(" per ")
    tails = [f"/{name}" for name, (kind, _) in _KNOWN.items() if kind == below] or [""]
    names = [name + tail for name, (kind, _) in _KNOWN.items() if kind == above for tail in tails]
    same = [name for name in names if name.lower() == symbol.lower()]
    return [name for name in dict.fromkeys(same + nearest(symbol, names, 6)) if "µ" not in name][:3]


def _hint(base: BaseUnit, number: str = "10") -> str:
    """Return examples of the unit, with the user's own number if there is one."""
    return " or ".join(f"{number} {example}" for example in base.examples)


def _near(amount: Fraction) -> str:
    return f"{float(amount):.6g}"


def _significant(value: float, symbol: str) -> str:
    """Print three significant digits without a prefix."""
    return f"{float(f'{value:.3g}'):.15g} {symbol}"


def _scaled(value: float, symbol: str, prefixes: dict[str, float]) -> str:
    """Print three significant digits with the largest prefix that leaves at least one before the point."""
    if not math.isfinite(value):
        return f"{value} {symbol}"
    best, factor = min(prefixes.items(), key=lambda item: item[1])
    for prefix, size in prefixes.items():
        if factor < size and float(f"{abs(value) / size:.3g}") >= 1:
            best, factor = prefix, size
    if value == 0:
        best, factor = "", 1.0
    return f"{float(f'{value / factor:.3g}'):.15g} {best}{symbol}"


_BINARY = {"": 1.0} | {prefix: 2.0**exponent for prefix, exponent in BINARY_PREFIXES.items()}
_DECIMAL = {prefix: 10.0**exponent for prefix, exponent in DECIMAL_PREFIXES.items() if prefix != "µ"}
_DECIMAL_LARGE = {prefix: size for prefix, size in _DECIMAL.items() if size >= 1}
_DECIMAL_SMALL = {prefix: size for prefix, size in _DECIMAL.items() if size <= 1}


def format_bytes(value: float) -> str:
    """Print bytes for people: three significant digits, binary prefix ("1.46 GiB"); all below 1 KiB."""
    return f"{value:g} B" if abs(value) < 1024 else _scaled(value, "B", _BINARY)


def format_rate(bytes_per_second: float) -> str:
    """Print a rate for people: three significant digits, binary prefix ("600 GiB/s")."""
    return _scaled(bytes_per_second, "B/s", _BINARY)


def format_seconds(value: float) -> str:
    """Print a time for people: three significant digits ("13.8 ns")."""
    return _scaled(value, "s", _DECIMAL_SMALL)


def format_joules(value: float) -> str:
    """Print an energy for people: three significant digits ("3.07 mJ")."""
    return _scaled(value, "J", _DECIMAL)


def format_hz(value: float) -> str:
    """Print a frequency for people: three significant digits ("700 MHz")."""
    return _scaled(value, "Hz", _DECIMAL_LARGE)


def format_watts(value: float) -> str:
    """Print a power for people: three significant digits ("46 W")."""
    return _scaled(value, "W", _DECIMAL)


def format_area(mm2: float) -> str:
    """Print an area for people: three significant digits ("534 mm2"), below 0.01 mm2 in um2."""
    return _significant(mm2 * 1e6, "um2") if 0 < abs(mm2) < 0.01 else _significant(mm2, "mm2")


def format_joule_seconds(value: float) -> str:
    """Print an energy-delay product for people: three significant digits ("188 mJ s")."""
    return _scaled(value, "J s", _DECIMAL)


def format_quantity(value: float, symbol: str) -> str:
    """Print a value in the base unit of that ``symbol``, one of `UNITS`', for people ("57.6 fJ/B").

    Bytes get binary prefixes, lengths and areas none, all else decimal ones; what has no unit ("") is a plain number.
    """
    if symbol in _PRINTERS:
        return _PRINTERS[symbol](value)
    return _scaled(value, symbol, _DECIMAL) if symbol else f"{value:,}"


def _length(mm: float) -> str:
    return _significant(mm * 1e3, "um") if abs(mm) < 0.01 else _significant(mm, "mm")


def _density(mm2_per_byte: float) -> str:
    return _significant(mm2_per_byte * 2**20, "mm2/MiB")


_PRINTERS = {"B": format_bytes, "mm": _length, "mm2": format_area, "mm2/B": _density}
"""How quantities are printed that do not take decimal prefixes, by their base unit."""
