"""``wavecore train iss``, tiny: what is written, the same every time, and what is said of what is wrong."""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wavecore.cli import main
from wavecore.methods import corpus, iss
from wavecore.sparsity.profile_file import load_profile

GATES = 4


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Networks of few units, of which the penalty takes some."""
    with pytest.MonkeyPatch.context() as patch:
        sizes = {"VOCABULARY": 200, "EMBEDDING": 16, "HIDDEN": (24, 24)}
        for name, value in {**sizes, "PUBLISHED": 0.004, "THRESHOLD": 5e-3}.items():
            patch.setattr(iss, name, value)
        yield


def train(out: Path, *more: str) -> dict[str, Any]:
    words = ["--epochs", "8", "--finetune-epochs", "1", "--samples", "2000"]
    assert main(["train", "iss", *words, "-o", str(out), *more]) == 0
    found: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training."""
    folder = tmp_path_factory.mktemp("iss") / "out"
    train(folder)
    return folder


@pytest.fixture(scope="module")
def summary(made: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((made / "summary.json").read_text())
    return found


def test_units_leave_and_all_files_say_so(made: Path, summary: dict[str, Any]) -> None:
    first, second = summary["details"]["units"]
    assert 0 < first < 24 and 0 < second <= 24
    kept = {layer["name"]: (layer["outputs"], layer["inputs"]) for layer in summary["layers"]}
    assert kept["lstm1"] == ([GATES * first, GATES * 24], [first, 24])
    assert kept["lstm2.input"] == ([GATES * second, GATES * 24], [first, 24])
    profile = load_profile(made / "profile.toml")
    assert (profile.layers["lstm1"].hidden, profile.layers["lstm2"].hidden) == (first, second)
    assert not profile.masks and profile.workload == "lstm_ptb" and "wavecore train iss" in profile.source
    assert profile.options == {"vocabulary": 200, "embedding": 16, "hidden": 24, "layers": 2, "steps": 20}
    assert {name: array.shape for name, array in np.load(made / "checkpoint.npz").items()} == {
        "embedding.weight": (200, 16),
        "lstm1.input.weight": (GATES * first, 16),
        "lstm1.input.bias": (GATES * first,),
        "lstm1.weight": (GATES * first, first),
        "lstm2.input.weight": (GATES * second, first),
        "lstm2.input.bias": (GATES * second,),
        "lstm2.weight": (GATES * second, second),
        "decoder.weight": (200, second),
        "decoder.bias": (200,),
    }


def test_the_log_agrees_with_the_summary(made: Path, summary: dict[str, Any]) -> None:
    with (made / "log.csv").open() as log:
        rows = list(csv.DictReader(log))
    assert [row["stage"] for row in rows] == ["dense"] * 8 + ["regularized"] * 8 + ["fine-tuning"]
    scores = summary["scores"]
    assert scores["pruned"] == pytest.approx(scores["trained"], rel=1e-5)
    for row, score in ((7, "dense"), (15, "trained"), (16, "final")):
        assert float(rows[row]["perplexity"]) == pytest.approx(scores[score], rel=1e-4)
    assert float(rows[-1]["weights_kept"]) == pytest.approx(summary["weights_kept"], rel=1e-4)
    assert float(rows[7]["loss"]) < float(rows[0]["loss"])


def test_the_checkpoint_is_measured_as_the_profile_has_it(
    made: Path, summary: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", str(made / "checkpoint.npz"), "--json"]) == 0
    measured = {layer["name"]: layer["nonzeros"] for layer in json.loads(capsys.readouterr().out)["layers"]}
    assert measured == {layer["name"]: layer["weights"][0] for layer in summary["layers"]}


def test_the_same_seed_makes_the_same_network(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tmp_path / "same")
    said = capsys.readouterr().out
    assert all(text in said for text in ("perplexity, dense", "after the pruning", "lstm2.input", " of 24"))
    assert (made / "checkpoint.npz").read_bytes() == (tmp_path / "same/checkpoint.npz").read_bytes()
    assert (made / "log.csv").read_bytes() == (tmp_path / "same/log.csv").read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--samples", "9"], "--samples: 9 words are too few to train on\n  try: 201 or more"),
        (["--samples", "50000"], "--samples: the corpus has 48225 words to train on\n  try: at most 48225"),
        (
            ["--network", "lenet5"],
            "--network: there is no network that iss trains named 'lenet5'\n  try: one of lstm_ptb",
        ),
    ],
)
def test_the_message(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "iss", "-o", str(tmp_path / "out"), *words]) == 2
    assert capsys.readouterr().err == f"error: {said}\n"
    assert not list(tmp_path.iterdir())


def test_a_penalty_that_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(iss, "THRESHOLD", 10.0)
    assert main(["train", "iss", "--epochs", "1", "--samples", "500", "-o", str(tmp_path / "out")]) == 2
    what = "train iss: the pruning leaves no unit of lstm1\n  try: fewer --epochs, more --samples"
    assert capsys.readouterr().err == f"error: {what}\n"
    assert not list(tmp_path.iterdir())


def test_gensim_is_not_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("wavecore.methods.registry.find_spec", lambda name: None if name == "gensim" else name)
    assert main(["train", "iss"]) == 2
    said = 'error: train iss: gensim must be installed\n  try: pip install "wavecore[torch]"\n'
    assert capsys.readouterr().err == said


def test_the_corpus_is_found_without_loading_gensim() -> None:
    assert corpus.corpus_file().stat().st_size > 300_000
    assert "gensim" not in sys.modules
