"""Is a trace of DRAM requests what the run moved, in a form that other simulators read, and whole or not there?"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from builders import machine, residual

from wavecore.cli import main
from wavecore.engines.probe import Probe
from wavecore.engines.trace import ACCESS_BYTES, dram_trace
from wavecore.errors import FileError, InputError
from wavecore.hardware.dram import STREAM_BYTES, TRACE_FORMATS, TraceFormat
from wavecore.results.run import Run
from wavecore.simulation import simulate

TOPOLOGY = "Layer,M,N,K\nlayer,40,30,20\n"


def traced(path: Path, trace_format: TraceFormat) -> tuple[Run, int]:
    with dram_trace(path, trace_format) as trace:
        run = simulate(residual(), "baseline", machine(), batch=6, probe=trace)
    return run, trace.accesses


def test_the_probe_is_told_of_every_byte_and_changes_nothing() -> None:
    told: Counter[bool] = Counter()
    cycles = []

    class Requests(Probe):
        def requested(self, queue: int, start: int, end: int, nbytes: int, write: bool) -> None:
            assert write == (queue >= 2)  # two cores: loads first, then stores
            told[write] += nbytes
            cycles.append(start)

    run = simulate(residual(), "mbs2", machine(), batch=6, probe=Requests())
    assert (told[False], told[True]) == (run.dram_bytes.read, run.dram_bytes.write)
    assert cycles == sorted(cycles) and cycles[-1] <= run.step_cycles
    assert simulate(residual(), "mbs2", machine(), batch=6).step_cycles == run.step_cycles


def test_dramsim3_lines_are_the_bytes_of_the_run_in_order(tmp_path: Path) -> None:
    run, accesses = traced(tmp_path / "t", "dramsim3")
    lines = [line.split() for line in (tmp_path / "t").read_text().splitlines()]
    assert len(lines) == accesses
    cycles = [int(cycle) for _, _, cycle in lines]
    assert cycles == sorted(cycles)
    for kind, moved in (("READ", run.dram_bytes.read), ("WRITE", run.dram_bytes.write)):
        nbytes = sum(word == kind for _, word, _ in lines) * ACCESS_BYTES
        assert moved <= nbytes < moved + 2 * ACCESS_BYTES  # each of two queues rounds up once


def test_a_stream_is_contiguous(tmp_path: Path) -> None:
    traced(tmp_path / "t", "ramulator2")
    streams: dict[tuple[str, int], list[int]] = {}
    for line in (tmp_path / "t").read_text().splitlines():
        word, address = line.split()
        stream, offset = divmod(int(address, 16), STREAM_BYTES)
        streams.setdefault((word, stream), []).append(offset)
    assert set(streams) == {("LD", 0), ("LD", 1), ("ST", 2), ("ST", 3)}
    for offsets in streams.values():
        assert offsets == list(range(0, len(offsets) * ACCESS_BYTES, ACCESS_BYTES))


def test_a_run_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), dram_trace(tmp_path / "t", "dramsim3") as trace:
        trace.requested(0, 0, 0, 100, False)
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"cannot be written \(No such file or directory\)"):  # noqa: SIM117
        with dram_trace(tmp_path / "none" / "t", "dramsim3"):
            pass


def test_only_the_event_engine_can_be_watched() -> None:
    with pytest.raises(InputError) as caught:
        simulate(residual(), engine="analytic", probe=Probe())
    assert caught.value.message == "probe: the analytic engine has no events to watch; try: --engine event"


@pytest.mark.parametrize("trace_format", TRACE_FORMATS)
def test_the_command_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trace_format: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text(TOPOLOGY)
    words = ["run", "t.csv", "--batch", "2", "--json", "--dram-trace", "t.trace", "--dram-trace-format", trace_format]
    assert main(words) == 0
    said = capsys.readouterr()
    lines = Path("t.trace").read_text().count("\n")
    assert said.err == f"written to t.trace: {lines} accesses of 64 bytes\n"
    moved = json.loads(said.out)["dram_bytes"]["total"]
    assert moved <= lines * ACCESS_BYTES < moved + 4 * ACCESS_BYTES
    assert main(words) == 2
    assert capsys.readouterr().err == "error: t.trace: exists already\n  try: --force to replace it, or another name\n"
    assert main([*words, "--force"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.trace"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--dram-trace", "x", "--engine", "analytic"),
            "error: --dram-trace: the analytic engine has no events to watch\n  try: --engine event\n",
        ),
        (
            ("--dram-trace", "x", "--dram-trace-format", "ramulator"),
            "error: --dram-trace-format: there is no trace format named 'ramulator'\n  try: ramulator2\n",
        ),
        (("--classes", "3"), "error: --classes: t.csv says all sizes itself\n"
         "  try: no such option, or a registered network\n"),
    ],
)  # fmt: skip
def test_mistakes_on_the_command_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text(TOPOLOGY)
    assert main(["run", "t.csv", *words]) == 2
    assert capsys.readouterr().err == message
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
