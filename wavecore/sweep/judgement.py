"""Judgement of results: their objectives, and whether they meet the constraints on results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wavecore.errors import ConfigError
from wavecore.sweep.assignment import UnbuildableError
from wavecore.sweep.expressions import ExpressionValue
from wavecore.sweep.parameters import exact
from wavecore.sweep.pareto import pareto
from wavecore.sweep.space import Point, assignment
from wavecore.sweep.spec import SweepSpec
from wavecore.sweep.task import Outcome


@dataclass(frozen=True, slots=True)
class Judgement:
    """A result's objectives in their order (none if the point failed), whether it is feasible, and its error or ""."""

    goals: tuple[float, ...] = ()
    feasible: bool = False
    error: str = ""


def judge(spec: SweepSpec, point: Point, outcome: Outcome) -> Judgement:
    """Judge one result.  A constraint that cannot be computed for it becomes its error."""
    metrics = outcome.metrics
    if metrics is None:
        return Judgement(error=outcome.error or "no result")
    values = assignment(spec, point)

    def term(name: str) -> ExpressionValue:
        value = metrics.get(name)
        return exact(value) if isinstance(value, (int, float)) and name not in spec.parameters else values.term(name)

    goals = tuple(float(metrics[objective.metric]) for objective in spec.objectives)
    try:
        return Judgement(goals, all(constraint.value(term) is True for constraint in spec.result_constraints))
    except (ConfigError, UnbuildableError) as error:
        return Judgement(goals, error=str(error))


def on_fronts(spec: SweepSpec, points: Sequence[Point], judgements: Sequence[Judgement]) -> list[bool]:
    """Return for each point whether it is feasible and on the front of those that share its values of ``spec.per``."""
    signs = [-1.0 if objective.maximize else 1.0 for objective in spec.objectives]
    at = [list(spec.depends).index(name) for name in spec.per]
    fronts: dict[tuple[object, ...], list[int]] = {}
    for index, (point, judgement) in enumerate(zip(points, judgements, strict=True)):
        if judgement.feasible:
            fronts.setdefault(tuple(point[axis] for axis in at), []).append(index)
    found = [False] * len(points)
    for indices in fronts.values():
        costs = [[sign * goal for sign, goal in zip(signs, judgements[index].goals, strict=True)] for index in indices]
        for index, flag in zip(indices, pareto(costs), strict=True):
            found[index] = flag
    return found
