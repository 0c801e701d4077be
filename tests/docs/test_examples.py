"""Do the examples print what they are said to?  ``pytest --update-golden`` writes it anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_prints_its_output(script: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    expected = script.with_suffix(".out")
    if request.config.getoption("--update-golden"):
        expected.write_text(done.stdout, encoding="utf-8")
    assert done.stdout == expected.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == []


def test_every_output_has_its_example() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.out")} == {script.stem for script in SCRIPTS}
