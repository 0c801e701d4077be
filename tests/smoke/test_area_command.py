"""Do ``wavecore area``, ``--uncertainty`` and sweeps over area, power and energy-delay product do their work?"""

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from wavecore.cli import main
from wavecore.hardware.area import AreaMm2, area_mm2
from wavecore.hardware.config import load_accelerator

Prints = Callable[..., str]
PARTS = [part.name for part in fields(AreaMm2)]
SMALL = ("--image", "32", "--batch", "4", "--engine", "analytic")


@pytest.fixture
def prints(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prints:
    """Run a command that must succeed in a folder of its own, and return its stdout."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> str:
        assert main(words) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return call


def test_the_default_stands_beside_what_is_recalled(prints: Prints) -> None:
    text = prints("area")
    assert "recalled of the paper, not checked" in text
    for recalled in ("398 mm2", "37.4 mm2", "4.33 mm2", "534 mm2"):
        assert recalled in text
    assert "[LLMCompass, ISCA" in text and "technology.sram_area" in text


def test_json(prints: Prints) -> None:
    found = json.loads(prints("area", "--json"))
    assert found["schema"] == "wavecore.area/1"
    areas = area_mm2(load_accelerator())
    assert found["area_mm2"] == {**asdict(areas), "total": areas.total}
    for name, value in found["area_mm2"].items():
        assert found["low_mm2"][name] < value < found["high_mm2"][name]
    assert found["recalled_mm2"] == {"array": 398.0, "global_buffer": 37.4, "vector": 4.33, "total": 534.0}
    assert all(each["source"].startswith("[D] ") for each in found["constants"])


@pytest.mark.parametrize("words", [("--memory", "lpddr4"), ("--set", "array.rows=64"), ("--energy", "32nm")])
def test_other_machines(prints: Prints, words: tuple[str, ...]) -> None:
    found = json.loads(prints("area", "--json", *words))
    assert bool(found["recalled_mm2"]) == (words[0] == "--energy"), "only for the default's sizes"
    assert found["area_mm2"]["total"] == pytest.approx(sum(found["area_mm2"][part] for part in PARTS))


def test_a_run_has_area_and_power(prints: Prints) -> None:
    run = json.loads(prints("run", "resnet18", *SMALL, "--json"))
    assert run["area_mm2"]["total"] == pytest.approx(area_mm2(load_accelerator()).total)
    assert run["average_watts"] * run["energy_delay_joule_seconds"] == pytest.approx(run["energy_joules"]["total"] ** 2)
    assert run["samples_per_joule"] == pytest.approx(4 / run["energy_joules"]["total"])


@pytest.mark.parametrize("command", ["run", "compare", "energy"])
def test_uncertainty(prints: Prints, command: str) -> None:
    more = () if command == "run" else ("--schedules", "baseline,mbs2")
    text = prints(command, "resnet18", *SMALL, *more, "--uncertainty")
    assert "energy over the ranges of its constants" in text and "the 10 that matter most, of 21" in text
    assert ("mbs2 < baseline" in text) == (command != "run")


def test_uncertainty_in_json(prints: Prints) -> None:
    words = ("energy", "resnet18", *SMALL, "--schedules", "baseline,mbs2", "--memories", "hbm2,lpddr4")
    reports = json.loads(prints(*words, "--uncertainty", "--json"))
    assert [report["memory"] for report in reports] == ["hbm2", "hbm2", "lpddr4", "lpddr4"]
    for report in reports:
        at = ["baseline", "mbs2"].index(report["schedule"])
        spread = report["uncertainty"]["joules"][at]
        assert spread["low"] < report["joules_per_step"] == pytest.approx(spread["value"]) and spread["high"] > 0
        (ranking,) = report["uncertainty"]["rankings"]
        assert {ranking["less"], ranking["more"]} == {"baseline", "mbs2"}
        assert {each["name"] for each in report["uncertainty"]["constants"]} >= {"memory.energy", "technology.wire"}


@pytest.mark.parametrize("command", ["run", "compare"])
def test_a_runs_json_has_no_uncertainty(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "resnet18", *SMALL, "--uncertainty", "--json"]) == 2
    assert capsys.readouterr().err == (
        f"error: --uncertainty: {command} --json prints runs, and a run has no uncertainty\n"
        "  try: wavecore energy WORKLOAD --uncertainty --json\n"
    )


def test_profiles_side_by_side_have_no_uncertainty(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "resnet18", *SMALL, "--uncertainty", "--sparsity", "a.toml,b.toml"]) == 2
    assert capsys.readouterr().err == (
        "error: --uncertainty: is not for profiles side by side\n  try: wavecore energy, with one --sparsity\n"
    )


SWEEP = """\
name = "area"
workload = "resnet18"
constraints = ["area_mm2.total <= 300 mm2", "average_watts < 60 W", "samples_per_joule > 1"]
[base]
batch = 4
"option.image" = 32
[axes]
"chip.clock" = ["0.7 GHz", "1.4 GHz", "5 GHz"]
"array.rows" = [32, 128, 512]
[objectives]
minimize = ["area_mm2.total", "energy_delay_joule_seconds", "average_watts"]
maximize = ["samples_per_joule"]
"""


def test_a_sweep_over_clocks_and_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("area.toml").write_text(SWEEP)
    assert main(["sweep", "area.toml"]) == 0
    points = list(csv.DictReader(Path("area-sweep/points.csv").read_text().splitlines()))
    by_point = {(int(row["chip.clock_hz"]), int(row["array.rows"])): row for row in points}
    assert all("5 GHz is beyond the technology" in row["error"] for (clock, _), row in by_point.items() if clock > 2e9)
    assert [by_point[700_000_000, rows]["feasible"] for rows in (32, 128, 512)] == ["true", "true", "false"]
    for rows in (32, 128, 512):
        slow, fast = by_point[700_000_000, rows], by_point[1_400_000_000, rows]
        assert float(slow["average_watts"]) < float(fast["average_watts"])
        assert float(slow["energy_joules.array"]) < float(fast["energy_joules.array"])
    for clock in (700_000_000, 1_400_000_000):
        areas = [float(by_point[clock, rows]["area_mm2.total"]) for rows in (32, 128, 512)]
        assert areas == sorted(areas)
    assert any(row["pareto"] == "true" for row in points)
