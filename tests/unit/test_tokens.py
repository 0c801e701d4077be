"""Do counters and space wake whom they should, and only then?"""

import simpy

from wavecore.engines.probe import Cause, Signal
from wavecore.engines.stalls import QueueState
from wavecore.engines.timing import Stall
from wavecore.engines.tokens import Counter, Space

LOADS, SPACE = (Signal(0, cause) for cause in (Cause.LOADS, Cause.SPACE))
OWNER = QueueState("load", Stall.DRAM)


def waiter(env: simpy.Environment, event: simpy.Event, log: list[tuple[str, float]], name: str) -> None:
    def process() -> object:
        yield event
        log.append((name, env.now))

    env.process(process())  # type: ignore[arg-type]


def test_a_counter_wakes_everyone_it_has_reached() -> None:
    env = simpy.Environment()
    counter, log = Counter(env, LOADS, OWNER), []  # type: ignore[var-annotated]
    for name, threshold in (("far", 10), ("near", 3), ("exact", 5)):
        waiter(env, counter.reached(threshold), log, name)

    def grow() -> object:
        for amount in (2, 3, 4, 1):
            yield env.timeout(1)
            counter.add(amount)

    env.process(grow())  # type: ignore[arg-type]
    env.run()
    assert log == [("near", 2), ("exact", 2), ("far", 4)]
    assert counter.value == 10


def test_what_is_reached_already_fires_at_once() -> None:
    env = simpy.Environment()
    counter = Counter(env, LOADS, OWNER)
    counter.add(5)
    assert counter.reached(5).triggered
    assert not counter.reached(6).triggered
    assert repr(counter) == "<Counter 5, 1 waiting>"


def test_space_wakes_its_waiter_when_there_is_room() -> None:
    env = simpy.Environment()
    space, log = Space(env, 100, SPACE), []  # type: ignore[var-annotated]
    space.take(90)
    waiter(env, space.room(50), log, "waiter")

    def free() -> object:
        for amount in (20, 20):
            yield env.timeout(1)
            space.give(amount)

    env.process(free())  # type: ignore[arg-type]
    env.run()
    assert log == [("waiter", 2)]


def test_space_counts_what_is_used_and_its_peak() -> None:
    space = Space(simpy.Environment(), 100, SPACE)
    assert space.fits(100) and not space.fits(101)
    space.take(60)
    space.take(40)
    space.give(70)
    space.take(10)
    assert (space.used, space.peak) == (40, 100)
    assert repr(space) == "<Space 40 of 100 B, peak 100 B>"
