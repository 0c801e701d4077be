"""Has any plan of ResNet-50 changed?  Where that is meant: ``pytest tests/golden --update-golden``."""

from collections.abc import Callable
from pathlib import Path

import pytest

from wavecore.common.entry_points import collect
from wavecore.hardware.config import load_accelerator
from wavecore.network.catalog import workload
from wavecore.plan.files import load_plan, plan_text
from wavecore.plan.rules import verify_plan
from wavecore.plan.schedule import Schedule
from wavecore.training.unroll import training_graph

SCHEDULES = collect("wavecore.schedules", "SCHEDULES", Schedule)


@pytest.mark.parametrize("schedule", ["baseline", "archopt", "il", "mbs-fs", "mbs1", "mbs2"])
def test_resnet50(schedule: str, golden: Callable[[str, str], Path]) -> None:
    training, machine = training_graph(workload("resnet50")), load_accelerator()
    plan = SCHEDULES[schedule].make(training, machine, 32)
    path = golden(f"plans/resnet50-{schedule}.toml", plan_text(plan))
    saved = load_plan(path, training)
    assert saved == plan
    verify_plan(training, saved, machine)
