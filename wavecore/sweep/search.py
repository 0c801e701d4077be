"""Multi-objective search with optuna (extra ``dse``): generations of points, each derived from the ones before.

A generation is asked for as a whole and told in its own order, so that the search goes the same way however many
workers there are and in whatever order they finish.  After an interruption the same points are asked for again, and
their results come from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from wavecore.errors import InputError
from wavecore.sweep.axes import AxisSpec
from wavecore.sweep.judgement import Judgement
from wavecore.sweep.parameters import SweepValue
from wavecore.sweep.space import Point, complete
from wavecore.sweep.spec import SweepSpec

if TYPE_CHECKING:
    from optuna import Study, Trial

Results = Callable[[Sequence[Point]], Sequence[Judgement] | None]
"""A function from points to their judgements; None as long as not all are finished."""

TRIALS_A_POINT = 10
"""Trials for each point that is asked for, after which a search that repeats itself ends."""


def check_optuna() -> None:
    """Raise `InputError` if optuna is not installed."""
    if find_spec("optuna") is None:
        raise InputError("search.method", "optuna is not installed", 'pip install "wavecore[dse]"')


def bred_points(spec: SweepSpec, results: Results) -> Iterator[Point | None]:
    """Yield new points, at most as many as asked for; None while results of the present generation are missing."""
    check_optuna()
    study, found = _study(spec), set[Point]()
    most = TRIALS_A_POINT * spec.search.points
    for _ in range(0, most, spec.search.population):
        generation = [_ask(study, spec) for _ in range(spec.search.population)]
        for _, point in generation:
            if point is not None and point not in found and len(found) < spec.search.points:
                found.add(point)
                yield point
        points = [point for _, point in generation if point in found and point is not None]
        while (judged := results(points)) is None:
            yield None
        if len(found) == spec.search.points:
            return
        by_point = dict(zip(points, judged, strict=True))
        for trial, point in generation:
            _tell(study, trial, Judgement() if point is None else by_point[point])


def _study(spec: SweepSpec) -> Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    directions: list[Literal["minimize", "maximize"]] = [
        "maximize" if objective.maximize else "minimize" for objective in spec.objectives
    ]
    sampler = optuna.samplers.NSGAIISampler(population_size=spec.search.population, seed=spec.search.seed)
    return optuna.create_study(directions=directions, sampler=sampler)


def _ask(study: Study, spec: SweepSpec) -> tuple[Trial, Point | None]:
    """Return a trial and its point, None if constraints exclude it."""
    trial = study.ask()
    free: Mapping[str, SweepValue] = {axis.name: _suggest(trial, axis) for axis in spec.free}
    return trial, complete(spec, free)


def _suggest(trial: Trial, axis: AxisSpec) -> SweepValue:
    """Return a value of an axis; of a list of numbers, optuna varies the index."""
    if axis.span is not None:
        low, high = float(axis.span.low), float(axis.span.high)
        if low == high:
            return axis.parameter.near(axis.span.low)
        return axis.parameter.near(Fraction(trial.suggest_float(axis.name, low, high, log=axis.span.log)))
    if axis.parameter.numeric:
        return axis.values[trial.suggest_int(axis.name, 0, len(axis.values) - 1)]
    return axis.values[trial.suggest_categorical(axis.name, list(range(len(axis.values))))]


def _tell(study: Study, trial: Trial, judgement: Judgement) -> None:
    """Tell optuna the objectives of a trial, or that it failed."""
    from optuna.trial import TrialState

    if not judgement.goals:
        study.tell(trial, state=TrialState.FAIL)
        return
    trial.set_constraint("feasible", 0.0 if judgement.feasible else 1.0)
    study.tell(trial, list(judgement.goals))
