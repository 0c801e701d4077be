"""Settings that follow from others: local buffers, power and capacity of DRAM, ports, energies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NoReturn

from wavecore.common import units
from wavecore.errors import ConfigError
from wavecore.hardware import specs
from wavecore.hardware.dataflows import dataflow_of
from wavecore.hardware.ports import derived_port, port_needs
from wavecore.hardware.scaling import derived_energy, highest_clock_hz
from wavecore.hardware.settings import SECTIONS, SPECS, Setting, SettingLayers, name_of, values_of


def fit_local_buffers(machine: SettingLayers) -> None:
    """Set each local buffer that no user stated, and no layer since the array's, to the size of its largest tile."""
    shape = [machine.settings.get(f"array.{key}") for key in ("rows", "columns", "tile_rows")]
    if None in shape:
        return
    dataflow = machine.settings.get("array.dataflow")
    newest = max(setting.layer for setting in (*shape, dataflow) if setting)
    array = specs.ArraySpec(**values_of(machine, "array"))
    for key, need in dataflow_of(array).local_buffers(array).items():
        stated = machine.settings.get(f"local_buffer.{key}")
        if stated is None or (not stated.by_user and stated.layer < newest):
            machine.settings[f"local_buffer.{key}"] = Setting(
                value=f"{need.nbytes} B",
                where=f"local_buffer.{key}",
                source=f"[D] {need.formula}",
                layer=newest,
                by_user=False,
            )


def derive(machine: SettingLayers) -> None:
    """Add what nobody states: background power, capacity and interfaces of a memory, the buffer's ports, energies.

    Raises what `settings.values_of` does, and `ConfigError` for a clock beyond the range of the technology, unless all
    energies are stated.
    """
    for key in ("memory.background", "memory.capacity"):
        _scale_by_channels(machine, key)
    interface = machine.settings.get("technology.memory_interface")
    if interface is not None:
        machine.settings.setdefault("memory.channel_interface", interface)
    parts = {section: spec(**values_of(machine, section)) for section, spec in SPECS.items() if _is_given(section)}
    _check_technology(parts["technology"], machine)
    for need in port_needs(parts["chip"], parts["array"], parts["vector"], parts["memory"]):
        if f"core.{need.key}" not in machine.settings:
            width, formula = derived_port(need)
            _add(machine, f"core.{need.key}", f"{width} B/cycle", formula)
    parts["core"] = specs.CoreSpec(**values_of(machine, "core"))
    missing = [key for key in SECTIONS["energy"] if f"energy.{key}" not in machine.settings]
    if missing:
        _derive_energy(machine, parts, missing)


def _is_given(section: str) -> bool:
    return section not in ("core", "energy")


def _check_technology(technology: specs.TechnologySpec, machine: SettingLayers) -> None:
    """Raise `ConfigError`, located at the setting, where values of a technology contradict each other."""

    def fail(key: str, what: str, hint: str) -> NoReturn:
        raise ConfigError(machine.settings[f"technology.{key}"].where, what, hint)

    volts, lowest = technology.nominal_voltage_volts, technology.threshold_voltage_volts
    highest, nominal = technology.highest_voltage_volts, f"technology.nominal_voltage of {volts:g} V"
    if technology.placement_density > 1:
        fail("placement_density", f"{technology.placement_density:g} is above 1", "a share of the area, as 0.7")
    if lowest >= volts:
        fail("threshold_voltage", f"{lowest:g} V is not below {nominal}", "a lower one")
    if highest < volts:
        fail("highest_voltage", f"{highest:g} V is below {nominal}", f"{volts:g} V or more")


def _derive_energy(machine: SettingLayers, parts: dict[str, Any], missing: list[str]) -> None:
    """Add the energies that are ``missing``, by their keys; ``parts`` are all specs of the machine but this one."""
    technology, chip = parts["technology"], parts["chip"]
    highest = highest_clock_hz(technology)
    if chip.clock_hz > highest:
        most = f"{technology.highest_voltage_volts:.3g} V carry {units.format_hz(highest)}"
        what = f"{units.format_hz(chip.clock_hz)} is beyond the technology that energy is derived from: {most}"
        hint = "a slower clock, or an energy table made for this clock (docs/energy.md)"
        raise ConfigError(machine.settings["chip.clock"].where, what, hint)
    nothing = specs.EnergySpec(**{key.field: 0.0 for key in SECTIONS["energy"].values()})
    name = name_of(machine.settings.get("name"), machine.label)
    derived = dict(derived_energy(specs.Accelerator(name=name, energy=nothing, **parts)))
    for key in missing:
        wanted = SECTIONS["energy"][key]
        found = derived[wanted.field]
        _add(machine, f"energy.{key}", f"{found.value!r} {units.UNITS[wanted.unit].symbol}", found.formula)


def _scale_by_channels(machine: SettingLayers, key: str) -> None:
    """Let what a memory's file states for all its channels follow the number of channels in use."""
    stated, channels = machine.memory_channels, machine.settings.get("memory.channels")
    setting = machine.settings.get(key)
    if stated is None or channels is None or setting is None or setting.layer != stated.layer:
        return
    if channels.value == stated.value or not isinstance(stated.value, int) or not isinstance(channels.value, int):
        return
    unit = SECTIONS["memory"][key.removeprefix("memory.")].unit
    parts = [units.parse(each, unit, where=setting.where, allow_zero=True) for each in _all(setting)]
    symbol = units.UNITS[unit].symbol
    scaled = [f"{type(part)(part * channels.value / stated.value)!r} {symbol}" for part in parts]
    source = f"{setting.source}; x {channels.value} of {stated.value} channels"
    ends = (scaled[1], scaled[2]) if setting.ends else None
    machine.settings[key] = replace(setting, value=scaled[0], source=source, ends=ends)


def _all(setting: Setting) -> Iterator[object]:
    """Yield the value of a setting and the ends of its uncertainty."""
    yield setting.value
    yield from setting.ends or ()


def _add(machine: SettingLayers, key: str, value: str, formula: str) -> None:
    machine.settings[key] = Setting(value=value, where=key, source=f"[D] {formula}", layer=0, by_user=False)
