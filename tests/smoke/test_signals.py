"""What is told to end leaves nothing behind, and what was killed is cleared away by the next that writes there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wavecore.common.files import write_file
from wavecore.common.staging import hidden_path

WAVECORE = [sys.executable, "-c", "import sys; from wavecore.cli import main; sys.exit(main())"]
FOLDER = ["run", "resnet50", "--out", "out"]
TRACE = ["run", "resnet50", "--dram-trace", "t.txt"]


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(".")]


def begun(words: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """A command that has begun to write, and is at work."""
    process = subprocess.Popen([*WAVECORE, *words], cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not hidden(folder) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert hidden(folder)
    return process


@pytest.mark.parametrize("words", [FOLDER, TRACE], ids=["folder", "trace"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_leaves_nothing(words: list[str], number: signal.Signals, tmp_path: Path) -> None:
    process = begun(words, tmp_path)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said.decode().splitlines()[-1:]) == (128 + number, ["stopped"])
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_command_left_is_removed_by_the_next(tmp_path: Path) -> None:
    process = begun(FOLDER, tmp_path)
    process.kill()
    process.communicate(timeout=30)
    assert hidden(tmp_path)
    write_file(tmp_path / "new.txt", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["new.txt"]


def test_what_others_write_stays(tmp_path: Path) -> None:
    """Files of a process that runs, of another machine, and of other programs."""
    own = hidden_path(tmp_path, ".txt")
    system = own.name.split("-")[1]
    running = tmp_path / f".wavecore-{system}-{os.getppid()}-00000000.txt"
    others = [running, tmp_path / ".wavecore-00000000-999999999-00000000", tmp_path / ".wavecore-notes"]
    for path in (own, *others):
        path.touch()
    write_file(tmp_path / "new.txt", "x")
    assert {*others, own} < set(tmp_path.iterdir())
