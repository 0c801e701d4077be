"""Does the energy report say where the joules of a run are, and do its parts add up?"""

import csv
from dataclasses import asdict, replace
from functools import cache
from io import StringIO
from typing import Any

import pytest

from wavecore.errors import InvariantError
from wavecore.hardware.config import describe, load_accelerator, machine_keys, sources
from wavecore.network.catalog import workload
from wavecore.results.energy import EnergyJoules
from wavecore.results.energy_report import (
    COMPONENTS,
    IMAGENET,
    OTHER_CONSTANTS,
    UNKNOWN_SOURCE,
    Epoch,
    constants,
    energy_csv,
    energy_report,
    share,
    to_dict,
)
from wavecore.results.run import LayerRow, Run
from wavecore.simulation import simulate
from wavecore.training.operations import Phase

MACHINE = load_accelerator()


@cache
def base() -> Run:
    """A real run."""
    return simulate(workload("resnet18", image=32), "mbs2", MACHINE, batch=4, engine="analytic", sources=sources())


def row(name: str, phase: Phase, *joules: float) -> LayerRow:
    """A row of array, DRAM and leakage energy."""
    parts = dict.fromkeys(COMPONENTS, 0.0) | dict(zip(("array", "dram", "static"), joules, strict=True))
    values: dict[str, Any] = {f"energy_{part}_joules": value for part, value in parts.items()}
    return replace(base().rows[0], name=name, kind="conv", phase=phase, energy_joules=sum(joules), **values)


@pytest.fixture
def run() -> Run:
    """Two layers, 16 J in 4 s for 8 samples."""
    rows = (
        row("one", Phase.FORWARD, 1.0, 2.0, 0.5),
        row("two", Phase.FORWARD, 4.0, 0.25, 0.25),
        row("two", Phase.DATA_GRADIENT, 3.0, 1.0, 1.0),
        row("two", Phase.UPDATE, 0.0, 2.5, 0.5),
    )
    nothing = dict.fromkeys(COMPONENTS, 0.0)
    energy = EnergyJoules(**(nothing | {"array": 8.0, "dram": 5.75, "static": 2.25}))
    return replace(base(), rows=rows, energy_joules=energy, batch=8, step_seconds=4.0)


def test_headline_by_hand(run: Run) -> None:
    report = energy_report(run, Epoch(1000, "a test"))
    assert report.joules_per_step == 16.0
    assert report.joules_per_sample == 2.0
    assert report.joules_per_epoch == 2000.0
    assert report.average_watts == 4.0
    assert report.energy_delay_joule_seconds == 64.0


def test_phases_by_hand(run: Run) -> None:
    totals = {each.phase: each.energy.total for each in energy_report(run).phases}
    assert totals == {"forward": 8.0, "data_gradient": 5.0, "weight_gradient": 0.0, "update": 3.0}
    assert energy_report(run).phases[0].energy.dram == 2.25


def test_layers_by_hand(run: Run) -> None:
    one, two = energy_report(run).layers
    assert (one.name, one.kind, one.energy.total) == ("one", "conv", 3.5)
    assert (two.energy.array, two.energy.dram, two.energy.static) == (7.0, 3.75, 1.75)
    assert two.phases == {"forward": 4.5, "data_gradient": 5.0, "weight_gradient": 0.0, "update": 3.0}


def test_without_a_data_set_there_is_no_epoch(run: Run) -> None:
    plain = to_dict(energy_report(run))
    assert (plain["joules_per_epoch"], plain["epoch_samples"], plain["epoch_source"]) == (None, None, None)
    assert to_dict(energy_report(run, IMAGENET))["epoch_samples"] == 1_281_167


@pytest.mark.parametrize("part", ["array", "interconnect"])
def test_a_component_that_does_not_add_up(run: Run, part: str) -> None:
    parts = asdict(run.energy_joules)
    wrong = replace(run, energy_joules=EnergyJoules(**(parts | {part: parts[part] + 1e-6})))
    with pytest.raises(InvariantError) as caught:
        energy_report(wrong)
    assert caught.value.message == (
        f"resnet18, mbs2, analytic engine: {part} energy of the phases adds up to {parts[part]} J, "
        f"not {parts[part] + 1e-6} J; try: a report of this as a bug"
    )


def test_a_row_that_does_not_add_up(run: Run) -> None:
    rows = (replace(run.rows[0], energy_joules=3.4), *run.rows[1:])
    with pytest.raises(InvariantError) as caught:
        energy_report(replace(run, rows=rows))
    assert "energy of one's phases adds up to 3.4 J, not 3.5 J" in caught.value.message


def test_shares() -> None:
    assert share(1.0, 4.0) == 0.25
    assert share(0.0, 0.0) == 0.0


def test_plain_values_add_up() -> None:
    plain = to_dict(energy_report(base(), IMAGENET))
    assert plain["schema"] == "wavecore.energy/1"
    for part in ("components", "phases", "layers"):
        assert sum(each["joules"] for each in plain[part]) == pytest.approx(plain["joules_per_step"], rel=1e-12)
        assert sum(each["share"] for each in plain[part]) == pytest.approx(1, rel=1e-12)
    assert plain["manifest"]["hashes"] == base().manifest.hashes


def test_every_constant_of_the_energy_is_there_with_its_source() -> None:
    found = {each.name: each for each in constants(base())}
    named = {key for key in machine_keys() if key.startswith(("energy.", "technology."))}
    assert set(found) == named | set(OTHER_CONSTANTS)
    mac = found["energy.mac"]
    assert (mac.value, mac.unit) == (MACHINE.energy.mac_joules, "J")
    assert mac.source == "[D] technology.fp16_multiply + fp32_add"
    assert found["technology.fp16_multiply"].source.startswith("[D] 1.1 pJ [Horowitz 2014]")
    events = {name: each for name, each in found.items() if not name.startswith("technology.")}
    assert {name: each.unit for name, each in events.items() if each.unit not in ("J", "J/B")} == {
        "energy.interconnect": "J/bit",
        "energy.static_per_core": "W",
        "energy.static_per_global_buffer_byte": "W/B",
        "memory.energy": "J/bit",
        "memory.background": "W",
        "chip.cores": "",
        "chip.clock": "Hz",
        "core.global_buffer": "B",
    }


def test_a_run_without_sources_says_so() -> None:
    bare = replace(base(), manifest=replace(base().manifest, sources={}, machine=describe(MACHINE)))
    assert {each.source for each in constants(bare)} == {UNKNOWN_SOURCE}


def test_csv_has_every_row_of_every_run() -> None:
    rows = list(csv.DictReader(StringIO(energy_csv([base(), replace(base(), schedule="other")]))))
    assert [each["schedule"] for each in rows] == ["mbs2"] * len(base().rows) + ["other"] * len(base().rows)
    for text, each in zip(rows, base().rows, strict=False):
        assert (text["name"], text["phase"], int(text["cycles"])) == (each.name, each.phase, each.cycles)
        parts = [float(text[f"energy_{part}_joules"]) for part in COMPONENTS]
        assert sum(parts) == pytest.approx(float(text["energy_joules"]), rel=1e-12)
