"""Is every DRAM constraint met at exactly the legal picosecond, and not one earlier?

The round memory: 4 channels, 1 ns a burst (a 32-byte burst on each channel, 128 B/ns), refresh far away, one bank group
of 16 banks, so that a row set is a row of 1 KiB in each channel: 4 KiB, 32 bursts.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from wavecore.hardware.dram import (
    Dram,
    bank_sets,
    channel_bytes,
    row_set_bytes,
    sustained_bytes_per_second,
    transfer_ps,
)
from wavecore.hardware.specs import MemorySpec

NS = 1000
RCD, RAS, RP, RTP, WR, RRD = 10 * NS, 28 * NS, 12 * NS, 3 * NS, 16 * NS, 5 * NS
CL, CWL, WTR, RTW, RFC, CTRL = 14 * NS, 6 * NS, 8 * NS, 2 * NS, 100 * NS, 20 * NS
ROUND = MemorySpec(
    name="round",
    channels=4,
    bandwidth_bytes_per_second=128 * 10**9,
    interleave_bytes=64,
    burst_bytes=32,
    row_bytes=1024,
    banks=16,
    bank_groups=1,
    trcd_seconds=10e-9,
    tras_seconds=28e-9,
    trp_seconds=12e-9,
    trtp_seconds=3e-9,
    twr_seconds=16e-9,
    trrd_seconds=5e-9,
    tfaw_seconds=20e-9,
    tccd_l_seconds=1e-9,
    tcl_seconds=14e-9,
    tcwl_seconds=6e-9,
    twtr_seconds=8e-9,
    trtw_seconds=2e-9,
    trfc_seconds=100e-9,
    trefi_seconds=1e-6,
    queue_bursts=32,
    write_queue_bursts=1,
    controller_seconds=20e-9,
    energy_joules_per_bit=0.0,
    background_watts=0.0,
    channel_interface_mm2=0.0,
)
QUIET = replace(ROUND, trefi_seconds=1.0)
ROW = row_set_bytes(QUIET)
SAME_BANK = 16 * ROW  # from a row to the next one in its bank


@pytest.fixture
def dram() -> Dram:
    return Dram(QUIET)


def end(dram: Dram, now: int, address: int, nbytes: int, write: bool = False) -> int:
    """Serve a request; return when the bus is free after it."""
    dram.serve(now, address, nbytes, write)
    return dram.flush()


def test_a_cold_read_waits_for_activate_cas_transfer_and_controller(dram: Dram) -> None:
    accepted, done = dram.serve(5 * NS, 0, ROW, False)
    assert done == 5 * NS + RCD + 32 * NS + CL + CTRL
    assert accepted == 5 * NS + RCD  # the queue has room for all of it
    assert dram.flush() == 5 * NS + RCD + 32 * NS


def test_a_cold_write_waits_for_the_write_latency_too(dram: Dram) -> None:
    assert end(dram, 0, 0, ROW, True) == RCD + CWL + 32 * NS


def test_a_request_is_accepted_when_its_last_burst_is_in_the_queue(dram: Dram) -> None:
    assert dram.serve(0, 0, 2 * ROW, False)[0] == RCD + 32 * NS
    assert dram.serve(RCD + 32 * NS, 2 * ROW, 32, False)[0] == RCD + 33 * NS


@pytest.mark.parametrize(
    ("nbytes", "bursts"),
    [(1, 1), (32, 1), (33, 2), (64, 2), (65, 2), (256, 2), (257, 3), (289, 4), (512, 4), (513, 5)],
)
def test_a_request_takes_the_time_of_its_part_in_channel_0(nbytes: int, bursts: int) -> None:
    assert channel_bytes(QUIET, nbytes) == bursts * 32
    assert end(Dram(QUIET), 0, 0, nbytes) == RCD + bursts * NS


def test_parts_of_a_stripe_add_up(dram: Dram) -> None:
    parts = [1, 30, 33, 64, 200, 700, 24, 4]
    for at, nbytes in enumerate(parts):
        free = end(dram, 0, sum(parts[:at]), nbytes)
    assert free == RCD + channel_bytes(QUIET, sum(parts)) // 32 * NS


def test_a_row_that_is_open_continues_without_a_gap(dram: Dram) -> None:
    free = end(dram, 0, 0, ROW // 2)
    assert end(dram, free, ROW // 2, ROW // 2) == free + 16 * NS
    assert end(dram, free + 500 * NS, 0, ROW) == free + 532 * NS


def test_the_next_row_of_a_stream_is_opened_in_time(dram: Dram) -> None:
    assert end(dram, 0, 0, 8 * ROW) == RCD + 8 * 32 * NS


@pytest.mark.parametrize(("queue", "exposed"), [(4, 6), (10, 0), (12, 0)])
def test_a_row_in_another_bank_is_activated_when_the_queue_shows_it(queue: int, exposed: int) -> None:
    dram = Dram(replace(QUIET, queue_bursts=queue))
    free = end(dram, 0, 0, ROW)
    assert end(dram, 0, ROW, 32) == free + exposed * NS + NS


def test_a_late_request_to_another_bank_pays_the_activation(dram: Dram) -> None:
    free = end(dram, 0, 0, ROW)
    assert end(dram, free + 100 * NS, ROW, 32) == free + 100 * NS + RCD + NS


def test_another_row_of_the_same_bank_waits_for_its_last_read(dram: Dram) -> None:
    free = end(dram, 0, 0, ROW)
    assert end(dram, 0, SAME_BANK, 32) == free - NS + RTP + RP + RCD + NS


def test_another_row_of_the_same_bank_waits_for_tras(dram: Dram) -> None:
    end(dram, 0, 0, 32)
    assert end(dram, 0, SAME_BANK, 32) == RAS + RP + RCD + NS


def test_another_row_of_the_same_bank_waits_for_written_data(dram: Dram) -> None:
    free = end(dram, 0, 0, ROW, True)
    assert end(dram, 0, SAME_BANK, ROW, True) == free + WR + RP + RCD + CWL + 32 * NS


def test_activations_are_trrd_apart(dram: Dram) -> None:
    end(dram, 0, 0, 32)
    assert end(dram, 0, ROW, 32) == RRD + RCD + NS


def test_activations_keep_tfaw() -> None:
    """One in four: 8 ns instead of tRRD's 5."""
    dram = Dram(replace(QUIET, tfaw_seconds=32e-9))
    end(dram, 0, 0, 32)
    assert end(dram, 0, ROW, 32) == 8 * NS + RCD + NS


GROUPED = replace(QUIET, bank_groups=4)


def test_rows_of_all_bank_groups_are_opened_together() -> None:
    assert (row_set_bytes(GROUPED), bank_sets(GROUPED)) == (4 * ROW, 4)
    dram = Dram(GROUPED)
    free = end(dram, 0, 0, 4 * ROW)
    assert free == RCD + 128 * NS
    assert end(dram, 0, 4 * ROW, 32) == free + NS


def test_the_group_that_was_activated_first_is_ahead() -> None:
    """Its row is closed while the others' last columns are read: 3 tRRD earlier."""
    dram = Dram(GROUPED)
    free = end(dram, 0, 0, 4 * ROW)
    assert end(dram, 0, 16 * ROW, 32) == free - NS + RTP - 3 * RRD + RP + RCD + NS


@pytest.mark.parametrize(("tccd_l", "burst"), [(2e-9, 1000), (4e-9, 1000), (8e-9, 2000)])
def test_a_bank_group_limits_only_what_the_others_cannot_fill(tccd_l: float, burst: int) -> None:
    assert transfer_ps(replace(GROUPED, tccd_l_seconds=tccd_l), 64) == 64 * burst
    assert transfer_ps(replace(QUIET, tccd_l_seconds=tccd_l), 64) == 64 * max(NS, round(tccd_l * 1e12))


def test_read_to_write_waits_for_the_data_and_the_turnaround(dram: Dram) -> None:
    free = end(dram, 0, 0, ROW // 2)
    assert end(dram, free, ROW // 2, 32, True) == free + CL + RTW + NS


def test_write_to_read_waits_for_twtr(dram: Dram) -> None:
    free = end(dram, 0, 0, ROW // 2, True)
    assert end(dram, free, ROW // 2, 32) == free + WTR + NS


@pytest.mark.parametrize("idle", [0, 5, 15, 16, 17])
def test_idle_time_absorbs_the_turnaround(dram: Dram, idle: int) -> None:
    free = end(dram, 0, 0, ROW // 2)
    assert end(dram, free + idle * NS, ROW // 2, 32, True) == free + max(idle * NS, CL + RTW) + NS


# -- the write queue ---------------------------------------------------------------------------------------

QUEUED = replace(QUIET, write_queue_bursts=8)


def test_writes_wait_until_the_queue_is_full_and_reads_do_not_wait_for_them() -> None:
    dram = Dram(QUEUED)
    assert dram.serve(0, 0, ROW // 2, False)[1] == RCD + 16 * NS + CL + CTRL
    free = RCD + 16 * NS
    assert dram.serve(1, ROW, ROW // 8, True) == (1, 1)  # 4 bursts of 8
    assert dram.serve(2, ROW // 2, ROW // 2, False)[1] == free + 16 * NS + CL + CTRL
    dram.serve(3, ROW + ROW // 8, ROW // 8, True)
    assert dram.flush() == free + 16 * NS + CL + RTW + 8 * NS


def test_an_idle_bus_empties_the_queue() -> None:
    dram = Dram(QUEUED)
    dram.serve(0, 0, 256, True)
    free = RCD + CWL + 2 * NS
    assert dram.serve(free + 1, 256, 256, False)[1] == free + WTR + 2 * NS + CL + CTRL
    assert dram.flush() == free + WTR + 2 * NS


def test_a_write_is_accepted_when_its_last_burst_has_room() -> None:
    dram = Dram(QUEUED)
    assert dram.serve(0, 0, ROW // 2, True)[0] == RCD + CWL + 8 * NS  # 16 bursts, of which 8 remain
    assert dram.serve(0, ROW // 2, ROW // 4 + 256, True)[0] == RCD + CWL + 16 * NS  # 10 more: 2 stay behind
    assert dram.flush() == RCD + CWL + 26 * NS


# -- refresh -----------------------------------------------------------------------------------------------

REOPENED = 1000 * NS + RP + RFC
DENSE = replace(ROUND, trrd_seconds=1e-9, tfaw_seconds=4e-9)  # so that rows after a refresh are not behind


@pytest.mark.parametrize("early", [1, NS, 2 * NS])
def test_the_last_slot_begins_before_the_refresh(early: int) -> None:
    dram = Dram(ROUND)
    dram.serve(0, 0, 64, False)
    begin = 1000 * NS - early
    bursts = -(-early // NS)
    closed = begin + bursts * NS - NS + RTP  # the last read command, then precharge
    assert end(dram, begin, 0, (bursts + 2) // 2 * 256) >= closed + RP + RFC + RCD + NS
    again = Dram(ROUND)
    again.serve(0, 0, 64, False)
    assert end(again, begin, 0, 64 if bursts == 2 else 32) == begin + bursts * NS


def test_a_long_transfer_continues_after_each_refresh() -> None:
    closed = (RTP - NS + RP + RFC + RCD) // NS
    bursts = 1000 - 10 + 2 * (1000 - closed) + 7
    assert end(Dram(DENSE), 0, 0, bursts // 2 * 256 + bursts % 2 * 32) == 3000 * NS + closed * NS + 7 * NS


def test_after_an_idle_refresh_rows_are_closed() -> None:
    dram = Dram(ROUND)
    dram.serve(0, 0, 32, False)
    assert end(dram, 1500 * NS, 0, 32) == 1500 * NS + RCD + NS


def test_arriving_inside_a_refresh_waits_for_its_end() -> None:
    dram = Dram(ROUND)
    dram.serve(0, 0, 32, False)
    assert end(dram, 1050 * NS, 0, 32) == REOPENED + RCD + NS


def test_an_activation_caught_by_the_refresh_is_done_again() -> None:
    dram = Dram(ROUND)
    dram.serve(0, 0, 32, False)
    assert end(dram, 1000 * NS - RP - RCD, SAME_BANK, 32) == 1000 * NS - RCD + RAS + RP + RFC + RCD + NS


def test_sequential_bandwidth_is_the_closed_form() -> None:
    usable = (1000 * NS - (RTP - NS + RP + RFC + RCD)) // NS
    assert sustained_bytes_per_second(ROUND) == pytest.approx(usable * 128 / 1e-6, rel=1e-12)
    horizon = 200
    free = end(Dram(DENSE), 0, 0, 128 * usable * horizon)
    assert 128 * usable * horizon / (free * 1e-12) == pytest.approx(sustained_bytes_per_second(ROUND), rel=2e-3)


@pytest.mark.parametrize("nbytes", [512, 2048, 8192, 65536])
def test_mixed_bandwidth_is_the_closed_form(nbytes: int) -> None:
    """Reads and writes of two streams in turn, in other banks; short ones are batched by the write queue."""
    memory = replace(ROUND, trefi_seconds=4e-6, write_queue_bursts=32, banks=64)
    dram, now, count = Dram(memory), 0, (8 << 20) // nbytes
    for i in range(count):
        write = bool(i % 2)
        now, _ = dram.serve(now, i // 2 * nbytes + write * (32 * ROW + (64 << 20)), nbytes, write)
    expected = sustained_bytes_per_second(memory, nbytes)
    assert count * nbytes / (dram.flush() * 1e-12) == pytest.approx(expected, rel=0.02)
