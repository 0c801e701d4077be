"""Does ``wavecore report`` make what it is asked for?"""

from collections.abc import Callable
from pathlib import Path

import pytest
from pictured_runs import put_json, put_run, put_sweep, run

from wavecore.cli import main

Says = Callable[..., list[str]]

KEYS = (
    "comparison",
    "utilization",
    "energy",
    "groups-resnet18",
    "traffic-resnet18",
    "time-resnet18",
    "roofline-resnet18",
)
NO_OCCUPANCY = (
    "Buffer occupancy: resnet18: Occupancy is traced by the event engine only: it needs the folder that "
    "wavecore run --out writes."
)


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """Report something in a folder of its own, and return the lines on stderr; stdout stays empty."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> list[str]:
        assert main(("report", *words)) == 0
        said = capsys.readouterr()
        assert said.out == ""
        return said.err.splitlines()

    return call


def test_a_page_of_a_folder_of_runs(says: Says, tmp_path: Path) -> None:
    put_run(tmp_path / "runs" / "a", "baseline")
    put_run(tmp_path / "runs" / "b", "mbs2", full=True)
    assert says("runs") == ["written to report.html"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="occupancy-resnet18-0"' in page and 'id="groups-resnet18-1"' in page


def test_files_of_a_run(says: Says, tmp_path: Path) -> None:
    put_run(tmp_path / "a", "mbs2")
    assert says("a", "--plot", "drawn") == [NO_OCCUPANCY, "written to drawn: 7 files"]
    found = {path.name: path.read_bytes() for path in (tmp_path / "drawn").iterdir()}
    assert set(found) == {f"{key}.png" for key in KEYS}
    assert all(content.startswith(b"\x89PNG") for content in found.values())
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(("name", "start"), [("x.svg", b"<?xml"), ("x.pdf", b"%PDF"), ("x.png", b"\x89PNG")])
def test_a_sheet(says: Says, tmp_path: Path, name: str, start: bytes) -> None:
    put_sweep(tmp_path / "s")
    assert says("s", "--plot", name) == [f"written to {name}"]
    assert (tmp_path / name).read_bytes().startswith(start)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", name]


def test_both_at_once_and_again(says: Says, tmp_path: Path) -> None:
    put_json(tmp_path / "r.json", [run("mbs2"), run("il")])
    words = ("r.json", "--html", "p.html", "--plot", "d", "--format", "svg")
    first = says(*words)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(before) == 2 + len(KEYS) - 1  # a bare file has no footprints
    assert says(*words, "--force") == first
    assert {path: path.read_bytes() for path in before} == before


def test_a_run_command_writes_what_the_report_needs(
    says: Says, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("run", "resnet18", "--image", "32", "--batch", "4", "--engine", "analytic", "--out", "r")
    assert main(words) == 0
    assert "written to r" in capsys.readouterr().err
    assert says("r")[-1] == "written to report.html"
    assert 'id="groups-resnet18-0"' in (tmp_path / "report.html").read_text(encoding="utf-8")
