"""Is every mistake with traces told in one message, before anything is simulated?"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from wavecore.cli import main

RUN = ["run", "resnet18", "--image", "32", "--batch", "4"]
ENDINGS = "a name that ends in .pftrace, .perfetto-trace, .json or .json.gz"
WINDOW = '"1 ms:2 ms" or "0:50000 cycles"'
CASES = [
    (["--trace", "x.txt"], f"--trace: x.txt does not say which format a timeline is to have try: {ENDINGS}"),
    (
        ["--trace", "x.json", "--engine", "analytic"],
        "--trace: the analytic engine has no events to watch try: --engine event",
    ),
    (
        ["--dram-trace", "x.trace", "--engine", "analytic"],
        "--dram-trace: the analytic engine has no events to watch try: --engine event",
    ),
    (
        ["--trace-window", "1 ms:2 ms"],
        "--trace-window: there is no trace to take a part of try: --trace FILE",
    ),
    (
        ["--trace", "x.json", "--trace-window", "1 ms"],
        f"--trace-window 1 ms: is not START:END try: {WINDOW}",
    ),
    (
        ["--trace", "x.json", "--trace-window", "2 ms:1 ms"],
        f"--trace-window 2 ms:1 ms: ends before it begins try: {WINDOW}",
    ),
]


@pytest.mark.parametrize(
    ("words", "message"), CASES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_message(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*RUN, *words]) == 2
    said = capsys.readouterr()
    assert (said.out, " ".join(said.err.split())) == ("", f"error: {message}")
    assert list(tmp_path.iterdir()) == []


def test_a_unit_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "--trace", str(tmp_path / "x.json"), "--trace-window", "1 MiB:2 MiB"]) == 2
    assert "--trace-window 1 MiB:2 MiB: " in capsys.readouterr().err


def test_a_trace_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.json"
    path.write_text("mine")
    assert main([*RUN, "--trace", str(path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert main([*RUN, "--trace", str(path), "--force"]) == 0
    assert path.read_text() != "mine"


def test_a_window_after_the_end_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*RUN, "--trace", "x.json", "--trace-window", "1 s:2 s", "--out", "folder"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(
        r"error: --trace-window 1 s:2 s: begins after the step's end at [\d.]+ (us|ms) or \d+ cycles\n"
        r"  try: an earlier window\n",
        said,
    )
    assert list(tmp_path.iterdir()) == []


def test_the_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "perfetto.protos.perfetto.trace.perfetto_trace_pb2", None)
    assert main([*RUN, "--trace", "x.pftrace"]) == 2
    assert capsys.readouterr().err == (
        "error: --trace: the package perfetto is not installed\n"
        '  try: pip install "wavecore[trace]", or a name that ends in .json\n'
    )
    assert list(tmp_path.iterdir()) == []
