"""Do figures of sweeps show what is in the table, readably, and in the colours that are the same everywhere?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from sweep_specs import SMALL, parsed, swept

from wavecore.errors import FileError, InputError
from wavecore.pictures.plots import COLOURS
from wavecore.sweep.figures import check_plot, draw, sweep_figure, wanted_figure

MIB = 1 << 20
GRID = SMALL + '[axes]\nbatch = [2, 4]\ncore.global_buffer = ["1 MiB", "2 MiB"]\nschedule = ["baseline", "mbs2"]\n'
LINES = (
    '[figure]\nkind = "lines"\nx = "core.global_buffer"\ny = "step_seconds"\nseries = "schedule"\npanels = "batch"\n'
)
HEATMAP = (
    '[figure]\nkind = "heatmap"\nx = "batch"\ny = "schedule"\nvalue = "step_cycles"\npanels = "core.global_buffer"\n'
)
PARETO = '[figure]\nkind = "pareto"\nx = "step_seconds"\ny = "energy_joules.total"\nseries = "schedule"\n'


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table of a small grid."""
    return swept(GRID, tmp_path_factory.mktemp("grid"))[1]


def made(table: pd.DataFrame, figure: str, grid: str = GRID) -> Figure:
    return sweep_figure(parsed(grid + figure), table)


def panels(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_visible() and (axes.lines or axes.images or axes.texts)]


def ticks(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_xticklabels()]


def invented(**columns: list[Any]) -> pd.DataFrame:
    """A table of these columns and of what a figure needs besides."""
    size = len(next(iter(columns.values())))
    same = {"workload": "resnet18", "accelerator": "wavecore", "memory": "hbm2x2", "engine": "analytic"}
    fixed = {**same, "schedule": "mbs2", "batch": 64, "error": None, "pareto": False, "feasible": True}
    return pd.DataFrame({name: [value] * size for name, value in fixed.items()} | columns)


def test_lines_are_the_values_of_the_table_in_the_colours_of_the_schedules(table: pd.DataFrame) -> None:
    shown = panels(made(table, LINES))
    assert [axes.get_title(loc="left") for axes in shown] == ["batch = 2", "batch = 4"]
    (unit,) = {"step time (us)", "step time (ms)"} & {shown[0].get_ylabel()}
    for axes, batch in zip(shown, (2, 4), strict=True):
        for line, schedule in zip(axes.lines, ("baseline", "mbs2"), strict=True):
            rows = table[(table["batch"] == batch) & (table["schedule"] == schedule)]
            assert list(np.asarray(line.get_xdata())) == list(rows["core.global_buffer_bytes"])
            assert np.allclose(line.get_ydata(), rows["step_seconds"] * (1e6 if "us" in unit else 1e3))
            assert to_hex(line.get_color()).upper() == COLOURS[schedule]
        assert ticks(axes) == ["1 MiB", "2 MiB"]


def test_lines_begin_at_zero_and_share_their_axes(table: pd.DataFrame) -> None:
    shown = panels(made(table, LINES))
    assert {axes.get_ylim() for axes in shown} == {shown[0].get_ylim()}
    assert shown[0].get_ylim()[0] == 0
    assert shown[1].get_ylabel() == ""


def test_a_figure_says_what_all_its_points_share(table: pd.DataFrame) -> None:
    assert made(table, LINES).get_suptitle() == "resnet18, wavecore, hbm2x2, analytic engine"
    assert made(table, LINES + 'title = "mine"\n').get_suptitle() == "mine"
    failed = table.assign(error=["no"] * 3 + [None] * 5)
    assert made(failed, LINES).get_suptitle().endswith("; 3 points failed")
    assert made(table, PARETO).get_suptitle().endswith("; filled: on the Pareto front")


def test_wide_ranges_are_logarithmic_and_narrow_ones_linear() -> None:
    grid = "[axes]\nbatch = [2, 4, 64]\n"
    figure = '[figure]\nkind = "lines"\nx = "batch"\ny = "macs"\n'
    (wide,) = panels(made(invented(batch=[2, 4, 64], macs=[1, 2, 3]), figure, grid))
    (narrow,) = panels(made(invented(batch=[20, 40, 60], macs=[1, 2, 3]), figure, grid))
    assert (wide.get_xscale(), narrow.get_xscale()) == ("log", "linear")
    assert ticks(wide) == ["2", "4", "64"]
    assert wide.get_ylabel() == "MACs"


def test_texts_stand_side_by_side_in_their_order() -> None:
    figure = '[figure]\nkind = "lines"\nx = "memory"\ny = "array_utilization"\n'
    grid = '[axes]\nmemory = ["lpddr4", "gddr5", "hbm2"]\n'
    rows = invented(memory=["lpddr4", "gddr5", "hbm2"], array_utilization=[0.3, 0.4, 0.5])
    (axes,) = panels(made(rows, figure, grid))
    assert ticks(axes) == ["lpddr4", "gddr5", "hbm2"]
    assert list(np.asarray(axes.lines[0].get_ydata())) == pytest.approx([30, 40, 50])
    assert axes.get_ylabel() == "array utilization (%)"


def test_many_values_have_few_ticks() -> None:
    figure = '[figure]\nkind = "lines"\nx = "batch"\ny = "macs"\n'
    many = list(range(2, 102, 2))
    (axes,) = panels(made(invented(batch=many, macs=many), figure, f"[axes]\nbatch = {many}\n"))
    assert 5 <= len(ticks(axes)) <= 10


def test_series_of_numbers_are_ordered_and_those_of_names_told_apart() -> None:
    figure = '[figure]\nkind = "lines"\nx = "batch"\ny = "macs"\nseries = "%s"\n'
    grid = "[axes]\nbatch = [2, 4]\n%s\n"
    lanes = made(
        invented(batch=[2, 4] * 2, macs=[1, 2, 3, 4], **{"vector.lanes": [512, 512, 64, 64]}),
        figure % "vector.lanes", grid % "vector.lanes = [512, 64]",
    )  # fmt: skip
    memories = made(
        invented(batch=[2, 4] * 2, macs=[1, 2, 3, 4], memory=["hbm2", "hbm2", "gddr5", "gddr5"]),
        figure % "memory", grid % 'memory = ["hbm2", "gddr5"]',
    )  # fmt: skip
    for made_, labels in ((lanes, ["64", "512"]), (memories, ["hbm2", "gddr5"])):
        (legend,) = made_.legends
        assert [text.get_text() for text in legend.get_texts()] == labels
        (axes,) = panels(made_)
        assert len({to_hex(line.get_color()) for line in axes.lines}) == 2
        assert len({line.get_marker() for line in axes.lines}) == 2
        assert not {to_hex(line.get_color()).upper() for line in axes.lines} & set(COLOURS.values())


def test_more_panels_than_fit_go_on_below() -> None:
    figure = '[figure]\nkind = "lines"\nx = "batch"\ny = "macs"\npanels = "vector.lanes"\n'
    lanes = [1, 2, 3, 4, 5]
    rows = invented(batch=[2, 4] * 5, macs=[1] * 10, **{"vector.lanes": sorted(lanes * 2)})
    shown = made(rows, figure, f"[axes]\nbatch = [2, 4]\nvector.lanes = {lanes}\n")
    assert [axes.get_title(loc="left") for axes in panels(shown)] == [f"vector.lanes = {each}" for each in lanes]
    assert sum(axes.get_visible() for axes in shown.axes) == 5


def test_a_heat_map_shows_every_value_and_what_is_missing(table: pd.DataFrame) -> None:
    holed = table.copy()
    holed.loc[0, "step_cycles"] = np.nan
    shown = panels(made(holed, HEATMAP))
    texts = [[text.get_text() for text in axes.texts] for axes in shown]
    assert [len(each) for each in texts] == [4, 4]
    assert texts[0][0] == "none"
    assert texts[0][1] == f"{table['step_cycles'][4]:,.0f}"
    assert ticks(shown[0]) == ["2", "4"]
    assert [text.get_text() for text in shown[0].get_yticklabels()] == ["baseline", "mbs2"]
    assert len({axes.images[0].get_clim() for axes in shown}) == 1, "a colour means the same in all panels"


def test_texts_of_a_heat_map_stand_out_from_their_cells(table: pd.DataFrame) -> None:
    (axes, _) = panels(made(table, HEATMAP))
    values = np.asarray(axes.images[0].get_array(), dtype=float).ravel()
    middle = np.mean(axes.images[0].get_clim())
    assert [text.get_color() for text in axes.texts] == ["white" if value < middle else "black" for value in values]


def test_the_front_is_filled_and_joined(table: pd.DataFrame) -> None:
    (axes,) = panels(made(table, PARETO))
    joined = [line for line in axes.lines if line.get_color() == "black"]
    assert [len(np.asarray(line.get_xdata())) for line in joined] == [table["pareto"].sum()]
    drawn = sum(len(np.asarray(line.get_xdata())) for line in axes.lines if line not in joined)
    assert drawn == 8


def test_a_front_that_is_maximized_steps_the_other_way() -> None:
    goals = '[objectives]\nmaximize = ["macs"]\nminimize = ["step_cycles"]\n'
    figure = '[figure]\nkind = "pareto"\nx = "%s"\ny = "%s"\n'
    rows = invented(batch=[2, 4], macs=[1, 2], step_cycles=[3, 4], pareto=[True, True])
    steps = []
    for names in (("macs", "step_cycles"), ("step_cycles", "macs")):
        (axes,) = panels(made(rows, goals + figure % names, "[axes]\nbatch = [2, 4]\n"))
        steps += [line.get_drawstyle() for line in axes.lines if line.get_color() == "black"]
    assert steps == ["steps-pre", "steps-post"]


def test_points_of_other_objectives_are_not_joined(table: pd.DataFrame) -> None:
    (axes,) = panels(made(table, PARETO.replace("energy_joules.total", "macs")))
    assert not [line for line in axes.lines if line.get_color() == "black"]


def test_without_a_figure_the_first_two_objectives_are_drawn() -> None:
    wanted = wanted_figure(parsed(GRID))
    assert (wanted.kind, wanted.series) == ("pareto", "schedule")
    assert (wanted.x, wanted.y) == ("step_seconds", "energy_joules.total")
    assert wanted_figure(parsed("[axes]\nbatch = [2]\n")).series == ""
    with pytest.raises(InputError, match=r"has no \[figure\], and one objective only"):
        wanted_figure(parsed('[axes]\nbatch = [2]\n[objectives]\nminimize = ["macs"]\n'))


@pytest.mark.parametrize("name", ["x.png", "x.svg", "x.pdf"])
def test_files_are_the_same_each_time_and_whole(name: str, table: pd.DataFrame, tmp_path: Path) -> None:
    spec = parsed(GRID + LINES)
    draw(spec, table, tmp_path / name)
    first = (tmp_path / name).read_bytes()
    draw(spec, table, tmp_path / name)
    assert (tmp_path / name).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_files_that_cannot_be(table: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(FileError):
        draw(parsed(GRID + LINES), table, tmp_path / "none" / "x.png")
    with pytest.raises(InputError, match=r"x\.bmp is no \.png or \.svg or \.pdf file"):
        check_plot(Path("x.bmp"))
    assert list(tmp_path.iterdir()) == []
