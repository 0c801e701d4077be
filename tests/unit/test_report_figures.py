"""Do the numbers of a figure equal the run's?"""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

import pytest
from pictured_runs import SCHEDULES, case, machine, occupancy, renamed, run, shown

from wavecore.pictures.marks import Band, Bars, LimitLine, LineMark, Panel, Points, Steps, legend
from wavecore.pictures.palette import CLASS_COLOURS, COLOURS
from wavecore.report.contents import MOST_RUNS, compared, pictures
from wavecore.report.data import Report, WorkloadRuns, cases, parse_occupancy
from wavecore.report.figures.comparison import comparison
from wavecore.report.figures.groups import groups
from wavecore.report.figures.layers import time, traffic
from wavecore.report.figures.occupancy import occupancy as occupancy_picture
from wavecore.report.figures.roofline import roofline
from wavecore.report.figures.stacks import energy, utilization
from wavecore.training.operations import Phase

RUNS = [run(schedule) for schedule in SCHEDULES]
BUFFER = machine().core.global_buffer_bytes


def marks(panel: Panel, kind: type) -> dict:
    return {mark.name: mark for mark in panel.of(kind)}


def test_the_comparison_shows_each_run_and_its_ratio() -> None:
    traffic_panel, time_panel, energy_panel = comparison([case()]).panels
    (bars,) = traffic_panel.of(Bars)
    size = {"MiB a step": 2**20, "GiB a step": 2**30}[traffic_panel.x.title]
    assert [length * size for length in bars.lengths] == [each.dram_bytes.total for each in RUNS]
    assert bars.colours == tuple(COLOURS[name] for name in SCHEDULES)
    ratio = RUNS[2].dram_bytes.total / RUNS[0].dram_bytes.total
    assert bars.texts[2].endswith(f" ({ratio:.2f}x)")
    assert time_panel.x.title in ("ms a step", "µs a step")
    assert energy_panel.y.names == SCHEDULES


def test_ratios_are_for_each_sample() -> None:
    half = replace(shown("mbs2"), run=replace(run("mbs2"), batch=2))
    (found,) = cases([shown("baseline"), half])
    text = comparison([found]).panels[0].of(Bars)[0].texts[1]
    assert text.endswith(f" ({2 * RUNS[2].dram_bytes.total / RUNS[0].dram_bytes.total:.2f}x)")


def test_networks_side_by_side_have_a_bar_for_each_schedule() -> None:
    runs = [replace(each, workload=name) for name in ("one", "two") for each in reversed(RUNS)]
    doubled = [*runs[:3], *(replace(each, step_seconds=2 * each.step_seconds) for each in runs[3:])]
    picture = compared(doubled)
    traffic_panel, time_panel, _ = picture.panels
    assert traffic_panel.x.names == ("one", "two")
    bars = time_panel.of(Bars)
    assert [mark.name for mark in bars] == list(reversed(SCHEDULES))
    assert [mark.colours[0] for mark in bars] == [COLOURS[name] for name in reversed(SCHEDULES)]
    size = {"step time (ms a step)": 1e-3, "step time (µs a step)": 1e-6}[time_panel.title]
    for mark, each in zip(bars, reversed(RUNS), strict=True):
        assert [height * size for height in mark.lengths] == pytest.approx([each.step_seconds, 2 * each.step_seconds])
        assert mark.texts == (f"{each.step_seconds / RUNS[2].step_seconds:.2f}",) * 2, "the first is the reference"
    places = sorted(at for mark in bars for at in mark.at)
    assert all(high - low >= bars[0].thickness for low, high in pairwise(places))
    assert picture.notes == ("wavecore with hbm2x2, analytic engine; samples a step: 4.",)


def test_networks_with_other_runs_have_panels_of_their_own() -> None:
    runs = [*RUNS, *(replace(each, workload="two", memory="other") for each in (RUNS[0], RUNS[2]))]
    assert [panel.title for panel in compared(runs).panels[::3]] == ["resnet18: DRAM traffic", "two: DRAM traffic"]


def test_shares_of_the_step_add_up() -> None:
    (panel,) = utilization([case()]).panels
    parts = marks(panel, Bars)
    assert [sum(part.lengths[at] for part in parts.values()) for at in range(3)] == pytest.approx([100] * 3, abs=0.01)
    assert parts["useful multiply-accumulates"].lengths == pytest.approx(
        [100 * each.array_utilization for each in RUNS]
    )
    stalls = [100 * each.stall_cycles.dram / each.step_cycles for each in RUNS]
    assert parts["waits for DRAM"].lengths == pytest.approx(stalls)


def test_energy_parts_are_the_runs() -> None:
    (panel,) = energy([case()]).panels
    parts = marks(panel, Bars)
    size = {"energy (mJ a step)": 1e-3, "energy (J a step)": 1.0}[panel.x.title]
    assert len(parts) == len(fields(RUNS[0].energy_joules))
    assert [length * size for length in parts["DRAM"].lengths] == pytest.approx([r.energy_joules.dram for r in RUNS])
    tops = [start + length for start, length in zip(parts["leakage"].starts, parts["leakage"].lengths, strict=True)]
    assert [top * size for top in tops] == pytest.approx([each.energy_joules.total for each in RUNS])


def test_traffic_by_layer_is_the_rows_by_class() -> None:
    for each, panel in zip(RUNS, traffic(case()).panels, strict=True):
        areas = marks(panel, Steps)
        size = {"DRAM traffic (KiB)": 2**10, "DRAM traffic (MiB)": 2**20}[panel.y.title]
        assert sum(map(sum, (area.values for area in areas.values()))) * size == pytest.approx(each.dram_bytes.total)
        gradients = sum(areas["gradients"].values) if "gradients" in areas else 0
        assert gradients * size == pytest.approx(each.dram_bytes.gradient)
        first = sum(row.dram_activation_bytes for row in each.rows if row.name == panel.x.names[0])
        assert areas["activations"].values[0] * size == pytest.approx(first)


def test_classes_have_the_shared_colours() -> None:
    entries = {entry.colour for entry in legend(traffic(case()))}
    assert entries <= set(CLASS_COLOURS.values()) and len(entries) >= 5


def test_time_by_layer_adds_up_to_the_step() -> None:
    for each, panel in zip(RUNS, time(case()).panels, strict=True):
        areas = panel.of(Steps)
        size = {"time (µs)": 1e-6, "time (ms)": 1e-3}[panel.y.title]
        assert sum(sum(area.values) for area in areas) * size == pytest.approx(each.step_seconds)
        tops = [b + v for b, v in zip(areas[-1].bases, areas[-1].values, strict=True)]
        assert max(tops) <= panel.y.high


def test_groups_cover_the_layers_and_stand_over_footprints() -> None:
    picture = groups(case())
    for each, panel in zip(case().runs, picture.panels, strict=True):
        bands = panel.of(Band)
        assert [band.low for band in bands[1:]] == [band.high for band in bands[:-1]]
        assert (bands[0].low, bands[-1].high) == (-0.5, len(panel.x.names) - 0.5)
        (level,) = panel.of(LimitLine)
        assert level.y == BUFFER
        lines = marks(panel, Steps)
        forward = {row.layer: row.used_bytes for row in each.footprints if row.direction == "forward"}
        drawn = lines["on chip at the sub-batch, forward"].values
        assert drawn == tuple(forward.get(name) for name in panel.x.names)
        assert max(value for value in drawn if value) <= level.y
        most = max(row.sample_bytes for row in each.footprints if row.layer == panel.x.names[0])
        assert lines["inputs and outputs of a core's mini-batch"].values[0] == most * each.batch_per_core


def test_a_band_says_sub_batch_and_iterations() -> None:
    panel = groups(case("mbs2")).panels[0]
    group = run("mbs2").groups[0]
    assert panel.of(Band)[0].label == f"{group.sub_batch} \u00d7 {group.iterations}"


def test_single_layers_share_a_band() -> None:
    panel = groups(case("baseline")).panels[0]
    assert len(run("baseline").groups) > 40 and len(panel.of(Band)) == 1


def test_a_picture_says_what_it_leaves_out() -> None:
    bare = replace(shown("mbs2"), footprints=())
    (found,) = cases([shown("baseline"), bare])
    picture = groups(found)
    assert len(picture.panels) == 1
    reason = "A bare JSON file does not say what a layer takes of the buffer"
    assert picture.notes[0].startswith(f"Not drawn: mbs2. {reason}")
    (alone,) = cases([bare])
    assert groups(alone).panels == () and groups(alone).notes[0].startswith(reason)


def test_roofline_points_are_under_the_peak_and_at_their_intensity() -> None:
    picture = roofline(case())
    made = machine()
    peak = made.array.rows * made.array.columns * made.chip.cores * made.chip.clock_hz / 1e12
    for each, panel in zip(RUNS, picture.panels, strict=True):
        (roof,) = panel.of(LineMark)
        assert roof.y[-1] == peak and roof.y[0] < peak
        assert roof.y[0] / roof.x[0] == pytest.approx(made.memory.bandwidth_bytes_per_second / 1e12)
        points = marks(panel, Points)
        rows = [row for row in each.rows if row.macs and row.phase is Phase.FORWARD]
        moved = [row.macs / (row.dram_read_bytes + row.dram_write_bytes) for row in rows]
        assert points["forward"].x == pytest.approx(moved)
        assert all(y <= peak for mark in points.values() for y in mark.y)
        assert sum(len(mark.x) for mark in points.values()) == sum(row.macs > 0 for row in each.rows)


def test_a_row_without_dram_traffic_is_at_the_edge() -> None:
    first = next(row for row in run("mbs2").rows if row.macs)
    still = replace(first, dram_read_bytes=0, dram_write_bytes=0)
    rows = tuple(still if row is first else row for row in run("mbs2").rows)
    (found,) = cases([replace(shown("mbs2"), run=replace(run("mbs2"), rows=rows))])
    panel = roofline(found).panels[0]
    points = marks(panel, Points)["forward"]
    assert points.x[0] == panel.x.high
    assert "no DRAM traffic, drawn at the right edge" in points.hover[0]


def test_occupancy_is_the_tables() -> None:
    table = parse_occupancy(occupancy(), "x")
    made = run("mbs2", engine="event")
    (found,) = cases([replace(shown("mbs2"), run=made, occupancy=table)])
    panel = occupancy_picture(found).panels[0]
    lines = marks(panel, LineMark)
    assert set(lines) == {"core 0", "core 1"}
    assert max(max(line.y) for line in lines.values()) * 2**20 == made.global_buffer_bytes.peak
    assert all(line.x[-1] == pytest.approx(panel.x.high) for line in lines.values())
    assert panel.of(LimitLine)[0].y * 2**20 == BUFFER


def test_every_picture_has_a_key_of_its_own_and_says_how_to_read_it() -> None:
    made = pictures(Report(cases=(case(), replace(case("mbs2"), key="other"))))
    assert len({picture.key for picture in made}) == len(made)
    assert all(len(picture.caption) > 40 and picture.title for picture in made)
    assert all(picture.panels or picture.notes for picture in made)


def test_many_runs_are_compared_but_not_all_drawn_by_layer() -> None:
    many = tuple(replace(shown("mbs2", str(at)), label=str(at)) for at in range(MOST_RUNS + 2))
    made = {picture.key: picture for picture in pictures(Report(cases=(WorkloadRuns(title="x", runs=many, key="x"),)))}
    assert len(made["comparison"].panels[0].y.names) == MOST_RUNS + 2
    assert len(made["traffic-x"].panels) == MOST_RUNS
    assert made["traffic-x"].notes[0].startswith(f"The first {MOST_RUNS} of {MOST_RUNS + 2} runs are drawn")


def test_names_of_layers_are_left_alone() -> None:
    odd = renamed(shown("mbs2"))
    (found,) = cases([odd])
    assert traffic(found).panels[0].x.names[:2] == ("</script><b>&\"'bold", "$x_1$ {%s} %{y}")
