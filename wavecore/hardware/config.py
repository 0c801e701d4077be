"""Read TOML files as a `specs.Accelerator`, with dotted overrides and the source of every value.

A key is a field's name without its unit (``global_buffer_bytes`` -> ``core.global_buffer = "10 MiB"``).
A value is plain, or ``{ value = "10 MiB", source = "...", low = "...", high = "..." }``, where ``low`` and ``high`` are
the ends of its uncertainty and may be left out.  An accelerator file has ``name``, ``memory`` and
``energy`` (each the name of a registered one, a path from the file's folder, or a table of fields), and the sections
``[chip] [core] [array] [local_buffer] [vector]``.  ``[sparsity]`` and ``[mapping]`` are optional, and so is ``base``:
the name or path of an accelerator of which the file states only the differences.  An energy table may have a
``[technology]``, from which the constants are derived that it does not state; without one, that of the ``32nm`` table
is used.

Settings come in layers, of which a later one replaces an earlier one: base, file, ``memory=``, overrides.

A local buffer whose size a user states must hold the largest tile of the array's dataflow.  Where nobody states the
size, or a preset states it and a later layer changes the array, the buffer gets exactly that size.

The ports of the global buffer and the energies are derived from the other fields unless they are stated
(`hardware.ports`, `hardware.scaling`), and the background power and capacity of a memory follow its number of channels.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wavecore.common import units
from wavecore.common.hashing import content_hash
from wavecore.common.toml import Document, place
from wavecore.common.typecheck import require
from wavecore.errors import ConfigError, nearest
from wavecore.hardware import specs
from wavecore.hardware.dataflows import dataflow_of
from wavecore.hardware.derived import derive, fit_local_buffers
from wavecore.hardware.registered import PresetKind, open_document, registered
from wavecore.hardware.settings import (
    PARTS,
    SECTIONS,
    Setting,
    SettingKey,
    SettingLayers,
    build,
    largest,
    machine_keys,
    name_of,
    parse_value,
)

__all__ = [
    "SettingKey",
    "available",
    "content_hash",
    "describe",
    "largest",
    "load_accelerator",
    "machine_keys",
    "parse_value",
    "ranges",
    "sources",
]

DEFAULT_TECHNOLOGY = "32nm"
"""The energy table whose technology a machine has that states none."""


def load_accelerator(
    name_or_path: str = "wavecore", *, memory: str | None = None, overrides: Sequence[str] = ()
) -> specs.Accelerator:
    """Return the accelerator of that name or in that file, as ``name_or_path`` says.

    ``memory`` is the name or path of another memory.  ``overrides`` replace everything else, in their order:
    ``"core.global_buffer=5 MiB"`` a field, ``"memory=hbm2"`` and ``"energy=32nm"`` a whole table.
    Raises `NameLookupError`, `FileError`, `ConfigError` or `UnitError`, located at the line or the override.
    """
    require(name_or_path, str, "accelerator", '"wavecore"')
    machine = _collect(name_or_path, memory, overrides)
    accelerator = build(machine)
    _check(accelerator, machine)
    return accelerator


def sources(
    name_or_path: str = "wavecore", *, memory: str | None = None, overrides: Sequence[str] = ()
) -> dict[str, str]:
    """Return the source of every value of the machine that `load_accelerator` gives, by dotted key."""
    settings = _collect(name_or_path, memory, overrides).settings
    return {key: settings[key].source for key in sorted(settings)}


def ranges(
    name_or_path: str = "wavecore", *, memory: str | None = None, overrides: Sequence[str] = ()
) -> dict[str, tuple[str, str]]:
    """Return the low and high end of every value whose uncertainty is stated, as `load_accelerator` takes them.

    A value that is derived has none: it follows those that it is derived from.
    """
    settings = _collect(name_or_path, memory, overrides).settings
    return {key: (str(each.ends[0]), str(each.ends[1])) for key, each in sorted(settings.items()) if each.ends}


def describe(accelerator: specs.Accelerator) -> dict[str, Any]:
    """Return the machine as nested dicts of plain values in base units, keyed by field name, for JSON."""
    described: dict[str, Any] = json.loads(json.dumps(asdict(accelerator)))
    return described


def available(kind: PresetKind) -> list[str]:
    """Return the sorted names of the registered ``"accelerators"``, ``"memories"`` or ``"energy"`` tables."""
    return sorted(registered(kind))


def _collect(name_or_path: str, memory: str | None, overrides: Sequence[str]) -> SettingLayers:
    """Read base, file, memory and overrides, each replacing settings of those before it."""
    machine = SettingLayers(label=name_or_path)
    _read_accelerator(machine, open_document("accelerators", name_or_path, "accelerator", Path()), ())
    if memory is not None:
        machine.layer += 1
        _replace_part(machine, "memory", memory, "memory", Path())
    for text in overrides:
        machine.layer += 1
        _override(machine, text)
    if not any(key.startswith("technology.") for key in machine.settings):
        document = open_document("energy", DEFAULT_TECHNOLOGY, "technology", Path())
        _read_section(machine, document, "technology", document.data["technology"], "technology.")
    fit_local_buffers(machine)
    derive(machine)
    return machine


def _read_accelerator(machine: SettingLayers, document: Document, bases: tuple[str, ...]) -> None:
    """Add the settings of an accelerator file, after those of the file that it is based on."""
    if document.label in bases:
        circle = " -> ".join((*bases, document.label))
        raise ConfigError(place(document, "base"), f"the bases go in a circle: {circle}")
    data = dict(document.data)
    if "base" in data:
        base = _setting(machine, document, "base", data.pop("base"))
        name = name_of(base, document.label)
        below = open_document("accelerators", name, base.where, document.folder)
        _read_accelerator(machine, below, (*bases, document.label))
    machine.layer += 1
    machine.label = document.label
    for key, value in data.items():
        if key in SECTIONS and isinstance(value, dict) and "value" not in value:
            _read_section(machine, document, key, value, f"{key}.")
        elif key in PARTS:
            part = _setting(machine, document, key, value)
            _replace_part(machine, key, name_of(part, document.label), part.where, document.folder)
        elif key == "name":
            machine.settings[key] = _setting(machine, document, key, value)
        elif key in SECTIONS:
            raise ConfigError(place(document, key), "expected a section", f"[{key}]")
        else:
            kind = "section" if isinstance(value, dict) and "value" not in value else "key"
            raise ConfigError(place(document, key), f"unknown {kind}", _choices(key, ["name", "base", *SECTIONS]))


def _read_section(
    machine: SettingLayers, document: Document, section: str, table: Mapping[str, object], prefix: str
) -> None:
    """Add the settings of a table of fields, found in the document under ``prefix``, to a section of the machine."""
    machine.labels[section] = document.label
    for key, value in table.items():
        if section == "energy" and key == "technology" and isinstance(value, dict):
            _read_section(machine, document, key, value, f"{prefix}{key}.")
            continue
        if key not in SECTIONS[section]:
            raise ConfigError(place(document, prefix + key), "unknown key", _choices(key, SECTIONS[section]))
        machine.settings[f"{section}.{key}"] = _setting(machine, document, prefix + key, value)
    if section == "memory" and "background" in table:
        machine.memory_channels = machine.settings.get("memory.channels")


def _replace_part(machine: SettingLayers, part: str, name: str, where: str, folder: Path) -> None:
    """Replace the memory or energy table by the named one."""
    document = open_document(PARTS[part], name, where, folder)
    replaced = (part, "technology") if "technology" in document.data else (part,)
    for key in [key for key in machine.settings if key.partition(".")[0] in replaced]:
        del machine.settings[key]
    _read_section(machine, document, part, document.data, "")


def _override(machine: SettingLayers, text: str) -> None:
    """Add the setting of one ``section.key=value``."""
    where = f"--set {text}"
    dotted, equals, value = (piece.strip() for piece in text.partition("="))
    if not equals:
        raise ConfigError(where, "there is no '='", 'core.global_buffer="5 MiB"')
    if re.fullmatch('".*"', value):
        value = value[1:-1]
    section, _, key = dotted.partition(".")
    if not key and section in PARTS:
        return _replace_part(machine, section, value, where, Path())
    if section not in SECTIONS and dotted != "name":
        raise ConfigError(where, f"unknown section {section!r}", _choices(section, [*SECTIONS, "name"]))
    if dotted != "name" and key not in SECTIONS[section]:
        raise ConfigError(where, f"unknown key {key!r} of {section}", _choices(key, SECTIONS[section]))
    typed = _literal(value, section, key)
    machine.settings[dotted] = Setting(
        value=typed, where=where, source="command line", layer=machine.layer, by_user=True
    )
    return None


def _literal(text: str, section: str, key: str) -> object:
    """Return an override's text as the flag or whole number that its key takes; text that is neither stays text."""
    kind = SECTIONS[section][key].type if key else str
    if kind is bool and text in ("true", "false"):
        return text == "true"
    if kind is int and not SECTIONS[section][key].unit and re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
        return int(text)
    if kind is float and not SECTIONS[section][key].unit and re.fullmatch(r"[+-]?\d{1,9}(\.\d{1,18})?", text, re.ASCII):
        return float(text)
    return text


def _choices(name: str, allowed: Iterable[str]) -> str:
    """Return a hint: the section where a misplaced key belongs, else the nearest allowed names, else all of them."""
    elsewhere = [f"{section}.{name}" for section, keys in SECTIONS.items() if name in keys and name != "name"]
    return " or ".join(elsewhere or nearest(name, allowed)) or "one of " + ", ".join(allowed)


def _setting(machine: SettingLayers, document: Document, path: str, value: object) -> Setting:
    """Unwrap ``{ value = ..., source = ... }``; a plain value's source is its place in the file."""
    where = place(document, path)
    source: object = "file " + where.removesuffix(f": {path}")
    ends = None
    if isinstance(value, dict):
        table = value
        if extra := sorted(set(table) - {"value", "source", "low", "high"}):
            raise ConfigError(f"{where}.{extra[0]}", "unknown key", "value and source")
        if ("low" in table) != ("high" in table):
            raise ConfigError(where, "states one end of its uncertainty", "low and high, or neither")
        if "value" not in table:
            raise ConfigError(where, "there is no value", '{ value = "...", source = "..." }')
        ends = (table["low"], table["high"]) if "low" in table else None
        value, source = table["value"], table.get("source", source)
        if not isinstance(source, str) or not source.strip():
            raise ConfigError(where, "the source is not a text", '{ value = "...", source = "..." }')
    by_user = document.by_user
    return Setting(value=value, where=where, source=str(source), layer=machine.layer, by_user=by_user, ends=ends)


def _check(machine: specs.Accelerator, collected: SettingLayers) -> None:
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
    if not any(asdict(machine.mapping).values()):
        fail("mapping.by_group", "no mapping of grouped convolutions is allowed", "by_group, packed or vector = true")
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
