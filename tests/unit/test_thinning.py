"""Is a timeline that grows too long made shorter without telling what was not so?"""

from __future__ import annotations

from builders import command, program

from wavecore.engines.instances import CommandInstance, CommandInstances
from wavecore.engines.probe import Cause, Signal
from wavecore.timeline.model import LeftOut, Slice, Track
from wavecore.timeline.thinning import drop_shortest, join_steps, thin

ARRAY, VECTOR = Track(0, "array"), Track(0, "vector")
PRODUCTS, ON_CHIP = Signal(0, Cause.PRODUCTS), Signal(0, Cause.ON_CHIP, "x")


def instance(name: str = "a") -> CommandInstance:
    return next(CommandInstances(program(command(name, steps=9))).of(0))


def work(of: CommandInstance, step: int, start: int, cycles: int = 10, nbytes: int = 0, tensor: str = "") -> Slice:
    return Slice(start, start + cycles, of, None, step, step, cycles, nbytes, (tensor,) if tensor else ())


def wait(start: int, cycles: int, signal: Signal = PRODUCTS) -> Slice:
    return Slice(start, start + cycles, signal=signal)


def spans(slices: list[Slice]) -> list[tuple[int, int]]:
    return [(item.start, item.end) for item in slices]


def test_steps_of_a_command_become_one_slice_with_its_waits() -> None:
    a = instance()
    tracks = {
        VECTOR: [wait(0, 5), work(a, 0, 5, nbytes=1, tensor="x"), wait(15, 7), work(a, 1, 22, nbytes=2, tensor="y")]
    }
    join_steps(tracks)
    before, joined = tracks[VECTOR]
    assert (before.start, before.end, before.instance) == (0, 5, None)
    assert (joined.start, joined.end, joined.first_step, joined.last_step) == (5, 32, 0, 1)
    assert (joined.busy_cycles, joined.nbytes, joined.tensors) == (20, 3, ("x", "y"))
    assert joined.waits == {Cause.PRODUCTS: 7}


def test_joining_again_adds_what_came_since() -> None:
    a = instance()
    tracks = {VECTOR: [work(a, 0, 0), wait(10, 1), work(a, 1, 11)]}
    join_steps(tracks)
    tracks[VECTOR] += [wait(21, 2), work(a, 2, 23)]
    join_steps(tracks)
    (joined,) = tracks[VECTOR]
    assert (joined.last_step, joined.busy_cycles, joined.waits) == (2, 30, {Cause.PRODUCTS: 3})


def test_commands_and_iterations_stay_apart() -> None:
    first, second = instance(), instance()
    tracks = {VECTOR: [work(first, 0, 0), work(second, 0, 10)]}
    join_steps(tracks)
    assert spans(tracks[VECTOR]) == [(0, 10), (10, 20)]


def test_an_arrow_starts_where_its_post_was_made() -> None:
    """The second of three steps lets another command go on: the slice ends there."""
    a, b = instance(), instance("b")
    steps = [work(a, step, 10 * step) for step in range(3)]
    target = work(b, 0, 20)
    target.arrows.append((steps[1], ON_CHIP))
    tracks = {VECTOR: list(steps), ARRAY: [wait(0, 20, ON_CHIP), target]}
    join_steps(tracks)
    assert spans(tracks[VECTOR]) == [(0, 20), (20, 30)]
    assert steps[1].drawn() is tracks[VECTOR][0]
    assert [(source.drawn().end, item.start) for item in tracks[ARRAY] for source, _ in item.arrows] == [(20, 20)]


def test_arrows_inside_a_command_go() -> None:
    a, b = instance(), instance("b")
    sources = [work(a, step, 10 * step) for step in range(2)]
    targets = [work(b, 0, 10), work(b, 1, 20)]
    for source, target in zip(sources, targets, strict=True):
        target.arrows.append((source, PRODUCTS))
    tracks = {ARRAY: list(sources), VECTOR: list(targets)}
    join_steps(tracks)
    (joined,) = tracks[VECTOR]
    assert [source for source, _ in joined.arrows] == [sources[0]]
    assert spans(tracks[ARRAY]) == [(0, 10), (10, 20)]


def test_the_shortest_are_left_out_and_counted() -> None:
    slices = [work(instance(), 0, start, cycles) for start, cycles in ((0, 5), (5, 1), (6, 4), (10, 4), (14, 2))]
    tracks, left_out = {VECTOR: list(slices)}, LeftOut()
    drop_shortest(tracks, 2, left_out)
    assert spans(tracks[VECTOR]) == [(0, 5), (6, 10)]  # of the two of four cycles the earlier
    assert (left_out.slices, left_out.cycles, left_out.longest_cycles) == (3, 7, 4)
    assert [item.dropped for item in slices] == [False, True, False, True, True]


def test_nothing_is_left_out_if_joining_is_enough() -> None:
    a = instance()
    tracks, left_out = {VECTOR: [work(a, step, 10 * step) for step in range(9)]}, LeftOut()
    thin(tracks, 3, left_out)
    assert spans(tracks[VECTOR]) == [(0, 90)]
    assert left_out == LeftOut(joined_steps=True)
