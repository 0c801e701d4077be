"""Does docs/program.md show what the program and its timeline are?"""

import re
from pathlib import Path

import pytest

import wavecore as wc
from wavecore.program.listing import program_lines
from wavecore.program.lower import lower
from wavecore.timeline.collect import WHOLE, TimelineProbe
from wavecore.timeline.model import Track

FILE = Path(__file__).parent.parent.parent / "docs" / "program.md"
PAGE = FILE.read_text(encoding="utf-8")


def test_the_listing_is_the_programs() -> None:
    (listing,) = re.findall(r"<!-- listing -->\n```\n(.*?)```", PAGE, re.DOTALL)
    training, machine = wc.training_graph("lenet5"), wc.load_accelerator()
    plan = wc.make_plan(training, "mbs2", machine, training.batch_per_core)
    lines = list(program_lines(lower(training, plan, machine), layer="conv2"))
    assert listing in "\n".join(lines) + "\n"


def test_the_table_is_the_timelines(request: pytest.FixtureRequest) -> None:
    """``pytest --update-golden`` writes it anew."""
    machine = wc.load_accelerator()
    probe = TimelineProbe(machine, WHOLE, 200_000)
    wc.simulate("lenet5", "mbs2", machine, probe=probe)
    tracks = probe.timeline().tracks

    def row(shown: re.Match[str]) -> str:
        queue, step = shown[1], int(shown[2])
        (item,) = (
            item
            for item in tracks[Track(0, queue)]
            if item.instance and item.instance.command.name == "conv2.forward" and item.first_step == step - 1
        )
        return f"| {queue} | {step} | {item.start:,} | {item.end:,} |"

    text, rows = re.subn(r"^\| (\w+) \| (\d+) \| [\d,]+ \| [\d,]+ \|$", row, PAGE, flags=re.MULTILINE)
    if request.config.getoption("--update-golden"):
        FILE.write_text(text, encoding="utf-8")
        return
    assert rows == 8 and text == PAGE
