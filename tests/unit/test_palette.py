"""Can colours be told apart, and texts on them be read?"""

from itertools import pairwise

import matplotlib as mpl
import pytest
from matplotlib.colors import to_hex, to_rgb

from wavecore.pictures.palette import COLOURS, COMPONENT_COLOURS, PHASE_COLOURS, colours, ink, ordered, told_apart


def luminance(colour: str) -> float:
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", [*COLOURS.values(), *COMPONENT_COLOURS.values(), *PHASE_COLOURS.values()])
def test_a_text_on_a_colour_has_the_contrast_of_wcag(colour: str) -> None:
    low, high = sorted((luminance(colour), luminance(ink(colour))))
    assert (high + 0.05) / (low + 0.05) > 4


def test_ordered_values_are_viridis_from_dark_to_light() -> None:
    found = list(ordered([str(at) for at in range(9)]).values())
    expected = [to_hex(mpl.colormaps["viridis"](at / 9)) for at in range(9)]
    for one, other in zip(found, expected, strict=True):
        assert to_rgb(one) == pytest.approx(to_rgb(other), abs=0.03)
    many = list(ordered([str(at) for at in range(30)]).values())
    assert all(luminance(one) < luminance(other) for one, other in pairwise(many))
    assert (many[0], many[-1]) == (found[0], found[-1])
    assert list(ordered(["1"]).values()) == found[:1]


def test_names_without_an_order_are_told_apart() -> None:
    found = told_apart([str(at) for at in range(8)])
    assert len(set(found.values())) == 7 and found["7"] == found["0"]
    assert not {*found.values()} & {*COLOURS.values()}


def test_schedules_keep_their_colours_whatever_is_beside_them() -> None:
    assert colours(["mine", "mbs2"])["mbs2"] == colours(["mbs2"])["mbs2"] == COLOURS["mbs2"]
