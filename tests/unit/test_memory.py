"""Does the shared memory serve its queues in turn, and lose nothing to rounding?"""

from __future__ import annotations

from fractions import Fraction

import pytest
import simpy
from builders import machine

from wavecore.engines.memory import REQUEST_BYTES, SharedMemory
from wavecore.hardware.dram import PS_PER_SECOND, row_set_bytes, sustained_bytes_per_second, transfer_ps

CLOCK_HZ = machine().chip.clock_hz
QUEUE_CYCLES = transfer_ps(machine().memory, machine().memory.queue_bursts) * CLOCK_HZ / PS_PER_SECOND
Served = list[tuple[int, int]]  # (queue, cycle at which the controller had taken it)


def backlog(
    env: simpy.Environment,
    memory: SharedMemory,
    queue: int,
    sizes: list[int],
    write: bool,
    log: Served,
) -> None:
    """A queue that asks for its next transfer as soon as the last one is done."""

    def process() -> object:
        address = queue * ((1 << 30) + 2 * row_set_bytes(machine().memory))  # in other banks
        for nbytes in sizes:
            yield memory.request(queue, address, nbytes, write)
            address += nbytes
            log.append((queue, int(env.now)))

    env.process(process())  # type: ignore[arg-type]


def serve(queues: int, *backlogs: tuple[int, list[int], bool], settings: tuple[str, ...] = ()) -> Served:
    env = simpy.Environment()
    memory = SharedMemory(env, machine(*settings), queues)
    log: Served = []
    for queue, sizes, write in backlogs:
        backlog(env, memory, queue, sizes, write, log)
    env.run()
    assert memory.requests == sum(len(sizes) for _, sizes, _ in backlogs)
    return log


def test_turns_go_round() -> None:
    sizes = [REQUEST_BYTES] * 3
    served = serve(4, (2, sizes, True), (0, sizes, False), (1, sizes, False))
    assert [queue for queue, _ in served][1:] == [0, 1, 2, 0, 1, 2, 0, 1]  # the first to come was served at once


def test_a_queue_that_has_nothing_to_ask_is_passed_over() -> None:
    served = serve(4, (3, [REQUEST_BYTES] * 2, True), (0, [REQUEST_BYTES], False))
    assert [queue for queue, _ in served] == [3, 0, 3]


def busy_cycles(nbytes: int, gaps_seconds: float = 0.0) -> float:
    """A backlog by hand: the first activation, every byte at peak bandwidth, gaps, and the refreshes on the way."""
    memory = machine().memory
    seconds = memory.trcd_seconds + nbytes / memory.bandwidth_bytes_per_second + gaps_seconds
    closed = memory.trfc_seconds + memory.trp_seconds + memory.trcd_seconds
    refreshes = 0
    while (seconds + refreshes * closed) // memory.trefi_seconds > refreshes:
        refreshes += 1
    return (seconds + refreshes * closed) * CLOCK_HZ


@pytest.mark.parametrize("size", [REQUEST_BYTES, 8192, 5000, 100, 32])
def test_a_stream_runs_at_full_speed_whatever_its_pieces(size: int) -> None:
    """A queue alone asks again at the next whole cycle: it loses less than one for each request that is served."""
    count = (4 << 20) // size
    end = serve(2, (0, [size] * count, False))[-1][1]
    stripe = machine().memory.interleave_bytes * machine().memory.channels
    ideal = busy_cycles(count * size)
    assert ideal <= end + QUEUE_CYCLES + 2 <= ideal + min(count, count * size // stripe) + 5


def test_the_sustained_bandwidth_is_that_of_the_formula() -> None:
    """Two queues of reads, so that one always waits, until the refreshes are many."""
    sizes = [REQUEST_BYTES] * 1000
    end = serve(4, (0, sizes, False), (1, sizes, False))[-1][1]
    assert end == pytest.approx(busy_cycles(2000 * REQUEST_BYTES), rel=0.005)
    sustained = sustained_bytes_per_second(machine().memory) / CLOCK_HZ
    assert end == pytest.approx(2000 * REQUEST_BYTES / sustained, rel=0.002)


def test_data_arrive_after_the_request_is_taken() -> None:
    """A read's last data come tCL and the controller's latency, 34 ns, after the slots of what is in the queue."""
    env = simpy.Environment()
    memory = SharedMemory(env, machine(), 2)
    got: list[tuple[int, int]] = []

    def process() -> object:
        for write in (False, True):
            done = yield memory.request(int(write), 0, REQUEST_BYTES, write)
            got.append((int(env.now), done))

    env.process(process())  # type: ignore[arg-type]
    env.run()
    read, write = got
    assert read[1] - read[0] == pytest.approx(34e-9 * CLOCK_HZ + QUEUE_CYCLES, abs=2)
    assert write[1] == write[0]


def test_reads_and_writes_in_turn_pay_for_every_turnaround() -> None:
    """32 turns to write, 31 to read: data of the last read still come, and the bus turns; tWTR."""
    mixed = serve(2, (0, [REQUEST_BYTES] * 32, False), (1, [REQUEST_BYTES] * 32, True))[-1][1]
    memory = machine().memory
    turns = 32 * (memory.tcl_seconds + memory.trtw_seconds) + 31 * memory.twtr_seconds
    assert mixed == pytest.approx(busy_cycles(64 * REQUEST_BYTES, turns), rel=0.02)


def test_queues_share_evenly() -> None:
    served = serve(2, (0, [REQUEST_BYTES] * 50, False), (1, [REQUEST_BYTES] * 50, False))
    ends = dict(served)
    burst = Fraction(REQUEST_BYTES, machine().memory.bandwidth_bytes_per_second) * CLOCK_HZ
    assert abs(ends[0] - ends[1]) <= 1.2 * burst
