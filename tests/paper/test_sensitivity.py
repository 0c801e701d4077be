"""The paper's sensitivity study, on a coarse grid: ``mbs2`` is flat over buffers and memories, the others are not."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from sweep_specs import swept

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "sweeps" / "buffer_memory.toml"


@pytest.fixture(scope="module")
def seconds(tmp_path_factory: pytest.TempPathFactory) -> pd.Series:  # type: ignore[type-arg]
    """Step times by schedule, memory and buffer: the corners of the example."""
    text = EXAMPLE.read_text(encoding="utf-8").replace('["hbm2x2", "hbm2", "gddr5", "lpddr4"]', '["hbm2x2", "lpddr4"]')
    coarse = text.replace("factor = 2", "factor = 8").replace('name = "buffer-memory"', 'name = "coarse"')
    _, table = swept(coarse, tmp_path_factory.mktemp("sensitivity"), head="")
    assert len(table) == 12
    return table.set_index(["schedule", "memory", "core.global_buffer_bytes"])["step_seconds"]


def spread(values: pd.Series) -> float:  # type: ignore[type-arg]
    return float(values.max() / values.min())


def test_mbs2_is_flat(seconds: pd.Series) -> None:  # type: ignore[type-arg]
    """1.23 from 5 to 40 MiB and from LPDDR4 to two stacks of HBM2: the less the array waits, the more DRAM shows."""
    assert spread(seconds["mbs2"]) < 1.25


@pytest.mark.parametrize("schedule", ["baseline", "il"])
def test_the_others_are_not(schedule: str, seconds: pd.Series) -> None:  # type: ignore[type-arg]
    assert spread(seconds[schedule]) > 1.4


def test_il_needs_its_buffer_where_memory_is_slow(seconds: pd.Series) -> None:  # type: ignore[type-arg]
    assert spread(seconds["il"]["lpddr4"]) > 1.1


def test_mbs2_with_the_worst_beats_the_others_with_the_best_memory_or_buffer(seconds: pd.Series) -> None:  # type: ignore[type-arg]
    assert seconds["mbs2"]["lpddr4"].max() < seconds["il"]["lpddr4"].min()
    assert seconds["mbs2"].max() < seconds["baseline"].min()
