"""Do plotly.js and matplotlib get the same marks, and does matplotlib put everything where it can be read?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import plotly.graph_objects as go
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from pictured_runs import SCHEDULES, case, everything, run

from wavecore.errors import InputError
from wavecore.pictures.interactive import escaped, panel_spec
from wavecore.pictures.marks import Bars, Heat, LimitLine, LineMark, Panel, Picture, Points, Steps
from wavecore.pictures.static import FORMATS, draw_sheet, sheet
from wavecore.report.contents import compared, energies, pictures
from wavecore.report.data import Report, WorkloadRuns

pytestmark = pytest.mark.filterwarnings("ignore:Glyph .* missing from")

NETWORKS = ("resnet101", "inception_v4", "mobilenet_v2", "alexnet", "lstm_ptb", "googlenet")
DRAWN = (Bars, Steps, LineMark, Points, Heat)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Picture]:
    made = pictures(everything(tmp_path_factory.mktemp("s")))
    return {each.key: each for each in made if each.panels}


def test_there_is_a_picture_of_everything(drawn: dict[str, Picture]) -> None:
    kinds = {key.rpartition("-")[0] or key for key in drawn}
    of_runs = {"comparison", "utilization", "energy", "groups", "traffic", "time", "roofline", "occupancy"}
    assert kinds == of_runs | {"lines", "map", "front"}


def test_plotly_accepts_every_panel(drawn: dict[str, Picture]) -> None:
    for picture in drawn.values():
        for panel in picture.panels:
            go.Figure(panel_spec(panel))  # raises for a property that does not exist


def test_every_mark_is_a_trace_or_a_shape(drawn: dict[str, Picture]) -> None:
    for picture in drawn.values():
        for panel in picture.panels:
            spec = panel_spec(panel)
            both = sum(bool(bars.texts and bars.inside) for bars in panel.of(Bars))  # a trace for the texts at the ends
            assert len(spec["data"]) == sum(len(panel.of(kind)) for kind in DRAWN) + both
            lines = [shape for shape in spec["layout"]["shapes"] if shape["type"] == "line"]
            assert len(lines) == len(panel.of(LimitLine))


def test_traces_have_the_numbers_of_the_marks(drawn: dict[str, Picture]) -> None:
    panel = drawn["traffic-resnet18"].panels[0]
    mark, trace = panel.of(Steps)[0], panel_spec(panel)["data"][0]
    assert trace["y"][1:-1] == pytest.approx(list(mark.values), rel=1e-5)
    assert (trace["x"][0], trace["x"][-1]) == (-0.5, len(mark.values) - 0.5)


def test_names_are_no_markup_for_plotly(drawn: dict[str, Picture]) -> None:
    spec = panel_spec(drawn["traffic-odd"].panels[0])
    assert escaped("</script><b>&\"'bold") == "&lt;/script&gt;&lt;b&gt;&amp;\"'bold"
    assert spec["layout"]["xaxis"]["labelalias"][0] == escaped("</script><b>&\"'bold")


@pytest.fixture(scope="module")
def figures(drawn: dict[str, Picture]) -> dict[str, Figure]:
    """Every picture by itself, and those of commands, with all their texts placed."""
    several = [replace(run(schedule), workload=name) for name in NETWORKS for schedule in SCHEDULES]
    of_commands = {"compared": compared(several), "energies": energies(several)}
    made = {key: sheet([picture]) for key, picture in (drawn | of_commands).items()}
    with mpl.rc_context({"text.parse_math": False}):
        for figure in made.values():
            figure.draw_without_rendering()
    return made


def ticks(axes: Axes) -> Iterator[list[Text]]:
    """The labels of the ticks that are drawn, axis by axis."""
    for axis, place in ((axes.xaxis, 0), (axes.yaxis, 1)):
        low, high = sorted(axis.get_view_interval())
        labels = axis.get_ticklabels()
        yield [text for text in labels if text.get_text().strip() and low <= text.get_position()[place] <= high]


def visible_texts(made: Figure) -> list[Any]:
    found = [*made.texts, *(text for legend in made.legends for text in legend.get_texts())]
    for axes in made.axes:
        found += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        found += [text for labels in ticks(axes) for text in labels]
    return [text for text in found if text.get_text().strip() and text.get_visible()]


def test_no_text_of_a_file_leaves_it(figures: dict[str, Figure]) -> None:
    for key, made in figures.items():
        edge = made.bbox
        for text in visible_texts(made):
            box = text.get_window_extent()
            inside = edge.x0 <= box.x0 and box.x1 <= edge.x1 and edge.y0 <= box.y0 and box.y1 <= edge.y1
            assert inside, (key, text.get_text(), box, edge)


def test_legends_captions_and_titles_cover_no_plot_and_no_text(figures: dict[str, Figure]) -> None:
    for key, made in figures.items():
        boxes = [(text.get_text(), text.get_window_extent()) for text in made.texts]
        boxes += [("legend", legend.get_window_extent()) for legend in made.legends]
        plots = [axes.get_tightbbox() for axes in made.axes]
        for at, (name, box) in enumerate(boxes):
            assert not any(box.overlaps(plot) for plot in plots), (key, name)
            assert not any(box.overlaps(other) for _, other in boxes[:at]), (key, name)


def test_labels_of_groups_do_not_run_into_each_other(figures: dict[str, Figure]) -> None:
    labels = [axes.texts for axes in figures["groups-resnet18"].axes]
    assert max(map(len, labels)) >= 5
    for texts in labels:
        boxes = [text.get_window_extent() for text in texts if text.get_text()]
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_tick_labels_do_not_run_into_each_other(figures: dict[str, Figure]) -> None:
    for key, made in figures.items():
        for axes in made.axes:
            for labels in ticks(axes):
                boxes = [text.get_window_extent() for text in labels]
                assert not any(one.overlaps(other) for one, other in pairwise(boxes)), key


def test_bars_of_a_file_are_the_marks() -> None:
    picture = pictures(Report(cases=(case(),)))[0]
    for axes, panel in zip(sheet([picture]).axes, picture.panels, strict=True):
        (bars,) = panel.of(Bars)
        assert [patch.get_width() for patch in axes.patches] == pytest.approx(list(bars.lengths))
        assert [label.get_text() for label in axes.get_yticklabels()] == list(SCHEDULES)


def test_upright_bars_of_a_file_are_the_marks() -> None:
    made = [replace(run(schedule), workload=name) for name in ("one", "two") for schedule in SCHEDULES]
    picture = compared(made)
    for axes, panel in zip(sheet([picture]).axes, picture.panels, strict=True):
        heights = [patch.get_height() for patch in axes.patches]
        assert heights == pytest.approx([height for bars in panel.of(Bars) for height in bars.lengths])
        assert [text.get_text() for text in axes.texts] == [text for bars in panel.of(Bars) for text in bars.texts]
        assert [label.get_text() for label in axes.get_xticklabels()] == ["one", "two"]


def test_a_file_is_the_same_every_time(tmp_path: Path) -> None:
    made = pictures(Report(cases=(case("mbs2"),)))[:1]
    for kind in FORMATS:
        for name in ("a", "b"):
            draw_sheet(made, tmp_path / f"{name}{kind}")
        assert (tmp_path / f"a{kind}").read_bytes() == (tmp_path / f"b{kind}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2 * len(FORMATS)


def test_too_many_pictures_for_one_file(tmp_path: Path) -> None:
    many = tuple(WorkloadRuns(title=str(at), runs=case().runs, key=str(at)) for at in range(30))
    made = [picture for picture in pictures(Report(cases=many)) if picture.panels]
    with pytest.raises(InputError) as caught:
        draw_sheet(made, tmp_path / "x.png")
    what = f"--plot: {len(made)} pictures do not fit one file; try: a folder, which takes each by itself"
    assert caught.value.message == what
    assert list(tmp_path.iterdir()) == []


def test_a_panel_without_names_is_drawn(tmp_path: Path) -> None:
    from wavecore.pictures.marks import PlotAxis

    panel = Panel(title="", x=PlotAxis(), y=PlotAxis(), marks=(Points(name="_x", colour="#000000", x=(1,), y=(2,)),))
    draw_sheet([Picture(key="x", title="x", caption="", panels=(panel,))], tmp_path / "x.pdf")
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF")
