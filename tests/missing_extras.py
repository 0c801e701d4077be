"""Tests that fail because a package of an extra is not installed are skipped, with the extra as the reason.

A finder behind all others sees every import that failed.  With all extras installed it sees none, and changes nothing.
"""

import re
import sys
import tomllib
from collections.abc import Generator, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType

import pytest

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def _extras() -> dict[str, str]:
    """Return the extra that brings each optional top-level module; those of users before ``dev``."""
    if not PYPROJECT.exists():  # the folder has been copied
        return {}
    extras = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    found: dict[str, str] = {}
    for extra, requirements in extras.items():
        for requirement in requirements:
            found.setdefault(re.split(r"[^\w-]", requirement)[0], extra)
    return found


class MissingExtras(MetaPathFinder):
    """Notes which modules of extras were looked for in vain since the last `clear`."""

    def __init__(self) -> None:
        self.extras = _extras()
        self.missing: set[str] = set()

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name.partition(".")[0] in self.extras and name not in sys.modules:
            self.missing.add(name.partition(".")[0])

    @property
    def reason(self) -> str:
        module = min(self.missing)
        return f'{module} is not installed: pip install "wavecore[{self.extras[module]}]"'

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed and self.missing:
            report.outcome, report.longrepr = "skipped", (str(item.path), item.location[1] or 0, self.reason)
        if report.when == "teardown":
            self.missing.clear()
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        self.missing.clear()
        report = yield
        if report.failed and self.missing:
            report.outcome, report.longrepr = "skipped", (str(collector.path), 0, self.reason)
        self.missing.clear()
        return report


def install(config: pytest.Config) -> None:
    """Put the finder behind all others, and let it see the reports."""
    finder = MissingExtras()
    sys.meta_path.append(finder)
    config.pluginmanager.register(finder)
