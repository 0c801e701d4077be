"""Do profiles spread a total over the steps, all of it and in the right ones, and does the text show the program?"""

from __future__ import annotations

import pytest
from builders import SCHEDULES, chain, command, load, machine, program
from hypothesis import given
from hypothesis import strategies as st

from wavecore.program.commands import Flow, StepProfile, commands, due, progress, transfers_of
from wavecore.program.listing import program_lines
from wavecore.program.lower import lower
from wavecore.training.unroll import training_graph

SWEEPS = (StepProfile.FIRST_SWEEP, StepProfile.SECOND_SWEEP)


def paced(profile: StepProfile, total: int, steps: int, blocks: int = 1) -> list[int]:
    """What has gone by the end of each step."""
    return [progress(Flow(total, profile), command(steps=steps, blocks=blocks), step) for step in range(steps)]


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (StepProfile.EVEN, [20, 40, 60, 80, 100, 120]),
        (StepProfile.AT_ONCE, [120] * 6),
        (StepProfile.AT_END, [0, 0, 0, 0, 0, 120]),
        (StepProfile.FIRST_BLOCK, [60, 120, 120, 120, 120, 120]),
        (StepProfile.LAST_BLOCK, [0, 0, 0, 0, 60, 120]),
        (StepProfile.ROUND_START, [40, 40, 80, 80, 120, 120]),
        (StepProfile.ROUND_END, [0, 40, 40, 80, 80, 120]),
    ],
)
def test_three_blocks_of_two_steps(profile: StepProfile, expected: list[int]) -> None:
    assert paced(profile, 120, 6, 3) == expected


def test_two_samples_of_two_sweeps_of_three_steps() -> None:
    swept = command(steps=12, sweep_steps=3, samples=2)
    first, second = ([progress(Flow(60, profile), swept, step) for step in range(12)] for profile in SWEEPS)
    assert first == [10, 20, 30, 30, 30, 30, 40, 50, 60, 60, 60, 60]
    assert second == [0, 0, 0, 10, 20, 30, 30, 30, 30, 40, 50, 60]


@given(
    st.sampled_from([profile for profile in StepProfile if profile not in SWEEPS]),
    st.integers(0, 10**9),
    st.integers(1, 30),
    st.integers(1, 9),
)
def test_paces_never_go_back_and_end_at_the_total(
    profile: StepProfile, total: int, per_block: int, blocks: int
) -> None:
    gone = paced(profile, total, per_block * blocks, blocks)
    assert gone == sorted(gone)
    assert gone[0] >= 0
    assert gone[-1] == total


@given(st.sampled_from(SWEEPS), st.integers(0, 10**9), st.integers(1, 9), st.integers(1, 9))
def test_sweeps_never_go_back_and_end_at_the_total(profile: StepProfile, total: int, sweep: int, samples: int) -> None:
    swept = command(steps=2 * sweep * samples, sweep_steps=sweep, samples=samples)
    gone = [progress(Flow(total, profile), swept, step) for step in range(swept.steps)]
    assert gone == sorted(gone)
    assert gone[-1] == total


@given(st.integers(1, 10**6), st.integers(1, 20), st.integers(0, 10**6), st.integers(1, 20))
def test_lookahead_runs_ahead_inside_its_sample(sample: int, samples: int, lookahead: int, steps: int) -> None:
    flow = Flow(sample * samples, StepProfile.EVEN, lookahead, sample)
    whole = command(steps=steps, samples=samples)
    ahead = [due(flow, whole, step) for step in range(steps)]
    assert ahead == sorted(ahead)
    assert ahead[-1] == flow.total
    for step, nbytes in enumerate(ahead):
        done = progress(flow, whole, step)
        begun = done + 1  # a step that ends inside a byte has begun it
        assert done <= nbytes <= begun + lookahead
        assert nbytes <= -(-begun // sample) * sample


def test_lookahead_of_what_has_no_samples_ends_at_the_total() -> None:
    flow = Flow(100, StepProfile.EVEN, 30)
    assert [due(flow, command(steps=4), step) for step in range(4)] == [55, 80, 100, 100]


def test_commands_come_iteration_by_iteration() -> None:
    first, second = command("first"), command("second")
    made = program(first, second, iterations=2, cores=2)
    listed = [(each.name, iteration, samples) for _, iteration, samples, each in commands(made)]
    assert listed == [("first", 0, 0), ("second", 0, 0), ("first", 1, 1), ("second", 1, 1)]


def test_equal_iterations_share_their_commands() -> None:
    training = training_graph(chain())
    plan = SCHEDULES["mbs2"].make(training, machine("core.global_buffer=64 KiB"), 7)
    for segment in lower(training, plan, machine("core.global_buffer=64 KiB")).cores[0]:
        assert sum(times for _, times in segment.bodies) == len(segment.iterations)
        assert len({id(body) for _, body in segment.iterations}) == len(segment.bodies) <= 2


def test_transfers_are_loads_then_stores() -> None:
    moves = transfers_of(command(loads=(load(1), load(2)), stores=()))
    assert [move.nbytes for move in moves] == [1, 2]


def test_text_form() -> None:
    training = training_graph(chain())
    made = lower(training, SCHEDULES["mbs2"].make(training, machine(), 4), machine())
    assert list(program_lines(made))[:10] == [
        "program chain mbs2: 2 cores, 10 MiB each, queues in overlapped order",
        "segment one..loss forward",
        "  repeat 1 x 4 samples",
        # 256 rows of A, one wave; drain: 1024 outputs of 2 bytes and masks through 1024 B/cycle, or 2*1024/256 lanes
        "    one.forward: 1 steps, right_stays, array 256 cycles, vector 24 cycles",
        "      load    reserve one  2 KiB",
        "      load    load    input  1.5 KiB  even",
        "      load    load    one.weight  216 B  at_once",
        "      vector  post    one  2 KiB  even",
        "      store   store   one  2 KiB  even",
        "      store   store   one.mask  128 B  even",
    ]
