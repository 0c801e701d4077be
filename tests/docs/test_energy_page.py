"""Does docs/energy.md still hold: its commands, its JSON, its tables and maps?"""

import re
import shlex
import shutil
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from wavecore.cli import main
from wavecore.common.toml import parse_document
from wavecore.hardware.area import area_mm2
from wavecore.hardware.config import load_accelerator
from wavecore.hardware.ert_map import constant_units, parse_map
from wavecore.network.catalog import workload
from wavecore.results.energy_report import IMAGENET, energy_report, to_dict
from wavecore.simulation import simulate
from wavecore.sweep.spec import read_spec

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/energy.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_commands_run_in_the_order_of_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the analytic engine, and beside the example of an ERT."""
    monkeypatch.chdir(tmp_path)
    for path in (ROOT / "tests/data").glob("systolic.*"):
        shutil.copy(path, tmp_path)
    for line in "".join(blocks("bash")).splitlines():
        name, *words = shlex.split(line)
        assert name == "wavecore"
        quick = ["--engine", "analytic"] if words[0] == "energy" else []
        assert main([*words, *quick]) == 0, words
        assert capsys.readouterr().out
    assert {"layers.csv", "energy.png", "energy.toml"} <= {path.name for path in tmp_path.iterdir()}


def test_the_keys_of_the_json_are_those_of_the_page() -> None:
    (block,) = re.findall(r'^```\n(\{"schema".*?)^```', PAGE, re.MULTILINE | re.DOTALL)
    named = set(re.findall(r'"(\w+)"', re.sub(r"#.*", "", block)))
    report = to_dict(energy_report(simulate(workload("resnet18", image=32), batch=2, engine="analytic"), IMAGENET))
    assert set(report) <= named
    inner = {key for part in ("components", "phases", "layers", "constants") for key in report[part][0]}
    assert named <= {*report, *inner, *report["manifest"]}


def test_the_table_and_the_map_are_right(tmp_path: Path) -> None:
    sweep, table, mapping = blocks("toml")
    (tmp_path / "sweep.toml").write_text('name = "page"\n' + sweep)
    assert read_spec(tmp_path / "sweep.toml").objectives[-1].maximize
    assert set(tomllib.loads(table)) == set(constant_units())
    path = tmp_path / "energy.toml"
    path.write_text(table)
    stated, derived = (asdict(load_accelerator(overrides=each).energy) for each in ([f"energy={path}"], []))
    assert stated == pytest.approx(derived, rel=5e-4)
    parsed = parse_map(parse_document("map.toml", mapping.encode(), folder=Path(), by_user=True))
    assert set(parsed.terms) == {"mac", "global_buffer", "static_per_core"}


def test_the_areas_are_those_of_the_default_machine() -> None:
    rows = dict(
        re.findall(r"^\| (two arrays|two buffers of 10 MiB|vector units|chip) \| ([\d.]+) mm²", PAGE, re.MULTILINE)
    )
    found = area_mm2(load_accelerator())
    expected = [found.array, found.global_buffer, found.vector, found.total]
    assert [float(value) for value in rows.values()] == pytest.approx(expected, rel=0.005)


def test_every_constant_is_in_the_table() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE[PAGE.index("## From Accelergy") :], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(constant_units())
