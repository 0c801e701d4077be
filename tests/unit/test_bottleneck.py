"""Does a run end with what bounds it and with the change that helps most, on the machine as it is stated?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wavecore.cli import main
from wavecore.simulation import evaluate

RUN = ("run", "lenet5", "--engine", "analytic")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the run printed, without the breaks of its lines."""
    assert main([*RUN, *arguments]) == 0
    return " ".join(capsys.readouterr().out.split())


def sentence(text: str) -> str:
    return text[text.index("Bottleneck:") :]


def milliseconds(*overrides: str, schedule: str = "mbs2") -> float:
    from wavecore.hardware.config import load_accelerator

    return 1e3 * evaluate("lenet5", schedule, load_accelerator(overrides=overrides)).step_seconds


def test_slow_memory_is_named_and_its_step_is_that_of_the_analytic_engine(capsys: pytest.CaptureFixture[str]) -> None:
    found = sentence(said(capsys, "--set", "memory.bandwidth=10 GB/s"))
    assert found.startswith("Bottleneck: DRAM, whose bytes alone take ")
    before, after = milliseconds("memory.bandwidth=10 GB/s"), milliseconds("memory.bandwidth=20 GB/s")
    assert f"with twice the DRAM bandwidth the step would take {after:.3g} ms instead of {before:.3g} ms" in found
    assert f", {1 - after / before:.0%} less (analytic engine)." in found


def test_few_lanes_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    found = sentence(said(capsys, "--set", "vector.lanes=1"))
    assert found.startswith("Bottleneck: the vector unit, which works ")
    assert "with twice the vector lanes" in found


def test_lanes_behind_a_stated_port_do_not_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The port keeps its 4 bytes a cycle, so more lanes than one starve."""
    found = sentence(said(capsys, "--set", "vector.lanes=4", "--set", "core.vector_port=4 B/cycle"))
    assert found.startswith("Bottleneck: the vector unit, which works ")
    assert "with twice the vector lanes" not in found


def test_a_plan_from_a_file_stays_as_it_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = str(tmp_path / "plan.toml")
    assert main(["plan", "lenet5", "--schedule", "mbs2", "--out", file]) == 0
    assert sentence(said(capsys, "--schedule", file)) == sentence(said(capsys))


def test_json_has_no_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["workload"] == "lenet5"
