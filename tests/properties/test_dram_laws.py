"""What holds of the DRAM for any memory and any requests; the referee moves one burst at a time."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil, floor

from hypothesis import given, settings
from hypothesis import strategies as st

from wavecore.hardware.dram import Dram, transfer_ps
from wavecore.hardware.specs import MemorySpec

NS = Fraction(1000)

memories = st.builds(
    lambda channels, bandwidth, interleave, banks, rcd, rp, cl, rfc, refi, wtr, rtw: MemorySpec(
        name="any",
        channels=channels,
        bandwidth_bytes_per_second=bandwidth,
        interleave_bytes=32 * interleave,
        burst_bytes=32,
        row_bytes=1024,
        banks=banks,
        trcd_seconds=rcd * 1e-9,
        trp_seconds=rp * 1e-9,
        tcl_seconds=cl * 1e-9,
        trfc_seconds=rfc * 1e-9,
        trefi_seconds=refi * 1e-9,
        twtr_seconds=wtr * 1e-9,
        trtw_seconds=rtw * 1e-9,
        controller_seconds=20e-9,
        energy_joules_per_bit=0.0,
        background_watts=0.0,
    ),
    st.integers(1, 8),
    st.integers(10**10, 10**12),
    st.integers(1, 8),
    st.sampled_from([4, 8, 16]),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(1, 100),
    st.integers(800, 2000),
    st.integers(1, 10),
    st.integers(1, 10),
)
requests = st.lists(
    st.tuples(st.integers(0, 3_000_000), st.integers(1, 40_000), st.booleans(), st.integers(0, 2)),
    min_size=1,
    max_size=12,
)


class Referee:
    """The rules of wavecore.hardware.dram's docstring, one burst at a time, looking at every refresh by name."""

    def __init__(self, memory: MemorySpec) -> None:
        self.m = memory
        self.rcd, self.rp, self.cl = (
            Fraction(round(t * 1e12)) for t in (memory.trcd_seconds, memory.trp_seconds, memory.tcl_seconds)
        )
        self.rfc, self.refi = (Fraction(round(t * 1e12)) for t in (memory.trfc_seconds, memory.trefi_seconds))
        self.wtr, self.rtw = (Fraction(round(t * 1e12)) for t in (memory.twtr_seconds, memory.trtw_seconds))
        bus = Fraction(32 * memory.channels * 10**12, memory.bandwidth_bytes_per_second)
        row = bus * (1024 // 32)
        self.slot = max(bus, (row + self.rp + self.rcd) / memory.banks / (1024 // 32))
        self.last_end = Fraction(0)
        self.last_start = Fraction(0)
        self.last: tuple[bool, int] | None = None

    def refreshed_since(self, then: Fraction, now: Fraction) -> Fraction | None:
        """Return when the last refresh that began after ``then`` and by ``now`` ends."""
        k = floor((now + self.rp) / self.refi)
        begins = k * self.refi - self.rp
        return k * self.refi + self.rfc if k and begins >= then else None

    def after_refreshes(self, start: Fraction, floor_: Fraction) -> Fraction:
        """Move a slot that would overlap a refresh behind it, with its rows opened again."""
        k = floor((start + self.rp) / self.refi)
        if k and start < k * self.refi + self.rfc:
            return max(k * self.refi + self.rfc + self.rcd, floor_)
        if start + self.slot > (k + 1) * self.refi - self.rp:
            return max((k + 1) * self.refi + self.rfc + self.rcd, floor_)
        return start

    def first_slot(self, now: Fraction, write: bool, stream: int) -> Fraction:
        if self.last is None:
            done = self.refreshed_since(Fraction(0), now)
            return max(now, done or Fraction(0)) + self.rcd
        waiting = now < self.last_end + 1
        base = self.last_end if waiting else now
        gap = Fraction(0)
        if write != self.last[0]:
            gap = self.cl + self.rtw if write else self.wtr
        turned = self.last_end + gap
        done = self.refreshed_since(self.last_end, base)
        if done is not None:
            return max(max(base, done) + self.rcd, turned)
        begin = base
        if stream != self.last[1]:
            begin = max(base, (self.last_start if waiting else now) + self.rp + self.rcd)
        begin = max(begin, turned)
        caught = self.refreshed_since(base + Fraction(1, 10**9), begin)
        return max(caught + self.rcd, turned) if caught is not None else begin

    def serve(self, now_ps: int, nbytes: int, write: bool, stream: int) -> int:
        begin = self.first_slot(Fraction(now_ps), write, stream)
        piece = start = begin
        for _ in range(self.bursts(nbytes)):
            moved = self.after_refreshes(start, begin)
            if moved != start:
                piece = moved
            start = moved + self.slot
        self.last_start, self.last_end, self.last = piece, start, (write, stream)
        return ceil(start)

    def bursts(self, nbytes: int) -> int:
        """Deal the bytes out to the channels, one interleave at a time."""
        dealt = [0] * self.m.channels
        position = 0
        while position < nbytes:
            part = min(self.m.interleave_bytes, nbytes - position)
            dealt[position // self.m.interleave_bytes % self.m.channels] += -(-part // 32)
            position += part
        return max(dealt)


@settings(deadline=None, max_examples=200)
@given(memories, requests)
def test_equals_the_burst_by_burst_referee(memory: MemorySpec, trace: list[tuple[int, int, bool, int]]) -> None:
    dram, referee = Dram(memory), Referee(memory)
    for request in sorted(trace, key=lambda r: r[0]):
        assert dram.serve(*request)[0] == referee.serve(*request)


@settings(deadline=None)
@given(memories, requests)
def test_never_before_asked_never_overlapping_and_reads_arrive_later(
    memory: MemorySpec, trace: list[tuple[int, int, bool, int]]
) -> None:
    dram, before = Dram(memory), 0
    for now, nbytes, write, stream in trace:
        free, done = dram.serve(now, nbytes, write, stream)
        assert free >= max(now, before - 1) + transfer_ps(memory, nbytes) - 1
        tail = 0 if write else round(memory.tcl_seconds * 1e12) + 20_000
        assert done == free + tail
        before = free


@settings(deadline=None)
@given(memories, requests, st.integers(1, 10**11))
def test_a_backlog_is_never_later_with_more_bandwidth(
    memory: MemorySpec, trace: list[tuple[int, int, bool, int]], more: int
) -> None:
    quiet = replace(memory, trefi_seconds=1.0)
    faster = replace(quiet, bandwidth_bytes_per_second=memory.bandwidth_bytes_per_second + more)
    slow, fast = Dram(quiet), Dram(faster)
    for _, nbytes, write, stream in trace:
        assert fast.serve(0, nbytes, write, stream) <= slow.serve(0, nbytes, write, stream)


@settings(deadline=None)
@given(memories, st.integers(1, 10**8), st.integers(1, 10**11))
def test_one_transfer_is_never_later_with_more_bandwidth(memory: MemorySpec, nbytes: int, more: int) -> None:
    faster = replace(memory, bandwidth_bytes_per_second=memory.bandwidth_bytes_per_second + more)
    assert Dram(faster).serve(0, nbytes, False, 0) <= Dram(memory).serve(0, nbytes, False, 0)


@settings(deadline=None)
@given(memories, st.integers(1, 10**7), st.integers(0, 10**5), st.integers(0, 10**6))
def test_more_bytes_are_never_earlier(memory: MemorySpec, nbytes: int, more: int, now: int) -> None:
    assert Dram(memory).serve(now, nbytes, False, 0) <= Dram(memory).serve(now, nbytes + more, False, 0)
    assert transfer_ps(memory, nbytes) <= transfer_ps(memory, nbytes + more)
