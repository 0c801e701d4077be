"""One axis of a sweep: a list, a range, or an expression over other axes.

::

    schedule = ["baseline", "mbs2"]                                          # listed
    "core.global_buffer" = { from = "5 MiB", to = "40 MiB", factor = 2 }     # geometric, both ends included
    batch = { from = 32, to = 256, step = 32 }                               # linear
    "chip.clock" = { from = "0.5 GHz", to = "2 GHz", points = 9, scale = "log" }
    "vector.lanes" = { from = 64, to = 1024, scale = "log" }                 # no steps: for random search and optuna
    "array.columns" = "16384 / array.rows"                                   # derived
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import chain

from wavecore.errors import ConfigError, nearest
from wavecore.sweep.expressions import Expression
from wavecore.sweep.parameters import SweepParameter, SweepValue, exact, plain_number, positive

MOST_VALUES = 1_000_000

_ENDS = ("from", "to")
_KEYS = (*_ENDS, "step", "factor", "points", "scale")
_SCALES = ("linear", "log")


@dataclass(frozen=True, slots=True)
class ValueRange:
    """A range without steps, in the base unit of its parameter; ``log`` spaces it by equal factors."""

    low: Fraction
    high: Fraction
    log: bool

    def at(self, share: float) -> Fraction:
        """Return the amount at a share, 0 to 1, of the way from ``low`` to ``high``."""
        if not self.log:
            return self.low + (self.high - self.low) * Fraction(share)
        return Fraction(float(self.low) * float(self.high / self.low) ** share)


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisSpec:
    """A parameter that varies, and how: exactly one of ``values``, ``span`` and ``expression`` is given."""

    parameter: SweepParameter
    where: str
    values: tuple[SweepValue, ...] = ()
    span: ValueRange | None = None
    expression: Expression | None = None

    @property
    def name(self) -> str:
        """The name of the parameter that varies."""
        return self.parameter.name

    def at(self, share: float) -> SweepValue:
        """Return the value at a share, 0 to below 1, of the axis, which is not derived."""
        if self.span is not None:
            return self.parameter.near(self.span.at(share))
        return self.values[int(share * len(self.values))]

    def extent(self) -> str:
        """Return its values for people: all of a short list, the ends of a long list or a range."""
        ends = (self.parameter.near(self.span.low), self.parameter.near(self.span.high)) if self.span else self.values
        shown = [self.parameter.show(value) for value in ends]
        if self.span or (len(shown) > 6 and self.parameter.numeric):
            return f"{shown[0]} to {shown[-1]}"
        return ", ".join(shown[:-1]) + (" or " if shown[1:] else "") + shown[-1]


def is_range(table: Mapping[str, object]) -> bool:
    """Whether a TOML table is a range and not a group of parameters."""
    return not table.keys().isdisjoint(_KEYS)


def read_values(parameter: SweepParameter, listed: list[object], where: str) -> AxisSpec:
    """Return an axis of listed values.  Raises `ConfigError` if the list is empty or has a value twice."""
    if not listed:
        raise ConfigError(where, "the axis is empty", "a list of values, or a range such as { from = , to = , step = }")
    values = tuple(parameter.read(value, where) for value in listed)
    if repeated := [value for value, count in Counter(values).items() if count > 1]:
        raise ConfigError(where, f"{parameter.show(repeated[0])} stands twice", "each value once")
    return AxisSpec(parameter=parameter, where=where, values=values)


def read_range(parameter: SweepParameter, table: Mapping[str, object], where: str) -> AxisSpec:
    """Return an axis from one value to another.  Raises `ConfigError` or `UnitError` for a range that is wrong."""
    return described_range(parameter, table, where)[1]()


def described_range(
    parameter: SweepParameter, table: Mapping[str, object], where: str
) -> tuple[int, Callable[[], AxisSpec]]:
    """Return how many values a range has, 1 if it has no steps, and the function that makes its axis.

    Raises what `read_range` does.
    """
    if not parameter.numeric:
        raise ConfigError(where, f"{parameter.name} has no ranges", "a list of values")
    for key in table:
        if key not in _KEYS:
            hint = " or ".join(nearest(key, _KEYS)) or "one of " + ", ".join(_KEYS)
            raise ConfigError(f"{where}.{key}", "unknown key of a range", hint)
    if missing := [end for end in _ENDS if end not in table]:
        raise ConfigError(
            where, f"the range has no {' and no '.join(repr(end) for end in missing)}", "{ from = , to = }"
        )
    low, high = (exact(_numeric(parameter, table[end], f"{where}.{end}")) for end in _ENDS)
    if low > high:
        shown = [parameter.show(parameter.near(end)) for end in (low, high)]
        raise ConfigError(where, f"from {shown[0]} is above to {shown[1]}", "the smaller one first")
    span, spacing = ValueRange(low, high, table.get("scale") == "log"), _spacing(table, where)
    if low == 0 and (span.log or spacing == "factor"):
        raise ConfigError(f"{where}.from", "nothing multiplied makes a way from zero", "a positive value, or a step")
    if not spacing:
        return 1, lambda: AxisSpec(parameter=parameter, where=where, span=span)
    count, amounts = _STEPS[spacing](parameter, span, table[spacing], f"{where}.{spacing}")

    def made() -> AxisSpec:
        return AxisSpec(parameter=parameter, where=where, values=tuple(dict.fromkeys(map(parameter.near, amounts))))

    return count, made


def _spacing(table: Mapping[str, object], where: str) -> str:
    """Return which of ``step``, ``factor`` and ``points`` the range states, "" for none."""
    spacings = [key for key in _STEPS if key in table]
    if len(spacings) > 1:
        raise ConfigError(where, f"states both {spacings[0]} and {spacings[1]}", "one of them")
    spacing = spacings[0] if spacings else ""
    if table.get("scale", "linear") not in _SCALES:
        raise ConfigError(f"{where}.scale", f"{table['scale']!r} is not allowed", " or ".join(_SCALES))
    if "scale" in table and spacing in ("step", "factor"):
        raise ConfigError(f"{where}.scale", f"{spacing} decides the scale", "points, or no scale")
    return spacing


def _numeric(parameter: SweepParameter, value: object, where: str) -> int | float:
    read = parameter.read(value, where)
    if isinstance(read, str):
        raise ConfigError(where, f"{value!r} is not a number", "a number")
    return read


_Steps = tuple[int, Iterator[Fraction]]
"""How many values there are, and the values."""


def _linear(parameter: SweepParameter, span: ValueRange, step: object, where: str) -> _Steps:
    width = positive(parameter, step, where)
    count = int((span.high - span.low) // width) + 1
    _limit(count, where)
    return count, (span.low + index * width for index in range(count))


def _geometric(parameter: SweepParameter, span: ValueRange, factor: object, where: str) -> _Steps:
    ratio = plain_number(factor, where)
    if ratio <= 1:
        raise ConfigError(where, f"{factor} is not above 1", "2")
    with localcontext(prec=50):  # far more digits than any unit needs; exact fractions would grow without bound
        low, high, by = (Decimal(each.numerator) / Decimal(each.denominator) for each in (span.low, span.high, ratio))
        count = int((high / low).ln() / by.ln()) + 1
    _limit(count, where)
    return count, _multiples(low, high, by)


def _multiples(value: Decimal, high: Decimal, by: Decimal) -> Iterator[Fraction]:
    with localcontext(prec=50):
        while value <= high:
            yield Fraction(value)
            value *= by


def _points(parameter: SweepParameter, span: ValueRange, points: object, where: str) -> _Steps:
    count = plain_number(points, where)
    if count.denominator != 1 or count < 2:
        raise ConfigError(where, f"{points} is no number of points", "2 or more")
    _limit(int(count), where)
    between = (span.at(index / (int(count) - 1)) for index in range(1, int(count) - 1))
    return int(count), chain((span.low,), between, (span.high,))


def _limit(count: int, where: str) -> None:
    if count > MOST_VALUES:
        raise ConfigError(where, f"makes more than {MOST_VALUES:,} values", "wider steps, or none and a random search")


_STEPS = {"step": _linear, "factor": _geometric, "points": _points}
