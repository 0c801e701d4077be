"""Is the area of a chip that of its parts, counted by hand?"""

from __future__ import annotations

from dataclasses import asdict
from itertools import product
from math import sqrt

import pytest
from builders import machine

from wavecore.hardware.area import area_mm2, cores_distance, element_mm2, lane_mm2

FLIP_FLOP = 3.83


def test_the_parts_of_the_default_by_hand() -> None:
    """In um2: Horowitz's units x (32/45)^2, Aladdin's flip-flop x (32/40)^2, CACTI's SRAM; cells fill 70 %."""
    scale = (32 / 45) ** 2
    element = ((1640 + 4184) * scale + (16 + 2 * 16 + 32) * FLIP_FLOP) / 0.7
    lane = ((7700 + 4184) * scale + 4 * 32 * FLIP_FLOP) / 0.7
    assert element_mm2(machine()) * 1e6 == pytest.approx(element, rel=1e-3)
    assert lane_mm2(machine()) * 1e6 == pytest.approx(lane, rel=1e-3)
    found = area_mm2(machine())
    assert found.array == pytest.approx(2 * 128 * 128 * element * 1e-6, rel=1e-3)
    assert found.vector == pytest.approx(2 * 256 * lane * 1e-6, rel=1e-3)
    kib = 1.69 / 1024
    assert found.local_buffer == pytest.approx(2 * 2 * (64 + 32 + 1.86 * 128) * kib)
    buses = 8 * (512 + 1024 + 2 * 512) * 0.128e-3 * sqrt(16.9) / 2
    assert found.global_buffer == pytest.approx(2 * (16.9 + buses))
    assert found.memory_interface == pytest.approx(2 * 10.45, rel=1e-3)
    others = sum(asdict(found).values()) - found.interconnect
    assert found.interconnect == pytest.approx(2 * 512 * 8 * 0.128e-3 * sqrt(others) / 2)
    assert found.total == pytest.approx(others + found.interconnect)


def test_one_weight_register_less() -> None:
    """16 flip-flops an element."""
    single = machine("array.weight_double_buffering=false")
    saved = 2 * 128 * 128 * 16 * FLIP_FLOP / 0.7 * 1e-6
    assert area_mm2(machine()).array - area_mm2(single).array == pytest.approx(saved)


def test_one_core_has_no_link() -> None:
    assert area_mm2(machine("chip.cores=1")).interconnect == 0


@pytest.mark.parametrize("cores", range(2, 18))
def test_the_distance_of_cores_by_counting(cores: int) -> None:
    """Over all pairs of places of the smallest grid that is as square as it can be."""
    columns = next(number for number in range(1, 18) if number * number >= cores)
    rows = -(-cores // columns)
    places = [((x + 0.5) / columns, (y + 0.5) / rows) for x, y in product(range(columns), range(rows))]
    paths = [abs(a[0] - b[0]) + abs(a[1] - b[1]) for a, b in product(places, places) if a != b]
    assert cores_distance(cores) == pytest.approx(sum(paths) / len(paths))


def test_a_memory_that_does_not_state_its_interface_has_that_of_the_technology() -> None:
    bare = machine("technology.memory_interface=2 mm2")
    assert area_mm2(bare).memory_interface == area_mm2(machine()).memory_interface, "hbm2x2 states its own"
