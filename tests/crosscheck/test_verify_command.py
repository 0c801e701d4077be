"""``wavecore verify`` in the terminal's terms: what it prints, and its exit codes."""

from __future__ import annotations

import json
import sys

import pytest

from wavecore.cli import main

SMALL = ("resnet18", "--image", "32", "--batch", "4")


def test_json_names_every_tensor_and_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason='PyTorch is the referee: pip install "wavecore[torch]"')
    assert main(("verify", *SMALL, "--schedule", "mbs1", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["workload"], found["schedule"], found["dtype"], found["passed"]) == (
        "resnet18",
        "mbs1",
        "float64",
        True,
    )
    names = [tensor["name"] for tensor in found["tensors"]]
    assert names[0] == "loss" and {"conv1.weight_gradient", "fc.weight", "fc.momentum"} <= set(names)
    assert found["largest_error"] == max(tensor["error"] for tensor in found["tensors"])


def test_the_table_says_what_was_run(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason='PyTorch is the referee: pip install "wavecore[torch]"')
    assert main(("verify", *SMALL)) == 0
    text = capsys.readouterr().out
    for part in ("width 0.125", "samples per core", "global buffer", "largest relative errors", "passed"):
        assert part in text


def test_without_torch_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(("verify", *SMALL)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == ('error: wavecore verify: PyTorch is not installed\n  try: pip install "wavecore[torch]"\n')


def test_an_unknown_dtype_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("verify", *SMALL, "--dtype", "float16")) == 2
    assert capsys.readouterr().err == ("error: --dtype: there is no dtype named 'float16'\n  try: float64 or float32\n")
