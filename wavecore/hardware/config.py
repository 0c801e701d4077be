"""Read TOML files as a `specs.Accelerator`, with dotted overrides and the source of every value.

A key is a field's name without its unit (``global_buffer_bytes`` -> ``core.global_buffer = "10 MiB"``).
A value is plain, or ``{ value = "10 MiB", source = "..." }``.  An accelerator file has ``name``, ``memory`` and
``energy`` (each the name of a registered one, a path from the file's folder, or a table of fields), and the sections
``[chip] [core] [array] [local_buffer] [vector]``.  ``[sparsity]`` is optional, and so is ``base``: the name or path of
an accelerator of which the file states only the differences.

Settings come in layers, of which a later one replaces an earlier one: base, file, ``memory=``, overrides.

A local buffer whose size a user states must hold the largest tile of the array's dataflow.  Where nobody states the
size, or a preset states it and a later layer changes the array, the buffer gets exactly that size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from wavecore.common import units
from wavecore.common.hashing import content_hash
from wavecore.common.toml import Document, place
from wavecore.common.typecheck import require
from wavecore.errors import ConfigError, nearest
from wavecore.hardware import specs
from wavecore.hardware.dataflows import dataflow_of, find_dataflow
from wavecore.hardware.registered import PresetKind, open_document, registered

__all__ = [
    "SettingKey",
    "available",
    "content_hash",
    "describe",
    "load_accelerator",
    "machine_keys",
    "parse_value",
    "sources",
]

_PARTS: dict[str, PresetKind] = {"memory": "memories", "energy": "energy"}


@dataclass(frozen=True, slots=True)
class SettingKey:
    """The field of a spec that one key fills: its name, its base unit (or "") and its Python type."""

    field: str
    unit: str
    type: Any


# Without their units, both would be called "static".
_UNUSUAL_KEYS = {
    "static_watts_per_core": ("static_per_core", "watts"),
    "static_watts_per_global_buffer_byte": ("static_per_global_buffer_byte", "watts_per_byte"),
}


def _keys(spec: type) -> dict[str, SettingKey]:
    """Map the TOML keys of a spec to its fields."""
    keys = {}
    for name, hint in get_type_hints(spec).items():
        unit = max((unit for unit in units.UNITS if name.endswith("_" + unit)), key=len, default="")
        key, unit = _UNUSUAL_KEYS.get(name, (name.removesuffix("_" + unit) if unit else name, unit))
        keys[key] = SettingKey(name, unit, hint)
    return keys


# The list of units has no section: no file states it.
_SPECS: dict[str, type] = {
    part: spec for part, spec in get_type_hints(specs.Accelerator).items() if part not in ("name", "units")
}
_SECTIONS = {section: _keys(spec) for section, spec in _SPECS.items()}

# A plain number is from 1 to this; a quantity is positive and at most the ceiling of its unit.
_LARGEST = {"chip.cores": 1024, "array.tile_rows": 1 << 16, "vector.lanes": 1 << 16}
_LARGEST_OF_THE_REST = 4096
_CEILINGS = {
    "seconds": "1 ms",
    "hz": "1 THz",
    "cycles": "1000000 cycles",
    "bytes": "1 PiB",
    "bytes_per_second": "1 EiB/s",
    "bytes_per_cycle": "1 MiB/cycle",
    "joules": "1 uJ",
    "joules_per_bit": "1 uJ/bit",
    "joules_per_byte": "1 uJ/B",
    "watts": "10 kW",
    "watts_per_byte": "1 W/B",
}
# Quantities that may be zero, except the refresh interval memory.trefi.
_MAY_BE_ZERO = {"seconds", "cycles", "joules", "watts", "joules_per_bit", "joules_per_byte", "watts_per_byte"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """A value as it was stated, its place, its source, the number of its layer and whether a user stated it."""

    value: object
    where: str
    source: str
    layer: int
    by_user: bool


@dataclass(slots=True)
class _SettingLayers:
    """Settings by dotted key, the file that each section was last read from, and the number of the latest layer."""

    label: str
    settings: dict[str, _Setting] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    layer: int = 0


def load_accelerator(
    name_or_path: str = "wavecore", *, memory: str | None = None, overrides: Sequence[str] = ()
) -> specs.Accelerator:
    """Return the accelerator of that name or in that file.

    ``memory`` is the name or path of another memory.  ``overrides`` replace everything else, in their order:
    ``"core.global_buffer=5 MiB"`` a field, ``"memory=hbm2"`` and ``"energy=32nm"`` a whole table.
    Raises `NameLookupError`, `FileError`, `ConfigError` or `UnitError`, located at the line or the override.
    """
    require(name_or_path, str, "accelerator", '"wavecore"')
    machine = _collect(name_or_path, memory, overrides)
    parts = {section: spec(**_values(machine, section)) for section, spec in _SPECS.items()}
    name = _name(machine.settings.get("name"), machine.label)
    accelerator = specs.Accelerator(name=name, **parts)
    _check(accelerator, machine)
    return accelerator


def sources(
    name_or_path: str = "wavecore", *, memory: str | None = None, overrides: Sequence[str] = ()
) -> dict[str, str]:
    """Return the source of every value of the machine that `load_accelerator` gives, by dotted key."""
    settings = _collect(name_or_path, memory, overrides).settings
    return {key: settings[key].source for key in sorted(settings)}


def describe(accelerator: specs.Accelerator) -> dict[str, Any]:
    """Return the machine as nested dicts of plain values in base units, keyed by field name, for JSON."""
    described: dict[str, Any] = json.loads(json.dumps(asdict(accelerator)))
    return described


def available(kind: PresetKind) -> list[str]:
    """Return the sorted names of the registered ``"accelerators"``, ``"memories"`` or ``"energy"`` tables."""
    return sorted(registered(kind))


def machine_keys() -> dict[str, SettingKey]:
    """Map the dotted key of every field of a machine (``"core.global_buffer"``) to the field; names are left out."""
    return {
        f"{section}.{key}": filled
        for section, keys in _SECTIONS.items()
        for key, filled in keys.items()
        if key != "name"
    }


def parse_value(dotted: str, value: object, where: str) -> int | float | str | bool:
    """Return a TOML value for a key of `machine_keys` as the type and in the base unit of its field.

    Raises `UnitError` or `ConfigError`, located at ``where``.
    """
    section, _, key = dotted.partition(".")
    setting = _Setting(value=value, where=where, source="", layer=0, by_user=True)
    parsed: int | float | str | bool = _convert(section, key, setting)
    return parsed


def _collect(name_or_path: str, memory: str | None, overrides: Sequence[str]) -> _SettingLayers:
    """Read base, file, memory and overrides, each replacing settings of those before it."""
    machine = _SettingLayers(label=name_or_path)
    _read_accelerator(machine, open_document("accelerators", name_or_path, "accelerator", Path()), ())
    if memory is not None:
        machine.layer += 1
        _replace_part(machine, "memory", memory, "memory", Path())
    for text in overrides:
        machine.layer += 1
        _override(machine, text)
    _fit_local_buffers(machine)
    return machine


def _read_accelerator(machine: _SettingLayers, document: Document, bases: tuple[str, ...]) -> None:
    """Add the settings of an accelerator file, after those of the file that it is based on."""
    if document.label in bases:
        circle = " -> ".join((*bases, document.label))
        raise ConfigError(place(document, "base"), f"the bases go in a circle: {circle}")
    data = dict(document.data)
    if "base" in data:
        base = _setting(machine, document, "base", data.pop("base"))
        name = _name(base, document.label)
        below = open_document("accelerators", name, base.where, document.folder)
        _read_accelerator(machine, below, (*bases, document.label))
    machine.layer += 1
    machine.label = document.label
    for key, value in data.items():
        if key in _SECTIONS and isinstance(value, dict) and "value" not in value:
            _read_section(machine, document, key, value, f"{key}.")
        elif key in _PARTS:
            part = _setting(machine, document, key, value)
            _replace_part(machine, key, _name(part, document.label), part.where, document.folder)
        elif key == "name":
            machine.settings[key] = _setting(machine, document, key, value)
        elif key in _SECTIONS:
            raise ConfigError(place(document, key), "expected a section", f"[{key}]")
        else:
            kind = "section" if isinstance(value, dict) and "value" not in value else "key"
            raise ConfigError(place(document, key), f"unknown {kind}", _choices(key, ["name", "base", *_SECTIONS]))


def _read_section(
    machine: _SettingLayers, document: Document, section: str, table: Mapping[str, object], prefix: str
) -> None:
    """Add the settings of a table of fields, found in the document under ``prefix``, to a section of the machine."""
    machine.labels[section] = document.label
    for key, value in table.items():
        if key not in _SECTIONS[section]:
            raise ConfigError(place(document, prefix + key), "unknown key", _choices(key, _SECTIONS[section]))
        machine.settings[f"{section}.{key}"] = _setting(machine, document, prefix + key, value)


def _replace_part(machine: _SettingLayers, part: str, name: str, where: str, folder: Path) -> None:
    """Replace the memory or energy table by the named one."""
    document = open_document(_PARTS[part], name, where, folder)
    for key in _SECTIONS[part]:
        machine.settings.pop(f"{part}.{key}", None)
    _read_section(machine, document, part, document.data, "")


def _override(machine: _SettingLayers, text: str) -> None:
    """Add the setting of one ``section.key=value``."""
    where = f"--set {text}"
    dotted, equals, value = (piece.strip() for piece in text.partition("="))
    if not equals:
        raise ConfigError(where, "there is no '='", 'core.global_buffer="5 MiB"')
    if re.fullmatch('".*"', value):
        value = value[1:-1]
    section, _, key = dotted.partition(".")
    if not key and section in _PARTS:
        return _replace_part(machine, section, value, where, Path())
    if section not in _SECTIONS and dotted != "name":
        raise ConfigError(where, f"unknown section {section!r}", _choices(section, [*_SECTIONS, "name"]))
    if dotted != "name" and key not in _SECTIONS[section]:
        raise ConfigError(where, f"unknown key {key!r} of {section}", _choices(key, _SECTIONS[section]))
    typed = _literal(value, section, key)
    machine.settings[dotted] = _Setting(
        value=typed, where=where, source="command line", layer=machine.layer, by_user=True
    )
    return None


def _literal(text: str, section: str, key: str) -> object:
    """Return an override's text as the flag or whole number that its key takes; text that is neither stays text."""
    kind = _SECTIONS[section][key].type if key else str
    if kind is bool and text in ("true", "false"):
        return text == "true"
    if kind is int and not _SECTIONS[section][key].unit and re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
        return int(text)
    return text


def _choices(name: str, allowed: Iterable[str]) -> str:
    """Return a hint: the section where a misplaced key belongs, else the nearest allowed names, else all of them."""
    elsewhere = [f"{section}.{name}" for section, keys in _SECTIONS.items() if name in keys and name != "name"]
    return " or ".join(elsewhere or nearest(name, allowed)) or "one of " + ", ".join(allowed)


def _setting(machine: _SettingLayers, document: Document, path: str, value: object) -> _Setting:
    """Unwrap ``{ value = ..., source = ... }``; a plain value's source is its place in the file."""
    where = place(document, path)
    source: object = "file " + where.removesuffix(f": {path}")
    if isinstance(value, dict):
        table = value
        if extra := sorted(set(table) - {"value", "source"}):
            raise ConfigError(f"{where}.{extra[0]}", "unknown key", "value and source")
        if "value" not in table:
            raise ConfigError(where, "there is no value", '{ value = "...", source = "..." }')
        value, source = table["value"], table.get("source", source)
        if not isinstance(source, str) or not source.strip():
            raise ConfigError(where, "the source is not a text", '{ value = "...", source = "..." }')
    return _Setting(value=value, where=where, source=str(source), layer=machine.layer, by_user=document.by_user)


def largest(field_name: str) -> int | float:
    """Return the largest value of a number of a machine, in the unit of its field, named as in ``vector.lanes``."""
    section, _, name = field_name.partition(".")
    for key, wanted in _SECTIONS.get(section, {}).items():
        if wanted.field == name and wanted.unit:
            return units.parse(_CEILINGS[wanted.unit], wanted.unit)
        if wanted.field == name:
            return _LARGEST.get(f"{section}.{key}", _LARGEST_OF_THE_REST)
    return _LARGEST_OF_THE_REST


def _name(setting: _Setting | None, label: str) -> str:
    """Return the text of a setting that must be a name."""
    if setting is None:
        raise ConfigError(label, "there is no name", 'name = "..."')
    if not isinstance(setting.value, str) or not setting.value.strip():
        raise ConfigError(setting.where, f"{setting.value!r} is not a name", '"..."')
    return setting.value


def _values(machine: _SettingLayers, section: str) -> dict[str, Any]:
    """Return the fields of a section's spec."""
    keys = _SECTIONS[section]
    present = {key: keys[key] for key in keys if f"{section}.{key}" in machine.settings}
    optional = {each.name for each in fields(_SPECS[section]) if each.default is not MISSING}
    missing = [key for key in keys if key not in present and keys[key].field not in optional]
    if missing:
        label = machine.labels.get(section, machine.label)
        hint = "stating them" if section in _PARTS else 'base = "wavecore" and only the differences'
        raise ConfigError(label, f"{section} lacks {', '.join(missing)}", hint)
    return {keys[key].field: _convert(section, key, machine.settings[f"{section}.{key}"]) for key in present}


def _convert(section: str, key: str, setting: _Setting) -> Any:
    """Return a setting's value as the type and in the base unit of its field."""
    wanted, value, where = _SECTIONS[section][key], setting.value, setting.where
    if wanted.unit:
        return _quantity(value, wanted.unit, where, f"{section}.{key}")
    if wanted.type is str:
        name = _name(setting, where)
        return find_dataflow(name, where).name if (section, key) == ("array", "dataflow") else name
    if wanted.type is bool:
        if not isinstance(value, bool):
            raise ConfigError(where, f"{value!r} is not true or false", "true or false, without quotes")
        return value
    if wanted.type is not int:
        if value not in get_args(wanted.type):
            raise ConfigError(where, f"{value!r} is not allowed", " or ".join(get_args(wanted.type)))
        return value
    most = largest(f"{section}.{wanted.field}")
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(where, f"{value!r} is not a whole number", f"1 to {most}, without quotes or unit")
    if not 1 <= value <= most:
        raise ConfigError(where, f"{value} is out of range", f"1 to {most}")
    return value


def _quantity(value: object, unit: str, where: str, dotted: str) -> int | float:
    zero = unit in _MAY_BE_ZERO and dotted != "memory.trefi"
    amount = units.parse(value, unit, where=where, allow_zero=zero)
    if amount > units.parse(_CEILINGS[unit], unit):
        raise ConfigError(where, f"{value} is out of range", f"at most {_CEILINGS[unit]}")
    return amount


def _fit_local_buffers(machine: _SettingLayers) -> None:
    """Set each local buffer that no user stated, and no layer since the array's, to the size of its largest tile."""
    shape = [machine.settings.get(f"array.{key}") for key in ("rows", "columns", "tile_rows")]
    if None in shape:
        return
    dataflow = machine.settings.get("array.dataflow")
    newest = max(setting.layer for setting in (*shape, dataflow) if setting)
    array = specs.ArraySpec(**_values(machine, "array"))
    for key, need in dataflow_of(array).local_buffers(array).items():
        stated = machine.settings.get(f"local_buffer.{key}")
        if stated is None or (not stated.by_user and stated.layer < newest):
            machine.settings[f"local_buffer.{key}"] = _Setting(
                value=f"{need.nbytes} B",
                where=f"local_buffer.{key}",
                source=f"[D] {need.formula}",
                layer=newest,
                by_user=False,
            )


def _check(machine: specs.Accelerator, collected: _SettingLayers) -> None:
    """Raise ConfigError, located at the setting, where values contradict each other."""

    def fail(key: str, what: str, hint: str) -> None:
        raise ConfigError(collected.settings[key].where, what, hint)

    held = {
        "a": machine.local_buffer.a_bytes,
        "b": machine.local_buffer.b_bytes,
        "c": machine.local_buffer.c_bytes,
    }
    for key, need in dataflow_of(machine.array).local_buffers(machine.array).items():
        if held[key] < need.nbytes:
            what = f"{held[key]} B is too small: {need.formula} = {need.nbytes} B"
            fail(f"local_buffer.{key}", what, f'"{need.nbytes} B"')
    memory = machine.memory
    if memory.interleave_bytes % memory.burst_bytes:
        what = f"{memory.interleave_bytes} B is not a multiple of memory.burst = {memory.burst_bytes} B"
        fail("memory.interleave", what, f'"{memory.burst_bytes} B"')
    if memory.row_bytes % memory.interleave_bytes:
        what = f"{memory.row_bytes} B is not a multiple of memory.interleave = {memory.interleave_bytes} B"
        fail("memory.row", what, f'"{memory.interleave_bytes} B"')
    if memory.trfc_seconds >= memory.trefi_seconds:
        refresh, interval = (units.format_seconds(time) for time in (memory.trfc_seconds, memory.trefi_seconds))
        fail(
            "memory.trfc",
            f"a refresh of {refresh} every memory.trefi = {interval} leaves no time",
            "a shorter one",
        )
