"""What is said of a modelling choice that does not exist, and that one which does is taken."""

from __future__ import annotations

import json

import pytest

from wavecore.cli import main

RUN = ["run", "resnet18", "--image", "64", "--engine", "analytic", "--json"]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            "normalisation_passes=1",
            "error: --choice normalisation_passes=1: there is no choice named 'normalisation_passes'\n"
            "  try: normalization_passes\n",
        ),
        (
            "normalization_passes=3",
            "error: --choice normalization_passes=3: '3' is no value of normalization_passes\n  try: 1 or 2\n",
        ),
        (
            "hold_weight_gradients",
            "error: --choice hold_weight_gradients: there is no '='\n  try: normalization_passes=1\n",
        ),
    ],
)
def test_wrong_choices(choice: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "--choice", choice]) == 2
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", message)


def test_one_pass_moves_less(capsys: pytest.CaptureFixture[str]) -> None:
    traffic = []
    for passes in ("1", "2"):
        assert main([*RUN, "--schedule", "baseline", "--choice", f"normalization_passes={passes}"]) == 0
        run = json.loads(capsys.readouterr().out)
        assert run["manifest"]["settings"]["choices"] == [f"normalization_passes={passes}"]
        traffic.append(run["dram_bytes"]["total"])
    assert traffic[0] < traffic[1]
