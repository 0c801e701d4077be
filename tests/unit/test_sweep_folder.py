"""Is a sweep's folder taken, kept apart from others and written whole?"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from sweep_specs import HEAD, SMALL, parsed

from wavecore.cli.progress import progress
from wavecore.cli.sweepreport import failure_lines, last_line, showing, state
from wavecore.errors import FileError
from wavecore.sweep.folder import Findings, claim_folder, default_folder
from wavecore.sweep.pool import local_pool
from wavecore.sweep.run import SweepRun, Tally
from wavecore.sweep.space import listed_points
from wavecore.sweep.store import open_store
from wavecore.sweep.table import write_csv

AXES = SMALL + "[axes]\nbatch = [2]\n"


def test_a_folder_is_made_and_holds_the_specification(tmp_path: Path) -> None:
    spec = parsed(AXES)
    assert default_folder(spec) == Path("small-sweep")
    assert not claim_folder(tmp_path / "deep" / "sweep", spec)
    assert (tmp_path / "deep" / "sweep" / "spec.toml").read_text() == HEAD + AXES


def test_the_same_sweep_goes_on_even_if_its_specification_has_changed(tmp_path: Path) -> None:
    claim_folder(tmp_path, parsed(AXES))
    (tmp_path / "store.sqlite").touch()
    changed = parsed(AXES.replace("[2]", "[2, 4]"))
    assert claim_folder(tmp_path, changed)
    assert (tmp_path / "spec.toml").read_text() == changed.text


def refusal(folder: Path) -> str:
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(FileError) as caught:
        claim_folder(folder, parsed(AXES))
    assert sorted(folder.parent.rglob("*")) == before
    return str(caught.value).replace(f"{folder.parent}/", "")


@pytest.mark.parametrize(("text", "name"), [('name = "other"', "other"), ("x = ", "(unreadable)"), ("x = 1", "")])
def test_another_sweeps_folder_is_refused(text: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "spec.toml").write_text(text)
    assert refusal(tmp_path / "out") == f"out: holds the sweep {name!r}; try: --out with another folder"


@pytest.mark.parametrize("name", ["points.csv", "store.sqlite", "summary.json", "points.parquet"])
def test_files_of_nobody_knows_what_are_not_overwritten(name: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("precious")
    message = "is not of this sweep, for there is no spec.toml beside it; try: --out with another folder"
    assert refusal(tmp_path / "out") == f"out/{name}: {message}"


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    assert refusal(tmp_path / "out") == "out: is a file, not a folder; try: --out with another folder"
    assert refusal(tmp_path / "out" / "in").endswith("cannot be made (Not a directory); try: --out with another folder")


def test_a_table_is_whole_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be written"):
        write_csv(parsed(AXES), iter(()), tmp_path / "none" / "points.csv")
    with pytest.raises(ZeroDivisionError):
        write_csv(parsed(AXES), (1 // 0 for _ in range(1)), tmp_path / "points.csv")  # type: ignore[misc]
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_loses_points_is_noticed(tmp_path: Path) -> None:
    spec = parsed(AXES)
    with open_store(tmp_path / "store") as store, local_pool(1) as executor:
        sweep = SweepRun(spec, listed_points(spec), store)
        sweep.run(executor)
        (key,) = {result.outcome.key for result in sweep.results()}
        store.forget([key])
        with pytest.raises(FileError, match="was damaged, or changed by another process"):
            list(sweep.results())


def test_the_state_of_a_sweep() -> None:
    spec = parsed(AXES)
    assert state(spec, Tally(9)) == ""
    assert state(spec, Tally(9, done=2, failed=1, best=0.0632)) == "1 failed, best step time 63.2 ms"


def test_the_last_line() -> None:
    found = Findings(points=1200, failed=3, feasible=1100)
    assert last_line(found, Tally(1200, done=1200, evaluated=200, seconds=10.0)) == (
        "1,200 points: 1,100 feasible, 3 failed, 0 on the Pareto front; "
        "200 evaluated in 10.0 s, 20.0 a second, 1,000 were finished before"
    )  # fmt: skip
    assert last_line(found, Tally(1200)).endswith("; 0 evaluated, 1,200 were finished before")


def test_a_bar_on_a_terminal_and_nothing_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = parsed(AXES)
    with showing(spec, 4) as watch:
        watch(Tally(4, done=1))
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with showing(spec, 4) as watch:
        watch(Tally(4, done=3, failed=1, best=0.5))
    out, err = capsys.readouterr()
    assert out == ""
    assert "small" in err and "3/4" in err and "1 failed, best step time 500 ms" in err


def test_lines_now_and_then_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with showing(parsed(AXES), 4) as watch, progress(2) as shown:
        shown.step("planning")
        for seconds, done in ((1.0, 1), (9.0, 2), (11.0, 3), (12.0, 4)):
            clock[0] = seconds
            watch(Tally(4, done=done, failed=1))
            shown.share(done / 4)
    assert capsys.readouterr().err == "small: 3 of 4 points (1 failed)\nplanning: 38 % of the work is done\n"


def test_failed_points_are_told_with_their_reasons() -> None:
    found = Findings(errors=Counter({f"reason {number}": number for number in range(1, 8)}))
    assert list(failure_lines(found)) == [
        *(f"  {number} failed: reason {number}" for number in (7, 6, 5, 4, 3)),
        "  and 2 more reasons: the column error of the table has them",
    ]
