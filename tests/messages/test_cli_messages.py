"""The whole of what the command line says to a mistake: one message on stderr, nothing on stdout, exit code 2."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from wavecore import cli
from wavecore.cli import app, main
from wavecore.errors import InvariantError
from wavecore.hardware.config import load_accelerator
from wavecore.network.catalog import workload
from wavecore.plan.files import plan_text
from wavecore.plan.model import Plan
from wavecore.simulation import make_plan
from wavecore.training.unroll import training_graph

Fails = Callable[..., str]

RUN = ("run", "resnet18")
RANGE = "  try: 1 to 65536\n"


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fails:
    """Run a command that must fail in an empty folder, and return what it says."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str, code: int = 2) -> str:
        assert main(words) == code
        said = capsys.readouterr()
        assert said.out == ""
        assert "Traceback" not in said.err
        return said.err

    return call


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("run", "resnet5O"),
            "error: workload: there is no workload named 'resnet5O'\n  try: resnet50 or resnet152 or resnet34\n",
        ),
        (
            (*RUN, "--schedule", "mbs3"),
            "error: --schedule: there is no schedule named 'mbs3'\n  try: mbs2 or mbs1 or mbs-fs\n",
        ),
        ((*RUN, "--memory", "hbm3"), "error: --memory: there is no memory named 'hbm3'\n  try: hbm2 or hbm2x2\n"),
        (
            (*RUN, "--accelerator", "wavecor"),
            "error: --accelerator: there is no accelerator named 'wavecor'\n  try: wavecore\n",
        ),
        ((*RUN, "--engine", "evnt"), "error: --engine: there is no engine named 'evnt'\n  try: event\n"),
        (
            (*RUN, "--set", "core.globl_buffer=5 MiB"),
            "error: --set core.globl_buffer=5 MiB: unknown key 'globl_buffer' of core\n  try: global_buffer\n",
        ),
        (
            (*RUN, "--set", "core.global_buffer=10"),
            "error: --set core.global_buffer=10: 10 has no unit\n  try: 10 MiB or 10 KiB or 10 MB\n",
        ),
        (
            (*RUN, "--set", "core.global_buffer=-1 MiB"),
            "error: --set core.global_buffer=-1 MiB: -1 MiB is negative\n  try: 10 MiB or 10 KiB or 10 MB\n",
        ),
        (
            (*RUN, "--set", "core.global_buffer"),
            "error: --set core.global_buffer: there is no '='\n  try: core.global_buffer=\"5 MiB\"\n",
        ),
        ((*RUN, "--batch", "0"), "error: --batch: 0 is out of range\n" + RANGE),
        ((*RUN, "--batch", "-4"), "error: --batch: -4 is out of range\n" + RANGE),
        ((*RUN, "--batch", "1000000"), "error: --batch: 1000000 is out of range\n" + RANGE),
        ((*RUN, "--batch", "many"), "error: --batch: 'many' is not a whole number\n" + RANGE),
        (
            (*RUN, "--batch", "63"),
            "error: --batch: 63 samples do not split evenly over 2 cores\n  try: 62 or 64\n",
        ),
        (
            (*RUN, "--schedul", "mbs2"),
            "error: wavecore run: there is no option --schedul\n  try: --schedule or --help or --choice\n",
        ),
        (
            (*RUN, "--batch"),
            "error: wavecore run: --batch has no value, or one too many\n  try: wavecore run --help\n",
        ),
        (("run",), "error: wavecore run: WORKLOAD is missing\n  try: wavecore run --help\n"),
        (("rnu", "resnet50"), "error: wavecore: there is no command named 'rnu'\n  try: run or train\n"),
        ((*RUN, "--option", "norm"), "error: --option norm: there is no '='\n  try: norm=group\n"),
        (
            (*RUN, "--option", "norm=group"),
            "error: workload resnet18: there is no option named 'norm'\n  try: one of classes, image, width\n",
        ),
        (
            (*RUN, "--image", "64", "--option", "image=96"),
            "error: --option image=96: image is given twice\n  try: one of them\n",
        ),
        (
            (*RUN, "--image", "big"),
            "error: workload resnet18: image is 'big', not a whole number\n  try: image=224\n",
        ),
        ((*RUN, "--image", "8"), "error: network resnet18: image is 8\n  try: 32 to 32768\n"),
        (
            ("run", "net.onnx"),
            "error: net.onnx: there is no such file, and no workload of that name\n"
            "  try: a registered name (wavecore list workloads), an .onnx model or a SCALE-Sim topology .csv\n",
        ),
        (
            (*RUN, "--schedule", "plan.toml"),
            "error: plan.toml: there is no such file\n  try: wavecore plan WORKLOAD --out plan.toml\n",
        ),
        (
            (*RUN, "--accelerator", "mine.toml"),
            "error: mine.toml: there is no such file\n"
            "  try: wavecore list accelerators, or memories, or a TOML file of your own\n",
        ),
        (
            ("compare", "resnet18", "--schedules", "baseline,mbs3"),
            "error: --schedules: there is no schedule named 'mbs3'\n  try: mbs2 or mbs1 or mbs-fs\n",
        ),
        (
            ("compare", "resnet18", "--schedules", ","),
            "error: --schedules: names no schedule\n  try: baseline,archopt,il,mbs-fs,mbs1,mbs2\n",
        ),
        (
            ("compare", "resnet18", "--plot", "x.gif"),
            "error: --plot: x.gif is no .png or .svg or .pdf file\n  try: x.png\n",
        ),
        (
            ("plan", "resnet18", "--out", "missing/plan.toml"),
            "error: missing/plan.toml: cannot be written (No such file or directory)\n"
            "  try: a folder that you may write to\n",
        ),
        (("list", "workload"), "error: list: there is no kind named 'workload'\n  try: workloads\n"),
        (
            ("explain", "zzzz"),
            "error: explain: there is no metric named 'zzzz'\n  try: wavecore list metrics\n",
        ),
        (("gemm", "0", "1", "1"), "error: M: 0 is out of range\n  try: 1 to 1000000000000\n"),
        (("gemm", "1", "1", "1", "--array", "8"), "error: --array: '8' is not ROWSxCOLUMNS\n  try: 128x128\n"),
        (
            ("gemm", "1", "1", "1", "--array", "0x8"),
            "error: --array: 0x8 is out of range\n  try: 1x1 to 4096x4096\n",
        ),
        (
            ("scalesim", "t.csv", "--dataflow", "sw"),
            "error: --dataflow: there is no dataflow named 'sw'\n  try: ws or os or is\n",
        ),
    ],
)
def test_message(words: tuple[str, ...], message: str, fails: Fails) -> None:
    assert fails(*words) == message


def test_the_same_under_json(fails: Fails) -> None:
    assert fails(*RUN, "--batch", "3", "--json").startswith("error: --batch: 3 samples do not split")


@pytest.mark.parametrize("schedule", ["baseline", "il", "mbs-fs", "mbs2"])
def test_a_sample_that_does_not_fit(schedule: str, fails: Fails) -> None:
    message = fails("run", "resnet50", "--schedule", schedule, "--set", "core.global_buffer=1 KiB")
    assert message.startswith("error: layer conv1, forward: needs 89728 bytes (87.6 KiB) of the global buffer")
    assert "\n  try: " in message


def test_an_existing_folder_that_is_a_file(fails: Fails) -> None:
    Path("file").touch()
    assert fails(*RUN, "--out", "file") == "error: file: is a file, not a folder\n  try: the path of a folder\n"
    assert fails(*RUN, "--out", "file/run").endswith("is a file, not a folder\n  try: the path of a folder\n")
    assert [path.name for path in Path().iterdir()] == ["file"]


def test_a_file_that_exists(fails: Fails) -> None:
    Path("plan.toml").write_text("mine")
    message = "error: plan.toml: exists already\n  try: --force to replace it, or another name\n"
    assert fails("plan", "resnet18", "--out", "plan.toml") == message
    assert Path("plan.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"",
            "error: x.toml: is empty\n"
            "  try: a TOML description, a plan, an .onnx model, or a SCALE-Sim topology .csv\n",
        ),
        (
            b"\x89PNG\r\n",
            "error: x.toml: is not a text file (byte 0 is not UTF-8)\n"
            "  try: a TOML description, a plan, an .onnx model, or a SCALE-Sim topology .csv\n",
        ),
        (
            b"colour = 1\n",
            "error: x.toml: is no accelerator, memory, energy table, plan or sweep\n"
            '  try: base = "wavecore" and what differs, for an accelerator\n',
        ),
        (
            b'name = "x"\nbase = "wavecore"\n[core]\nglobal_bufer = "1 MiB"\n',
            "error: x.toml:4: core.global_bufer: unknown key\n  try: global_buffer\n",
        ),
        (
            b'channels = 4\nbandwith = "1 GiB/s"\n',
            "error: x.toml:2: bandwith: unknown key\n  try: bandwidth\n",
        ),
        (
            b'schema = "wavecore.plan/1"\nworkload = "resnet5"\n',
            "error: x.toml:2: workload: there is no workload named 'resnet5'\n"
            "  try: resnet50 or resnet152 or resnet34\n",
        ),
    ],
)
def test_check_says_what_is_wrong_with_a_file(content: bytes, message: str, fails: Fails) -> None:
    Path("x.toml").write_bytes(content)
    assert fails("check", "x.toml") == message


def test_a_plan_for_another_batch(fails: Fails) -> None:
    Path("plan.toml").write_text(plan_text(_plan()))
    message = "error: --batch: is 6, and plan.toml is made for 4 samples\n  try: 4\n"
    assert fails(*RUN, "--image", "32", "--schedule", "plan.toml", "--batch", "6") == message


def test_a_plan_that_overfills_the_buffer(fails: Fails) -> None:
    Path("plan.toml").write_text(plan_text(_plan()))
    small = ("--set", "core.global_buffer=100 KiB")
    for command in ((*RUN, "--image", "32", "--schedule", "plan.toml"), ("check", "--image", "32", "plan.toml")):
        message = fails(*command, *small)
        assert message.startswith("error: plan.toml: group 1: layer ")
        assert " of the global buffer for " in message
        assert "\n  try: " in message


def _plan() -> Plan:
    return make_plan(training_graph(workload("resnet18", image=32)), "mbs2", load_accelerator(), 2)


def test_our_own_fault(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(app, "command", broken)
    message = "error: wavecore failed: ZeroDivisionError: division by zero\n"
    assert fails("list", "metrics", code=1) == message + (
        "  try: --debug for the traceback, and a report of this as a bug\n"
    )
    with pytest.raises(ZeroDivisionError):
        main(["list", "metrics", "--debug"])


def test_a_broken_law(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise InvariantError("resnet18, mbs2", "rows do not add up", "a report of this as a bug")

    monkeypatch.setattr(app, "command", broken)
    message = "error: resnet18, mbs2: rows do not add up\n  try: a report of this as a bug\n"
    assert fails("list", "metrics", code=1) == message


def test_stopped_by_the_user(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "command", stopped)
    assert fails("list", "metrics", code=cli.STOPPED) == "stopped\n"


LONG = "a" * 300
SPEC = 'name = "s"\nworkload = {}\n[axes]\nschedule = ["baseline", "il"]\n'


@pytest.mark.parametrize(
    "words",
    [
        ["check", f"{LONG}.toml"],
        ["run", f"{LONG}.csv"],
        ["run", f"{LONG}.onnx"],
        ["run", "lenet5", "--schedule", f"{LONG}.toml"],
        ["run", "lenet5", "--memory", f"{LONG}.toml"],
        ["run", "lenet5", "--sparsity", f"{LONG}.toml"],
        ["run", "lenet5", "--out", LONG],
        ["run", "lenet5", "--trace", f"{LONG}.json"],
        ["plan", "lenet5", "--out", f"{LONG}.toml"],
        ["compare", "lenet5", "--plot", f"{LONG}.png"],
        ["profile", f"{LONG}.pt"],
        ["profile", "model.npz", "-o", "."],
        ["report", LONG],
        ["scalesim", f"{LONG}.csv"],
        ["sweep", f"{LONG}.toml"],
        ["sweep", "spec.toml", "--out", LONG],
        ["sweep", "spec.toml", "--store", f"{LONG}/s"],
        ["sweep", "long.toml"],
        ["sweep", "nul.toml"],
        ["check", "base.toml"],
    ],
    ids=lambda words: " ".join(words).replace(LONG, "LONG"),
)
def test_paths_that_cannot_be_examined(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spec.toml").write_text(SPEC.format('"lenet5"'))
    Path("long.toml").write_text(SPEC.format(f'"{LONG}.csv"'))
    Path("nul.toml").write_text(SPEC.format('"a\\u0000.csv"'))
    Path("base.toml").write_text('base = "./a\\u0000.toml"\n')
    assert main(words) == 2
    assert "bug" not in capsys.readouterr().err


def test_a_folder_without_permission(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(path: Path, **_: object) -> object:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    for words in (["check", "a.toml"], ["run", "a.csv"], ["run", "a.onnx"], ["profile", "a.npz"], ["report", "a"]):
        assert main(words) == 2
        assert "Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.toml", "a.csv", "a.onnx", "a.yaml"])
def test_a_pipe_is_not_waited_for(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / name)
    assert main(["check", str(tmp_path / name)]) == 2
    assert "is not a regular file" in capsys.readouterr().err


def test_a_home_that_nobody_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the name of a folder then, as a shell takes it."""
    monkeypatch.chdir(tmp_path)
    assert main(["run", "lenet5", "--engine", "analytic", "--out", "~nobody-of-that-name/x"]) == 0
    assert Path("~nobody-of-that-name/x/run.json").is_file()
