"""Settings of a machine, as files and overrides state them, and their values as the fields of `hardware.specs`.

A key is a field's name without its unit: ``core.global_buffer`` fills ``global_buffer_bytes``.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, get_args, get_type_hints

from wavecore.common import units
from wavecore.errors import ConfigError
from wavecore.hardware import specs
from wavecore.hardware.dataflows import find_dataflow
from wavecore.hardware.registered import PresetKind

PARTS: dict[str, PresetKind] = {"memory": "memories", "energy": "energy"}
"""The sections that are a table of their own, and the kind of table."""


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
        stated = next((each for each in get_args(hint) if isinstance(each, type)), hint)  # int of int | None
        keys[key] = SettingKey(name, unit, stated)
    return keys


# The list of units has no section: no file states it.
SPECS: dict[str, type] = {
    part: spec for part, spec in get_type_hints(specs.Accelerator).items() if part not in ("name", "units")
}
SECTIONS = {section: _keys(spec) for section, spec in SPECS.items()}

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
    "volts": "10 V",
    "mm": "1 mm",
    "mm2": "10000 mm2",
    "mm2_per_byte": "1 mm2/B",
    "joules_per_bit_mm": "1 uJ/bit/mm",
    "watts_per_mm2": "1000 W/mm2",
}
# Quantities that may be zero, except the refresh interval memory.trefi.
_MAY_BE_ZERO = {"seconds", "cycles", "joules", "watts", "joules_per_bit", "joules_per_byte", "watts_per_byte"} | {
    "joules_per_bit_mm",
    "watts_per_mm2",
    "mm2",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A value as it was stated, its place, its source, the number of its layer and whether a user stated it.

    ``ends`` are the low and high end of its uncertainty, if they are stated.
    """

    value: object
    where: str
    source: str
    layer: int
    by_user: bool
    ends: tuple[object, object] | None = None


@dataclass(slots=True)
class SettingLayers:
    """Settings by dotted key, the file that each section was last read from, and the number of the latest layer.

    ``memory_channels`` is the number of channels that the memory's file states, for which its background power
    and capacity hold.
    """

    label: str
    settings: dict[str, Setting] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    layer: int = 0
    memory_channels: Setting | None = None


def machine_keys() -> dict[str, SettingKey]:
    """Map the dotted key of every field of a machine (``"core.global_buffer"``) to the field; names are left out."""
    return {
        f"{section}.{key}": filled
        for section, keys in SECTIONS.items()
        for key, filled in keys.items()
        if key != "name"
    }


def parse_value(dotted: str, value: object, where: str) -> int | float | str | bool:
    """Return a TOML value for a key of `machine_keys` as the type and in the base unit of its field.

    Raises `UnitError` or `ConfigError`, located at ``where``.
    """
    section, _, key = dotted.partition(".")
    setting = Setting(value=value, where=where, source="", layer=0, by_user=True)
    parsed: int | float | str | bool = _convert(section, key, setting)
    return parsed


def largest(field_name: str) -> int | float:
    """Return the largest value of a number of a machine, in the unit of its field, named as in ``vector.lanes``."""
    section, _, name = field_name.partition(".")
    for key, wanted in SECTIONS.get(section, {}).items():
        if wanted.field == name and wanted.unit:
            return units.parse(_CEILINGS[wanted.unit], wanted.unit)
        if wanted.field == name:
            return _LARGEST.get(f"{section}.{key}", _LARGEST_OF_THE_REST)
    return _LARGEST_OF_THE_REST


def name_of(setting: Setting | None, label: str) -> str:
    """Return the text of a setting that must be a name."""
    if setting is None:
        raise ConfigError(label, "there is no name", 'name = "..."')
    if not isinstance(setting.value, str) or not setting.value.strip():
        raise ConfigError(setting.where, f"{setting.value!r} is not a name", '"..."')
    return setting.value


def values_of(machine: SettingLayers, section: str) -> dict[str, Any]:
    """Return the fields of a section's spec."""
    keys = SECTIONS[section]
    present = {key: keys[key] for key in keys if f"{section}.{key}" in machine.settings}
    optional = {each.name for each in fields(SPECS[section]) if each.default is not MISSING}
    missing = [key for key in keys if key not in present and keys[key].field not in optional]
    if missing:
        label = machine.labels.get(section, machine.label)
        hint = "stating them" if section in (*PARTS, "technology") else 'base = "wavecore" and only the differences'
        raise ConfigError(label, f"{section} lacks {', '.join(missing)}", hint)
    values = {}
    for key in present:
        setting = machine.settings[f"{section}.{key}"]
        values[keys[key].field] = _convert(section, key, setting)
        if setting.ends:
            low, high = (_convert(section, key, replace(setting, value=end)) for end in setting.ends)
            if not low <= values[keys[key].field] <= high:
                what = f"{setting.value} is not between {setting.ends[0]} and {setting.ends[1]}"
                raise ConfigError(setting.where, what, "low <= value <= high")
    return values


def _convert(section: str, key: str, setting: Setting) -> Any:
    """Return a setting's value as the type and in the base unit of its field."""
    wanted, value, where = SECTIONS[section][key], setting.value, setting.where
    if wanted.unit:
        return _quantity(value, wanted.unit, where, f"{section}.{key}")
    if wanted.type is str:
        name = name_of(setting, where)
        return find_dataflow(name, where).name if (section, key) == ("array", "dataflow") else name
    if wanted.type is bool:
        if not isinstance(value, bool):
            raise ConfigError(where, f"{value!r} is not true or false", "true or false, without quotes")
        return value
    if wanted.type is float:
        return _real(value, where, f"{section}.{wanted.field}")
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


def _real(value: object, where: str, field_name: str) -> float:
    """Return a number without a unit that is above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= largest(field_name):
        raise ConfigError(where, f"{value!r} is no number above 0, up to {largest(field_name)}", "1.3, without quotes")
    return float(value)


def _quantity(value: object, unit: str, where: str, dotted: str) -> int | float:
    zero = unit in _MAY_BE_ZERO and dotted != "memory.trefi"
    amount = units.parse(value, unit, where=where, allow_zero=zero)
    if amount > units.parse(_CEILINGS[unit], unit):
        raise ConfigError(where, f"{value} is out of range", f"at most {_CEILINGS[unit]}")
    return amount


def build(machine: SettingLayers) -> specs.Accelerator:
    """Build the accelerator out of settings that are complete."""
    parts = {section: spec(**values_of(machine, section)) for section, spec in SPECS.items()}
    return specs.Accelerator(name=name_of(machine.settings.get("name"), machine.label), **parts)
