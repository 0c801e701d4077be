"""A tiny ISS training, costed: what is left of the workload ``lstm_ptb`` is what was trained."""

import json
from pathlib import Path

import pytest

from wavecore.cli import main
from wavecore.network.catalog import workload
from wavecore.sparsity.profile_file import load_profile
from wavecore.sparsity.structure import apply_profile, weight_shape

SHIPPED = Path(__file__).parents[2] / "examples/profiles/trained/iss-lstm_ptb"


def test_the_shipped_profile_fits_the_workload() -> None:
    profile = load_profile(SHIPPED / "profile.toml")
    left = apply_profile(workload("lstm_ptb", **profile.options), profile)
    summary = json.loads((SHIPPED / "summary.json").read_text())
    for layer in summary["layers"]:
        if layer["name"] != "embedding":
            assert weight_shape(left, layer["name"]) == (layer["outputs"][0], layer["inputs"][0])


def test_the_shipped_profile_makes_a_step_cheaper(capsys: pytest.CaptureFixture[str]) -> None:
    path = SHIPPED / "profile.toml"
    options = [f"--option={key}={value}" for key, value in load_profile(path).options.items()]
    costs = []
    for words in (options, ["--sparsity", str(path)]):
        assert main(["run", "lstm_ptb", "--schedule", "baseline", "--engine", "analytic", "--json", *words]) == 0
        costs.append(json.loads(capsys.readouterr().out))
    dense, pruned = costs
    assert pruned["macs"] < dense["macs"] and pruned["dram_bytes"]["total"] < dense["dram_bytes"]["total"]


def test_profile_measures_the_units_of_the_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--epochs", "1", "--finetune-epochs", "1", "--samples", "600"]
    assert main(["train", "iss", *words, "-o", str(tmp_path / "out")]) == 0
    written = load_profile(tmp_path / "out/profile.toml")
    options = [f"--option={key}={value}" for key, value in written.options.items()]
    checkpoint, measured = str(tmp_path / "out/checkpoint.npz"), tmp_path / "measured.toml"
    assert main(["profile", checkpoint, "--workload", "lstm_ptb", *options, "-o", str(measured)]) == 0
    found = load_profile(measured).layers
    capsys.readouterr()
    for layer in ("lstm1", "lstm2"):
        units = written.options["hidden"] if found[layer].hidden is None else found[layer].hidden
        assert units == written.layers[layer].hidden
