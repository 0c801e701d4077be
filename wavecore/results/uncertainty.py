"""How far energy and area hang on the uncertain constants, and which rankings of schedules survive.

Times and counts do not depend on these constants, so a run's energy is a sum over `EFFECTIVE` constants c of
count x c, and another machine's energy for the same run needs no other simulation.  Each stated constant is set to both
ends of its range, alone.  All together, each effective constant is taken to lie anywhere between the lowest and the
highest value that its own stated constants give it, whatever the others are; so a ranking that survives this survives
every combination of ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import fsum
from types import MappingProxyType

from wavecore.hardware.area import area_mm2
from wavecore.hardware.config import load_accelerator, ranges
from wavecore.hardware.specs import Accelerator
from wavecore.results.energy import static_watts
from wavecore.results.run import Run

Values = Mapping[str, float]
Measure = Callable[[Accelerator], Values]

EFFECTIVE: Mapping[str, Callable[[Accelerator], float]] = MappingProxyType(
    {
        "energy.mac": lambda machine: machine.energy.mac_joules,
        "energy.register": lambda machine: machine.energy.register_joules_per_byte,
        "energy.local_buffer": lambda machine: machine.energy.local_buffer_joules_per_byte,
        "energy.global_buffer": lambda machine: machine.energy.global_buffer_joules_per_byte,
        "energy.vector_operation": lambda machine: machine.energy.vector_operation_joules,
        "energy.interconnect": lambda machine: machine.energy.interconnect_joules_per_bit,
        "memory.energy": lambda machine: machine.memory.energy_joules_per_bit,
        "memory.background": lambda machine: machine.memory.background_watts,
        "static power": static_watts,
    }
)
"""The constants in which energy is linear: joules per event, and watts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UncertainMachine:
    """An accelerator, what it was loaded with, and the (low, high) texts of its uncertain constants by dotted key."""

    name: str
    memory: str | None
    overrides: tuple[str, ...]
    accelerator: Accelerator
    ends: Mapping[str, tuple[str, str]]

    def with_ends(self, chosen: Mapping[str, int]) -> Accelerator:
        """Return the accelerator with the low (0) or high (1) end of each constant that ``chosen`` names."""
        more = [f"{key}={self.ends[key][end]}" for key, end in chosen.items()]
        return load_accelerator(self.name, memory=self.memory, overrides=[*self.overrides, *more])


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A value with the least and the greatest that it takes."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantEffect:
    """What one constant does alone: its (low, high) texts, and the joules of each run at these ends.

    ``swapped`` names the pairs of runs, by their numbers, whose ranking by energy differs at one of the ends.
    """

    name: str
    ends: tuple[str, str]
    joules: tuple[tuple[float, float], ...]
    swapped: tuple[tuple[int, int], ...]

    @property
    def effect(self) -> float:
        """The largest difference between the energies of a run at the two ends, in joules."""
        return max(abs(high - low) for low, high in self.joules)

    def ratios(self, first: int, second: int) -> tuple[float, float]:
        """Return the energy of one run over that of another at the two ends."""
        return self.joules[first][0] / self.joules[second][0], self.joules[first][1] / self.joules[second][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Two runs by their numbers, the one with less energy first: whether it stays first.

    ``alone``: whichever constant is set to either end; ``together``: whatever all constants are within their ranges.
    ``ratio`` is the energy of the first over that of the second, with its bounds over each constant alone.
    """

    first: int
    second: int
    ratio: Spread
    alone: bool
    together: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyUncertainty:
    """The energy of runs on one machine: each run's joules over all constants together, each constant, the rankings."""

    joules: tuple[Spread, ...]
    constants: tuple[ConstantEffect, ...]
    rankings: tuple[Ranking, ...]


def uncertain_machine(name: str, memory: str | None, overrides: Sequence[str]) -> UncertainMachine:
    """Load an accelerator with the ranges of its constants.  Raises what `load_accelerator` does."""
    return UncertainMachine(
        name=name,
        memory=memory,
        overrides=tuple(overrides),
        accelerator=load_accelerator(name, memory=memory, overrides=overrides),
        ends=ranges(name, memory=memory, overrides=overrides),
    )


def energy_uncertainty(runs: Sequence[Run], machine: UncertainMachine) -> EnergyUncertainty:
    """Return how the energy of runs, all on this machine, and its ranking follow the uncertain constants."""
    counts = [_counts(run, machine.accelerator) for run in runs]
    nominal = [run.energy_joules.total for run in runs]
    pairs = [(a, b) if nominal[a] <= nominal[b] else (b, a) for a, b in combinations(range(len(runs)), 2)]
    at_ends = _at_ends(machine, _effective)
    effects = [_effect(key, machine.ends[key], at_ends[key], counts, pairs) for key in machine.ends]
    bounds = spreads(machine, _effective)
    joules = tuple(
        Spread(
            value=value,
            low=fsum(count[name] * bounds[name].low for name in EFFECTIVE),
            high=fsum(count[name] * bounds[name].high for name in EFFECTIVE),
        )
        for count, value in zip(counts, nominal, strict=True)
    )
    rankings = tuple(
        Ranking(
            first=first,
            second=second,
            ratio=_ratio(nominal[first] / nominal[second], [each.ratios(first, second) for each in effects]),
            alone=not any((first, second) in each.swapped for each in effects),
            together=_largest_difference(counts[first], counts[second], bounds) < 0,
        )
        for first, second in pairs
    )
    effects.sort(key=lambda each: each.effect, reverse=True)
    return EnergyUncertainty(joules=joules, constants=tuple(effects), rankings=rankings)


def area_spreads(machine: UncertainMachine) -> dict[str, Spread]:
    """Return the area in mm2 of each component and of the ``total``, with its bounds over all uncertain constants."""
    return spreads(machine, lambda each: {**asdict(area_mm2(each)), "total": area_mm2(each).total})


def spreads(machine: UncertainMachine, measured: Measure) -> dict[str, Spread]:
    """Return each value that is ``measured`` on the machine, with its bounds over all ends of the uncertain constants.

    Each value must rise or fall with each constant throughout, so that its bounds lie at ends.
    """
    at_ends = _at_ends(machine, measured)
    found = {}
    for name, value in measured(machine.accelerator).items():
        rising = {key: int(high[name] > low[name]) for key, (low, high) in at_ends.items() if low[name] != high[name]}
        falling = {key: 1 - end for key, end in rising.items()}
        low, high = (measured(machine.with_ends(chosen))[name] for chosen in (falling, rising))
        found[name] = Spread(value=value, low=low, high=high)
    return found


def _at_ends(machine: UncertainMachine, measured: Measure) -> dict[str, tuple[Values, Values]]:
    """Return what is measured with each uncertain constant, alone, at its low and at its high end."""
    return {key: (measured(machine.with_ends({key: 0})), measured(machine.with_ends({key: 1}))) for key in machine.ends}


def _effective(machine: Accelerator) -> dict[str, float]:
    return {name: value(machine) for name, value in EFFECTIVE.items()}


def _counts(run: Run, machine: Accelerator) -> dict[str, float]:
    """Return how often a run takes each of `EFFECTIVE`; events of a constant of zero joules count as none."""
    values, spent = _effective(machine), run.energy_joules
    macs = run.macs - run.gated_macs - run.skipped_macs
    parts = {
        "energy.register": spent.array - macs * values["energy.mac"],
        "energy.local_buffer": spent.local_buffer,
        "energy.global_buffer": spent.global_buffer,
        "energy.vector_operation": spent.vector,
        "energy.interconnect": spent.interconnect,
    }
    counted = {name: joules / values[name] if values[name] else 0.0 for name, joules in parts.items()}
    bits, seconds = 8.0 * run.dram_bytes.total, run.step_seconds
    return counted | {
        "energy.mac": macs,
        "memory.energy": bits,
        "memory.background": seconds,
        "static power": seconds,
    }


def _effect(
    key: str,
    ends: tuple[str, str],
    values: tuple[Values, Values],
    counts: Sequence[Mapping[str, float]],
    pairs: Sequence[tuple[int, int]],
) -> ConstantEffect:
    """Return what one constant does alone, whose effective constants at its two ends are ``values``."""
    joules = [tuple(fsum(count[name] * at[name] for name in EFFECTIVE) for at in values) for count in counts]
    swapped = tuple(
        (first, second) for first, second in pairs if any(joules[first][end] > joules[second][end] for end in (0, 1))
    )
    return ConstantEffect(name=key, ends=ends, joules=tuple((low, high) for low, high in joules), swapped=swapped)


def _ratio(nominal: float, at_ends: Sequence[tuple[float, float]]) -> Spread:
    every = [nominal, *(ratio for both in at_ends for ratio in both)]
    return Spread(value=nominal, low=min(every), high=max(every))


def _largest_difference(first: Mapping[str, float], second: Mapping[str, float], bounds: Mapping[str, Spread]) -> float:
    """Return the largest energy of one run minus that of another, whatever the effective constants in their bounds."""
    differences = {name: first[name] - second[name] for name in EFFECTIVE}
    return fsum(
        difference * (bounds[name].high if difference > 0 else bounds[name].low)
        for name, difference in differences.items()
    )
