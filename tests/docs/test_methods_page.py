"""Does docs/methods.md still hold: its commands, its methods, and its tables, costed anew from the shipped profiles?"""

import csv
import re
import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from wavecore.cli import main
from wavecore.methods.folder import LOG, PROFILE
from wavecore.methods.registry import METHODS, settings_of
from wavecore.sparsity.profile_file import load_profile

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/methods.md").read_text(encoding="utf-8")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "examples/profiles")
    yield import_module("make_trained")
    sys.modules.pop("make_trained", None)


def test_commands_run_in_the_order_of_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            name, *words = shlex.split(line)
            assert name == "wavecore" and main(words) == 0, line
            assert capsys.readouterr().out


def test_every_method_is_named_and_trained_in_full(made: Any) -> None:
    assert set(re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE)) >= set(METHODS)
    assert list(made.summaries()) == made.names()


def test_the_tables_are_what_the_profiles_cost(made: Any) -> None:
    assert made.with_tables(PAGE) == PAGE


def test_the_trainings_are_the_registrys(made: Any) -> None:
    """With its settings, a row of the log an epoch, and the last score that of the summary."""
    for name, summary in made.summaries().items():
        method = METHODS[summary["method"]]
        wanted = settings_of(method, network=summary["network"])
        assert all(summary[key] == getattr(wanted, key) for key in ("epochs", "finetune_epochs", "seed", "samples"))
        assert load_profile(made.TRAINED / name / PROFILE).workload == summary["network"]
        with (made.TRAINED / name / LOG).open(encoding="utf-8") as log:
            last = list(csv.DictReader(log))[-1]
        assert float(last[method.metric]) == pytest.approx(summary["scores"]["final"], rel=1e-4)
        assert float(last["weights_kept"]) == pytest.approx(summary["weights_kept"], rel=1e-4)
