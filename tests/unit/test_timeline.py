"""Does a timeline show what happened, within its bounds, in both formats?"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from builders import machine

from wavecore.cli.watching import parse_window
from wavecore.engines.occupancy import OccupancyRecorder
from wavecore.engines.probe import Probe, Probes
from wavecore.network.catalog import workload
from wavecore.results.run import Run
from wavecore.simulation import simulate
from wavecore.timeline.collect import WHOLE, TimelineProbe, Window
from wavecore.timeline.drawing import summary
from wavecore.timeline.files import write_timeline
from wavecore.timeline.model import Timeline, Track

MACHINE = machine("core.global_buffer=1 MiB")


@cache
def watched(window: Window = WHOLE, most: int = 200_000) -> tuple[Run, Timeline]:
    probe = TimelineProbe(MACHINE, window, most)
    run = simulate(workload("resnet18", image=32), "mbs2", MACHINE, batch=4, probe=probe)
    return run, probe.timeline()


def written(tmp_path: Path, name: str, timeline: Timeline) -> Path:
    path = tmp_path / name
    write_timeline(path, timeline, "a run", {"step_cycles": 1})
    return path


def chrome_events(tmp_path: Path, timeline: Timeline) -> list[dict[str, Any]]:
    with gzip.open(written(tmp_path, "t.json.gz", timeline), "rt", encoding="utf-8") as file:
        found: list[dict[str, Any]] = json.load(file)["traceEvents"]
    return found


def test_watching_changes_nothing() -> None:
    run, _ = watched()
    plain = simulate(workload("resnet18", image=32), "mbs2", MACHINE, batch=4)
    assert (plain.step_cycles, plain.rows, plain.manifest.events) == (run.step_cycles, run.rows, run.manifest.events)
    idle = simulate(workload("resnet18", image=32), "mbs2", MACHINE, batch=4, probe=Probes(Probe()))
    assert idle.rows == run.rows


def test_slices_of_a_track_follow_each_other() -> None:
    _, timeline = watched()
    for track, slices in timeline.tracks.items():
        assert all(first.end <= second.start for first, second in pairwise(slices)), track
        assert all(0 <= item.start < item.end <= timeline.end for item in slices), track


def test_the_array_works_as_long_as_the_run_says() -> None:
    run, timeline = watched()
    busy = [sum(s.busy_cycles for s in timeline.tracks[Track(core, "array")] if s.instance) for core in range(2)]
    assert sum(busy) // 2 == sum(row.array_busy_cycles for row in run.rows)


def test_dram_moves_what_the_run_says() -> None:
    run, timeline = watched()
    moved = {"reads": run.dram_bytes.read, "writes": run.dram_bytes.write}
    assert {name: sum(value for _, value in curve.points) for name, curve in timeline.moved.items()} == moved
    for name, nbytes in moved.items():
        drawn = sum(item.nbytes for core in range(2) for item in timeline.tracks[Track(core, name)])
        assert drawn == nbytes


def test_counters_have_their_unit_once(tmp_path: Path) -> None:
    events = chrome_events(tmp_path, watched()[1])
    counters = {(event["name"], *event["args"]) for event in events if event["ph"] == "C"}
    assert len([name for name, unit in counters if unit == "GiB/s"]) >= 2
    assert not [name for name, unit in counters if unit in name.split()]


def test_occupancy_peaks_where_the_run_says() -> None:
    run, timeline = watched()
    peaks = [max(value for _, value in curve.points) for curve in timeline.occupancy.values()]
    assert max(peaks) == run.global_buffer_bytes.peak
    recorder = OccupancyRecorder(64)
    simulate(workload("resnet18", image=32), "mbs2", MACHINE, batch=4, probe=recorder)
    points = recorder.points()
    assert max(used for core in points.values() for _, used in core) == run.global_buffer_bytes.peak
    assert all(len(core) <= 64 for core in points.values())
    lines = recorder.csv().splitlines()
    assert lines[0] == "cycle,core,used_bytes"
    assert len(lines) == 1 + sum(map(len, points.values()))


def test_every_arrow_has_both_ends(tmp_path: Path) -> None:
    events = chrome_events(tmp_path, watched()[1])
    ends = {kind: [event["id"] for event in events if event["ph"] == kind] for kind in "sf"}
    assert ends["s"]
    assert sorted(ends["s"]) == sorted(ends["f"])


def test_names_say_layer_phase_and_iteration(tmp_path: Path) -> None:
    events = chrome_events(tmp_path, watched()[1])
    names = {event["args"]["name"] for event in events if event["ph"] == "M" and event["name"] == "thread_name"}
    assert {f"{unit.name} queue" for unit in MACHINE.units} <= names
    conv = next(event for event in events if event["ph"] == "X" and event["name"].startswith("conv1"))
    assert {"start_cycle", "cycles"} <= set(conv["args"])


def test_few_slices_are_joined_and_then_dropped() -> None:
    _, full = watched()
    _, small = watched(most=500)
    assert small.slices() <= 500 < full.slices()
    assert small.left_out.joined_steps
    assert small.left_out.slices > 0
    assert summary(small).endswith("left out")
    assert summary(full).endswith("every step of every queue, nothing left out")


def test_a_window_shows_its_part_only() -> None:
    _, full = watched()
    start, end = full.end // 4, full.end // 2
    _, part = watched(Window(start, end))
    assert 0 < part.slices() < full.slices()
    assert all(item.end > start and item.start < end for slices in part.tracks.values() for item in slices)
    assert (part.start, part.end) == (start, end)


def test_perfetto_reads_back(tmp_path: Path) -> None:
    pb = pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    _, timeline = watched()
    trace = pb.Trace()
    trace.ParseFromString(written(tmp_path, "t.pftrace", timeline).read_bytes())
    depth: dict[int, int] = defaultdict(int)
    last: dict[int, int] = defaultdict(int)
    outgoing, incoming, begun = set(), set(), 0
    for packet in trace.packet:
        if not packet.HasField("track_event"):
            continue
        event = packet.track_event
        assert packet.timestamp >= last[event.track_uuid]
        last[event.track_uuid] = packet.timestamp
        if event.type == pb.TrackEvent.TYPE_SLICE_BEGIN:
            depth[event.track_uuid] += 1
            begun += 1
        elif event.type == pb.TrackEvent.TYPE_SLICE_END:
            depth[event.track_uuid] -= 1
        assert depth[event.track_uuid] in (0, 1)
        outgoing.update(event.flow_ids)
        incoming.update(event.terminating_flow_ids)
    assert set(depth.values()) == {0}
    assert begun > timeline.slices()
    assert outgoing == incoming != set()
    described = {packet.track_descriptor.uuid for packet in trace.packet if packet.HasField("track_descriptor")}
    assert set(last) <= described


def test_the_same_again(tmp_path: Path) -> None:
    _, timeline = watched()
    first, second = (written(tmp_path, name, timeline).read_bytes() for name in ("a.json.gz", "b.json.gz"))
    assert first == second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json.gz", "b.json.gz"]


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("1 ms:2 ms", (700_000, 1_400_000)),
        ("1:2 ms", (700_000, 1_400_000)),
        (":500 cycles", (0, 500)),
        ("100:500 cycles", (100, 500)),
        ("0 us:1 us", (0, 700)),
    ],
)
def test_windows(text: str, window: tuple[int, int]) -> None:
    assert parse_window(text, 700_000_000) == window
