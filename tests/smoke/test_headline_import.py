"""Does the headline import, and ask for things that exist?"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from wavecore.hardware.config import load_accelerator
from wavecore.network.catalog import workload_names
from wavecore.simulation import schedule_names

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_the_headline_runs_registered_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "benchmark_headline", ModuleType("benchmark_headline"))
    headline = module(FOLDER / "headline.py")
    assert callable(headline.main)
    assert set(headline.NETWORKS) <= set(workload_names())
    assert set(headline.SCHEDULES) <= set(schedule_names())
    for variant in (*headline.VARIANTS, *headline.DECISIVE):
        load_accelerator(overrides=variant.overrides)
