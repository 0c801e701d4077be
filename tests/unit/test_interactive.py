"""What plotly.js is told of each kind of mark and axis."""

from __future__ import annotations

from typing import Any

import pytest

from wavecore.pictures.interactive import BOTTOM, LABEL_ROW, TOP, panel_spec, short
from wavecore.pictures.marks import (
    Band,
    Bars,
    Heat,
    LimitLine,
    LineMark,
    Mark,
    Panel,
    PlotAxis,
    Points,
    Steps,
    byte_axis,
)

NAMES = PlotAxis(title="layer", names=("a", "<b>", "c" * 40))
VALUES = PlotAxis(title="MiB", low=0.0, high=5.0)
AREAS = (
    Steps(name="one", colour="#111111", values=(1.0, 2.0, 0.0), bases=(0.0, 0.0, 0.0), unit="MiB"),
    Steps(name="two", colour="#222222", values=(3.0, None, 1.0), unit="MiB"),
)


def spec(*marks: Mark, x: PlotAxis = NAMES, y: PlotAxis = VALUES, **options: Any) -> dict[str, Any]:
    return panel_spec(Panel(title="t", x=x, y=y, marks=marks, height=100), **options)


def test_a_panel_is_as_high_as_its_parts() -> None:
    plain = spec(x=VALUES)["layout"]
    assert plain["height"] == 100 + TOP + BOTTOM
    assert (plain["margin"]["t"], plain["margin"]["b"]) == (TOP, BOTTOM)
    band = Band(low=0, high=1, label="x", shaded=True, at=0.5, row=1)
    assert spec(band, x=VALUES)["layout"]["height"] == 100 + TOP + 2 * LABEL_ROW + BOTTOM
    assert spec()["layout"]["margin"]["b"] > BOTTOM + 100  # names of 26 characters, tilted


def test_an_axis_has_its_range_and_title() -> None:
    axis = spec()["layout"]["yaxis"]
    assert (axis["type"], axis["range"], axis["title"]["text"]) == ("linear", [0.0, 5.0], "MiB")


def test_a_logarithmic_axis_has_its_range_in_powers() -> None:
    axis = spec(y=byte_axis("bytes", [2**10, 2**20]))["layout"]["yaxis"]
    assert axis["type"] == "log"
    assert axis["range"] == pytest.approx([2.9645, 6.0620], abs=1e-3)
    assert (axis["tickvals"][0], axis["ticktext"][0]) == (1024.0, "1 KiB")


def test_names_stand_for_numbers_even_half_a_place_beyond_the_ends() -> None:
    axis = spec()["layout"]["xaxis"]
    assert axis["labelalias"] == {
        0: "a",
        1: "&lt;b&gt;",
        2: "c" * 12 + "…" + "c" * 13,
        "\u22121": "a",
        "3": "c" * 12 + "…" + "c" * 13,
    }
    assert axis["range"] == [-0.5, 2.5] and axis["dtick"] == 1


def test_of_many_names_some_are_shown() -> None:
    axis = spec(x=PlotAxis(names=tuple(map(str, range(500)))))["layout"]["xaxis"]
    assert "dtick" not in axis and axis["nticks"] == 40
    assert (axis["minallowed"], axis["maxallowed"]) == (-0.5, 499.5)


def test_names_can_be_left_to_a_panel_below() -> None:
    layout = spec(*AREAS, names_below=False)["layout"]
    assert layout["xaxis"]["showticklabels"] is False and layout["xaxis"]["title"] == {}
    assert layout["xaxis"]["labelalias"][0] == "a"  # the tooltip's heading
    assert layout["margin"]["b"] < BOTTOM


def test_areas_and_lines_reach_from_edge_to_edge() -> None:
    area, line = spec(*AREAS)["data"]
    assert area["x"] == line["x"] == [-0.5, 0, 1, 2, 2.5]
    assert (area["y"], line["y"]) == ([1, 1, 2, 0, 0], [3, 3, None, 1, 1])
    assert (area["stackgroup"], area["fillcolor"], area["line"]["width"]) == ("all", "#111111", 0)
    assert "stackgroup" not in line and line["line"]["shape"] == "hvh"
    assert area["hovertemplate"] == "%{y:.4~g} MiB"
    assert area["text"] == ["a", "a", "&lt;b&gt;", "c" * 40, "c" * 40]


def test_layers_and_times_have_one_tooltip_for_all() -> None:
    assert spec(*AREAS)["layout"]["hovermode"] == "x unified"
    stepped = LineMark(name="x", colour="#000000", x=(0.0, 1.0), y=(1.0, 1.0), stepped=True)
    assert spec(stepped, x=VALUES)["layout"]["hovermode"] == "x unified"
    assert spec(Points(name="x", colour="#000000", x=(0.0,), y=(1.0,)), x=VALUES)["layout"]["hovermode"] == "closest"


def test_bars_lie_from_top_to_bottom_with_texts_behind_them() -> None:
    bars = Bars(name="<x>", colours=("#111111",), at=(0.0,), lengths=(2.0,), starts=(1.0,), texts=("2 (1.00x)",))
    made = spec(bars, x=VALUES, y=PlotAxis(names=("run",)))
    trace = made["data"][0]
    assert (trace["orientation"], trace["base"], trace["x"], trace["y"]) == ("h", [1.0], [2.0], [0.0])
    assert (trace["text"], trace["textposition"]) == (["2 (1.00x)"], "outside")
    assert (trace["name"], trace["meta"]) == ("&lt;x&gt;", "<x>")
    assert made["layout"]["yaxis"]["autorange"] == "reversed"
    assert made["layout"]["yaxis"]["ticktext"] == ["run"]


def test_upright_bars_have_turned_texts_over_them() -> None:
    bars = Bars(
        name="x",
        colours=("#111111",),
        at=(0.5,),
        lengths=(2.0,),
        texts=("1.00",),
        upright=True,
        narrow=True,
        thickness=0.2,
    )
    made = spec(bars)
    (trace,) = made["data"]
    assert (trace["orientation"], trace["x"], trace["y"], trace["width"]) == ("v", [0.5], [2.0], 0.2)
    assert (trace["text"], trace["textposition"], trace["textangle"]) == (["1.00"], "outside", -90)
    assert "autorange" not in made["layout"]["yaxis"]


def test_texts_inside_bars_can_be_read_beside_those_at_their_ends() -> None:
    bars = Bars(
        name="x", colours=("#111111", "#EEEEEE"), at=(0.0, 1.0), lengths=(2.0, 3.0), starts=(1.0, 0.0),
        texts=("2", "3"), inside=("20%", "<30%"),
    )  # fmt: skip
    inside, ends = spec(bars, x=VALUES, y=PlotAxis(names=("a", "b")))["data"]
    assert (inside["text"], inside["textposition"]) == (["20%", "&lt;30%"], "inside")
    assert inside["textfont"]["color"] == ["#FFFFFF", "#000000"]
    assert (ends["mode"], ends["x"], ends["y"], ends["text"]) == (
        "text",
        [3.0, 3.0],
        [0.0, 1.0],
        ["\u00a02", "\u00a03"],
    )
    assert ends["meta"] == inside["meta"]


def test_points_are_filled_or_hollow() -> None:
    filled = Points(name="x", colour="#111111", x=(1.0,), y=(2.0,), symbol="triangle", hover=("a & b",))
    hollow = Points(name="y", colour="#111111", x=(1.0,), y=(2.0,), hollow=True)
    first, second = spec(filled, hollow, x=VALUES)["data"]
    assert (first["marker"]["symbol"], second["marker"]["symbol"]) == ("triangle-up", "circle-open")
    assert first["text"] == ["a &amp; b"]


def test_levels_and_bands_are_shapes() -> None:
    level, band = LimitLine(name="limit", y=3.0), Band(low=-0.5, high=1.5, label="2 < 3", shaded=True, at=0.5)
    layout = spec(band, level)["layout"]
    rectangle, line = layout["shapes"]
    assert (rectangle["x0"], rectangle["x1"], rectangle["layer"]) == (-0.5, 1.5, "below")
    assert (line["y0"], line["y1"], line["line"]["dash"]) == (3.0, 3.0, "dash")
    assert [(note["text"], note["x"]) for note in layout["annotations"]] == [("2 &lt; 3", 0.5)]
    assert spec(Band(low=0, high=1, label="", shaded=False))["layout"]["annotations"] == []


def test_a_map_has_its_values_texts_and_scale() -> None:
    heat = Heat(title="ms", values=((1.0, None),), texts=(("1", ""),), hover=(("a", ""),), low=0.0, high=2.0)
    made = spec(heat, y=PlotAxis(names=("row",)))
    trace = made["data"][0]
    assert (trace["z"], trace["zmin"], trace["zmax"]) == ([[1.0, None]], 0.0, 2.0)
    assert (trace["text"], trace["hovertext"]) == ([["1", ""]], [["a", ""]])
    assert made["layout"]["margin"]["r"] > spec(*AREAS)["layout"]["margin"]["r"]


def test_numbers_are_kept_short() -> None:
    assert short([1 / 3, None, 123456789.0, 0.0]) == [0.333333, None, 123457000.0, 0.0]
