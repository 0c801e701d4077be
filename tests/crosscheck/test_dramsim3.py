"""Do our DRAM and DRAMsim3 need the same time for the same requests?

`dramsim3.json` holds what DRAMsim3 took, and says how that was found.  A window of 250 requests is short (10 MB), and
whether two requests meet in a bank is chance for both models, so that single windows differ by more than their mean.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from wavecore.hardware.config import load_accelerator
from wavecore.hardware.dram import Dram, bank_sets, row_set_bytes
from wavecore.hardware.specs import MemorySpec

MEMORIES = ("hbm2", "hbm2x2", "gddr5", "lpddr4")
KINDS = {
    "read": "R",
    "write": "W",
    "read and write": "RW",
    "two reads and a write": "RRW",
    "four reads": "RRRR",
    "two reads and two writes": "RRWW",
}
REFEREE: dict[str, Any] = json.loads((Path(__file__).parent / "dramsim3.json").read_text())["memories"]
Requests = list[tuple[int, int, bool]]


def memory(name: str) -> MemorySpec:
    return replace(load_accelerator(memory=name).memory, controller_seconds=0.0)


def nanoseconds(spec: MemorySpec, requests: Requests) -> float:
    """Offer every request as soon as the one before is accepted."""
    dram, now, last = Dram(spec), 0, 0
    for address, nbytes, write in requests:
        now, done = dram.serve(now, address, nbytes, write)
        last = max(last, done)
    return max(last, dram.flush()) / 1000


def pattern(spec: MemorySpec, name: str) -> Requests:
    streams, _, place = name.partition(", ")
    kinds = KINDS[streams]
    apart = row_set_bytes(spec) * (100 * bank_sets(spec) + (place == "next bank"))
    size = 64 * 1024
    turns = [divmod(turn, len(kinds)) for turn in range(32)]
    return [(stream * apart + turn * size, size, kinds[stream] == "W") for turn, stream in turns]


def window(text: str) -> Requests:
    words = text.split()
    return [(int(a, 16), int(n), k == "W") for k, a, n in zip(words[::3], words[1::3], words[2::3], strict=True)]


def errors(name: str, part: str) -> list[float]:
    spec, referee = memory(name), REFEREE[name][part]
    if part == "patterns":
        pairs = [(nanoseconds(spec, pattern(spec, each)), figure) for each, figure in referee.items()]
    else:
        pairs = [(nanoseconds(spec, window(each["requests"])), each["nanoseconds"]) for each in referee]
    return [ours / theirs - 1 for ours, theirs in pairs]


@pytest.mark.parametrize("name", MEMORIES)
def test_single_streams_take_the_same_time(name: str) -> None:
    for kind in ("read", "write"):
        ours = nanoseconds(memory(name), pattern(memory(name), kind))
        assert ours == pytest.approx(REFEREE[name]["patterns"][kind], rel=0.035)


@pytest.mark.parametrize("part", ["patterns", "windows"])
@pytest.mark.parametrize("name", MEMORIES)
def test_mixed_traffic_takes_the_same_time(name: str, part: str) -> None:
    found = errors(name, part)
    print(name, part, [f"{each:+.1%}" for each in found])
    assert fmean(abs(each) for each in found) < 0.05
    assert abs(fmean(found)) < 0.04
    assert max(abs(each) for each in found) < 0.10
