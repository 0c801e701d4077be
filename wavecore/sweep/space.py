"""The points of a sweep: a grid or random draws, with derived axes computed and excluded points left out.

A point is a tuple, one value for each axis of the specification in its order.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence

from wavecore.errors import ConfigError
from wavecore.sweep.assignment import Assignment, UnbuildableError
from wavecore.sweep.axes import AxisSpec
from wavecore.sweep.expressions import Expression
from wavecore.sweep.parameters import SweepValue, is_of_machine
from wavecore.sweep.sections import MOST_POINTS
from wavecore.sweep.spec import SweepSpec

Point = tuple[SweepValue, ...]
Free = Mapping[str, SweepValue]
"""Values of the axes that are not derived."""

PATIENCE = 10_000
"""Draws in a row without a new point after which a space counts as exhausted."""


def grid_size(axes: Iterable[AxisSpec]) -> float:
    """Return how many points these axes make; infinity if one is a range without steps."""
    return math.prod(math.inf if axis.span else len(axis.values) for axis in axes)


def listed_points(spec: SweepSpec) -> list[Point]:
    """Return the points in the order of the table: the whole grid, or the wanted number of random ones, each once.

    For optuna, which chooses its own points, the list is empty.  Raises `ConfigError` if there are no points, naming
    the first constraint that none meets, and for a derived value that is not allowed.
    """
    for constraint in spec.point_constraints:
        _check_possible(spec, constraint)
    if spec.search.method == "grid":
        found = [point for free in _products(spec.free) if (point := complete(spec, free)) is not None]
    else:
        found = list(itertools.islice(_drawn(spec), spec.search.points if spec.search.method == "random" else 1))
    if not found:
        raise ConfigError(spec.label, "no point satisfies all constraints", "looser ones")
    return found if spec.search.method != "optuna" else []


def complete(spec: SweepSpec, free: Free) -> Point | None:
    """Return the point with these values, None if a constraint excludes it.

    Raises `ConfigError` for a derived value that is not allowed.
    """
    values = Assignment(spec, free)
    if not all(_holds(constraint, values) for constraint in spec.point_constraints):
        return None
    return tuple(values[axis.name] for axis in spec.axes)


def assignment(spec: SweepSpec, point: Point) -> Assignment:
    """Return the values of a point by name."""
    return Assignment(spec, dict(zip(spec.depends, point, strict=True)))


def _holds(constraint: Expression, values: Assignment) -> bool:
    """Whether a constraint holds; it does where no machine can be made, since the point then says so itself."""
    try:
        return constraint.value(values.term) is True
    except UnbuildableError:
        return True


def _products(axes: Sequence[AxisSpec]) -> Iterator[Free]:
    names = [axis.name for axis in axes]
    return (dict(zip(names, each, strict=True)) for each in itertools.product(*(axis.values for axis in axes)))


def _draws(spec: SweepSpec) -> Iterator[Free]:
    """Yield random values of the free axes without end, the same for a seed on any machine."""
    generator = random.Random(spec.search.seed)
    while True:
        yield {axis.name: axis.at(generator.random()) for axis in spec.free}


def _drawn(spec: SweepSpec) -> Iterator[Point]:
    """Yield new random points, as long as any are found."""
    seen: set[Point | None] = {None}
    idle = 0
    for free in _draws(spec):
        point = complete(spec, free)
        idle = idle + 1 if point in seen else 0
        if idle == PATIENCE:
            return
        if point is not None and not idle:
            seen.add(point)
            yield point


def _check_possible(spec: SweepSpec, constraint: Expression) -> None:
    """Raise `ConfigError` if no values of the axes that a constraint is about satisfy it."""
    needed = frozenset[str]().union(*(spec.depends[name] for name in _concerned(spec, constraint)))
    axes = [axis for axis in spec.free if axis.name in needed]
    few = grid_size(axes) <= MOST_POINTS
    failed: ConfigError | None = None
    for free in _products(axes) if few else itertools.islice(_draws(spec), PATIENCE):
        try:
            if _holds(constraint, Assignment(spec, free)):
                return
        except ConfigError as error:  # a derived value that cannot be, which another constraint may exclude
            failed = failed or error
    if failed is not None:
        raise failed
    settled = ", ".join(f"{axis.name} is {axis.extent()}" for axis in axes) or "[base] settles it"
    raise ConfigError(constraint.where, f"no point satisfies {constraint.text}", f"a looser one; {settled}")


def _concerned(spec: SweepSpec, constraint: Expression) -> set[str]:
    """Return the axes that a constraint depends on; a field that is not stated depends on all axes of the machine."""
    stated = {*spec.base, *spec.depends}
    names = set(constraint.names & stated)
    if constraint.names - stated:
        names |= {name for name in spec.depends if is_of_machine(name)}
    return names & set(spec.depends)
