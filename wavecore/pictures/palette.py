"""Colours of pictures: a name has the same colour in every one, from palettes that the colour-blind can tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum

# Okabe and Ito's palette (jfly.uni-koeln.de/color), its yellow left out for its low contrast on white.
COLOURS: Mapping[str, str] = {
    "baseline": "#999999",
    "archopt": "#56B4E9",
    "il": "#0072B2",
    "mbs-fs": "#CC79A7",
    "mbs1": "#E69F00",
    "mbs2": "#D55E00",
    "mbs-opt": "#009E73",
}
OTHER_COLOURS = ("#000000", "#7F3C8D", "#11A579", "#A5AA99")

# Paul Tol's "bright" scheme (personal.sron.nl/~pault): where energy goes, and what the array waits for.
COMPONENT_COLOURS: Mapping[str, str] = {
    "array": "#4477AA",
    "local_buffer": "#66CCEE",
    "global_buffer": "#228833",
    "vector": "#CCBB44",
    "dram": "#EE6677",
    "interconnect": "#AA3377",
    "static": "#BBBBBB",
}
STALL_COLOURS: Mapping[str, str] = {
    "busy": COMPONENT_COLOURS["array"],
    "partial": "#A9C3DD",  # a tint of it: busy, but not with useful work
    "dram": COMPONENT_COLOURS["dram"],
    "vector": COMPONENT_COLOURS["vector"],
    "array": COMPONENT_COLOURS["local_buffer"],
    "space": COMPONENT_COLOURS["global_buffer"],
    "core": COMPONENT_COLOURS["interconnect"],
    "update": COMPONENT_COLOURS["static"],
}
# Paul Tol's "muted" scheme: what moves to and from DRAM.
CLASS_COLOURS: Mapping[str, str] = {
    "activation": "#88CCEE",
    "gradient": "#44AA99",
    "mask": "#117733",
    "weight": "#332288",
    "weight_gradient": "#AA4499",
    "optimizer": "#DDCC77",
}
PHASE_COLOURS: Mapping[str, str] = {
    "forward": "#332288",
    "data_gradient": "#44AA99",
    "weight_gradient": "#CC6677",
    "update": "#DDCC77",
}

# Nine tenths of matplotlib's viridis (bids.github.io/colormap): its last, yellow, has too little contrast on white.
_ORDERED = ("#440154", "#482878", "#3E4989", "#31688E", "#26828E", "#1F9E89", "#35B779", "#6DCD59", "#B4DE2C")
_DARK_BELOW = 0.2  # relative luminance; white text on it has a contrast of at least 4.2, black text on more at least 5


def colours(schedules: Sequence[str]) -> dict[str, str]:
    """Return a colour for each schedule: its own, or the next of the others if it has none."""
    unknown = [name for name in dict.fromkeys(schedules) if name not in COLOURS]
    others = {name: OTHER_COLOURS[at % len(OTHER_COLOURS)] for at, name in enumerate(unknown)}
    return {name: COLOURS.get(name) or others[name] for name in schedules}


def told_apart(values: Sequence[str]) -> dict[str, str]:
    """Return a colour for each of some names that have no order; they repeat from the eighth on."""
    palette = list(COMPONENT_COLOURS.values())
    return {value: palette[at % len(palette)] for at, value in enumerate(values)}


def ordered(values: Sequence[str]) -> dict[str, str]:
    """Return a colour for each of some values in their order, from dark to light."""
    last = max(1, len(values) - 1)
    return {value: _between(at / last * (len(_ORDERED) - 1)) for at, value in enumerate(values)}


def ink(colour: str) -> str:
    """Return the colour, black or white, in which text can be read on ``colour``."""
    linear = [(each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4) for each in _channels(colour)]
    luminance = fsum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "#FFFFFF" if luminance < _DARK_BELOW else "#000000"


def _between(place: float) -> str:
    """Return the colour at a ``place`` from 0 to the last index of `_ORDERED`, mixed of its two neighbours."""
    first = min(int(place), len(_ORDERED) - 2)
    share = place - first
    pairs = zip(_channels(_ORDERED[first]), _channels(_ORDERED[first + 1]), strict=True)
    return "#" + "".join(f"{round(255 * (low + share * (high - low))):02X}" for low, high in pairs)


def _channels(colour: str) -> tuple[float, ...]:
    """Return red, green and blue of ``#RRGGBB``, each from 0 to 1."""
    return tuple(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
