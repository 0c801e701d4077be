"""Does the figure that a sweep's specification wants show what is in its table?"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sweep_specs import SMALL, parsed, swept

from wavecore.pictures.marks import Heat, LineMark, Panel, Picture, Points
from wavecore.pictures.palette import COLOURS
from wavecore.pictures.static import sheet
from wavecore.report.contents import figure_of_sweep
from wavecore.report.figures.sweepparts import MOST_PANELS
from wavecore.report.sweeps import read_sweep
from wavecore.results.folder import json_text
from wavecore.sweep.folder import Findings, summary
from wavecore.sweep.run import Tally

GRID = SMALL + '[axes]\nbatch = [2, 4]\ncore.global_buffer = ["1 MiB", "2 MiB"]\nschedule = ["baseline", "mbs2"]\n'
LINES = (
    '[figure]\nkind = "lines"\nx = "core.global_buffer"\ny = "step_seconds"\nseries = "schedule"\npanels = "batch"\n'
)
HEATMAP = (
    '[figure]\nkind = "heatmap"\nx = "batch"\ny = "schedule"\nvalue = "step_cycles"\npanels = "core.global_buffer"\n'
)
PARETO = '[figure]\nkind = "pareto"\nx = "step_seconds"\ny = "energy_joules.total"\nseries = "schedule"\n'


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small grid."""
    folder = tmp_path_factory.mktemp("grid")
    swept(GRID, folder)
    return folder


@pytest.fixture(scope="module")
def table(grid: Path) -> pd.DataFrame:
    return pd.read_csv(grid / "points.csv")


def made(folder: Path, figure: str, axes: str = GRID) -> Picture:
    """The figure of the sweep whose points are in a folder."""
    rows = list(csv.DictReader((folder / "points.csv").read_text().splitlines()))
    about = json_text(summary(parsed(axes + figure), Findings(points=len(rows)), Tally(points=len(rows))))
    picture = figure_of_sweep(read_sweep(about, folder / "points.csv"))
    assert picture is not None
    return picture


def invented(folder: Path, **columns: list[Any]) -> Path:
    """A folder with a table of these columns and of what a figure needs besides."""
    size = len(next(iter(columns.values())))
    same = {"workload": "resnet18", "accelerator": "wavecore", "memory": "hbm2x2", "engine": "analytic"}
    fixed = {**same, "schedule": "mbs2", "batch": 64, "error": "", "pareto": "false", "feasible": "true"}
    fixed |= {"step_seconds": 1.0, "energy_joules.total": 1.0}
    found = {name: [value] * size for name, value in fixed.items()} | columns
    lines = [",".join(found), *(",".join(map(str, row)) for row in zip(*found.values(), strict=True))]
    (folder / "points.csv").write_text("\n".join(lines) + "\n")
    return folder


def lines(panel: Panel) -> dict[str, LineMark]:
    return {mark.name: mark for mark in panel.of(LineMark)}


def ticks(panel: Panel) -> list[str]:
    return [text for _, text in panel.x.ticks]


def test_lines_are_the_values_of_the_table_in_the_colours_of_the_schedules(grid: Path, table: pd.DataFrame) -> None:
    picture = made(grid, LINES)
    assert [panel.title for panel in picture.panels] == ["batch 2", "batch 4"]
    for panel, batch in zip(picture.panels, (2, 4), strict=True):
        size = {"step time (µs)": 1e-6, "step time (ms)": 1e-3}[panel.y.title]
        assert list(lines(panel)) == ["baseline", "mbs2"]
        for schedule, line in lines(panel).items():
            rows = table[(table["batch"] == batch) & (table["schedule"] == schedule)]
            assert list(line.x) == list(rows["core.global_buffer_bytes"])
            assert [y * size for y in line.y] == pytest.approx(list(rows["step_seconds"]))
            assert line.colour == COLOURS[schedule]
        assert ticks(panel) == ["1 MiB", "2 MiB"]


def test_lines_begin_at_zero_and_panels_share_their_axes(grid: Path) -> None:
    first, second = made(grid, LINES).panels
    assert first.y == second.y and first.y.low == 0
    assert first.x == second.x


def test_a_figure_says_what_all_its_points_share(grid: Path, tmp_path: Path) -> None:
    common = "All points: resnet18, wavecore, hbm2x2, analytic engine."
    for figure in (LINES, HEATMAP, PARETO):
        assert made(grid, figure).caption.endswith(common)
        assert made(grid, figure + 'title = "mine"\n').title == "mine"
        assert made(grid, figure).title.endswith(": small")
    text = (grid / "points.csv").read_text().splitlines()
    failed = [line.rpartition(",")[0] + ",no" for line in text[1:4]]
    (tmp_path / "points.csv").write_text("\n".join([text[0], *failed, *text[4:]]) + "\n")
    assert made(tmp_path, LINES).notes == ("3 of 8 points failed and are not drawn.",)


def test_wide_ranges_are_logarithmic_and_narrow_ones_linear(tmp_path: Path) -> None:
    axes = "[axes]\nbatch = [2, 4, 64]\n"
    figure = '[figure]\nkind = "lines"\nx = "batch"\ny = "macs"\n'
    (wide,) = made(invented(tmp_path, batch=[2, 4, 64], macs=[1, 2, 3]), figure, axes).panels
    (narrow,) = made(invented(tmp_path, batch=[20, 40, 60], macs=[1, 2, 3]), figure, axes).panels
    assert (wide.x.log, narrow.x.log) == (True, False)
    assert ticks(wide) == ["2", "4", "64"]
    assert wide.y.title == "MACs"


def test_texts_stand_side_by_side_in_their_order(tmp_path: Path) -> None:
    figure = '[figure]\nkind = "lines"\nx = "memory"\ny = "array_utilization"\n'
    axes = '[axes]\nmemory = ["lpddr4", "gddr5", "hbm2"]\n'
    rows = invented(tmp_path, memory=["lpddr4", "gddr5", "hbm2"], array_utilization=[0.3, 0.4, 0.5])
    (panel,) = made(rows, figure, axes).panels
    assert panel.x.names == ("lpddr4", "gddr5", "hbm2")
    (line,) = panel.of(LineMark)
    assert (line.x, line.y) == ((0, 1, 2), pytest.approx((30, 40, 50)))
    assert panel.y.title == "array utilization (%)"


def test_many_values_have_few_ticks(tmp_path: Path) -> None:
    figure = '[figure]\nkind = "lines"\nx = "batch"\ny = "macs"\n'
    many = list(range(2, 102, 2))
    (panel,) = made(invented(tmp_path, batch=many, macs=many), figure, f"[axes]\nbatch = {many}\n").panels
    assert 5 <= len(panel.x.ticks) <= 10
    assert len(panel.of(LineMark)[0].x) == 50


def test_series_of_numbers_are_ordered_and_those_of_names_told_apart(tmp_path: Path) -> None:
    figure = '[figure]\nkind = "lines"\nx = "batch"\ny = "macs"\nseries = "%s"\n'
    axes = "[axes]\nbatch = [2, 4]\n%s\n"
    lanes = made(
        invented(tmp_path, batch=[2, 4] * 2, macs=[1, 2, 3, 4], **{"vector.lanes": [512, 512, 64, 64]}),
        figure % "vector.lanes", axes % "vector.lanes = [512, 64]",
    )  # fmt: skip
    memories = made(
        invented(tmp_path, batch=[2, 4] * 2, macs=[1, 2, 3, 4], memory=["hbm2", "hbm2", "gddr5", "gddr5"]),
        figure % "memory", axes % 'memory = ["hbm2", "gddr5"]',
    )  # fmt: skip
    for picture, labels in ((lanes, ["64", "512"]), (memories, ["hbm2", "gddr5"])):
        (panel,) = picture.panels
        assert list(lines(panel)) == labels
        points = panel.of(Points)
        assert [mark.name for mark in points] == labels
        assert len({mark.colour for mark in points}) == len({mark.symbol for mark in points}) == 2
        assert not {mark.colour for mark in points} & set(COLOURS.values())
    assert lanes.panels[0].of(Points)[0].colour == "#440154", "viridis begins dark"


def test_of_too_many_panels_the_first_are_drawn(tmp_path: Path) -> None:
    figure = '[figure]\nkind = "lines"\nx = "batch"\ny = "macs"\npanels = "vector.lanes"\n'
    lanes = list(range(1, MOST_PANELS + 2))
    rows = invented(
        tmp_path, batch=[2, 4] * len(lanes), macs=[1] * 2 * len(lanes), **{"vector.lanes": sorted(lanes * 2)}
    )
    picture = made(rows, figure, f"[axes]\nbatch = [2, 4]\nvector.lanes = {lanes}\n")
    assert [panel.title for panel in picture.panels] == [f"vector.lanes {each}" for each in lanes[:-1]]
    assert picture.notes == (f"The first {MOST_PANELS} of {MOST_PANELS + 1} panels are drawn.",)


def test_a_heat_map_shows_every_value_and_what_is_missing(grid: Path, table: pd.DataFrame, tmp_path: Path) -> None:
    text = (grid / "points.csv").read_text().splitlines()
    (tmp_path / "points.csv").write_text("\n".join([text[0], text[1].rpartition(",")[0] + ",no", *text[2:]]) + "\n")
    first, second = made(tmp_path, HEATMAP).panels
    assert (first.x.names, first.y.names) == (("2", "4"), ("baseline", "mbs2"))
    (heat,), (other,) = first.of(Heat), second.of(Heat)
    assert heat.values[0][0] is None and heat.texts[0][0] == ""
    rows = table[(table["batch"] == 4) & (table["core.global_buffer_bytes"] == 1 << 20)]
    assert [heat.values[0][1], heat.values[1][1]] == list(rows["step_cycles"])
    assert (heat.low, heat.high) == (other.low, other.high), "a colour means the same in all panels"


def test_texts_of_a_heat_map_stand_out_from_their_cells(grid: Path) -> None:
    picture = made(grid, HEATMAP)
    for axes, panel in zip(sheet([picture]).axes, picture.panels, strict=False):
        (heat,) = panel.of(Heat)
        middle = (heat.low + heat.high) / 2
        values = [value for row in heat.values for value in row if value is not None]
        assert [text.get_color() for text in axes.texts] == ["white" if value < middle else "black" for value in values]


def test_a_wanted_map_is_drawn_however_few_its_points_are(tmp_path: Path) -> None:
    figure = '[figure]\nkind = "heatmap"\nx = "batch"\ny = "vector.lanes"\nvalue = "macs"\n'
    rows = invented(tmp_path, batch=[2, 4, 8], macs=[1, 2, 3], **{"vector.lanes": [1, 2, 3]})
    (panel,) = made(rows, figure, "[axes]\nbatch = [2, 4, 8]\nvector.lanes = [1, 2, 3]\n").panels
    assert panel.of(Heat)[0].values == ((1, None, None), (None, 2, None), (None, None, 3))


def test_the_front_is_filled_and_the_rest_hollow(grid: Path, table: pd.DataFrame) -> None:
    (panel,) = made(grid, PARETO).panels
    assert 1 <= table["pareto"].sum() < 8
    assert bool(panel.of(LineMark)) == (table["pareto"].sum() > 1), "one point has no edge"
    assert sum(len(mark.x) for mark in panel.of(Points)) == 8
    assert sum(len(mark.x) for mark in panel.of(Points) if mark.large and not mark.hollow) == table["pareto"].sum()


def test_a_front_of_one_point_has_no_edge(tmp_path: Path) -> None:
    rows = invented(tmp_path, batch=[2, 4], pareto=["true", "false"])
    (panel,) = made(rows, PARETO.replace('"schedule"', '"batch"'), "[axes]\nbatch = [2, 4]\n").panels
    assert not panel.of(LineMark)


def test_the_edge_of_a_front_begins_at_its_best_point(tmp_path: Path) -> None:
    """Each y holds until the next point on the way to worse x: to larger ones, or to smaller ones if large is good."""
    goals = '[objectives]\nmaximize = ["macs"]\nminimize = ["step_cycles"]\n'
    figure = '[figure]\nkind = "pareto"\nx = "%s"\ny = "%s"\n'
    rows = invented(tmp_path, batch=[2, 4], macs=[1, 2], step_cycles=[3, 4], pareto=["true", "true"])
    edges = []
    for names in (("macs", "step_cycles"), ("step_cycles", "macs")):
        (panel,) = made(rows, goals + figure % names, "[axes]\nbatch = [2, 4]\n").panels
        edges += [(mark.x, mark.y) for mark in panel.of(LineMark) if mark.stepped]
    assert edges == [((2, 1), (4, 3)), ((3, 4), (1, 2))]


def test_points_of_other_objectives_are_not_joined(grid: Path) -> None:
    (panel,) = made(grid, PARETO.replace("energy_joules.total", "macs")).panels
    assert not panel.of(LineMark)


def test_a_front_has_the_panels_that_the_figure_wants(grid: Path) -> None:
    panels = made(grid, PARETO + 'panels = "batch"\n').panels
    assert [panel.title for panel in panels] == ["batch 2", "batch 4"]
    assert [sum(len(mark.x) for mark in panel.of(Points)) for panel in panels] == [4, 4]


def test_without_a_figure_the_first_two_objectives_are_drawn(grid: Path) -> None:
    picture = made(grid, "")
    (panel,) = picture.panels
    assert panel.x.title.startswith("step time") and panel.y.title.startswith("energy")
    assert {mark.name for mark in panel.of(Points)} >= {"mbs2"}
