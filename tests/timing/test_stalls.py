"""Is every cycle in which the array waits counted for what it waited for?  Programs here are made by hand.

A GEMM of these tests fills in 128 cycles and drains in 254.  Through the port of 512 B a cycle, 4 MiB take 8192 cycles.
DRAM is faster, so in the event engine its latency passes while the port is still busy; the analytic engine adds it:
tRCD, tCL and the controller, 14 + 34 ns, are 33.6 cycles at 0.7 GHz.
"""

from __future__ import annotations

import pytest
from builders import command, load, machine, program, store

from wavecore.engines.analytic import run_analytic
from wavecore.engines.event import run_events
from wavecore.engines.timing import Timing
from wavecore.program.commands import Command, Flow, StepProfile, Token

QUIET = machine("memory.trefi=1 ms")  # no refresh during the test
MIB = 1 << 20
FILL, DRAIN, LATENCY = 128, 254, 33.6
X = Token("x", Flow(800, StepProfile.AT_ONCE))


def events(*commands: Command, **options: int) -> Timing:
    return run_events(program(*commands, **options), QUIET)


def analytic(*commands: Command, **options: int) -> Timing:
    return run_analytic(program(*commands, **options), QUIET)


def stalls(timing: Timing) -> tuple[int, int, int]:
    array = timing.units["array"]
    return array.dram_stall_cycles, array.unit_stall_cycles, array.dependency_stall_cycles


def gemm(name: str = "gemm", array: int = 1000, vector: int = 0, steps: int = 8, **changes: object) -> Command:
    work = {"array_cycles": array, "fill_cycles": FILL, "drain_cycles": DRAIN, "vector_cycles": vector}
    return command(name, work=work, steps=steps, **changes)


def at_once(nbytes: int, array: int = 1000, **changes: object) -> Command:
    """A GEMM whose operands are all there before it starts."""
    return gemm("gemm", array, loads=(load(nbytes, StepProfile.AT_ONCE, StepProfile.AT_END),), **changes)


def sweep(cycles: int, **changes: object) -> Command:
    """A sweep of one step, which makes x."""
    made = Token("x", Flow(800, StepProfile.AT_END))
    return command("sweep", work={"vector_cycles": cycles}, posts=(made,), reserves=(("x", 800),), **changes)


# -- event engine ---------------------------------------------------------------------------------------------------


def test_waiting_for_operands_is_waiting_for_dram() -> None:
    """Fill and drain are the array's own: they count as waiting for nothing else."""
    timing = events(at_once(4 * MIB))
    assert timing.step_cycles == 8192 + FILL + 1000 + DRAIN
    assert stalls(timing) == (8192, 0, FILL + DRAIN)


def test_waiting_for_a_result_is_waiting_for_the_vector_unit() -> None:
    timing = events(sweep(4000), gemm(waits=(X,), releases=(("x", 800),)))
    assert timing.step_cycles == 4000 + FILL + 1000 + DRAIN
    assert stalls(timing) == (0, 4000, FILL + DRAIN)


def test_operands_are_waited_for_first_and_results_for_the_rest() -> None:
    """2 MiB are there after 4096 cycles, the result after 6000: the rest is the vector unit's."""
    timing = events(sweep(6000), at_once(2 * MIB, waits=(X,), releases=(("x", 800),)))
    assert stalls(timing) == (4096, 6000 - 4096, FILL + DRAIN)


def test_what_must_have_left_for_dram_is_waited_for_like_a_result() -> None:
    """The GEMM writes over 1 MiB, whose last byte leaves 2048 cycles behind a sweep of 500."""
    made = command("sweep", work={"vector_cycles": 500}, stores=(store(MIB, StepProfile.AT_END, "y"),))
    timing = events(made, gemm(overwrites=(Token("y", Flow(MIB, StepProfile.AT_ONCE)),)))
    dram, vector, _ = stalls(timing)
    assert dram == 0
    assert vector == pytest.approx(500 + 2048, abs=50)


def test_waiting_for_accumulators_is_waiting_for_the_vector_unit() -> None:
    """8 steps of 100 cycles, each drained in 1000; two wait in the accumulators.

    Fill and two steps end at 328; the first drain ends at 128 + 100 + 1000 = 1228: 900 cycles.  From then on a drain
    ends every 1000 cycles, and the array, which was idle, takes 128 to fill and 100: it waits 772 before steps 4 to 8.
    """
    timing = events(gemm(array=800, vector=8000))
    assert stalls(timing)[:2] == (0, 900 + 5 * 772)


def test_stalls_are_means_over_the_cores() -> None:
    """Both cores wait 4000 cycles for their own sweep."""
    timing = events(sweep(4000), gemm(waits=(X,), releases=(("x", 800),)), cores=2)
    assert stalls(timing) == (0, 4000, FILL + DRAIN)


# -- analytic engine --------------------------------------------------------------------------------------------------


def test_the_analytic_engine_waits_for_operands() -> None:
    timing = analytic(at_once(4 * MIB))
    assert stalls(timing)[:2] == (int(8192 + LATENCY), 0)
    assert timing.step_cycles == -(-(8192 * 10 + 336 + (FILL + 1000 + DRAIN) * 10) // 10)


def test_the_analytic_engine_waits_for_results() -> None:
    timing = analytic(sweep(4000), gemm(waits=(X,), releases=(("x", 800),)))
    assert stalls(timing) == (0, 4000, FILL + DRAIN)


@pytest.mark.parametrize(("cycles", "expected"), [(6000, (0, 6000)), (1000, (int(4096 + LATENCY), 0))])
def test_the_analytic_engine_counts_a_wait_for_what_comes_last(cycles: int, expected: tuple[int, int]) -> None:
    """2 MiB are there after 4129 cycles, before or after the result."""
    timing = analytic(sweep(cycles), at_once(2 * MIB, waits=(X,), releases=(("x", 800),)))
    assert stalls(timing)[:2] == expected


def test_the_analytic_engine_waits_for_operands_that_flow_in() -> None:
    """8 steps: the first of 4 MiB is there after 1024 cycles and the latency, the last at 8192 and the latency.

    Then an eighth of 1000 cycles is left: the end is at 8350.6.  Without the second wait it were 1057.6 + 128 + 1000.
    """
    timing = analytic(gemm(loads=(load(4 * MIB),)))
    first, end = 1024 + LATENCY, 8192 + LATENCY + 125
    assert stalls(timing)[:2] == (int(first + (end - first - FILL - 1000)), 0)
    assert timing.step_cycles == int(end + DRAIN) + 1


def test_the_analytic_engine_waits_for_results_that_flow_in() -> None:
    """The maker's last results are there at 8000 + 100 + 254 = 8354, and the user, in one step, needs them all."""
    even = Token("x", Flow(800, StepProfile.EVEN))
    maker = gemm("maker", 8000, 800, posts=(even,), reserves=(("x", 800),))
    timing = analytic(maker, gemm("user", steps=1, waits=(even,), releases=(("x", 800),)))
    assert stalls(timing)[:2] == (0, 354)
    assert timing.step_cycles == 8354 + 1000 + DRAIN


def test_the_analytic_engine_waits_for_accumulators() -> None:
    """A sweep of 4000 cycles is before the GEMM's drain; two of its steps, 2000 cycles, wait in the accumulators."""
    timing = analytic(command("sweep", work={"vector_cycles": 4000}), gemm(array=8000))
    assert stalls(timing)[:2] == (0, 2000)
    assert timing.step_cycles == 2000 + FILL + 8000 + DRAIN


# -- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kib", "requests"), [(64, 1), (65, 2), (200, 4)])
def test_a_queue_asks_for_64_kib_at_a_time(kib: int, requests: int) -> None:
    """Requests and the one step that the vector unit finishes are the events."""
    timing = events(command(loads=(load(kib * 1024, StepProfile.AT_ONCE, StepProfile.AT_END),)))
    assert timing.events == requests + 1
