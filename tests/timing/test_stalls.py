"""Is every cycle in which the array waits counted for what it finally waits for?  Programs here are made by hand.

A GEMM of these tests fills in 128 cycles and drains in 254.  Through the port of 512 B a cycle, 4 MiB take 8192 cycles.
DRAM is faster, so in the event engine its latency passes while the port is still busy; the analytic engine adds it:
tRCD, tCL and the controller, 14 + 34 ns, are 33.6 cycles at 0.7 GHz.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import pytest
from builders import command, load, machine, program, store, transfer

from wavecore.engines.analytic import run_analytic
from wavecore.engines.event import run_events
from wavecore.engines.timing import Stall, Timing
from wavecore.plan.placement import Direction
from wavecore.program.commands import After, Command, Flow, Program, Segment, StepProfile, Store, Token
from wavecore.training.operations import Phase

QUIET = machine("memory.trefi=1 ms")  # no refresh during the test
MIB = 1 << 20
FILL, DRAIN, LATENCY = 128, 254, 33.6
X = Token("x", Flow(800, StepProfile.AT_ONCE))


def events(*commands: Command, **options: int) -> Timing:
    return run_events(program(*commands, **options), QUIET)


def analytic(*commands: Command, **options: int) -> Timing:
    return run_analytic(program(*commands, **options), QUIET)


def stalls(timing: Timing) -> dict[str, int]:
    """The array's waits, those of no cycles left out; with its work they are the step."""
    array = timing.units["array"]
    assert array.busy_cycles + sum(array.stall_cycles.values()) == timing.step_cycles
    return {str(cause): cycles for cause, cycles in array.stall_cycles.items() if cycles}


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
    assert stalls(timing) == {"dram": 8192, "array": FILL + DRAIN}


def test_waiting_for_a_result_is_waiting_for_the_vector_unit() -> None:
    timing = events(sweep(4000), gemm(waits=(X,), releases=(("x", 800),)))
    assert timing.step_cycles == 4000 + FILL + 1000 + DRAIN
    assert stalls(timing) == {"vector": 4000, "array": FILL + DRAIN}


def test_operands_are_waited_for_first_and_results_for_the_rest() -> None:
    """2 MiB are there after 4096 cycles, the result after 6000: the rest is the vector unit's."""
    timing = events(sweep(6000), at_once(2 * MIB, waits=(X,), releases=(("x", 800),)))
    assert stalls(timing) == {"dram": 4096, "vector": 6000 - 4096, "array": FILL + DRAIN}


def test_a_sweep_that_waits_for_its_operands_passes_the_wait_on() -> None:
    """The GEMM waits for a sweep of 4000 cycles, which waits 2048 for 1 MiB."""
    timing = events(
        sweep(4000, loads=(load(MIB, StepProfile.AT_ONCE, StepProfile.AT_END),)),
        gemm(waits=(X,), releases=(("x", 800),)),
    )
    assert stalls(timing) == {"dram": 2048, "vector": 4000, "array": FILL + DRAIN}


def test_data_on_their_way_are_waited_for_though_the_queue_does_something_else() -> None:
    """64 B are there after the latency and a few cycles; the load queue waits already for room for the second GEMM.

    The first one frees it when it is drained.
    """
    timing = events(at_once(64, stage_bytes=MIB), at_once(64, stage_bytes=MIB), buffer_bytes=MIB + 1024)
    found = stalls(timing)
    assert (found["space"], found["array"]) == (DRAIN, 2 * FILL + DRAIN)
    assert LATENCY < found["dram"] <= 2 * ceil(LATENCY + 64 / 512 + 2)


def test_loads_without_room_wait_for_space() -> None:
    """Beside 1 MiB that a sweep of 5000 cycles has, the GEMM's 2 MiB do not fit in 2.5 MiB.

    The sweep frees its space at 5000; the loads take 4096 cycles from then on.
    """
    first = command("sweep", work={"vector_cycles": 5000}, stage_bytes=MIB)
    timing = events(first, at_once(2 * MIB), buffer_bytes=5 * MIB // 2)
    assert stalls(timing) == {"space": 5000, "dram": 4096, "array": FILL + DRAIN}


def test_room_that_is_taken_by_data_on_their_way_out_is_dram() -> None:
    """The sweep's 1 MiB leaves from 5000 on, in 2048 cycles: what keeps the loads waiting then is DRAM."""
    first = command("sweep", work={"vector_cycles": 5000}, stores=(store(MIB, StepProfile.AT_END, "y"),))
    timing = events(first, at_once(2 * MIB), buffer_bytes=5 * MIB // 2)
    found = stalls(timing)
    assert (found["space"], found["array"]) == (5000, FILL + DRAIN)
    assert found["dram"] == pytest.approx(2048 + 4096, abs=50)


def test_what_must_have_left_for_dram_is_waited_for_like_its_maker_and_then_dram() -> None:
    """The GEMM writes over 1 MiB, whose last byte leaves 2048 cycles behind a sweep of 500."""
    made = command("sweep", work={"vector_cycles": 500}, stores=(store(MIB, StepProfile.AT_END, "y"),))
    found = stalls(events(made, gemm(overwrites=(Token("y", Flow(MIB, StepProfile.AT_ONCE)),))))
    assert found["vector"] == 500
    assert found["dram"] == pytest.approx(2048, abs=50)


def test_drain_and_last_sweep_of_a_product_are_waited_for() -> None:
    """The second GEMM needs what the vector unit makes of the first: 254 cycles of drain and the last step's 100."""
    made = gemm("first", vector=800, posts=(Token("x", Flow(800, StepProfile.AT_END)),), reserves=(("x", 800),))
    found = stalls(events(made, gemm("second", waits=(X,), releases=(("x", 800),))))
    assert found == {"array": 2 * (FILL + DRAIN), "vector": 100}


def test_the_update_is_counted_apart() -> None:
    """After the last product is drained, 4 MiB are read and swept in 80 cycles: all of it is the update."""
    sums = command("update", phase=Phase.UPDATE, work={"vector_cycles": 80}, loads=(load(4 * MIB),), steps=8)
    timing = events(gemm(stage_bytes=7 * MIB), sums, buffer_bytes=10 * MIB)
    found = stalls(timing)
    assert found["array"] == FILL + DRAIN
    assert set(found) == {"array", "update"}
    assert found["update"] == timing.step_cycles - FILL - 1000 - DRAIN


def test_another_core_is_waited_for() -> None:
    """Core 0 multiplies for 1000 cycles and has its gradient in DRAM soon after; core 1's takes until 20,000.

    The update of core 0 waits for both, and its step ends with core 1's.
    """
    tensor = transfer(4096, True, "sums")

    def core(cycles: int) -> tuple[Segment, ...]:
        made = gemm(array=cycles, stores=(Store(tensor, Flow(4096, StepProfile.AT_END), True, StepProfile.AT_END),))
        read = replace(load(4096, StepProfile.AT_ONCE, StepProfile.AT_END, "sums"), after=After.ALL)
        update = command("update", phase=Phase.UPDATE, work={"vector_cycles": 80}, loads=(read,))
        return (Segment("all", Direction.BACKWARD, ((1, (made, update)),)),)

    two = Program("hand-made", "none", 10 * MIB, (core(1000), core(20_000)))
    array = run_events(two, QUIET).units["array"]
    assert array.stall_cycles[Stall.CORE] == pytest.approx(19_000 / 2, abs=100)
    both = run_events(program(*core(20_000)[0].iterations[0][1], cores=2), QUIET).units["array"]
    assert both.stall_cycles[Stall.CORE] < 100


def test_waiting_for_accumulators_is_waiting_for_the_vector_unit() -> None:
    """8 steps of 100 cycles, each drained in 1000; two wait in the accumulators.

    Fill and two steps end at 328; the first drain ends at 128 + 100 + 1000 = 1228: 900 cycles.  From then on a drain
    ends every 1000 cycles, and the array, which was idle, takes 128 to fill and 100: it waits 772 before steps 4 to 8.
    It ends at 6456, and the last drain but the array's at 8228: 1772.
    """
    timing = events(gemm(array=800, vector=8000))
    assert stalls(timing) == {"vector": 900 + 5 * 772 + 1772, "array": 7 * FILL + DRAIN}


def test_stalls_are_means_over_the_cores() -> None:
    """Both cores wait 4000 cycles for their own sweep."""
    timing = events(sweep(4000), gemm(waits=(X,), releases=(("x", 800),)), cores=2)
    assert stalls(timing) == {"vector": 4000, "array": FILL + DRAIN}


# -- analytic engine --------------------------------------------------------------------------------------------------


def test_the_analytic_engine_waits_for_operands() -> None:
    timing = analytic(at_once(4 * MIB))
    assert stalls(timing) == {"dram": ceil(8192 + LATENCY), "array": FILL + DRAIN}
    assert timing.step_cycles == -(-(8192 * 10 + 336 + (FILL + 1000 + DRAIN) * 10) // 10)


def test_the_analytic_engine_waits_for_results() -> None:
    timing = analytic(sweep(4000), gemm(waits=(X,), releases=(("x", 800),)))
    assert stalls(timing) == {"vector": 4000, "array": FILL + DRAIN}


@pytest.mark.parametrize(("cycles", "expected"), [(6000, {"vector": 6000}), (1000, {"dram": ceil(4096 + LATENCY)})])
def test_the_analytic_engine_counts_a_wait_for_what_comes_last(cycles: int, expected: dict[str, int]) -> None:
    """2 MiB are there after 4129 cycles, before or after the result."""
    timing = analytic(sweep(cycles), at_once(2 * MIB, waits=(X,), releases=(("x", 800),)))
    assert stalls(timing) == {**expected, "array": FILL + DRAIN}


def test_the_analytic_engine_waits_for_operands_that_flow_in() -> None:
    """8 steps: the first of 4 MiB is there after 1024 cycles and the latency, the last at 8192 and the latency.

    Then an eighth of 1000 cycles is left: the end is at 8350.6.  Without the second wait it were 1057.6 + 128 + 1000.
    """
    timing = analytic(gemm(loads=(load(4 * MIB),)))
    first, end = 1024 + LATENCY, 8192 + LATENCY + 125
    assert stalls(timing) == {"dram": ceil(first + (end - first - FILL - 1000)), "array": FILL + DRAIN}
    assert timing.step_cycles == int(end + DRAIN) + 1


def test_the_analytic_engine_waits_for_results_that_flow_in() -> None:
    """The maker's last results are there at 8000 + 100 + 254 = 8354, and the user, in one step, needs them all."""
    even = Token("x", Flow(800, StepProfile.EVEN))
    maker = gemm("maker", 8000, 800, posts=(even,), reserves=(("x", 800),))
    timing = analytic(maker, gemm("user", steps=1, waits=(even,), releases=(("x", 800),)))
    assert stalls(timing) == {"vector": 100, "array": 254 + DRAIN}
    assert timing.step_cycles == 8354 + 1000 + DRAIN


def test_the_analytic_engine_waits_for_accumulators() -> None:
    """A sweep of 4000 cycles is before the GEMM's drain; two of its steps, 2000 cycles, wait in the accumulators."""
    timing = analytic(command("sweep", work={"vector_cycles": 4000}), gemm(array=8000))
    assert stalls(timing) == {"vector": 2000, "array": FILL + DRAIN}
    assert timing.step_cycles == 2000 + FILL + 8000 + DRAIN


# -- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kib", "requests"), [(64, 1), (65, 2), (200, 4)])
def test_a_queue_asks_for_64_kib_at_a_time(kib: int, requests: int) -> None:
    """Requests and the one step that the vector unit finishes are the events."""
    timing = events(command(loads=(load(kib * 1024, StepProfile.AT_ONCE, StepProfile.AT_END),)))
    assert timing.events == requests + 1
