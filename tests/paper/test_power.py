"""Is the power of the default chip, all that a run counts included, near what the paper is recalled to say?"""

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from wavecore.hardware.config import load_accelerator
from wavecore.network.catalog import workload
from wavecore.results.energy import static_watts
from wavecore.simulation import simulate

ROOT = Path(__file__).parent.parent.parent
RECALLED_WATTS = 56  # of the chip, at full utilization; what it includes is not known


def test_power_at_full_utilization() -> None:
    """ResNet-50 under mbs2 with its energy spent in the time in which the arrays, never idle, would do its work.

    The table in docs/energy.md says the same, within a few per cent.
    """
    machine = load_accelerator()
    run = simulate(workload("resnet50"), "mbs2", machine, engine="analytic")
    seconds = run.step_seconds * run.array_utilization
    watts = {part: joules / seconds for part, joules in asdict(run.energy_joules).items()}
    watts["static"] = static_watts(machine)
    watts["dram"] -= machine.memory.background_watts * (1 / run.array_utilization - 1)
    page = (ROOT / "docs/energy.md").read_text("utf-8")
    table = page[page.index("power at full utilization") :]
    rows = dict(re.findall(r"^\| ([a-z -]+) \| ([\d.]+) W \|", table, re.MULTILINE))
    names = {"arrays": "array", "local buffers": "local_buffer", "global buffers": "global_buffer"} | {
        "vector units": "vector",
        "interconnect": "interconnect",
        "leakage": "static",
        "of a memory": "dram",
    }
    for name, part in names.items():
        assert float(rows[name]) == pytest.approx(watts[part], rel=0.06, abs=0.06), name
    chip = sum(watts.values()) - watts["dram"]
    assert float(rows["chip"]) == pytest.approx(chip, rel=0.03)
    assert float(rows["total"]) == pytest.approx(chip + watts["dram"], rel=0.03)
    assert chip == pytest.approx(RECALLED_WATTS, rel=0.25)
