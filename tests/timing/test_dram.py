"""Is every DRAM constraint met at exactly the legal picosecond, and not one earlier?

The round memory: 4 channels, 1 ns a burst (a 32-byte burst on each channel, 128 B/ns), refresh far away.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from wavecore.hardware.dram import Dram, sustained_bytes_per_second, transfer_ps
from wavecore.hardware.specs import MemorySpec

NS = 1000
RCD, RP, CL, WTR, RTW, CTRL = 10 * NS, 12 * NS, 14 * NS, 8 * NS, 2 * NS, 20 * NS
SWITCH = RP + RCD
ROUND = MemorySpec(
    name="round",
    channels=4,
    bandwidth_bytes_per_second=128 * 10**9,
    interleave_bytes=64,
    burst_bytes=32,
    row_bytes=1024,
    banks=16,
    trcd_seconds=10e-9,
    trp_seconds=12e-9,
    tcl_seconds=14e-9,
    trfc_seconds=100e-9,
    trefi_seconds=1e-6,
    twtr_seconds=8e-9,
    trtw_seconds=2e-9,
    controller_seconds=20e-9,
    energy_joules_per_bit=0.0,
    background_watts=0.0,
)
QUIET = replace(ROUND, trefi_seconds=1.0)
KIB8 = 8192  # 64 bursts a channel: 64 ns


@pytest.fixture
def dram() -> Dram:
    return Dram(QUIET)


def test_a_cold_read_waits_for_activate_cas_transfer_and_controller(dram: Dram) -> None:
    assert dram.serve(5 * NS, KIB8, False, 0) == (5 * NS + RCD + 64 * NS, 5 * NS + RCD + CL + 64 * NS + CTRL)


def test_a_cold_write_is_accepted_with_its_last_beat(dram: Dram) -> None:
    assert dram.serve(0, KIB8, True, 0) == (RCD + 64 * NS, RCD + 64 * NS)


@pytest.mark.parametrize(
    ("nbytes", "bursts"),
    [(1, 1), (32, 1), (33, 2), (64, 2), (65, 2), (256, 2), (257, 3), (289, 4), (512, 4), (513, 5)],
)
def test_a_small_request_takes_the_time_of_its_busiest_channel(nbytes: int, bursts: int) -> None:
    assert transfer_ps(QUIET, nbytes) == bursts * NS
    assert Dram(QUIET).serve(0, nbytes, True, 0)[0] == RCD + bursts * NS


def test_the_same_stream_continues_without_a_gap(dram: Dram) -> None:
    free, _ = dram.serve(0, KIB8, False, 0)
    assert dram.serve(0, KIB8, False, 0)[0] == free + 64 * NS


def test_the_same_stream_finds_its_row_open_after_idling(dram: Dram) -> None:
    free, _ = dram.serve(0, KIB8, False, 0)
    assert dram.serve(free + 500 * NS, KIB8, False, 0)[0] == free + 564 * NS


def test_a_waiting_switch_hides_behind_a_long_transfer(dram: Dram) -> None:
    free, _ = dram.serve(0, KIB8, False, 0)
    assert dram.serve(free, KIB8, False, 1)[0] == free + 64 * NS


@pytest.mark.parametrize(("bursts", "exposed"), [(1, 21), (21, 1), (22, 0), (23, 0)])
def test_a_waiting_switch_starts_with_the_previous_transfer(dram: Dram, bursts: int, exposed: int) -> None:
    nbytes = bursts // 2 * 256 + bursts % 2 * 32
    free, _ = dram.serve(0, nbytes, False, 0)
    assert dram.serve(free, 32, False, 1)[0] == free + (exposed + 1) * NS


def test_a_late_switch_pays_precharge_and_activate(dram: Dram) -> None:
    free, _ = dram.serve(0, KIB8, False, 0)
    assert dram.serve(free + 1, 32, False, 1)[0] == free + 1 + SWITCH + NS


def test_read_to_write_waits_for_the_data_and_the_turnaround(dram: Dram) -> None:
    free, _ = dram.serve(0, KIB8, False, 0)
    assert dram.serve(free, 32, True, 0)[0] == free + CL + RTW + NS


def test_write_to_read_waits_for_twtr(dram: Dram) -> None:
    free, _ = dram.serve(0, KIB8, True, 0)
    assert dram.serve(free, 32, False, 0) == (free + WTR + NS, free + WTR + CL + NS + CTRL)


@pytest.mark.parametrize("idle", [0, 5, 15, 16, 17])
def test_idle_time_absorbs_the_turnaround(dram: Dram, idle: int) -> None:
    free, _ = dram.serve(0, KIB8, False, 0)
    assert dram.serve(free + idle * NS, 32, True, 0)[0] == free + max(idle * NS, CL + RTW) + NS


def test_switch_and_turnaround_overlap(dram: Dram) -> None:
    free, _ = dram.serve(0, 32, False, 0)
    assert dram.serve(free, 32, True, 1)[0] == free + max(SWITCH - NS, CL + RTW) + NS


REFRESH_BEGINS = 1000 * NS - RP
REOPENED = 1000 * NS + 100 * NS + RCD


@pytest.mark.parametrize(("room", "after"), [(2, None), (1, 1), (0, 2)])
def test_no_slot_overlaps_the_refresh(room: int, after: int | None) -> None:
    """The last slot may end as the precharge of all banks begins; the rest comes after the refresh."""
    dram = Dram(ROUND)
    dram.serve(0, 32, True, 0)
    start = REFRESH_BEGINS - room * NS
    end = start + 2 * NS if after is None else REOPENED + after * NS
    assert dram.serve(start, 64, True, 0)[0] == end


def test_one_picosecond_too_late_for_the_last_slot() -> None:
    dram = Dram(ROUND)
    dram.serve(0, 32, True, 0)
    assert dram.serve(REFRESH_BEGINS - NS + 1, 32, True, 0)[0] == REOPENED + NS


def test_a_long_transfer_continues_after_each_refresh() -> None:
    per_interval = 1000 - 100 - 12 - 10  # ns usable between two refreshes, one slot each
    first = 1000 - 12 - 10
    bursts = first + 2 * per_interval + 7
    end, _ = Dram(ROUND).serve(0, bursts // 2 * 256 + bursts % 2 * 32, True, 0)
    assert end == 3000 * NS + 100 * NS + RCD + 7 * NS


def test_after_an_idle_refresh_rows_are_closed_but_precharged() -> None:
    dram = Dram(ROUND)
    dram.serve(0, 32, True, 0)
    assert dram.serve(1500 * NS, 32, True, 1)[0] == 1500 * NS + RCD + NS


def test_arriving_inside_a_refresh_waits_for_its_end() -> None:
    dram = Dram(ROUND)
    dram.serve(0, 32, True, 0)
    assert dram.serve(1050 * NS, 32, True, 0)[0] == REOPENED + NS


def test_an_activate_caught_by_the_refresh_is_done_again() -> None:
    dram = Dram(ROUND)
    dram.serve(0, 32, True, 0)
    assert dram.serve(REFRESH_BEGINS - SWITCH, 32, True, 1)[0] == REOPENED + NS


def test_a_single_bank_exposes_every_row() -> None:
    one_bank = replace(QUIET, banks=1)
    assert transfer_ps(one_bank, 4 * 1024) == 32 * NS + SWITCH


def test_fractions_of_picoseconds_do_not_accumulate() -> None:
    third = replace(QUIET, bandwidth_bytes_per_second=3 * 128 * 10**9)
    dram = Dram(third)
    free = 0
    for _ in range(999):
        free, _ = dram.serve(free, 32, True, 0)
    assert free == RCD + 333 * NS


def test_sequential_bandwidth_is_the_closed_form() -> None:
    usable = 1000 - 100 - 12 - 10
    assert sustained_bytes_per_second(ROUND) == pytest.approx(usable * 128 / 1e-6, rel=1e-12)
    horizon = 200
    end, _ = Dram(ROUND).serve(RCD, 128 * usable * horizon, True, 0)
    assert 128 * usable * horizon / (end * 1e-12) == pytest.approx(sustained_bytes_per_second(ROUND), rel=1e-3)


@pytest.mark.parametrize("run", [1, 2, 8])
@pytest.mark.parametrize("nbytes", [512, 8192])
def test_mixed_bandwidth_is_the_closed_form(run: int, nbytes: int) -> None:
    memory = replace(ROUND, trefi_seconds=4e-6)
    dram, free, requests = Dram(memory), 0, 20_000
    for i in range(requests):
        write = bool(i // run % 2)
        free, _ = dram.serve(0, nbytes, write, int(write))
    expected = sustained_bytes_per_second(memory, nbytes, run_requests=run)
    assert requests * nbytes / (free * 1e-12) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("nbytes", [32, 256, 2048, 8192])
def test_scattered_bandwidth_is_the_closed_form(nbytes: int) -> None:
    memory = replace(ROUND, trefi_seconds=4e-6)
    dram, free, requests = Dram(memory), 0, 20_000
    for i in range(requests):
        free, _ = dram.serve(0, nbytes, False, i)
    expected = sustained_bytes_per_second(memory, nbytes, scattered=True)
    assert requests * nbytes / (free * 1e-12) == pytest.approx(expected, rel=0.01)
