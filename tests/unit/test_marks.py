"""Units, ticks, labels and legends of pictures."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavecore.pictures.marks import (
    Band,
    Bars,
    LegendEntry,
    LimitLine,
    Panel,
    Picture,
    PlotAxis,
    Points,
    Steps,
    byte_axis,
    decade_axis,
    legend,
    middle_cut,
    plain,
    scale,
    stack_labels,
    stacked,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (64.04, "64"),
        (0.3172, "0.317"),
        (0.05, "0.05"),
        (1.25, "1.25"),
        (23.68, "23.7"),
        (20000.0, "20,000"),
        (-1.5, "-1.5"),
        (math.inf, "inf"),
    ],
)
def test_numbers_have_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize(
    ("values", "unit", "symbol", "first"),
    [
        ([2**30, 1], "B", "GiB", 1.0),
        ([2**30 - 1], "B", "MiB", 1024 - 2**-20),
        ([0.0639], "s", "ms", 63.9),
        ([2e-7], "s", "ns", 200.0),
        ([3.86], "J", "J", 3.86),
        ([0.0], "J", "nJ", 0.0),
        ([], "B", "B", None),
    ],
)
def test_the_largest_unit_that_leaves_one(values, unit, symbol, first) -> None:
    each = scale(values, unit)
    assert each.symbol == symbol
    assert not values or each.of(values)[0] == pytest.approx(first)


def test_bytes_have_binary_ticks() -> None:
    axis = byte_axis("bytes", [5000, 200 << 20])
    assert axis.log and axis.low < 5000 and axis.high > 200 << 20
    assert [text for _, text in axis.ticks] == ["4 KiB", "64 KiB", "1 MiB", "16 MiB", "256 MiB"]
    assert [at for at, _ in axis.ticks] == [2**12, 2**16, 2**20, 2**24, 2**28]


def test_decades_have_round_ticks() -> None:
    assert [text for _, text in decade_axis("x", [0.3, 20000]).ticks] == ["1", "10", "100", "1,000", "10,000"]
    assert [text for _, text in decade_axis("x", [1.5, 22]).ticks] == ["2", "5", "10", "20"]


@given(st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=20))
def test_axes_hold_their_values_and_few_ticks(values: list[float]) -> None:
    for axis in (decade_axis("x", values), byte_axis("x", values)):
        assert axis.low < min(values) and max(values) < axis.high
        assert len(axis.ticks) <= 14
        assert all(axis.low <= at <= axis.high for at, _ in axis.ticks)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_labels_above_bands_do_not_collide(widths: list[int]) -> None:
    length, bands, at = sum(widths), [], 0
    for width in widths:
        bands.append(Band(low=at, high=at + width, label="16 x 2", shaded=False))
        at += width
    character = 0.011
    placed = [band for band in stack_labels(bands, length, character) if band.label]
    half = character * length * len("16 x 2") / 2
    assert placed
    assert all(half <= band.at <= length - half for band in placed)
    for one in placed:
        for other in placed:
            assert one is other or one.row != other.row or abs(one.at - other.at) >= 2 * half


def test_parts_stand_on_each_other() -> None:
    assert stacked([(1.0, 2.0), (3.0, 4.0), (5.0, 6.0)]) == [(0.0, 0.0), (1.0, 2.0), (4.0, 6.0)]
    assert stacked([]) == []


@given(st.text(max_size=80), st.integers(3, 40))
def test_a_cut_name_keeps_both_ends(text: str, longest: int) -> None:
    cut = middle_cut(text, longest)
    assert len(cut) == min(len(text), longest)
    assert cut == text or (cut[0], cut[-1]) == (text[0], text[-1])


def test_a_legend_names_each_thing_once() -> None:
    marks = (
        Steps(name="area", colour="#111111", values=(1.0,), bases=(0.0,)),
        Steps(name="line", colour="#222222", values=(1.0,)),
        LimitLine(name="limit", y=1.0),
        Points(name="points", colour="#333333", x=(1.0,), y=(1.0,), symbol="square", hollow=True),
        Bars(name="silent", colours=("#444444",), at=(0,), lengths=(1.0,)),
        Bars(name="part", colours=("#555555",), at=(0,), lengths=(1.0,), legend=True),
        Band(low=0, high=1, label="group", shaded=True),
    )
    panel = Panel(title="", x=PlotAxis(), y=PlotAxis(), marks=marks)
    found = legend(Picture(key="x", title="", caption="", panels=(panel, panel)))
    assert found == (
        LegendEntry("area", "#111111", "box"),
        LegendEntry("line", "#222222", "line"),
        LegendEntry("limit", "#000000", "dashes"),
        LegendEntry("points", "#333333", "square", hollow=True),
        LegendEntry("part", "#555555", "box"),
    )
