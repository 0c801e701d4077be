"""Does docs/program.md show what the program and its timeline are?"""

import re
from pathlib import Path

import wavecore as wc
from wavecore.program.listing import program_lines
from wavecore.program.lower import lower
from wavecore.timeline.collect import WHOLE, TimelineProbe
from wavecore.timeline.model import Track

PAGE = (Path(__file__).parent.parent.parent / "docs" / "program.md").read_text(encoding="utf-8")


def test_the_listing_is_the_programs() -> None:
    (listing,) = re.findall(r"<!-- listing -->\n```\n(.*?)```", PAGE, re.DOTALL)
    training, machine = wc.training_graph("lenet5"), wc.load_accelerator()
    plan = wc.make_plan(training, "mbs2", machine, training.batch_per_core)
    lines = list(program_lines(lower(training, plan, machine), layer="conv2"))
    assert listing in "\n".join(lines) + "\n"


def test_the_table_is_the_timelines() -> None:
    machine = wc.load_accelerator()
    probe = TimelineProbe(machine, WHOLE, 200_000)
    wc.simulate("lenet5", "mbs2", machine, probe=probe)
    tracks = probe.timeline().tracks
    rows = re.findall(r"^\| (\w+) \| (\d+) \| ([\d,]+) \| ([\d,]+) \|$", PAGE, re.MULTILINE)
    assert rows
    for queue, step, start, end in rows:
        found = [
            (item.start, item.end)
            for item in tracks[Track(0, queue)]
            if item.instance and item.instance.command.name == "conv2.forward" and item.first_step == int(step) - 1
        ]
        assert found == [(int(start.replace(",", "")), int(end.replace(",", "")))], (queue, step)
