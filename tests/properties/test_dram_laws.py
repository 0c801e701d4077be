"""What holds of the DRAM for any memory and any requests; the referee moves one burst at a time."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import ceil

from hypothesis import given, settings
from hypothesis import strategies as st

from wavecore.hardware.dram import Dram, channel_bytes, row_set_bytes, transfer_ps
from wavecore.hardware.specs import MemorySpec

memories = st.builds(
    lambda channels, bandwidth, interleave, groups, sets, few, many, turns, rfc, refi, queues: MemorySpec(
        name="any",
        channels=channels,
        bandwidth_bytes_per_second=bandwidth,
        interleave_bytes=32 * interleave,
        burst_bytes=32,
        row_bytes=1024,
        banks=groups * sets,
        bank_groups=groups,
        trcd_seconds=few[0] * 1e-9,
        trp_seconds=few[1] * 1e-9,
        tcl_seconds=few[2] * 1e-9,
        tcwl_seconds=few[3] * 1e-9,
        trtp_seconds=few[4] * 1e-9,
        trrd_seconds=few[5] * 1e-9,
        tfaw_seconds=many[0] * 1e-9,
        tras_seconds=many[1] * 1e-9,
        twr_seconds=many[2] * 1e-9,
        tccd_l_seconds=1e-12,
        trfc_seconds=rfc * 1e-9,
        trefi_seconds=refi * 1e-9,
        twtr_seconds=turns[0] * 1e-9,
        trtw_seconds=turns[1] * 1e-9,
        queue_bursts=queues[0],
        write_queue_bursts=queues[1],
        controller_seconds=20e-9,
        energy_joules_per_bit=0.0,
        background_watts=0.0,
        channel_interface_mm2=0.0,
    ),
    st.integers(1, 8),
    st.sampled_from([32 * 10**9, 64 * 10**9, 256 * 10**9]),
    st.integers(1, 8),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([1, 2, 4, 8]),
    st.tuples(*[st.integers(1, 20)] * 6),
    st.tuples(*[st.integers(1, 50)] * 3),
    st.tuples(st.integers(1, 10), st.integers(1, 10)),
    st.integers(1, 100),
    st.integers(800, 2000),
    st.tuples(st.integers(1, 64), st.integers(1, 64)),
)
requests = st.lists(
    st.tuples(st.integers(0, 3_000_000), st.integers(0, 1 << 20), st.integers(1, 40_000), st.booleans()),
    min_size=1,
    max_size=12,
)
Trace = list[tuple[int, int, int, bool]]


def ps(seconds: float) -> int:
    return round(seconds * 1e12)


class Referee:
    """The rules of wavecore.hardware.dram's docstring, one burst of channel 0 at a time, each bank set by name."""

    def __init__(self, memory: MemorySpec) -> None:
        self.m = memory
        self.slot = Fraction(32 * memory.channels * 10**12, memory.bandwidth_bytes_per_second)
        self.free = Fraction(0)
        self.write = False
        self.interval = 0
        self.reopened = 0
        self.row: dict[int, int] = {}  # open row set by bank set
        self.precharge: dict[int, Fraction] = {}
        self.latest = Fraction(0)
        self.activated = Fraction(-(10**9))
        self.waiting: list[int] = []

    def serve(self, now: int, address: int, nbytes: int, write: bool) -> None:
        bursts = self.bursts(address, nbytes)
        if now > self.free:
            self.flush()
        if not write:
            self.move(now, bursts, False)
            return
        self.waiting += bursts
        batch = len(self.waiting) // self.m.write_queue_bursts * self.m.write_queue_bursts
        self.move(now, self.waiting[:batch], True)
        self.waiting = self.waiting[batch:]

    def flush(self) -> int:
        self.move(ceil(self.free), self.waiting, True)
        self.waiting = []
        return ceil(self.free)

    def bursts(self, address: int, nbytes: int) -> list[int]:
        """Deal the bytes out to the channels; return the numbers of the bursts that begin in channel 0."""
        stripe = self.m.interleave_bytes * self.m.channels
        numbers = []
        for at in range(-(-address // 32) * 32, address + nbytes, 32):
            number, rest = divmod(at, stripe)
            if rest < self.m.interleave_bytes:
                numbers.append((number * self.m.interleave_bytes + rest) // 32)
        return numbers

    def move(self, now: int, bursts: list[int], write: bool) -> None:
        per_set = self.m.row_bytes * self.m.bank_groups // 32
        for burst in bursts:
            self.one(now, burst // per_set, write)

    def one(self, now: int, row: int, write: bool) -> None:
        m, refi = self.m, ps(self.m.trefi_seconds)
        bank = row % (m.banks // m.bank_groups)
        while True:
            slot = max(Fraction(now), self.free)
            if write != self.write:
                slot = max(slot, self.free + (ps(m.tcl_seconds) + ps(m.trtw_seconds) if write else ps(m.twtr_seconds)))
            if slot // refi > self.interval:
                self.interval = int(slot // refi)
                self.row.clear()
                begin = max(Fraction(self.interval * refi), self.latest)
                self.reopened = begin + ps(m.trp_seconds) + ps(m.trfc_seconds)
            if self.row.get(bank) != row:
                active = max(self.closed(bank, write, now), self.activated + self.between())
                self.activated, self.row[bank] = active, row
                self.hold(bank, active + ps(m.tras_seconds), fresh=True)
                slot = max(slot, active + ps(m.trcd_seconds) + (ps(m.tcwl_seconds) if write else 0))
            if slot < (self.interval + 1) * refi:
                break
            self.free = max(self.free, Fraction((self.interval + 1) * refi))
        self.free, self.write = slot + self.slot, write
        self.hold(bank, self.free + (ps(m.twr_seconds) if write else max(0, ps(m.trtp_seconds) - ceil(self.slot))))

    def closed(self, bank: int, write: bool, now: int) -> Fraction:
        """Return when another row of the bank set may be activated, as far as the bank and the queue go."""
        seen = max(Fraction(now), self.free - self.m.queue_bursts * self.slot)
        if bank not in self.row:
            return max(seen, Fraction(self.reopened))
        ahead = (self.m.bank_groups - 1) * ps(self.m.trrd_seconds) if write == self.write else 0
        return max(seen, self.precharge[bank] - ahead) + ps(self.m.trp_seconds)

    def between(self) -> int:
        groups = self.m.bank_groups
        return max(groups * ps(self.m.trrd_seconds), groups * ps(self.m.tfaw_seconds) // 4)

    def hold(self, bank: int, until: Fraction, fresh: bool = False) -> None:
        self.precharge[bank] = until if fresh else max(self.precharge[bank], until)
        self.latest = max(self.latest, self.precharge[bank])


def backlog(memory: MemorySpec, trace: Trace) -> int:
    """Serve every request as soon as the one before is accepted; return when the bus is free."""
    dram, now = Dram(memory), 0
    for _, address, nbytes, write in trace:
        now, _ = dram.serve(now, address, nbytes, write)
    return dram.flush()


@settings(deadline=None, max_examples=200)
@given(memories, requests)
def test_equals_the_burst_by_burst_referee(memory: MemorySpec, trace: Trace) -> None:
    """Bandwidths are such that a burst takes whole picoseconds, and nothing is rounded."""
    dram, referee = Dram(memory), Referee(memory)
    for request in sorted(trace, key=lambda r: r[0]):
        dram.serve(*request)
        referee.serve(*request)
    assert dram.flush() == referee.flush()


@settings(deadline=None)
@given(memories, requests)
def test_requests_are_accepted_in_order_and_data_come_later(memory: MemorySpec, trace: Trace) -> None:
    dram, now = Dram(memory), 0
    for arrived, address, nbytes, write in sorted(trace, key=lambda r: r[0]):
        now = max(now, arrived)
        accepted, done = dram.serve(now, address, nbytes, write)
        assert now <= accepted <= done
        assert write or done >= now + ps(memory.tcl_seconds) + 20_000
        now = accepted


@settings(deadline=None)
@given(memories, requests)
def test_a_backlog_takes_as_long_as_the_bus_at_least(memory: MemorySpec, trace: Trace) -> None:
    bursts = sum(
        channel_bytes(memory, address + nbytes) - channel_bytes(memory, address) for _, address, nbytes, _ in trace
    )
    assert backlog(memory, trace) >= transfer_ps(memory, bursts // 32)


@settings(deadline=None)
@given(memories, st.integers(1, 10**7), st.integers(2, 20))
def test_a_stream_is_the_same_in_any_pieces(memory: MemorySpec, nbytes: int, pieces: int) -> None:
    """A sequential read takes as long at once as in parts, but for what the queue sees later."""
    whole = backlog(memory, [(0, 0, nbytes, False)])
    cuts = [nbytes * piece // pieces for piece in range(pieces + 1)]
    parts = backlog(memory, [(0, a, b - a, False) for a, b in pairwise(cuts) if b > a])
    assert whole <= parts + pieces
    assert parts <= whole + pieces * (ps(memory.trcd_seconds) + ps(memory.trp_seconds) + ps(memory.tras_seconds))


@settings(deadline=None)
@given(memories, st.integers(1, 10**7), st.integers(0, 10**5))
def test_more_bytes_are_never_earlier(memory: MemorySpec, nbytes: int, more: int) -> None:
    assert backlog(memory, [(0, 0, nbytes, False)]) <= backlog(memory, [(0, 0, nbytes + more, False)])


@settings(deadline=None)
@given(memories, st.integers(0, 63), st.integers(0, 63))
def test_rows_of_one_bank_never_beat_rows_of_two(memory: MemorySpec, first: int, second: int) -> None:
    """Two rows of one bank set in turn take at least as long as neighbouring rows in turn."""
    quiet = replace(memory, trefi_seconds=1.0, banks=memory.bank_groups * 8, interleave_bytes=32)
    row = row_set_bytes(quiet)
    near = [(0, row * (first + turn % 2), row, False) for turn in range(8)]
    far = [(0, row * (first + turn % 2 * 8 * (second + 1)), row, False) for turn in range(8)]
    assert backlog(quiet, near) <= backlog(quiet, far)
