"""Is a trace of DRAM requests what the run moved, in a form that other simulators read, and whole or not there?"""

from __future__ import annotations

import io
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from builders import machine, residual

from wavecore.cli import main
from wavecore.engines.probe import Probe
from wavecore.engines.trace import ACCESS_BYTES, TRACE_FORMATS, DramTrace, TraceFormat, dram_trace
from wavecore.errors import FileError, InputError
from wavecore.hardware.dram import row_set_bytes
from wavecore.program.addresses import allocate
from wavecore.program.lower import lower
from wavecore.results.run import Run
from wavecore.simulation import make_plan, simulate
from wavecore.training.unroll import training_graph

TOPOLOGY = "Layer,M,N,K\nlayer,40,30,20\n"


def traced(path: Path, trace_format: TraceFormat) -> tuple[Run, int]:
    with dram_trace(path, trace_format) as trace:
        run = simulate(residual(), "baseline", machine(), batch=6, probe=trace)
    return run, trace.accesses


def test_the_probe_is_told_of_every_byte_and_changes_nothing() -> None:
    told: Counter[bool] = Counter()
    cycles = []

    class Requests(Probe):
        def requested(self, queue: int, start: int, end: int, address: int, nbytes: int, write: bool) -> None:
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
        assert moved <= nbytes < 1.05 * moved  # the ends of tensors are rounded up


def test_every_access_lies_in_a_tensor(tmp_path: Path) -> None:
    traced(tmp_path / "t", "ramulator2")
    accelerator = machine()
    training = training_graph(residual())
    program = lower(training, make_plan(training, "baseline", accelerator, 3), accelerator)
    regions = allocate(program, accelerator.memory).regions
    assert all(before.address + before.nbytes <= after.address for before, after in pairwise(regions))
    assert {
        region.address % (accelerator.memory.interleave_bytes * accelerator.memory.channels) for region in regions
    } == {0}
    inside = {
        access for region in regions for access in range(region.address, region.address + region.nbytes, ACCESS_BYTES)
    }
    accesses = {int(line.split()[1], 16) for line in (tmp_path / "t").read_text().splitlines()}
    assert accesses <= inside
    assert len(accesses) > 0.9 * len(inside)  # what is never moved whole is little


def test_neighbouring_tensors_begin_in_other_banks() -> None:
    accelerator = machine()
    training = training_graph(residual())
    program = lower(training, make_plan(training, "baseline", accelerator, 3), accelerator)
    addresses = allocate(program, accelerator.memory)
    banks = [
        region.address // row_set_bytes(accelerator.memory) % 4 for region in addresses.regions if region.core != 1
    ]
    assert banks[:8] == [0, 2, 1, 3, 2, 0, 3, 1]
    assert str(addresses).count("\n") == len(addresses.regions) - 1
    assert str(addresses).startswith("0x000000000000 ")


def test_lines_have_the_form_of_each_simulator() -> None:
    for trace_format, expected in (
        ("ramulator2", "ST 0x40\nST 0x80\nST 0xc0\nLD 0x1f00\n"),
        ("dramsim3", "0x40 WRITE 7\n0x80 WRITE 7\n0xc0 WRITE 7\n0x1f00 READ 8\n"),
    ):
        out = io.StringIO()
        trace = DramTrace(out, trace_format)  # type: ignore[arg-type]
        trace.requested(2, 7, 9, 100, 100, True)
        trace.requested(0, 8, 9, 0x1F00, 64, False)
        assert out.getvalue() == expected


def test_cycles_may_be_those_of_another_clock() -> None:
    out = io.StringIO()
    DramTrace(out, "dramsim3", 700_000_000, 1_250_000_000).requested(0, 7, 9, 0, 64, False)
    assert out.getvalue() == "0x0 READ 12\n"


def test_a_run_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), dram_trace(tmp_path / "t", "dramsim3") as trace:
        trace.requested(0, 0, 0, 0, 100, False)
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
    assert moved <= lines * ACCESS_BYTES < 1.2 * moved
    assert main(words) == 2
    assert capsys.readouterr().err == "error: t.trace: exists already\n  try: --force to replace it, or another name\n"
    assert main([*words, "--force"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.trace"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--dram-trace-clock", "1 GHz"),
            "error: --dram-trace-clock: there is no DRAM trace to time\n  try: --dram-trace FILE\n",
        ),
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
