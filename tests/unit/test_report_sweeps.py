"""Do the figures of a sweep show its table?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pictured_runs import SWEEP, put_sweep, sweep_rows

from wavecore.pictures.marks import Heat, LineMark, Picture, Points
from wavecore.pictures.palette import COLOURS
from wavecore.report.contents import pictures
from wavecore.report.data import load
from wavecore.report.figures.sweepfronts import MOST_OTHERS
from wavecore.report.sweeps import SCHEMA, SweepTable
from wavecore.report.tables import front
from wavecore.sweep.folder import SCHEMA as WRITTEN

STEP, ENERGY = 4, 5  # columns of `sweep_rows`


def read(tmp_path: Path, rows: list[list[str]] | None = None, **changes: Any) -> SweepTable:
    summary = SWEEP | {"points": len(rows) if rows is not None else SWEEP["points"]} | changes
    (sweep,) = load([put_sweep(tmp_path / "sweep", summary, rows)]).sweeps
    return sweep


def drawn(tmp_path: Path, rows: list[list[str]] | None = None, **changes: Any) -> dict[str, Picture]:
    put_sweep(tmp_path / "sweep", SWEEP | {"points": len(rows or sweep_rows())} | changes, rows)
    return {picture.key: picture for picture in pictures(load([tmp_path / "sweep"]))}


def test_the_schema_is_the_writers() -> None:
    assert SCHEMA == WRITTEN


def test_lines_are_the_specifications(tmp_path: Path) -> None:
    picture = drawn(tmp_path)["lines-small"]
    assert [panel.title for panel in picture.panels] == ["vector.lanes 128", "vector.lanes 256"]
    line = next(mark for mark in picture.panels[1].of(LineMark) if mark.name == "mbs2")
    assert line.colour == COLOURS["mbs2"]
    assert line.x == (5 << 20, 10 << 20, 40 << 20)
    expected = [float(row[STEP]) * 1e3 for row in sweep_rows() if row[1] == "mbs2" and row[3] == "256"]
    assert line.y == pytest.approx(expected)
    assert picture.panels[0].x.log and [text for _, text in picture.panels[0].x.ticks] == ["5 MiB", "10 MiB", "40 MiB"]
    assert picture.notes == ("1 of 12 points failed and are not drawn.",)


def test_a_failed_point_leaves_a_gap(tmp_path: Path) -> None:
    picture = drawn(tmp_path)["lines-small"]
    line = next(mark for mark in picture.panels[0].of(LineMark) if mark.name == "baseline")
    assert line.x == (10 << 20, 40 << 20)


def test_maps_hold_the_first_objective(tmp_path: Path) -> None:
    picture = drawn(tmp_path)["map-small"]
    assert [panel.title for panel in picture.panels] == ["schedule baseline", "schedule mbs2"]
    heat = picture.panels[1].of(Heat)[0]
    assert (picture.panels[1].x.names, picture.panels[1].y.names) == (("5 MiB", "10 MiB", "40 MiB"), ("128", "256"))
    assert heat.values[0] == pytest.approx([(0.060 - mib / 4000) * 1e3 for mib in (5, 10, 40)])
    failed = picture.panels[0].of(Heat)[0]
    assert failed.values[0][0] is None and failed.texts[0][0] == ""
    assert (heat.low, heat.high) == (failed.low, failed.high)


def test_points_that_are_no_grid_have_no_map(tmp_path: Path) -> None:
    rows = [row for row in sweep_rows() if row[1] == "mbs2"]
    for at, row in enumerate(rows):
        row[2], row[3] = str((at + 1) << 20), str(10 + at)
    assert "map-small" not in drawn(tmp_path, rows)


def test_the_map_that_the_specification_wants(tmp_path: Path) -> None:
    wanted = {"kind": "heatmap", "x": "vector.lanes", "y": "schedule", "value": "energy_joules.total"}
    made = drawn(tmp_path, figure=SWEEP["figure"] | wanted | {"series": "", "panels": ""})
    assert "lines-small" not in made
    picture = made["map-small"]
    assert [panel.title for panel in picture.panels] == [f"core.global_buffer {mib} MiB" for mib in (5, 10, 40)]
    assert picture.panels[0].y.names == ("baseline", "mbs2")
    assert picture.panels[0].of(Heat)[0].values[1] == pytest.approx((2.95, 2.95))


def test_the_front_is_filled_and_the_rest_hollow(tmp_path: Path) -> None:
    (panel,) = drawn(tmp_path)["front-small"].panels
    points = {mark.name: mark for mark in panel.of(Points)}
    assert set(points) == {"baseline, not on the front", "mbs2, not on the front", "mbs2"}
    best = [row for row in sweep_rows() if row[7] == "true"]
    assert points["mbs2"].y == pytest.approx([float(row[ENERGY]) for row in best])
    assert not points["mbs2"].hollow and points["mbs2, not on the front"].hollow
    assert sum(len(mark.x) for mark in points.values()) == 11
    (line,) = panel.of(LineMark)
    assert line.x == tuple(sorted(line.x)) and len(line.x) == len(best)
    assert points["mbs2"].hover[0].startswith("core.global_buffer 5 MiB, vector.lanes 256, schedule mbs2: step time ")


def test_one_objective_has_no_front(tmp_path: Path) -> None:
    assert set(drawn(tmp_path, objectives=SWEEP["objectives"][:1])) == {"lines-small", "map-small"}


def test_fronts_are_apart_for_what_they_are_made_for(tmp_path: Path) -> None:
    made = drawn(tmp_path, per=["vector.lanes"])["front-small"]
    assert [panel.title for panel in made.panels] == ["vector.lanes 128", "vector.lanes 256"]


def test_a_large_sweep_draws_some_of_the_others(tmp_path: Path) -> None:
    rows = [
        ["resnet18", "mbs2", str(at), "1", "1.0", str(at), "true", "false", ""] for at in range(1, 2 * MOST_OTHERS + 2)
    ]
    rows[0][7] = "true"
    made = drawn(tmp_path, rows, figure=None)["front-small"]
    others, best = made.panels[0].of(Points)
    assert len(best.x) == 1 and len(others.x) == MOST_OTHERS
    assert made.notes == (f"Of {2 * MOST_OTHERS} points that are not on the front every 2th is drawn.",)


def test_a_sweep_of_failures_is_still_a_report(tmp_path: Path) -> None:
    rows = [[*row[:4], "", "", "false", "false", "no room"] for row in sweep_rows()]
    made = drawn(tmp_path, rows)
    assert made["front-small"].notes == ("12 of 12 points failed and are not drawn.",)


def test_the_table_lists_the_front(tmp_path: Path) -> None:
    table = front(read(tmp_path))
    assert table.columns == ("core.global_buffer", "vector.lanes", "schedule", "step time", "energy")
    assert table.rows[0] == ("5 MiB", "256", "mbs2", "58.7 ms", "2.95 J")
    assert len(table.rows) == 2


def test_the_front_that_the_specification_wants(tmp_path: Path) -> None:
    wanted = {"kind": "pareto", "x": "energy_joules.total", "y": "step_seconds", "series": "", "panels": ""}
    (panel,) = drawn(tmp_path, figure=SWEEP["figure"] | wanted)["front-small"].panels
    assert (panel.x.title, panel.y.title) == ("energy (J)", "step time (ms)")
