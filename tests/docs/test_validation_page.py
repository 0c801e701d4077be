"""Is docs/validation.md what its command makes, and does every test that it names exist?"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "validation.md"


@pytest.fixture
def validation(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield import_module("validation")
    for name in ("validation", "claims"):
        sys.modules.pop(name, None)


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", page())
    assert len(named) > 20
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / "tests" / file).read_text()]
    assert missing == []


def test_what_is_quickly_made_is_made_again(validation: Any) -> None:
    text = page()
    assert text.startswith("\n".join(validation.intro()))
    assert text.endswith("\n".join(validation.outro()).rstrip("\n") + "\n")


def test_every_workload_and_schedule_is_there(validation: Any) -> None:
    head = "| step time of | " + " | ".join(validation.SCHEDULES) + " | mean size |"
    lines = page().split(head)[1].split("\n\n")[0].splitlines()[2:]
    assert tuple(line.split(" | ")[0].removeprefix("| ") for line in lines) == validation.networks()


def test_the_bounds_hold() -> None:
    """What the page promises of the analytic engine: 3 % in the mean, 13 % at worst.

    The worst is bidaf, whose recurrent layers of both directions share the array: only 8 % elsewhere.
    """
    found = re.search(r"\*\*([\d.]+) % of the step time in the mean, ([\d.]+) % at worst\*\*", page())
    assert found is not None
    assert float(found[1]) <= 3 and float(found[2]) <= 13


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet", "resnet18"])
def test_rows_of_the_engines_are_made_again(validation: Any, name: str) -> None:
    row = validation.error_row(name, [validation.measure((name, schedule)) for schedule in validation.SCHEDULES])
    assert "| " + " | ".join(row) + " |" in page().splitlines()
