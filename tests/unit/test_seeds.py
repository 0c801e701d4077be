"""Does ``--hypothesis-seed=random`` try new examples, and does the seed that it prints repeat them?"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parent.parent / "conftest.py"
TEST = """
from hypothesis import given, settings, strategies as st
@settings(max_examples=5)
@given(st.integers(0, 10**9))
def test_tries(number):
    print("tried", number)
"""


def tried(folder: Path, *options: str) -> tuple[list[str], str]:
    """The numbers that a test draws on CI, and the seed that is printed."""
    folder.mkdir(exist_ok=True)
    shutil.copy(CONFTEST, folder)
    shutil.copy(CONFTEST.with_name("missing_extras.py"), folder)
    (folder / "test_one.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-qs", "-p", "no:cacheprovider", "-c", os.devnull, *options, "."]
    environment = os.environ | {"CI": "true"}
    done = subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    seed = re.search(r"repeat these examples: --hypothesis-seed=(\d+)", done.stdout)
    return re.findall(r"tried (\d+)", done.stdout), seed[1] if seed else ""


def test_a_random_seed_is_new_and_can_be_repeated(tmp_path: Path) -> None:
    fixed, again = tried(tmp_path / "a"), tried(tmp_path / "a")
    assert fixed == again
    assert fixed[1] == ""
    numbers, seed = tried(tmp_path / "a", "--hypothesis-seed=random")
    assert numbers != fixed[0]
    assert tried(tmp_path / "a", f"--hypothesis-seed={seed}") == (numbers, seed)
