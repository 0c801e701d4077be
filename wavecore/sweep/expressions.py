"""Arithmetic in sweep specifications: derived axes and constraints.

``16384 / array.rows``, ``core.global_buffer <= 20 MiB and batch >= 32``, ``schedule != "il" or memory == "hbm2"``

Python's syntax with quantities: ``+ - * / // % **``, comparisons (also chained), ``in``, ``and or not``, and the
functions of `FUNCTIONS`.  The text is parsed into a tree and the tree is walked; nothing is executed.  Arithmetic
is exact, on fractions in base units.  Units are checked before anything is evaluated: bytes compare with bytes,
and a bare number is no quantity.  Beside a metric it is one, for a metric's name says its unit.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from typing import Any, Literal, NoReturn

from wavecore.common.units import UNITS, kind_and_size
from wavecore.errors import ConfigError

ExpressionValue = Fraction | str | bool
Lookup = Callable[[str], ExpressionValue]
"""The value of a name: a number in the base of its kind of quantity, a text, or a flag."""

LONGEST = 1000
LARGEST_EXPONENT = 64
MOST_BITS = 4096


@dataclass(frozen=True, slots=True)
class Type:
    """The type of an expression's value; of a number, its ``dimension``: powers of data, time, energy, ...

    ``bare`` says that it is made of plain numbers only, ``strict`` that it cannot stand beside such.
    """

    form: Literal["number", "text", "flag"]
    dimension: Mapping[str, Fraction]
    bare: bool = False
    strict: bool = False

    def __str__(self) -> str:
        if self.form != "number":
            return "a text" if self.form == "text" else "a condition"
        return "a plain number" if not self.dimension else _unit_of(self.dimension)[0].replace("_", " ")


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression: its ``text``, the ``names`` in it, its ``type``, and what computes its value."""

    text: str
    where: str
    names: frozenset[str]
    type: Type
    compute: Callable[[Lookup], ExpressionValue]

    def value(self, lookup: Lookup) -> ExpressionValue:
        """Work it out; ConfigError for a division by zero or a number beyond all bounds."""
        try:
            return self.compute(lookup)
        except ZeroDivisionError as error:
            raise ConfigError(self.where, f"{self.text} divides by zero", "a condition that rules this out") from error
        except (OverflowError, ValueError) as error:
            raise ConfigError(self.where, f"{self.text} is out of range", "smaller numbers") from error


def parse_expression(text: str, where: str, type_of: Callable[[str], Type]) -> Expression:
    """Parse ``text``; ``type_of`` gives the type of a name, or raises.

    Raises `ConfigError`, located at ``where``, for what is no expression or does not fit together.
    """
    if len(text) > LONGEST:
        raise ConfigError(where, f"an expression of {len(text)} characters is too long", f"at most {LONGEST}")
    parser = _Parser(where, type_of)
    try:
        with warnings.catch_warnings(action="ignore"):  # Python's, of a number that runs into a word
            tree = ast.parse(parser.replace_quantities(text.strip()), mode="eval")
        kind, compute = parser.read(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        hint = "arithmetic as in 16384 / array.rows, a condition as in batch <= 64"
        raise ConfigError(where, f"{text!r} is no expression", hint) from error
    return Expression(text, where, frozenset(parser.names), kind, compute)


def quantity_type(symbol: str, *, strict: bool) -> tuple[Type, Fraction]:
    """Return the type of a number in units of ``symbol`` ("" for none), and the size of the unit in its kind's base."""
    if not symbol:
        return Type("number", {}), Fraction(1)
    kind, size = kind_and_size(symbol)
    above, *below = kind.split(" per ")
    dimension = reduce(lambda product, base: _combined(product, _BASES[base], -1), below, _BASES[above])
    return Type("number", dimension, strict=strict), size


_TEXT = Type("text", {})
_FLAG = Type("flag", {})

Read = tuple[Type, Callable[[Lookup], ExpressionValue]]
Dimension = Mapping[str, Fraction]

_ONE = Fraction(1)
_BASES: Mapping[str, Dimension] = {
    "data": {"data": _ONE},
    "time": {"time": _ONE},
    "energy": {"energy": _ONE},
    "cycles": {"cycles": _ONE},
    "voltage": {"voltage": _ONE},
    "length": {"length": _ONE},
    "area": {"length": 2 * _ONE},
    "power": {"energy": _ONE, "time": -_ONE},
    "frequency": {"cycles": _ONE, "time": -_ONE},
}

# Strings are passed over; a number, whole with its exponent, before a letter must be a quantity.
_QUANTITY = re.compile(
    r"""(?P<string>"[^"]*"|'[^']*')|(?<![\w.])(?P<number>\d[\d_]*+(?:\.\d*+)?+(?:[eE][+-]?\d{1,3})?+)"""
    r"""\s*(?!(?:and|or|not|in|is|if|else)\b)(?P<unit>[A-Za-zµ]+2?(?:/[A-Za-z]+2?)*)"""
)
_PLACEHOLDER = "_quantity_"

_ARITHMETIC: Mapping[type, tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
    ast.FloorDiv: ("//", lambda a, b: Fraction(a // b)),
    ast.Mod: ("%", operator.mod),
    ast.Pow: ("**", operator.pow),
}
_COMPARISONS: Mapping[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}


def _inexact(function: Callable[[float], float]) -> Callable[..., Fraction]:
    return lambda value: Fraction(str(function(float(value))))


# Each with whether it keeps the dimension of its arguments (all alike) or takes plain numbers only.
FUNCTIONS: Mapping[str, tuple[bool, Callable[..., Fraction]]] = {
    "min": (True, min),
    "max": (True, max),
    "abs": (True, abs),
    "floor": (False, lambda value: Fraction(math.floor(value))),
    "ceil": (False, lambda value: Fraction(math.ceil(value))),
    "round": (False, lambda value: Fraction(round(value))),
    "sqrt": (False, _inexact(math.sqrt)),
    "log2": (False, _inexact(math.log2)),
}


def _bounded(value: Fraction) -> Fraction:
    if value.numerator.bit_length() + value.denominator.bit_length() > MOST_BITS:
        raise OverflowError
    return value


def _combined(first: Dimension, second: Dimension, sign: int) -> Dimension:
    """Return the dimension of a product (``sign`` 1) or a quotient (-1)."""
    powers = {base: first.get(base, 0) + sign * second.get(base, Fraction(0)) for base in {**first, **second}}
    return {base: Fraction(power) for base, power in powers.items() if power}


def _unit_of(dimension: Dimension) -> tuple[str, str]:
    """Return the first unit of this dimension, and an example that people write for it."""
    for name, unit in UNITS.items():
        if quantity_type(unit.symbol, strict=True)[0].dimension == dimension:
            return name, unit.examples[0]
    return "a mixed unit", "(a unit of the same kind)"


class _Parser:
    """Turns a tree into a type and a function, and collects the names in it."""

    def __init__(self, where: str, type_of: Callable[[str], Type]) -> None:
        self.names: set[str] = set()
        self._where = where
        self._type_of = type_of
        self._quantities: list[tuple[str, Type, Fraction]] = []

    def replace_quantities(self, text: str) -> str:
        """Put names in the place of quantities, which Python's syntax does not know."""
        if _PLACEHOLDER in text:
            raise ValueError(text)
        return _QUANTITY.sub(self._placeholder, text)

    def _placeholder(self, match: re.Match[str]) -> str:
        if match["string"]:
            return match[0]
        unit, rest = match["unit"], ""
        if "/" in unit and not kind_and_size(unit)[0]:  # 20 MiB/rows is a quotient
            unit, slash, rest = unit.partition("/")
            rest = slash + rest
        if not kind_and_size(unit)[0]:
            raise ConfigError(self._where, f"there is no unit {unit!r}", "MiB, GiB/s, GHz, ms, mJ, W or cycles")
        kind, size = quantity_type(unit, strict=True)
        self._quantities.append((f"{match['number']} {unit}", kind, Fraction(Decimal(match["number"])) * size))
        return f"{_PLACEHOLDER}{len(self._quantities) - 1} {rest}"

    def read(self, node: ast.AST) -> Read:
        """Return the type of a node and the function that computes its value."""
        reader = _READERS.get(type(node))
        if reader is None:
            self._fail(f"{self._show(node)} is not allowed", "numbers, names, comparisons, and, or, not")
        made: Read = reader(self, node)
        return made

    def constant(self, node: ast.Constant) -> Read:
        """Read a number, a text, or true and false."""
        value = node.value
        if isinstance(value, bool):
            return _FLAG, lambda lookup: value
        if isinstance(value, str):
            return _TEXT, lambda lookup: value
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            self._fail(f"{self._show(node)} is not allowed", "a number")
        number = Fraction(str(value)) if isinstance(value, float) else Fraction(value)
        _bounded(number)
        return Type("number", {}, bare=True), lambda lookup: number

    def name(self, node: ast.Name | ast.Attribute) -> Read:
        """Read a quantity, or a dotted name."""
        dotted = ast.unparse(node)
        if dotted.startswith(_PLACEHOLDER):
            _, kind, amount = self._quantities[int(dotted.removeprefix(_PLACEHOLDER))]
            return kind, lambda lookup: amount
        if not re.fullmatch(r"\w+(\.\w+)*", dotted):
            self._fail(f"{self._show(node)} is not allowed", "a dotted name")
        if dotted in ("true", "false"):
            return _FLAG, lambda lookup: dotted == "true"
        self.names.add(dotted)
        return self._type_of(dotted), lambda lookup: lookup(dotted)

    def binary(self, node: ast.BinOp) -> Read:
        """Read an arithmetic operation."""
        if type(node.op) not in _ARITHMETIC:
            self._fail(f"{self._show(node)} is not allowed", "one of + - * / // % **")
        (left, first), (right, second) = self._number(node.left), self._number(node.right)
        symbol, function = _ARITHMETIC[type(node.op)]
        if symbol in ("+", "-", "%"):
            kind = self._alike(node, left, right)
        elif symbol == "**":
            kind = self._power(node, left)
        else:
            dimension = _combined(left.dimension, right.dimension, 1 if symbol == "*" else -1)
            bare = left.bare and right.bare
            kind = Type("number", dimension, bare=bare, strict=bool(dimension) and (left.strict or right.strict))
        return kind, lambda lookup: _bounded(Fraction(function(first(lookup), second(lookup))))

    def _power(self, node: ast.BinOp, base: Type) -> Type:
        exponent = ast.unparse(node.right)
        if not re.fullmatch(r"-?\d{1,3}", exponent) or abs(int(exponent)) > LARGEST_EXPONENT:
            what = f"the exponent of {self._show(node)} is not a whole number"
            self._fail(what, f"-{LARGEST_EXPONENT} to {LARGEST_EXPONENT}")
        dimension = {key: power * int(exponent) for key, power in base.dimension.items() if int(exponent)}
        return Type("number", dimension, bare=base.bare, strict=base.strict)

    def unary(self, node: ast.UnaryOp) -> Read:
        """Read a sign, or ``not``."""
        if isinstance(node.op, ast.Not):
            flag = self._flag(node.operand)
            return _FLAG, lambda lookup: not flag(lookup)
        if not isinstance(node.op, (ast.USub, ast.UAdd)):
            self._fail(f"{self._show(node)} is not allowed", "+ or -")
        kind, value = self._number(node.operand)
        sign = -1 if isinstance(node.op, ast.USub) else 1
        return kind, lambda lookup: sign * Fraction(value(lookup))

    def logic(self, node: ast.BoolOp) -> Read:
        """Read ``and`` and ``or``, which are evaluated only as far as needed."""
        parts = [self._flag(part) for part in node.values]
        every = all if isinstance(node.op, ast.And) else any
        return _FLAG, lambda lookup: every(part(lookup) for part in parts)

    def compare(self, node: ast.Compare) -> Read:
        """Read one comparison or a chain of them."""
        items = [node.left, *node.comparators]
        steps = []
        for left, operation, right in zip(items, node.ops, items[1:], strict=False):
            if type(operation) not in _COMPARISONS:
                self._fail(f"{self._show(node)} is not allowed", "one of < <= > >= == != in")
            inside = isinstance(operation, (ast.In, ast.NotIn))
            if inside and not (isinstance(right, (ast.List, ast.Tuple)) and right.elts):
                self._fail(f"{self._show(right)} is not a list", f'{self._show(left)} in ["...", "..."]')
            first = self.read(left)
            seconds = [self.read(each) for each in (right.elts if inside else [right])]  # type: ignore[attr-defined]
            kinds = [self._alike(node, first[0], kind) for kind, _ in seconds]
            if kinds[0].form != "number" and not isinstance(operation, (ast.Eq, ast.NotEq, ast.In, ast.NotIn)):
                self._fail(f"{self._show(node)} puts {kinds[0]} in an order", "== or !=")
            steps.append((_COMPARISONS[type(operation)], first[1], [value for _, value in seconds], inside))
        return _FLAG, lambda lookup: all(_holds(step, lookup) for step in steps)

    def call(self, node: ast.Call) -> Read:
        """Read a call of one of `FUNCTIONS`."""
        name = ast.unparse(node.func)
        if name not in FUNCTIONS or node.keywords or not node.args:
            self._fail(f"{self._show(node)} is not allowed", "one of " + ", ".join(FUNCTIONS))
        keeps, function = FUNCTIONS[name]
        if name not in ("min", "max") and len(node.args) != 1:
            self._fail(f"{name} takes one number, not {len(node.args)}", f"{name}(x)")
        arguments = [self._number(argument) for argument in node.args]
        kind = reduce(lambda first, second: self._alike(node, first, second), (kind for kind, _ in arguments))
        if kind.dimension and not keeps:
            self._fail(
                f"{name} takes a plain number, and {self._show(node.args[0])} is in {kind}", f"{name}(x / 1 unit)"
            )
        values = [value for _, value in arguments]
        if len(values) == 1 and name in ("min", "max"):
            return arguments[0]
        return kind, lambda lookup: _bounded(Fraction(function(*(value(lookup) for value in values))))

    def _number(self, node: ast.AST) -> tuple[Type, Callable[[Lookup], Any]]:
        kind, value = self.read(node)
        if kind.form != "number":
            self._fail(f"{self._show(node)} is {kind}, not a number", "numbers and quantities")
        return kind, value

    def _flag(self, node: ast.AST) -> Callable[[Lookup], Any]:
        kind, value = self.read(node)
        if kind.form != "flag":
            self._fail(f"{self._show(node)} is {kind}, not a condition", "a comparison such as batch <= 64")
        return value

    def _alike(self, node: ast.AST, left: Type, right: Type) -> Type:
        """Return the type of two values that are added or compared.  Raises `ConfigError` if their kinds differ."""
        if left.form == right.form and left.dimension == right.dimension:
            return Type(left.form, left.dimension, left.bare and right.bare, left.strict or right.strict)
        bare, other = (left, right) if left.bare else (right, left)
        if left.form == right.form and bare.bare and not other.strict:
            return other
        shown = self._show(node)
        if left.form != right.form:
            self._fail(f"{shown} mixes {left} and {right}", "two of a kind")
        if bare.bare:
            example = f"10 {_unit_of(other.dimension)[1]}"
            self._fail(f"{shown} sets {other} beside a number without a unit", example)
        self._fail(f"{shown} mixes {left} and {right}", "quantities of one kind")

    def _show(self, node: ast.AST) -> str:
        """Return the text of a node, normalized."""
        text = ast.unparse(node)
        return re.sub(rf"{_PLACEHOLDER}(\d+)", lambda match: self._quantities[int(match[1])][0], text)

    def _fail(self, what: str, hint: str) -> NoReturn:
        raise ConfigError(self._where, what, hint)


def _holds(step: tuple[Callable[[Any, Any], bool], Any, list[Any], bool], lookup: Lookup) -> bool:
    """Whether one comparison of a chain holds."""
    function, first, seconds, inside = step
    right = [second(lookup) for second in seconds] if inside else seconds[0](lookup)
    return function(first(lookup), right)


_READERS: Mapping[type, Callable[[Any, Any], Read]] = {
    ast.Constant: _Parser.constant,
    ast.Name: _Parser.name,
    ast.Attribute: _Parser.name,
    ast.BinOp: _Parser.binary,
    ast.UnaryOp: _Parser.unary,
    ast.BoolOp: _Parser.logic,
    ast.Compare: _Parser.compare,
    ast.Call: _Parser.call,
}
