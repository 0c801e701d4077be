"""Do bins of time keep what happened in them, however long the run is?"""

from __future__ import annotations

import operator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavecore.cli import main
from wavecore.engines.occupancy import Bins, LevelOverTime, OccupancyRecorder
from wavecore.report.data import parse_occupancy

CHANGES = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)), min_size=1, max_size=40)


def test_bins_are_joined_in_pairs_when_time_outgrows_them() -> None:
    bins = Bins(4, operator.add)
    for cycle in range(4):
        bins.add(cycle, cycle + 1)
    assert (bins.width, bins.values) == (1, [1, 2, 3, 4])
    bins.add(4, 10)
    assert (bins.width, bins.values) == (2, [3, 7, 10])
    bins.add(100, 1)
    assert (bins.width, bins.points()) == (32, [(0, 20), (32, 0), (64, 0), (96, 1)])


def test_bins_may_begin_later() -> None:
    bins = Bins(4, max, width=10, first=1000)
    bins.add(1019, 5)
    assert bins.points() == [(1000, 0), (1010, 5)]


def test_a_level_stays_until_it_changes() -> None:
    level = LevelOverTime(8)
    level.change(2, 7)
    level.change(4, 3)
    level.hold(6)
    assert level.bins.values == [0, 0, 7, 7, 3, 3]


def test_what_lasts_no_cycle_counts_too() -> None:
    """Space is taken and given back in the same cycle: the peak was there."""
    level = LevelOverTime(8)
    level.change(1, 9)
    level.change(1, 2)
    level.hold(3)
    assert level.bins.values == [0, 9, 2]


@given(CHANGES, st.integers(1, 16))
def test_a_bin_holds_the_largest_value_of_its_cycles(steps: list[tuple[int, int]], most: int) -> None:
    level, cycle, value = LevelOverTime(most), 0, 0
    largest: list[int] = []  # by cycle
    for wait, new in steps:
        largest += [value] * (cycle + wait + 1 - len(largest))
        cycle, value = cycle + wait, new
        level.change(cycle, value)
        if len(largest) > cycle:  # the value before belongs to this cycle only if it was told in it
            before = largest[cycle] if wait == 0 else 0
            largest[cycle] = max(before, value)
    width, bins = level.bins.width, level.bins.values
    assert len(bins) <= most
    assert bins == [max(largest[at : at + width]) for at in range(0, len(largest), width)]


def test_the_table_of_a_run_is_what_reports_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorder = OccupancyRecorder(2)
    for cycle, used in ((0, 5), (3, 8)):
        recorder.occupied(1, cycle, used)
    recorder.occupied(0, 1, 4)
    assert recorder.csv() == "cycle,core,used_bytes\n0,0,0\n1,0,4\n0,1,5\n2,1,8\n"
    assert parse_occupancy(recorder.csv(), "here") == {0: ((0, 0), (1, 4)), 1: ((0, 5), (2, 8))}


@pytest.mark.parametrize("engine", ["event", "analytic"])
def test_the_folder_of_a_run_has_it_if_it_was_followed(tmp_path: Path, engine: str) -> None:
    words = ["run", "resnet18", "--image", "32", "--batch", "4", "--engine", engine, "--out", str(tmp_path / "run")]
    assert main(words) == 0
    assert (tmp_path / "run" / "occupancy.csv").exists() == (engine == "event")
