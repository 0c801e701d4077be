"""Does every command that takes a workload take an ONNX model?"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

pytest.importorskip("onnx")

from onnx_models import classifier, saved

from wavecore.cli import main

SMALL = ("--batch", "4", "--engine", "analytic")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small model in the folder where commands run."""
    monkeypatch.chdir(tmp_path)
    return str(saved(Path(), classifier()))


def test_run_names_the_file_in_its_manifest(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("run", model, *SMALL, "--json", "--image", "8", "--option", "norm=group")) == 0
    said = capsys.readouterr()
    run = json.loads(said.out)
    assert said.err == "" and run["workload"] == "model"
    settings = run["manifest"]["settings"]
    sha256 = hashlib.sha256(Path(model).read_bytes()).hexdigest()
    assert settings["file"] == {"path": "model.onnx", "sha256": sha256}
    assert settings["workload"] == "model.onnx"
    assert settings["options"] == {"image": "8", "norm": "group"}


@pytest.mark.parametrize(
    "words",
    [
        ("run", *SMALL),
        ("compare", *SMALL, "--schedules", "baseline,mbs2"),
        ("plan", "--batch", "4"),
        ("program", "--batch", "4", "--schedule", "mbs1"),
    ],
)
def test_commands(model: str, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    assert main((words[0], model, *words[1:])) == 0
    assert "model" in capsys.readouterr().out


def test_a_plan_of_a_model_runs_again(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("plan", model, "--batch", "4", "--out", "plan.toml")) == 0
    assert main(("run", model, "--schedule", "plan.toml", "--engine", "analytic", "--json")) == 0
    assert json.loads(capsys.readouterr().out)["batch"] == 4


def test_check_says_what_is_in_it(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("check", model)) == 0
    text = "model.onnx: ok, an ONNX model of 8 layers, 1,522 parameters, 15,104 MACs per sample\n"
    assert capsys.readouterr() == (text, "")


def test_notes_go_to_stderr(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("run", model, *SMALL, "--json", "--option", "norm=batch")) == 0
    said = capsys.readouterr()
    assert "batch_norm" in {layer["kind"] for layer in json.loads(said.out)["layers"]}
    assert said.err.startswith("note: model.onnx: a normalization over the mini-batch") and said.err.count("\n") == 1


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_verify(model: str, capsys: pytest.CaptureFixture[str], norm: str) -> None:
    """The image that it scales down to is the file's own, since the linear layer takes no other."""
    pytest.importorskip("torch")
    assert main(("verify", model, "--json", "--option", f"norm={norm}")) == 0
    verified = json.loads(capsys.readouterr().out)
    assert verified["passed"] and verified["workload"] == "model"
