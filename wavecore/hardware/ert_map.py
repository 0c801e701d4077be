"""Make an energy table of wavecore's from Accelergy's energies, by a map file::

    unit = "pJ"                       # of the ERT's energies

    [mac]                             # one action ...
    component = "system_top_level.mac"
    action = "compute"

    [global_buffer.read]              # ... or several, of any names, whose sum is taken
    component = "system_top_level.shared_glb"
    action = "read"
    width = "64 bit"                  # what one action moves
    times = 0.5                       # half of all accesses are reads
    [global_buffer.write]
    ...

A constant is the sum over its actions of ``times`` x energy / divisors.  The divisors follow from the constant's unit:
none for an energy per event; ``width`` for an energy per byte or bit; ``cycle`` for static power, as leakage is given
as an energy per cycle; ``cycle`` and ``capacity`` for static power per byte.  ``cycle`` may be left out where the ERT
states ``global_cycle_seconds``.  ``arguments`` choose among actions of one name.  Constants that the map does not name
are copied from a base table, or left to be derived from the machine where that does not give them either.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from wavecore.common import units
from wavecore.common.toml import Document, place, toml_string
from wavecore.errors import ConfigError, nearest
from wavecore.hardware.config import load_accelerator, machine_keys, parse_value
from wavecore.hardware.ert import Action, Ert, find_actions
from wavecore.hardware.registered import open_document

SECTION = "energy"
CYCLE_ARGUMENT = "global_cycle_seconds"
MOST_TIMES = 1e9
DERIVED = "derived from the machine and its technology"


@dataclass(frozen=True, slots=True)
class _Divisor:
    """A key of a map that an energy is divided by: its base unit, its meaning for messages, and an example."""

    unit: str
    meaning: str
    example: str


_DIVISORS = {
    "width": _Divisor("bits", "how much one action moves", "64 bit"),
    "cycle": _Divisor("seconds", "how long it takes to leak that energy", "1 ns"),
    "capacity": _Divisor("bytes", "how much memory leaks it", "64 KiB"),
}
_TERM_KEYS = ("component", "action", "arguments", "times")
_DIVISORS_OF: Mapping[str, tuple[str, ...]] = {
    "joules": (),
    "joules_per_byte": ("width",),
    "joules_per_bit": ("width",),
    "watts": ("cycle",),
    "watts_per_byte": ("cycle", "capacity"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionTerm:
    """One action that a constant is made of, in base units; ``where`` and ``places`` locate it and its keys."""

    where: str
    places: Mapping[str, str]
    component: str
    action: str
    arguments: Mapping[str, str]
    times: Fraction
    divisors: Mapping[str, Fraction]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErtMap:
    """The actions that each constant is made of; ``unit`` is that of the ERT's energies."""

    label: str
    unit: str
    terms: Mapping[str, tuple[ActionTerm, ...]]
    places: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedConstant:
    """A constant of the new table: its key, its value as TOML states it, its source, and if it comes from the ERT.

    The ``value`` is "" for a constant that neither the map nor the base table gives, which is derived from the machine.
    """

    name: str
    value: str
    source: str
    from_ert: bool


def constant_units() -> dict[str, str]:
    """Return the unit of each constant of an energy table, by its key."""
    prefix = f"{SECTION}."
    return {name.removeprefix(prefix): key.unit for name, key in machine_keys().items() if name.startswith(prefix)}


def parse_map(document: Document) -> ErtMap:
    """Read a map.  Raises `ConfigError` or `UnitError`, located at the line, for a wrong, missing or unknown key."""
    known = constant_units()
    unit = document.data.get("unit")
    if not isinstance(unit, str):
        where = document.label if unit is None else place(document, "unit")
        raise ConfigError(
            where, "does not state the unit of the ERT's energies", 'unit = "pJ", as Accelergy\'s log says'
        )
    units.parse(f"1 {unit}", "joules", where=place(document, "unit"))
    terms = {}
    for key, value in document.data.items():
        if key == "unit":
            continue
        if key not in known:
            raise ConfigError(
                place(document, key), "is no constant of an energy table", _allowed(key, [*known, "unit"])
            )
        terms[key] = tuple(_terms(document, key, value, known[key]))
    if not terms:
        raise ConfigError(document.label, "maps no constant", "[mac], with a component and an action")
    places = {key: place(document, key) for key in terms}
    return ErtMap(label=document.label, unit=unit, terms=terms, places=places)


def import_table(ert: Ert, mapping: ErtMap, base: str) -> tuple[ImportedConstant, ...]:
    """Return every constant of an energy table: from the ERT if it is mapped, else from ``base``.

    ``base`` is a registered table or a file.  Raises `ConfigError`, located at the line of the map or of the ERT, for a
    component or an action that is missing or ambiguous, an energy of zero, or a result out of range; and the errors of
    reading ``base``.
    """
    below = open_document("energy", base, "--energy", Path())
    load_accelerator(overrides=[f"energy={base}"])
    return tuple(
        _imported(ert, mapping, key, unit) if key in mapping.terms else _kept(below, key)
        for key, unit in constant_units().items()
    )


def table_text(table: tuple[ImportedConstant, ...], ert: Ert, mapping: ErtMap, base: str) -> str:
    """Return the table as TOML, which ``--energy`` takes; with the technology of the base, if that is a file."""
    names = [Path(name).name for name in (ert.label, mapping.label, base)]
    head = (
        f"# Energy per event and static power, from {names[0]} (Accelergy, version {ert.version}) through {names[1]};"
    )
    lines = [head, f"# what these do not give is as in {names[2]}.", ""]
    for each in table:
        if each.value:
            lines.append(f"{each.name} = {{ value = {toml_string(each.value)}, source = {toml_string(each.source)} }}")
        else:
            lines.append(f"# {each.name}: {each.source}")
    below = open_document("energy", base, "--energy", Path())
    if below.by_user and "technology" in below.data:
        lines += ["", "[technology]", *(f"{key} = {_toml(value)}" for key, value in below.data["technology"].items())]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """Return a value of a technology, plain or with its source and ends, as TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    return toml_string(value) if isinstance(value, str) else repr(value)


def _allowed(name: str, names: list[str]) -> str:
    if name in ("dram", "memory"):
        return '--set memory.energy="8 pJ/bit" with a run: DRAM\'s energy is of the memory'
    return " or ".join(nearest(name, names)) or "one of " + ", ".join(names)


def _terms(document: Document, key: str, value: object, unit: str) -> Iterator[ActionTerm]:
    """Yield the terms of a constant: its table, or each of the tables in it."""
    if not isinstance(value, dict) or not value:
        raise ConfigError(place(document, key), "is no table", f"[{key}], with a component and an action")
    if not all(isinstance(each, dict) for each in value.values()):
        yield _term(document, key, value, unit)
        return
    for name, each in value.items():
        yield _term(document, f"{key}.{name}", each, unit)


def _term(document: Document, path: str, table: Mapping[str, Any], unit: str) -> ActionTerm:
    divisors = _DIVISORS_OF[unit]
    allowed = [*_TERM_KEYS, *divisors]
    for key in table:
        if key not in allowed:
            hint = " or ".join(nearest(key, allowed)) or "one of " + ", ".join(allowed)
            raise ConfigError(place(document, f"{path}.{key}"), "unknown key", hint)
    return ActionTerm(
        where=place(document, path),
        places={key: place(document, f"{path}.{key}") for key in allowed},
        component=_name(document, path, table, "component"),
        action=_name(document, path, table, "action"),
        arguments=_arguments(document, path, table),
        times=_times(document, path, table),
        divisors={key: _divisor(document, path, table, key) for key in divisors if key in table},
    )


def _name(document: Document, path: str, table: Mapping[str, Any], key: str) -> str:
    if key not in table:
        raise ConfigError(place(document, path), f"there is no {key}", f'{key} = "..."')
    value = table[key]
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(place(document, f"{path}.{key}"), f"{value!r} is not a name", f'{key} = "..."')
    return value


def _arguments(document: Document, path: str, table: Mapping[str, Any]) -> dict[str, str]:
    given = table.get("arguments", {})
    if not isinstance(given, dict) or not all(type(each) in (int, float, str) for each in given.values()):
        raise ConfigError(place(document, f"{path}.arguments"), "is no table of values", "{ address_delta = 1 }")
    return {key: str(value) for key, value in given.items()}


def _times(document: Document, path: str, table: Mapping[str, Any]) -> Fraction:
    times = table.get("times", 1)
    if type(times) not in (int, float) or not (math.isfinite(times) and 0 < times <= MOST_TIMES):
        where = place(document, f"{path}.times")
        raise ConfigError(where, f"{times!r} is not a number above 0 and at most {MOST_TIMES:.0e}", "0.5")
    return Fraction(str(times))


def _divisor(document: Document, path: str, table: Mapping[str, Any], key: str) -> Fraction:
    return _exact(table[key], _DIVISORS[key].unit, place(document, f"{path}.{key}"))


def _exact(text: object, unit: str, where: str = "") -> Fraction:
    """Return a quantity in its base unit, exactly as its digits state it."""
    return Fraction(str(units.parse(text, unit, where=where)))


def _imported(ert: Ert, mapping: ErtMap, key: str, unit: str) -> ImportedConstant:
    """Return the sum of a constant's terms, with its derivation as the source."""
    total, texts = Fraction(0), []
    per_joule = _exact(f"1 {mapping.unit}", "joules")
    for term in mapping.terms[key]:
        action = _action(ert, term)
        divisors = _complete(ert, term, action, unit)
        share = term.times * action.energy * per_joule
        for divisor in divisors.values():
            share /= divisor
        total += share
        texts.append(_derivation(term, action, mapping.unit, divisors))
    total *= 8 if unit == "joules_per_byte" else 1  # widths are in bits
    value = _value(total, unit)
    parse_value(f"{SECTION}.{key}", value, mapping.places[key])
    source = f"{Path(ert.label).name} (Accelergy, version {ert.version}): {' + '.join(texts)}"
    return ImportedConstant(name=key, value=value, source=source, from_ert=True)


def _action(ert: Ert, term: ActionTerm) -> Action:
    """Return the one action that a term names."""

    def fail(key: str, what: str, hint: str) -> ConfigError:
        return ConfigError(term.places[key], what, hint)

    named = find_actions(ert, term.component, term.action, fail)
    found = [each for each in named if term.arguments.items() <= each.arguments.items()]
    if not found:
        known = ", ".join(f"{key} = {value}" for key, value in named[0].arguments.items())
        raise fail("arguments", f"{ert.label} has no {named[0].component} {term.action} with these", known or "none")
    if len(found) > 1:
        some = ", ".join(f"{key} = {value}" for key, value in found[-1].arguments.items())
        what = f"{ert.label} has {len(found)} energies of {found[0].component} {term.action}"
        raise fail("arguments", what, f"arguments = {{ {some} }}")
    if not found[0].energy:
        where = f"{ert.label}:{found[0].line}"
        raise ConfigError(where, f"the energy of {found[0]} is zero", f"another action in {term.where}, or none")
    return found[0]


def _complete(ert: Ert, term: ActionTerm, action: Action, unit: str) -> dict[str, Fraction]:
    """Return the divisors of a term, with the cycle from the ERT where the map leaves it out."""
    divisors = dict(term.divisors)
    stated = action.arguments.get(CYCLE_ARGUMENT)
    for key in _DIVISORS_OF[unit]:
        if key == "cycle" and stated is not None:
            cycle = _exact(f"{stated} s", "seconds", f"{ert.label}:{action.line}: {CYCLE_ARGUMENT}")
            if divisors.setdefault(key, cycle) != cycle:
                what = f"contradicts the ERT, where {CYCLE_ARGUMENT} of {action.name} is {stated}"
                raise ConfigError(term.places["cycle"], what, "leaving it out")
        if key not in divisors:
            divisor = _DIVISORS[key]
            raise ConfigError(term.where, f"there is no {key}: {divisor.meaning}", f'{key} = "{divisor.example}"')
    return divisors


def _derivation(term: ActionTerm, action: Action, unit: str, divisors: Mapping[str, Fraction]) -> str:
    """Return one term in words: ``0.5 x shared_glb[1..1] read 32.377775 pJ / 64 bit``."""
    times = "" if term.times == 1 else f"{float(term.times):g} x "
    mean = ", mean over arguments" if action.averaged else ""
    text = f"{times}{action} {float(action.energy):.15g} {unit}{mean}"
    symbols = {key: units.UNITS[divisor.unit].symbol for key, divisor in _DIVISORS.items()}
    return text + "".join(f" / {float(value):.15g} {symbols[key]}" for key, value in divisors.items())


def _value(amount: Fraction, unit: str) -> str:
    """Return a quantity in the unit of its examples, with all digits of the float."""
    symbol = units.UNITS[unit].examples[0]
    return f"{float(amount / _exact(f'1 {symbol}', unit))!r} {symbol}"


def _kept(base: Document, key: str) -> ImportedConstant:
    """Return a constant as the base table has it."""
    stated = base.data.get(key)
    if stated is None:
        return ImportedConstant(name=key, value="", source=DERIVED, from_ert=False)
    value, source = (stated["value"], stated.get("source", "")) if isinstance(stated, dict) else (stated, "")
    source = f"as in {Path(base.label).name}: {source}".removesuffix(": ")
    return ImportedConstant(name=key, value=value, source=source, from_ert=False)
