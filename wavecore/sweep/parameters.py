"""What a sweep can vary: any field of the machine, the network and its options, the schedule and its choices.

A parameter's name is what ``--set`` calls it (``core.global_buffer``), or ``workload``, ``schedule``, ``accelerator``,
``memory``, ``energy``, ``engine``, ``sparsity`` (a profile, or "none"), ``batch``, ``option.NAME`` (of the workload)
and ``choice.NAME`` (of the schedules).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Literal

from wavecore.common import units
from wavecore.errors import ConfigError, FileError, InputError, NameLookupError, nearest
from wavecore.hardware.config import load_accelerator, machine_keys, parse_value
from wavecore.network.catalog import checked_option, workload_info, workload_options
from wavecore.plan.model import Choices
from wavecore.simulation import ENGINES, find_engine, find_schedule, parse_choices, schedule_names

SweepValue = int | float | str | bool
ValueKind = Literal["whole", "real", "text", "flag"]

IDENTITY = ("workload", "schedule", "accelerator", "memory", "engine", "batch")
"""What every point states, and the table's first columns."""

LARGEST_BATCH = 1 << 16
DIGITS = 12
"""Significant digits of a value that is drawn or lies between the ends of a range, so that it is the same anywhere."""


_PRINTERS: Mapping[str, Callable[[float], str]] = {
    "bytes": units.format_bytes,
    "bytes_per_second": units.format_rate,
    "hz": units.format_hz,
    "seconds": units.format_seconds,
    "joules": units.format_joules,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepParameter:
    """One thing to vary: its ``name``, its ``column`` in the table (with the unit) and the ``kind`` of its values.

    ``unit`` is one of `units.UNITS` or "".  ``read`` takes a TOML value and where it stands, and returns it in the
    base unit; it raises `InputError`.
    """

    name: str
    column: str
    kind: ValueKind
    read: Callable[[object, str], SweepValue]
    unit: str = ""

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers."""
        return self.kind in ("whole", "real")

    @property
    def symbol(self) -> str:
        """The symbol of its base unit, or ""."""
        return units.UNITS[self.unit].symbol if self.unit else ""

    def show(self, value: SweepValue) -> str:
        """Print a value for people."""
        printer = _PRINTERS.get(self.unit)
        if printer is not None and not isinstance(value, str):
            return printer(value)
        return self.text(value)

    def text(self, value: SweepValue) -> str:
        """Print a value exactly, as ``--set``, ``--option`` and ``--choice`` take it."""
        if isinstance(value, bool):
            return str(value).lower()
        return f"{value} {self.symbol}".strip()

    def term(self, value: SweepValue) -> Fraction | str | bool:
        """Return a value as expressions use it: a number in the base of its kind of quantity."""
        return value if isinstance(value, (str, bool)) else exact(value) * self._size

    def value(self, term: Fraction | str | bool, where: str) -> SweepValue:
        """Return the result of an expression as a value.  Raises `InputError` at ``where`` if it is not allowed."""
        if not isinstance(term, Fraction):
            return self.read(term, where)
        amount = term / self._size
        if self.kind == "whole" and amount.denominator != 1:
            raise ConfigError(where, f"{float(amount):.6g} is not a whole number", f"{round(amount)}")
        near = self.near(amount)
        return self.read(self.text(near) if self.unit else near, where)

    @property
    def _size(self) -> Fraction:
        return units.kind_and_size(self.symbol)[1] if self.unit else Fraction(1)

    def near(self, amount: Fraction) -> SweepValue:
        """Return the allowed value of a numeric parameter nearest to ``amount``, in its base unit."""
        rounded = float(f"{float(amount):.{DIGITS}g}")
        if self.kind == "real":
            return rounded
        return round(amount) if amount.denominator == 1 else round(rounded)


def exact(value: int | float) -> Fraction:
    """Return the number as it was written: a float counts as its shortest decimal."""
    return Fraction(str(value)) if isinstance(value, float) else Fraction(value)


@contextmanager
def located(where: str, *given: str) -> Iterator[None]:
    """Let an `InputError` say that it is at ``where``; errors at places other than the ``given`` ones, if any, stay.

    A file that cannot be read is wrong where it was named.
    """
    try:
        yield
    except FileError as error:
        hint = error.hint or "a path from the folder of the specification"
        raise FileError(where, f"{error.where}: {error.what}", hint) from error
    except InputError as error:
        if given and not error.where.startswith(given):
            raise
        raise type(error)(where, error.what, error.hint) from error


def find_parameter(name: str, where: str, workloads: Sequence[str], folder: Path) -> SweepParameter:
    """Return the parameter called ``name``, for a sweep over these ``workloads`` whose paths start from ``folder``.

    Raises `NameLookupError`, located at ``where``, if there is none.
    """
    readers: Mapping[str, Callable[[object, str], SweepValue]] = {
        "workload": partial(_workload, folder=folder),
        "schedule": _schedule,
        "engine": _engine,
        "sparsity": partial(_sparsity, folder=folder),
        **{part: partial(_part, part=part, folder=folder) for part in _PARTS},
    }
    if name in readers:
        return SweepParameter(name=name, column=name, kind="text", read=readers[name])
    if name == "batch":
        return SweepParameter(name=name, column=name, kind="whole", read=_batch)
    section, _, key = name.partition(".")
    if section == "choice":
        return _choice(key, where)
    if section == "option":
        return _option(key, where, workloads)
    keys = machine_keys()
    if name not in keys:
        raise _unknown(name, where, [*readers, "batch", *keys, *_dotted("choice", _CHOICES), *_options(workloads)])
    column = f"{section}.{keys[name].field}"
    kind = _KINDS.get(keys[name].type, "text")
    return SweepParameter(name=name, column=column, kind=kind, unit=keys[name].unit, read=partial(_field, name))


def is_machine_field(name: str) -> bool:
    """Whether a name is the dotted key of a field of the machine."""
    return name in machine_keys()


def is_of_machine(name: str) -> bool:
    """Whether a parameter has a say in the machine."""
    return name in _PARTS or is_machine_field(name)


def is_file(value: str) -> bool:
    """Whether a text names a file and not something registered."""
    return value.lower().endswith((".toml", ".csv", ".onnx")) or "/" in value


def path_from(folder: Path, value: str) -> str:
    """Return a registered name as it is, and a file's path relative to ``folder``."""
    return os.path.normpath(folder / value) if is_file(value) else value


_PARTS = ("accelerator", "memory", "energy")
_KINDS: Mapping[type, ValueKind] = {bool: "flag", int: "whole", float: "real"}
_CHOICES: Mapping[str, ValueKind] = {each.name: _KINDS.get(type(each.default), "text") for each in fields(Choices)}


def _unknown(name: str, where: str, known: Iterable[str], noun: str = "parameter") -> NameLookupError:
    """Return the error for a name that cannot be varied; a field's name alone gets its section as the hint."""
    names = sorted(known)
    close = [each for each in names if each.partition(".")[2] == name] or nearest(name, names)
    hint = " or ".join(close) or "wavecore sweep --help, which lists what can be varied"
    return NameLookupError(where, f"there is no {noun} named {name!r}", hint)


def _dotted(section: str, names: Iterable[str]) -> list[str]:
    return [f"{section}.{name}" for name in names]


def _options(workloads: Sequence[str]) -> list[str]:
    """Return the options that all workloads share."""
    shared: set[str] | None = None
    for workload in workloads:
        own = set() if is_file(workload) else set(workload_options(workload))
        shared = own if shared is None else shared & own
    return sorted(_dotted("option", shared or ()))


def _text(value: object, where: str, example: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(where, f"{value!r} is not a name", f'"{example}"')
    return value


def _workload(value: object, where: str, *, folder: Path) -> str:
    name = _text(value, where, "resnet50")
    if not is_file(name):
        with located(where):
            workload_info(name)
    elif name.lower().endswith(".csv"):
        from wavecore.hardware.scalesim import parse_topology

        with located(where, "nowhere"):
            parse_topology(Path(path_from(folder, name)))
    elif name.lower().endswith(".onnx"):
        from wavecore.importers.onnx import import_onnx

        with located(where, "nowhere"):
            import_onnx(path_from(folder, name))
    else:
        hint = "a registered name (wavecore list workloads), an ONNX model or a SCALE-Sim topology .csv"
        raise ConfigError(where, f"workloads are not read from {Path(name).suffix or 'such'} files", hint)
    return name


def _schedule(value: object, where: str) -> str:
    name = _text(value, where, "mbs2")
    if is_file(name):
        raise ConfigError(where, "a saved plan is made for one machine", "one of " + ", ".join(schedule_names()))
    with located(where):
        find_schedule(name)
    return name


def _sparsity(value: object, where: str, *, folder: Path) -> str:
    """Check a profile; whether it fits its network is seen when the point is evaluated."""
    name = _text(value, where, "profile.toml")
    if name != "none":
        from wavecore.sparsity.profile_file import load_profile

        if not is_file(name):
            raise ConfigError(where, f"{name!r} is no profile", '"none", or the path of a .toml file')
        with located(where, "nowhere"):
            load_profile(path_from(folder, name))
    return name


def _engine(value: object, where: str) -> str:
    name = _text(value, where, next(iter(ENGINES)))
    with located(where):
        find_engine(name)
    return name


def _part(value: object, where: str, *, part: str, folder: Path) -> str:
    """Check an accelerator, a memory or an energy table; what is wrong inside a file is located there."""
    name = _text(value, where, {"accelerator": "wavecore", "memory": "hbm2", "energy": "32nm"}[part])
    path = path_from(folder, name)
    with located(where, "accelerator", "memory", "--set"):
        if part == "accelerator":
            load_accelerator(path)
        else:
            load_accelerator(overrides=[f"{part}={path}"])
    return name


def _batch(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(where, f"{value!r} is not a whole number", f"1 to {LARGEST_BATCH}, without quotes or unit")
    if not 1 <= value <= LARGEST_BATCH:
        raise ConfigError(where, f"{value} is out of range", f"1 to {LARGEST_BATCH}")
    return value


def _field(name: str, value: object, where: str) -> SweepValue:
    return parse_value(name, value, where)


def _choice(key: str, where: str) -> SweepParameter:
    if key not in _CHOICES:
        raise _unknown(f"choice.{key}", where, _dotted("choice", _CHOICES))

    def read(value: object, where: str) -> SweepValue:
        text = str(value).lower() if isinstance(value, (bool, int)) else repr(value)
        with located(where):
            chosen: SweepValue = getattr(parse_choices([f"{key}={text}"]), key)
        return chosen

    return SweepParameter(name=f"choice.{key}", column=f"choice.{key}", kind=_CHOICES[key], read=read)


def _option(key: str, where: str, workloads: Sequence[str]) -> SweepParameter:
    for workload in workloads:
        if is_file(workload):
            raise ConfigError(where, f"{workload} says all sizes itself", "a registered network")
        if key not in workload_options(workload):
            raise _unknown(f"option.{key}", where, _options([workload]), f"option of {workload}")
    default = workload_options(workloads[0])[key]

    def read(value: object, where: str) -> SweepValue:
        return checked_option(where, key, value, default)

    return SweepParameter(
        name=f"option.{key}", column=f"option.{key}", kind=_KINDS.get(type(default), "text"), read=read
    )


def positive(parameter: SweepParameter, value: object, where: str) -> Fraction:
    """Read a step of a numeric parameter, exactly, in its base unit.

    Raises `UnitError` or `ConfigError` for what is no number, has no unit or the wrong one, or is not positive.
    """
    if parameter.unit:
        return exact(units.parse(value, parameter.unit, where=where))
    amount = plain_number(value, where)
    if amount <= 0:
        raise ConfigError(where, f"{value} is {'zero' if amount == 0 else 'negative'}", "a positive number")
    if parameter.kind == "whole" and amount.denominator != 1:
        raise ConfigError(where, f"{value} is not a whole number", str(max(1, round(amount))))
    return amount


def plain_number(value: object, where: str) -> Fraction:
    """Read a finite number without a unit, exactly; `ConfigError` if it is something else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(where, f"{value!r} is not a number", "a number, without quotes or unit")
    return exact(value)
