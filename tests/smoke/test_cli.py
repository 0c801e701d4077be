"""Does every command do its work, in the terminal's terms: stdout, stderr, files and exit code?"""

import hashlib
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wavecore
from wavecore.cli import main
from wavecore.cli.knowledge import KINDS
from wavecore.pictures.palette import COLOURS, OTHER_COLOURS, colours

Prints = Callable[..., str]

SMALL = ("--image", "32", "--batch", "4", "--engine", "analytic")
RUN = ("run", "resnet18", *SMALL)
HEAVY = ("numpy", "pandas", "simpy", "networkx", "matplotlib", "rich")
TOPOLOGY = "Layer name,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides,\n"


@pytest.fixture
def prints(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prints:
    """Run a command that must succeed in a folder of its own, and return its stdout."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str, said: str = "") -> str:
        assert main(words) == 0
        captured = capsys.readouterr()
        assert captured.err == said
        return captured.out

    return call


def python(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, env=os.environ | environment
    )


def test_run_prints_a_report(prints: Prints) -> None:
    text = prints(*RUN)
    for title in ("resnet18, mbs2 on wavecore with hbm2x2", "step time", "DRAM traffic", "energy", "waits for DRAM"):
        assert title in text
    assert "of layers" in text and "rows that take longest" in text


def test_run_says_what_depthwise_layers_cost(prints: Prints) -> None:
    small = ("run", "mobilenet_v2", "--schedule", "mbs2", "--engine", "analytic", "--image", "32")
    said = {
        way: " ".join(prints(*small, *options).split())
        for way, options in {
            "on the vector unit": (),
            "side by side on the array": ("--set", "mapping.vector=false"),
            "group by group": ("--set", "mapping.vector=false", "--set", "mapping.packed=false"),
        }.items()
    }
    for way, text in said.items():
        note = text[text.index("grouped convolutions take") :]
        assert "since one group fills little of the array; of 51 rows" in note
        assert way in note
    assert "grouped convolutions" not in prints(*RUN)


def test_run_prints_one_json_object(prints: Prints) -> None:
    run = json.loads(prints(*RUN, "--json", "--schedule", "baseline", "--memory", "lpddr4"))
    assert (run["schema"], run["schedule"], run["memory"]) == ("wavecore.run/1", "baseline", "lpddr4")
    assert run["manifest"]["settings"]["options"] == {"image": 32}
    assert run["manifest"]["sources"]["memory.bandwidth"]


def test_another_energy_table(prints: Prints) -> None:
    table = Path("mine.toml")
    ours = (Path(str(files("wavecore.hardware"))) / "presets" / "energy" / "32nm.toml").read_text(encoding="utf-8")
    table.write_text('mac = { value = "9 pJ", source = "a test" }\n' + ours, encoding="utf-8")
    found = json.loads(prints(*RUN, "--json", "--energy", "mine.toml"))["manifest"]
    assert found["machine"]["energy"]["mac_joules"] == 9e-12
    assert found["settings"]["set"] == ["energy=mine.toml"]
    assert main((*RUN, "--energy", "33nm")) == 2


def test_the_default_batch_is_the_workloads_own(prints: Prints) -> None:
    run = json.loads(prints("run", "alexnet", "--schedule", "baseline", "--engine", "analytic", "--json"))
    assert run["batch"] == 128


def test_a_setting_changes_the_machine(prints: Prints) -> None:
    run = json.loads(prints(*RUN, "--json", "--set", "core.global_buffer=1 MiB", "--set", "chip.clock=1 GHz"))
    assert run["global_buffer_bytes"]["peak"] <= 1 << 20
    assert run["step_seconds"] == run["step_cycles"] / 1e9


def test_run_writes_a_folder_and_never_over_another(prints: Prints) -> None:
    text = prints(*RUN, "--json", "--out", "out", said="written to out\n")
    assert json.loads(Path("out/run.json").read_text()) == json.loads(text)
    prints(*RUN, "--out", "out", said="written to out-2, since out holds a run already\n")
    assert {path.name for path in Path().iterdir()} == {"out", "out-2"}


def test_a_saved_plan_runs_again(prints: Prints) -> None:
    first = json.loads(prints(*RUN, "--json"))
    prints("plan", "resnet18", "--image", "32", "--batch", "4", "--out", "plan.toml", said="written to plan.toml\n")
    assert prints("check", "plan.toml", "--image", "32") == "plan.toml: ok, a plan\n"
    again = json.loads(
        prints("run", "resnet18", "--image", "32", "--engine", "analytic", "--schedule", "plan.toml", "--json")
    )
    assert again.pop("schedule") == "plan.toml (mbs2)"
    assert first.pop("schedule") == "mbs2"
    assert without_time(again, "settings") == without_time(first, "settings")


def test_an_edited_plan_is_told_from_the_original(prints: Prints) -> None:
    words = ("resnet18", "--image", "32", "--engine", "analytic")
    prints("plan", *words[:3], "--batch", "4", "--out", "plan.toml", said="written to plan.toml\n")
    text = Path("plan.toml").read_text()
    Path("mine.toml").write_text(text.replace("sub_batch = 2", "sub_batch = 1"))
    runs = json.loads(prints("compare", *words, "--schedules", "mbs2,plan.toml,mine.toml", "--batch", "4", "--json"))
    assert [run["schedule"] for run in runs] == ["mbs2", "plan.toml (mbs2)", "mine.toml (edited mbs2)"]


def test_plans_and_profiles_of_a_file_know_it(prints: Prints, capsys: pytest.CaptureFixture[str]) -> None:
    """A file called like a registered workload is not taken for it, nor a changed file for what it was."""
    Path("nets").mkdir()
    row = "c, 10, 10, 3, 3, 3, 8, 1,\n"
    Path("nets/alexnet.csv").write_text(TOPOLOGY + row)
    plan, profile = Path("plan.toml"), Path("profile.toml")
    prints("plan", "nets/alexnet.csv", "--out", "plan.toml", said="written to plan.toml\n")
    np.savez("model.npz", c=np.ones((4, 3, 3, 3)))
    words = ("profile", "model.npz", "--workload", "nets/alexnet.csv", "-o", "profile.toml")
    prints(*words, said="written to profile.toml\n")
    for file in (plan, profile):
        sha256 = hashlib.sha256(Path("nets/alexnet.csv").read_bytes()).hexdigest()
        assert tomllib.loads(file.read_text())["workload_file"] == {"path": "nets/alexnet.csv", "sha256": sha256}
        assert prints("check", str(file)).startswith(f"{file}: ok")
    for words in (("--schedule", "plan.toml"), ("--sparsity", "profile.toml")):
        assert main(["run", "alexnet", "--engine", "analytic", *words]) == 2
        assert "workload_file: is made for nets/alexnet.csv, not for alexnet" in capsys.readouterr().err
        prints("run", "nets/alexnet.csv", "--engine", "analytic", *words)
    Path("nets/alexnet.csv").write_text(TOPOLOGY + row.replace("8", "9"))
    for file in (plan, profile):
        assert main(["check", str(file)]) == 2
        assert "is made for nets/alexnet.csv, which has changed since" in capsys.readouterr().err


def without_time(run: dict[str, Any], *more: str) -> dict[str, Any]:
    manifest = {key: value for key, value in run["manifest"].items() if key not in ("seconds_to_simulate", *more)}
    return run | {"manifest": manifest}


def test_plan_and_program_print_text(prints: Prints) -> None:
    words = ("resnet18", "--image", "32", "--batch", "4")
    assert "groups of layers" in prints("plan", *words, "--schedule", "baseline")
    assert prints("plan", *words, "--toml").startswith("# How one training step runs")
    plan = json.loads(prints("plan", *words, "--json"))
    run = json.loads(prints(*RUN, "--json"))
    assert plan["dram_bytes"]["total"] == run["dram_bytes"]["total"]
    assert [group["layers"] for group in plan["groups"]] == [group["layers"] for group in run["groups"]]
    assert prints("program", *words).startswith("program resnet18 mbs2: 2 cores")


def test_compare_prints_ratios_to_the_first(prints: Prints) -> None:
    text = prints("compare", "resnet18", "alexnet", "--image", "64", *SMALL[2:], "--schedules", "archopt,mbs2")
    assert text.count("of archopt") == 4
    assert "mean ratios over 2 workloads" in text


def test_compare_prints_a_list_of_runs_and_draws_them(prints: Prints) -> None:
    words = ("compare", "resnet18", *SMALL, "--json", "--plot", "bars.svg")
    runs = json.loads(prints(*words, said="written to bars.svg\n"))
    assert [run["schedule"] for run in runs] == ["baseline", "archopt", "il", "mbs-fs", "mbs1", "mbs2"]
    first = Path("bars.svg").read_bytes()
    prints(*words, "--force", said="written to bars.svg\n")
    assert Path("bars.svg").read_bytes() == first
    assert [path.name for path in Path().iterdir()] == ["bars.svg"]


def test_a_schedule_has_one_colour() -> None:
    assert colours(["mbs2", "mine", "baseline"]) == {
        "mbs2": COLOURS["mbs2"],
        "mine": OTHER_COLOURS[0],
        "baseline": COLOURS["baseline"],
    }
    assert len({*COLOURS.values(), *OTHER_COLOURS}) == len(COLOURS) + len(OTHER_COLOURS)


@pytest.mark.parametrize("kind", KINDS)
def test_list(kind: str, prints: Prints) -> None:
    rows = json.loads(prints("list", kind, "--json"))
    text = prints("list", kind)
    assert rows and all(row["name"][:20] in text for row in rows)


def test_explain(prints: Prints) -> None:
    assert prints("explain", "step_seconds") == (
        "step_seconds [s]\n    Time of one training step.\n    = step_cycles / chip.clock\n"
    )
    assert json.loads(prints("explain", "macs", "--json"))[0]["unit"] == "MACs"


def test_gemm_splits_its_cycles(prints: Prints) -> None:
    values = json.loads(prints("gemm", "1000", "256", "64", "--array", "32x16", "--json"))
    parts = ("fill_cycles", "stream_cycles", "weight_gap_cycles", "drain_cycles")
    assert sum(values[part] for part in parts) == values["cycles"]
    assert (values["waves"], values["weight_gap_cycles"]) == (4 * 8 * 4, 0)
    one = json.loads(prints("gemm", "1000", "256", "64", "--array", "32x16", "--schedule", "baseline", "--json"))
    assert one["weight_gap_cycles"] == (values["waves"] - 1) * 32
    assert "weight-load gap" in prints("gemm", "1000", "256", "64")


@pytest.mark.parametrize("dataflow", ["ws", "os", "is"])
def test_scalesim_lists_both_figures(dataflow: str, prints: Prints) -> None:
    Path("t.csv").write_text(TOPOLOGY + "conv,10,10,3,3,4,8,1,\nconvDP,9,9,3,3,2,1,1,\n")
    rows = json.loads(prints("scalesim", "t.csv", "--array", "8x8", "--dataflow", dataflow, "--json"))
    assert [(row["layer"], row["macs"]) for row in rows] == [("conv", 18432), ("convDP", 882)]
    assert all(row["scalesim_cycles"] - row["wavecore_cycles"] == row["difference_cycles"] for row in rows)
    assert "convDP" in prints("scalesim", "t.csv", "--dataflow", dataflow)


def test_check_goes_on_after_a_wrong_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "t.csv", tmp_path / "x.toml"
    good.write_text(TOPOLOGY + "conv,10,10,3,3,4,8,1\n")
    bad.write_text("")
    assert main(["check", str(bad), str(good)]) == 2
    said = capsys.readouterr()
    assert said.out == f"{good}: ok, a SCALE-Sim topology of 1 layer\n"
    assert said.err.startswith(f"error: {bad}: is empty\n")


def test_check_knows_every_preset(prints: Prints) -> None:
    presets = Path(wavecore.__file__).parent / "hardware" / "presets"
    kinds = {"accelerators": "an accelerator", "memories": "a memory", "energy": "an energy table"}
    for path in sorted(presets.glob("*/*.toml")):
        assert prints("check", str(path)) == f"{path}: ok, {kinds[path.parent.name]}\n"


def test_help_and_version(prints: Prints) -> None:
    assert prints("--version") == f"wavecore {wavecore.__version__}\n"
    assert prints() == prints("--help")
    assert "compare" in prints("--help") and "--schedules" in prints("compare", "--help")


def test_the_module_runs_and_loads_nothing_heavy() -> None:
    assert python("-m", "wavecore", "--version").stdout.startswith("wavecore ")
    code = f"import sys, wavecore.cli.app as app; app.command(); print([m for m in {HEAVY} if m in sys.modules])"
    assert python("-c", code).stdout == "[]\n"


def test_two_processes_print_the_same() -> None:
    words = ("-m", "wavecore", *RUN[:-1], "event", "--json")
    first, second = (json.loads(python(*words, PYTHONHASHSEED=seed).stdout) for seed in ("1", "2"))
    assert without_time(first) == without_time(second)


def test_a_reader_that_leaves_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "wavecore", "list", "metrics"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_endings_may_be_in_capitals(prints: Prints) -> None:
    Path("NET.CSV").write_text(TOPOLOGY + "c, 10, 10, 3, 3, 3, 8, 1,\n")
    assert prints("check", "NET.CSV").endswith("ok, a SCALE-Sim topology of 1 layer\n")
    prints("plan", "NET.CSV", "--out", "PLAN.TOML", said="written to PLAN.TOML\n")
    assert prints("check", "PLAN.TOML") == "PLAN.TOML: ok, a plan\n"
    assert "PLAN.TOML (mbs2)" in prints("run", "NET.CSV", "--engine", "analytic", "--schedule", "PLAN.TOML", "--json")
    np.savez("model", c=np.ones((8, 3, 3, 3)))
    Path("model.npz").rename("MODEL.NPZ")
    assert "100.00%" in prints("profile", "MODEL.NPZ", "--workload", "NET.CSV")
