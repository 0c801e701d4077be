"""The whole of what ``wavecore report`` says to a mistake; nothing is left behind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pictured_runs import SWEEP, put_json, put_run, put_sweep, run, sweep_rows

from wavecore.cli import main
from wavecore.results.folder import json_text
from wavecore.results.run import to_dict

Fails = Callable[..., str]

SOURCES = "a folder of wavecore run --out, a file of wavecore run --json, or a folder of wavecore sweep --out"
AGAIN = "making it again with this version"


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fails:
    """Report something that must fail in a folder of its own, and return what it says; nothing may be written."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        assert main(("report", *words)) == 2
        said = capsys.readouterr()
        assert said.out == "" and "Traceback" not in said.err
        assert sorted(tmp_path.rglob("*")) == before
        return said.err

    return call


def plain(**changes: Any) -> str:
    return json_text(to_dict(run("mbs2")) | changes)


def test_nothing_is_named(fails: Fails) -> None:
    assert fails().startswith("error: ")


def test_a_path_that_is_not_there(fails: Fails) -> None:
    assert fails("nowhere") == f"error: nowhere: there is no such file or folder\n  try: {SOURCES}\n"


def test_a_folder_without_runs(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    assert fails("empty") == f"error: empty: holds no run and no sweep\n  try: {SOURCES}\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", f"x.json: is empty\n  try: {SOURCES}"),
        ("[]", f"x.json: is an empty list of runs\n  try: {SOURCES}"),
        ("3", "x.json: is not a run of wavecore\n  try: a file that wavecore run --json has written"),
        ('{"a": 1}', "x.json: is not a run of wavecore\n  try: a file that wavecore run --json has written"),
        ("[3]", "x.json[0]: is not a run of wavecore\n  try: a file that wavecore run --json has written"),
        (
            '{"a":\n 1,\n b}',
            f"x.json:3: is not JSON: Expecting property name enclosed in double quotes\n  try: {SOURCES}",
        ),
        ("[" * 100_000, f"x.json: is no JSON that a run could be\n  try: {SOURCES}"),
        ("[" * 100_000 + "]" * 100_000, f"x.json: is no JSON that a run could be\n  try: {SOURCES}"),
        ('{"schema": ' + "9" * 5000 + "}", f"x.json: is no JSON that a run could be\n  try: {SOURCES}"),
        (
            '{"schema": "wavecore.run/2"}',
            f"x.json: is of schema 'wavecore.run/2', not 'wavecore.run/1'\n  try: {AGAIN}",
        ),
    ],
    ids=range(10),
)
def test_a_file_that_is_no_run(fails: Fails, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.json").write_text(content)
    assert fails("x.json") == f"error: {message}\n"


def test_a_file_that_is_no_text(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"{\xff}")
    assert fails("x.json") == f"error: x.json: is not a text file (byte 1 is not UTF-8)\n  try: {SOURCES}\n"


def test_a_run_that_was_cut_off(fails: Fails, tmp_path: Path) -> None:
    whole = plain()
    for length in (len(whole) // 2, len(whole) - 3):
        (tmp_path / "x.json").write_text(whole[:length])
        assert fails("x.json") == "error: x.json: ends too early: it was cut off\n  try: making the run again\n"


def test_runs_of_mixed_versions(fails: Fails, tmp_path: Path) -> None:
    put_json(tmp_path / "new.json", [run("mbs2")])
    (tmp_path / "old.json").write_text(plain(schema="wavecore.run/0"))
    message = "old.json: is of schema 'wavecore.run/0', not 'wavecore.run/1'"
    assert fails("new.json", "old.json") == f"error: {message}\n  try: {AGAIN}\n"


def test_a_run_without_its_machine(fails: Fails, tmp_path: Path) -> None:
    manifest = to_dict(run("mbs2"))["manifest"]
    (tmp_path / "x.json").write_text(plain(manifest={**manifest, "machine": {}}))
    message = "x.json: manifest.machine: has no 'name': it is incomplete, or of another version"
    assert fails("x.json") == f"error: {message}\n  try: {AGAIN}\n"


def test_a_run_that_was_not_finished(fails: Fails, tmp_path: Path) -> None:
    (put_run(tmp_path / "r", "mbs2") / "manifest.json").unlink()
    message = "r: has no manifest.json: the run was not finished"
    assert fails("r") == f"error: {message}\n  try: making the run again\n"


def test_a_foreign_table_in_a_run(fails: Fails, tmp_path: Path) -> None:
    (put_run(tmp_path / "r", "mbs2") / "footprints.csv").write_text("a,b\n")
    columns = "layer,group,direction,sub_batch,sample_bytes,kept_bytes,used_bytes"
    message = "r/footprints.csv:1: is no table of footprints"
    assert fails("r") == f"error: {message}\n  try: the columns {columns}\n"


@pytest.mark.parametrize("missing", ["points.csv", "summary.json"])
def test_a_sweep_that_was_not_finished(fails: Fails, tmp_path: Path, missing: str) -> None:
    (put_sweep(tmp_path / "s") / missing).unlink()
    hint = "the same wavecore sweep again, which goes on where it stopped"
    assert fails("s") == f"error: s: has no {missing}: the sweep was not finished\n  try: {hint}\n"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "x"}, "s/summary.json: is of schema 'x', not 'wavecore.sweep/1'"),
        ({"points": 13}, "s/points.csv: has 12 points, and the sweep has 13"),
        ({"per": ["nothing"]}, "s/summary.json: there is no axis 'nothing'"),
        ({"objectives": [{"metric": "luck", "maximize": True}]}, "s/summary.json: there is no metric 'luck'"),
        ({"objectives": [{"metric": "macs", "maximize": True}]}, "s/points.csv:1: has no column 'macs'"),
        ({"axes": [{"name": "a", "column": "a", "unit": "yards"}]}, "s/summary.json.axes: there is no unit 'yards'"),
        ({"axes": 3}, "s/summary.json.axes: is 3, not a list"),
    ],
)
def test_a_sweep_whose_files_do_not_fit(fails: Fails, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    put_sweep(tmp_path / "s", SWEEP | changes)
    assert fails("s") == f"error: {message}\n  try: {AGAIN}\n"


@pytest.mark.parametrize(
    ("cell", "value", "message"),
    [
        (4, "soon", "s/points.csv:3: step_seconds: 'soon' cannot be"),
        (4, "inf", "s/points.csv:3: step_seconds: 'inf' cannot be"),
        (7, "yes", "s/points.csv:3: pareto: 'yes' cannot be"),
        (8, ",,", "s/points.csv:3: has 11 cells, and the table 9 columns"),
    ],
)
def test_a_table_with_a_wrong_cell(fails: Fails, tmp_path: Path, cell: int, value: str, message: str) -> None:
    rows = sweep_rows()
    rows[1][cell] = value
    put_sweep(tmp_path / "s", rows=rows)
    assert fails("s") == f"error: {message}\n  try: {AGAIN}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--html", "page.png"), "--html: page.png is no .html file\n  try: page.html"),
        (("--html", "."), "--html: . is no .html file\n  try: report.html"),
        (("--plot", "x.jpg"), "--plot: x.jpg is no .png or .svg or .pdf file\n  try: x.png, or a folder"),
        (("--plot", "d", "--format", "jpg"), "--format: there is no format named 'jpg'\n  try: png"),
        (("--html", "no/where.html"), "no/where.html: cannot be written (No such file or directory)"
         "\n  try: a folder that you may write to"),
        (("--plot", "r.json/pictures"), "r.json/pictures: cannot be written (Not a directory)\n  try: another path"),
    ],
)  # fmt: skip
def test_an_output_that_cannot_be(fails: Fails, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    put_json(tmp_path / "r.json", [run("mbs2")])
    assert fails("r.json", *words) == f"error: {message}\n"


@pytest.mark.parametrize(
    ("words", "there"),
    [
        ((), "report.html"),
        (("--html", "x.html"), "x.html"),
        (("--plot", "x.png"), "x.png"),
        (("--plot", "d"), "d/energy.png"),
    ],
)
def test_an_output_that_is_there(fails: Fails, tmp_path: Path, words: tuple[str, ...], there: str) -> None:
    put_json(tmp_path / "r.json", [run("mbs2")])
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("mine")
    said = fails("r.json", *words).splitlines()
    assert said[-2:] == [f"error: {there}: exists already", "  try: --force to replace it, or another name"]
    assert (tmp_path / there).read_text() == "mine"


def test_a_sweep_of_which_there_is_no_picture(fails: Fails, tmp_path: Path) -> None:
    axes = [axis for axis in SWEEP["axes"] if axis["name"] == "core.global_buffer"]
    put_sweep(tmp_path / "s", SWEEP | {"axes": axes, "objectives": SWEEP["objectives"][:1], "figure": None})
    hint = "a [figure] in the sweep's specification"
    assert fails("s", "--plot", "x.png") == f"error: --plot: there is nothing to draw\n  try: {hint}\n"


def test_json_of_another_command(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps([{"name": "resnet50", "layers": 126}]))
    message = "x.json[0]: is not a run of wavecore"
    assert fails("x.json") == f"error: {message}\n  try: a file that wavecore run --json has written\n"
