"""Has any plan of ResNet-50 changed?  Where that is meant: ``pytest tests/golden --update-golden``."""

from collections.abc import Callable
from pathlib import Path

import pytest

from wavecore.catalog import workload
from wavecore.config import load_accelerator
from wavecore.plan import Schedule
from wavecore.planfile import load_plan, plan_text
from wavecore.registry import collect
from wavecore.unroll import training_graph
from wavecore.verify import verify_plan

SCHEDULES = collect("wavecore.schedules", "SCHEDULES", Schedule)


@pytest.mark.parametrize("schedule", ["baseline", "archopt", "il", "mbs-fs", "mbs1", "mbs2"])
def test_resnet50(schedule: str, golden: Callable[[str, str], Path]) -> None:
    training, machine = training_graph(workload("resnet50")), load_accelerator()
    plan = SCHEDULES[schedule].make(training, machine, 32)
    path = golden(f"plans/resnet50-{schedule}.toml", plan_text(plan))
    saved = load_plan(path, training)
    assert saved == plan
    verify_plan(training, saved, machine)
