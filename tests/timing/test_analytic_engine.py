"""Does the analytic engine take the cycles that a hand count of its four times says?  Programs here are made by hand.

The port takes 512 B a cycle, less than DRAM, so 4 MiB take 8192 cycles; the first data are there 33.6 cycles (48 ns)
after a request begins.  A GEMM fills in 128 cycles if the array was idle and drains in 254.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import pytest
from builders import command, load, machine, program, store

from wavecore.engines.analytic import run_analytic
from wavecore.engines.timing import Stall, Timing
from wavecore.plan.blocking import LoopOrder
from wavecore.plan.placement import Direction
from wavecore.plan.traffic import When
from wavecore.program.commands import After, Command, Flow, Load, Program, Segment, StepProfile, Token

QUIET = machine("memory.trefi=1 ms")  # no refresh during the test
MIB = 1 << 20
FILL, DRAIN, LATENCY = 128, 254, 33.6
EVEN = StepProfile.EVEN


def run(*commands: Command, iterations: int = 1, buffer: int = 10 * MIB, repeat: bool = True) -> Timing:
    made = program(*commands, iterations=iterations, buffer_bytes=buffer)
    return run_analytic(made, QUIET, repeat=repeat)


def gemm(name: str = "gemm", array: int = 1000, vector: int = 0, steps: int = 8, **changes: object) -> Command:
    work = {"array_cycles": array, "fill_cycles": FILL, "drain_cycles": DRAIN, "vector_cycles": vector}
    return command(name, work=work, steps=steps, **changes)


def held(array: int = 1000, nbytes: int = 4 * MIB) -> Command:
    return gemm("held", array, loads=(load(nbytes, StepProfile.AT_ONCE, StepProfile.AT_END),))


def sweep(name: str, cycles: int, steps: int = 8, **changes: object) -> Command:
    return command(name, work={"vector_cycles": cycles}, steps=steps, **changes)


# -- one command ----------------------------------------------------------------------------------------------------


def test_a_gemm_issues_drains_and_is_swept() -> None:
    """The array counts as filled when the step begins; the last step's eighth of the sweep comes after the product."""
    timing = run(gemm(array=8000, vector=800))
    assert timing.step_cycles == 8000 + 100 + DRAIN
    assert (timing.units["array"].busy_cycles, timing.rows["gemm", "forward"].busy_cycles["vector"]) == (8000, 800)


def test_a_slow_sweep_begins_behind_the_first_step() -> None:
    """An eighth of 800, then 8000, then the drain."""
    assert run(gemm(array=800, vector=8000)).step_cycles == 100 + 8000 + DRAIN


def test_results_leave_behind_the_first_of_them() -> None:
    """The first eighth of a sweep of 1000 cycles is there at 125; 4 MiB leave in 8192."""
    assert run(sweep("sweep", 1000, stores=(store(4 * MIB),))).step_cycles == 125 + 8192


def test_a_short_store_ends_with_the_sweep() -> None:
    assert run(sweep("sweep", 1000, stores=(store(1024),))).step_cycles == 1000


def test_a_sweep_ends_an_eighth_behind_its_last_operand() -> None:
    assert run(sweep("sweep", 1000, loads=(load(4 * MIB),))).step_cycles == ceil(8192 + LATENCY + 125)


def test_two_sweeps_over_each_sample_end_with_half_a_sample() -> None:
    """4 samples, swept twice in a step each: 8 steps, of which 8 + 8 in 64 shares are left at the end."""
    made = sweep("norm", 1000, loads=(load(4 * MIB),), sweep_steps=1)
    assert run(made).step_cycles == ceil(8192 + LATENCY + 1000 * (8 + 8) / 64)


def test_the_first_block_waits_for_what_all_blocks_read() -> None:
    """4 MiB arrive while the first of 4 blocks runs: three quarters of 8000 cycles are left then."""
    shared = load(4 * MIB, StepProfile.FIRST_BLOCK, StepProfile.AT_END)
    assert run(gemm(array=8000, blocks=4, loads=(shared,))).step_cycles == 8192 + 6000 + DRAIN


def test_rounds_begin_with_a_share_of_the_operands() -> None:
    """4 MiB in 4 rounds: the first is there after 2048 cycles; an eighth of the product is left behind the last."""
    shared = load(4 * MIB, StepProfile.ROUND_START, StepProfile.ROUND_END)
    slow = gemm(array=16000, blocks=4, order=LoopOrder.OUTPUT_STAYS, loads=(shared,))
    assert run(slow).step_cycles == ceil(2048 + LATENCY + FILL + 16000 + DRAIN)
    fast = gemm(array=800, blocks=4, order=LoopOrder.OUTPUT_STAYS, loads=(shared,))
    assert run(fast).step_cycles == ceil(8192 + LATENCY + 100 + DRAIN)


# -- commands that follow each other ----------------------------------------------------------------------------------


def test_rows_add_up_by_how_far_each_moves_the_end() -> None:
    timing = run(sweep("a", 1000), sweep("b", 500), sweep("a", 100))
    assert {key[0]: row.cycles for key, row in timing.rows.items()} == {"a": 1100, "b": 500}


def test_a_user_starts_behind_its_makers_first_results() -> None:
    """The maker's first eighth of 4000 cycles is there at 500, but the array is the maker's until 4000."""
    even = Token("x", Flow(800, EVEN))
    maker = gemm("maker", 4000, posts=(even,), reserves=(("x", 800),))
    user = gemm("user", 4000, waits=(even,), releases=(("x", 800),))
    assert run(maker, user).step_cycles == 4000 + 4000 + DRAIN


@pytest.mark.parametrize(("order", "blocks", "first"), [("right_stays", 1, 1), ("left_stays", 4, 7)])
def test_what_is_read_from_dram_is_there_when_its_first_samples_are(order: str, blocks: int, first: int) -> None:
    """A maker of 8000 cycles stores 1 MiB, 2048 cycles; its results end at 8254.

    By panels the first samples are complete with the last block: (8 * 3 + 4) / 32 = 7/8 of the way; else 1/8.
    A user's load waits for them and for the bus; an eighth of its 80 cycles is left when the last data arrive.
    """
    made = gemm("maker", 8000, stores=(store(MIB, name="y"),), blocks=blocks, order=LoopOrder(order))
    read = replace(load(4 * MIB, name="y"), after=After.OWN)
    begin = max(2048, 8254 * first / 8)
    assert run(made, sweep("user", 80, loads=(read,))).step_cycles == ceil(begin + 8192 + LATENCY + 10)


def test_what_needs_all_of_a_tensor_waits_for_the_store_of_its_last_sample() -> None:
    """The sweep ends at 1000, its first results leave from 125 on, so 4 MiB are in DRAM at 8317."""
    made = sweep("maker", 1000, stores=(store(4 * MIB, name="y"),))
    tensor = load(MIB, name="y")
    read = replace(tensor, after=After.OWN, flow=Flow(MIB, StepProfile.AT_ONCE))
    assert run(made, sweep("user", 80, loads=(read,))).step_cycles == ceil(125 + 8192 + 2048 + LATENCY + 80)


# -- space ----------------------------------------------------------------------------------------------------------


def test_loads_run_ahead_where_there_is_room() -> None:
    """Two of 4 MiB fit: the array's 10,000 cycles follow each other."""
    assert run(*[held(10000)] * 3).step_cycles == ceil(8192 + LATENCY + FILL + 3 * 10000 + DRAIN)


def test_they_wait_for_space_where_there_is_none() -> None:
    """One of 4 MiB fits in 7: every command begins when the one before has drained."""
    timing = run(*[held(10000)] * 5, buffer=7 * MIB)
    assert timing.step_cycles == 5 * 18607 + 3  # 8192 + 33.6 + 128 + 10,000 + 254 = 18,607.6
    stalls = timing.units["array"].stall_cycles
    assert (stalls[Stall.DRAM], stalls[Stall.SPACE]) == pytest.approx((5 * 8225.6, 4 * DRAIN), abs=1)
    assert timing.buffer_peak_bytes == 4 * MIB


def test_the_peak_is_what_is_there_at_once() -> None:
    a = sweep("a", 100, reserves=(("x", 3 * MIB),), stage_bytes=MIB)
    b = sweep("b", 100, reserves=(("y", 2 * MIB),), releases=(("x", 3 * MIB), ("y", 2 * MIB)))
    assert run(a, b).buffer_peak_bytes == 6 * MIB
    assert run(a, b, buffer=5 * MIB).buffer_peak_bytes == 5 * MIB


# -- iterations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repeat", [True, False])
def test_iterations_that_repeat_add_the_same_each(repeat: bool) -> None:
    """DRAM is the slowest: 20 loads of 8192 cycles; the array waits 8192 - 1000 - 128 before each but the first."""
    timing = run(held(), iterations=20, repeat=repeat)
    assert timing.step_cycles == ceil(20 * 8192 + LATENCY + FILL + 1000 + DRAIN)
    assert timing.units["array"].busy_cycles == 20_000
    assert timing.units["array"].stall_cycles[Stall.DRAM] == ceil(8192 + LATENCY + 19 * 7064)
    assert timing.rows["held", "forward"].cycles == timing.step_cycles
    assert (timing.events < 20) is repeat  # commands that were played


def test_partial_sums_are_read_from_the_second_iteration_on() -> None:
    """1 MiB in each iteration and 1 MiB of sums in all but the first: 5 * 2048 cycles for 3 iterations."""
    sums = load(MIB, name="sums")
    again = Load(replace(sums.transfer, when=When.AFTER_FIRST), sums.flow, EVEN)
    assert run(sweep("sweep", 80, loads=(load(MIB), again)), iterations=3).step_cycles == ceil(5 * 2048 + LATENCY + 10)


def test_what_is_compressed_in_dram_is_dense_in_the_port() -> None:
    """4 MiB are 1 MiB in DRAM, and still 8192 cycles in the port."""
    dense = load(4 * MIB)
    packed = Load(replace(dense.transfer, packed_bytes=MIB), dense.flow, EVEN)
    times = [run(sweep("sweep", 80, loads=(each,))).step_cycles for each in (dense, packed)]
    assert times == [ceil(8192 + LATENCY + 10)] * 2
    wide = machine("memory.trefi=1 ms", "core.memory_port=64 KiB/cycle")
    slow, fast = (
        run_analytic(program(sweep("sweep", 80, loads=(each,))), wide).step_cycles for each in (dense, packed)
    )
    slow, fast = slow - LATENCY - 10, fast - LATENCY - 10
    assert slow / fast == pytest.approx(4, rel=0.001)


def test_a_window_that_runs_ahead_is_waited_for() -> None:
    """4 MiB in 8 steps, 1 MiB ahead: the first step needs 1.5 MiB, 3072 cycles; the product then hides the rest."""
    ahead = replace(load(4 * MIB), flow=Flow(4 * MIB, EVEN, MIB, 4 * MIB))
    assert run(gemm(array=16000, loads=(ahead,))).step_cycles == ceil(3072 + LATENCY + FILL + 16000 + DRAIN)


def test_resident_tensors_give_their_space_back_with_their_last_user() -> None:
    """4 MiB stay from the GEMM to the sweep behind it; in 7 MiB the next iteration's load waits for that."""
    stay = Load(load(4 * MIB).transfer, Flow(4 * MIB, StepProfile.AT_ONCE), None, posts="x")
    first = gemm(array=10000, loads=(stay,), reserves=(("x", 4 * MIB),))
    second = sweep("sweep", 100, steps=1, releases=(("x", 4 * MIB),))
    timing = run(first, second, iterations=5, buffer=7 * MIB)
    assert timing.step_cycles == ceil(5 * (8192 + LATENCY + FILL + 10000 + DRAIN + 100))


def test_what_an_earlier_segment_left_late_is_still_waited_for() -> None:
    """A sweep of 100,000 cycles makes x; the first of 6 iterations reads it, and all must follow it.

    Each iteration's sweep takes 100 cycles behind it; equal intervals before that must not be taken for a repetition.
    """
    made = Token("x", Flow(8, StepProfile.AT_END))
    maker = Segment("a", Direction.FORWARD, ((1, (sweep("maker", 100_000, posts=(made,)),)),))
    user = sweep("user", 100, waits=(Token("x", Flow(8, StepProfile.AT_ONCE)),))
    users = Segment("b", Direction.FORWARD, ((1, (user,)),) * 6)
    made_program = Program("by hand", "none", 10 * MIB, ((maker, users),))
    assert run_analytic(made_program, QUIET).step_cycles == 100_000 + 600


def test_a_row_is_busy_in_all_its_commands_and_iterations() -> None:
    """``a`` runs twice per iteration, 1000 and 500 cycles of the array and 80 and 40 of the vector unit, 3 times."""
    timing = run(gemm("a", 1000, 80), gemm("b", 100, 8), gemm("a", 500, 40), iterations=3)
    busy = {key[0]: (row.busy_cycles["array"], row.busy_cycles["vector"]) for key, row in timing.rows.items()}
    assert busy == {"a": (4500, 360), "b": (300, 24)}
    assert timing.units["array"].busy_cycles == 4800


@pytest.mark.parametrize(
    ("moved", "peak"),
    [
        ({"loads": (load(4 * MIB, StepProfile.AT_ONCE, StepProfile.AT_END),)}, 4 * MIB),
        ({"loads": (load(4 * MIB),)}, MIB),  # two steps' eighths
        ({"stores": (store(4 * MIB),)}, MIB),
        ({"loads": (load(4 * MIB),), "stores": (store(2 * MIB),)}, MIB + MIB // 2),
        ({"loads": (load(4 * MIB, StepProfile.EVEN, None),), "stage_bytes": 3 * MIB}, 3 * MIB),
        (
            {
                "loads": (load(4 * MIB, StepProfile.ROUND_START, StepProfile.ROUND_END),),
                "order": LoopOrder.OUTPUT_STAYS,
                "blocks": 4,
                "stage_bytes": MIB,
            },
            3 * MIB,  # the gradient, and two rounds
        ),
    ],
)
def test_the_space_that_a_command_takes_as_its_bytes_flow(moved: dict[str, object], peak: int) -> None:
    assert run(gemm(**moved)).buffer_peak_bytes == peak


def test_first_results_count_from_the_start_of_their_own_command() -> None:
    """The maker begins at 8000 and ends at 16,254: an eighth of that later its first samples are stored."""
    made = gemm("maker", 8000, stores=(store(MIB, name="y"),))
    read = replace(load(4 * MIB, name="y"), after=After.OWN)
    timing = run(gemm("before", 8000), made, sweep("user", 80, loads=(read,)))
    assert timing.step_cycles == ceil(8000 + 8254 / 8 + 8192 + LATENCY + 10)
