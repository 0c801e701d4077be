"""Every method, trained tiny: from ``wavecore train`` to ``wavecore run --sparsity``."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wavecore.cli import main
from wavecore.methods.folder import FILES, SCHEMA
from wavecore.methods.registry import METHODS
from wavecore.sparsity.profile_file import load_profile

SAMPLES = {"accuracy": "100", "perplexity": "3000"}  # images, words
CASES = [(method.name, network) for method in METHODS.values() for network in method.networks]


def train(method: str, network: str, *more: str) -> int:
    tiny = ("--epochs", "1", "--samples", SAMPLES[METHODS[method].metric])
    finetuned = ("--finetune-epochs", "1") if METHODS[method].networks[network].finetune_epochs else ()
    return main(["train", method, "--network", network, *tiny, *finetuned, *more])


def summary(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "summary.json").read_text())
    return found


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("method", "network"), CASES)
def test_a_tiny_training_is_costed(method: str, network: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(method, network, "-o", "out", "--json") == 0
    said = capsys.readouterr()
    assert said.err == "written to out\n"
    found = json.loads(said.out)
    assert found == summary("out") and found["schema"] == SCHEMA
    assert (found["method"], found["network"], found["metric"]) == (method, network, METHODS[method].metric)
    assert all(np.isfinite(score) for score in found["scores"].values())
    assert {path.name for path in Path("out").iterdir()} <= set(FILES)
    with Path("out/log.csv").open() as log:
        rows = list(csv.DictReader(log))
    assert rows and found["metric"] in rows[0] and all(np.isfinite(float(row["loss"])) for row in rows)
    profile = load_profile(Path("out/profile.toml"))
    assert profile.workload == network and f"wavecore train {method}" in profile.source
    assert main(["run", network, "--sparsity", "out/profile.toml", "--engine", "analytic", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["manifest"]["settings"]["sparsity"]["profile"] == profile.name


def test_the_report_has_scores_and_layers(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("jpnet", "lenet300") == 0
    said = capsys.readouterr()
    assert said.err == "written to jpnet-lenet300\n"
    for text in ("accuracy, dense", "before the pruning", "at the end", "activations kept", "fc3", "300 of 300"):
        assert text in said.out
    assert "wavecore run lenet300 --sparsity jpnet-lenet300/profile.toml" in said.out


def test_the_checkpoint_is_what_the_profile_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("group-hs", "lenet5", "-o", "out") == 0
    weights = np.load("out/checkpoint.npz")
    found = {layer["name"]: layer for layer in summary("out")["layers"]}
    for name, mask in load_profile(Path("out/profile.toml")).masks.items():
        assert np.array_equal(weights[f"{name}.weight"] != 0, mask.array)
        assert found[name]["weights"] == [mask.nonzeros, mask.array.size]
    capsys.readouterr()
    assert main(["profile", "out/checkpoint.npz", "--workload", "lenet5", "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert [layer["nonzeros"] for layer in layers] == [each["weights"][0] for each in found.values()]


def test_the_densities_are_those_that_profile_measures(capsys: pytest.CaptureFixture[str]) -> None:
    from wavecore.methods.digits import digits

    assert train("hoyer-square", "lenet300", "-o", "out") == 0
    np.savez("test.npz", digits(100).test.images.numpy())
    capsys.readouterr()
    words = ["profile", "out/checkpoint.npz", "--workload", "lenet300", "--data", "test.npz", "--json"]
    assert main(words) == 0
    measured = json.loads(capsys.readouterr().out)["activations"]
    for name, layer in load_profile(Path("out/profile.toml")).layers.items():
        assert layer.activation_density == pytest.approx(measured[name], abs=1e-4)


def test_the_same_seed_makes_the_same_files_and_another_does_not() -> None:
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        assert train("hoyer-square", "lenet300", "-o", name, "--seed", seed) == 0
    for file in FILES:
        same = Path("a", file).read_bytes() == Path("b", file).read_bytes()
        assert same or file == "summary.json", file
    assert Path("a/checkpoint.npz").read_bytes() != Path("c/checkpoint.npz").read_bytes()
    first, second = summary("a"), summary("b")
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_a_folder_that_holds_a_training(capsys: pytest.CaptureFixture[str]) -> None:
    """The next goes beside it, unless it is to be replaced: then nothing of the old one stays."""
    assert train("hoyer-square", "lenet300", "-o", "out") == 0
    assert train("dense", "lenet300", "-o", "out") == 0
    assert "written to out-2, since out holds a training already" in capsys.readouterr().err
    Path("out/notes.txt").write_text("mine")
    assert train("dense", "lenet300", "-o", "out", "--force") == 0
    assert {path.name for path in Path("out").iterdir()} == {*FILES, "notes.txt"} - {"profile.masks.npz"}
    assert summary("out")["method"] == "dense"


def test_stopping_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wavecore.methods.folder.write_file", stopped)
    assert train("dense", "lenet300", "-o", "out") == 130
    assert capsys.readouterr().err == "stopped\n"
    assert list(folder.iterdir()) == []
