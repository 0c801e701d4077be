"""The sections of a sweep specification on objectives, search and figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wavecore.common.toml import Document, place
from wavecore.errors import ConfigError, nearest, unknown_name
from wavecore.sweep.parameters import IDENTITY
from wavecore.sweep.task import SCALARS

FIGURES = tuple(name for name in SCALARS if name not in IDENTITY)
"""The numeric metrics of a point."""

METHODS = ("grid", "random", "optuna")
MOST_POINTS = 1_000_000
DEFAULT_OBJECTIVES = ("step_seconds", "energy_joules.total")


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric that is to be small, or large."""

    metric: str
    maximize: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """How points are chosen.  ``points`` says how many (a grid has its own number), ``population`` is optuna's."""

    method: str = "grid"
    points: int = 0
    seed: int = 1
    population: int = 32


@dataclass(frozen=True, slots=True)
class Figure:
    """What is drawn: ``x`` and ``y`` are axes or metrics by ``kind``, ``value`` is the metric that colours show."""

    kind: str
    x: str
    y: str
    value: str = ""
    series: str = ""
    panels: str = ""
    title: str = ""


def read_objectives(document: Document, axes: Sequence[str]) -> tuple[tuple[Objective, ...], tuple[str, ...]]:
    """Return the objectives, and the axes for each of whose values there is a front of its own.

    By default step time and energy are minimized, and a workload is compared with itself only.
    """
    section = table(document, "objectives", ("minimize", "maximize", "per"))
    found: dict[str, Objective] = {}
    for key in (key for key in section if key != "per"):  # in their order: the first objective counts most
        where = place(document, f"objectives.{key}")
        for name in names(section.get(key, []), where, "step_seconds"):
            if name in found:
                raise ConfigError(where, f"{name!r} stands twice", "each metric once")
            found[name] = Objective(metric(name, where), key == "maximize")
    where = place(document, "objectives.per")
    per = names(section.get("per", [axis for axis in axes if axis == "workload"]), where, "workload")
    for name in per:
        _axis(name, where, axes)
    return tuple(found.values()) or tuple(map(Objective, DEFAULT_OBJECTIVES)), per


def read_search(document: Document) -> Search:
    """Return how points are chosen: a grid unless the specification says otherwise."""
    section = table(document, "search", ("method", "points", "seed", "population"))
    where = place(document, "search.method")
    method = section.get("method", "grid")
    if not isinstance(method, str):
        raise ConfigError(where, f"{method!r} is not a name", '"grid", "random" or "optuna"')
    if method not in METHODS:
        raise unknown_name(where, "search method", method, METHODS)
    takes = {"grid": (), "random": ("points", "seed"), "optuna": ("points", "seed", "population")}[method]
    for key in section:
        if key != "method" and key not in takes:
            hint = 'method = "random", or leaving it out'
            raise ConfigError(place(document, f"search.{key}"), f"means nothing to {method}", hint)
    if "points" in takes and "points" not in section:
        raise ConfigError(place(document, "search"), f"{method} has no number of points", "points = 200")

    def whole(key: str, least: int, most: int, default: int) -> int:
        value = section.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ConfigError(place(document, f"search.{key}"), f"{value!r} is out of range", f"{least} to {most}")
        return value

    return Search(
        method=method,
        points=whole("points", 1, MOST_POINTS, 1) if takes else 0,
        seed=whole("seed", 0, 2**31 - 1, 1),
        population=whole("population", 2, 10_000, 32),
    )


# What x, y and value are, by kind.
_ROLES: Mapping[str, Mapping[str, str]] = {
    "lines": {"x": "axis", "y": "metric"},
    "heatmap": {"x": "axis", "y": "axis", "value": "metric"},
    "pareto": {"x": "metric", "y": "metric"},
}
_GROUPINGS = {"lines": ("series", "panels"), "heatmap": ("panels",), "pareto": ("series", "panels")}


def read_figure(document: Document, axes: Sequence[str], free: Sequence[str], grid: bool) -> Figure | None:
    """Return the figure that the specification wants, None if it has none.

    A figure over axes must name all ``free`` axes, since otherwise several points would be drawn at one place.
    """
    if "figure" not in document.data:
        return None
    section = table(document, "figure", ("kind", "x", "y", "value", "series", "panels", "title"))
    kind = _text(document, section, "kind")
    if kind not in _ROLES:
        raise unknown_name(place(document, "figure.kind"), "kind of figure", kind, _ROLES)
    roles = {**_ROLES[kind], **{key: "axis" for key in _GROUPINGS[kind] if key in section}}
    for key in section:
        if key not in ("kind", "title", *roles):
            raise ConfigError(place(document, f"figure.{key}"), f"means nothing to {kind}", " and ".join(roles))
    found = {key: _text(document, section, key) for key in roles}
    for key, role in roles.items():
        where = place(document, f"figure.{key}")
        _axis(found[key], where, axes) if role == "axis" else metric(found[key], where)
    if kind != "pareto":
        if not grid:
            raise ConfigError(place(document, "figure.kind"), f"{kind} needs a grid", '"pareto"')
        drawn = {found[key] for key, role in roles.items() if role == "axis"}
        if missing := [name for name in axes if name in free and name not in drawn]:
            hint = f'{" or ".join(_GROUPINGS[kind])} = "{missing[0]}", or one value for it in [base]'
            raise ConfigError(place(document, "figure"), f"does not say where {missing[0]} goes", hint)
    return Figure(kind=kind, title=_text(document, section, "title") if "title" in section else "", **found)


def table(document: Document, key: str, allowed: Iterable[str]) -> Mapping[str, Any]:
    """Return a section of the document, empty if it is missing.  Raises `ConfigError` for an unknown key."""
    section = document.data.get(key, {})
    if not isinstance(section, dict):
        raise ConfigError(place(document, key), "expected a section", f"[{key}]")
    for each in section:
        if each not in allowed:
            hint = " or ".join(nearest(each, allowed)) or "one of " + ", ".join(allowed)
            raise ConfigError(place(document, f"{key}.{each}"), "unknown key", hint)
    return section


def names(value: object, where: str, example: str) -> tuple[str, ...]:
    """Return a list of names."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ConfigError(where, f"{value!r} is no list of texts", f'["{example}"]')
    return tuple(value)


def metric(name: str, where: str) -> str:
    """Return the name of a numeric metric.  Raises `NameLookupError` if there is no such metric."""
    if name not in FIGURES:
        error = unknown_name(where, "metric", name, FIGURES)
        close = [each for each in FIGURES if each.startswith(name)] or nearest(name, FIGURES)
        raise type(error)(where, error.what, " or ".join(close[:3]) or "wavecore list metrics")
    return name


def _axis(name: str, where: str, axes: Sequence[str]) -> None:
    if name not in axes:
        raise unknown_name(where, "axis", name, axes)


def _text(document: Document, section: Mapping[str, Any], key: str) -> str:
    if key not in section:
        raise ConfigError(place(document, "figure"), f"there is no {key}", f'{key} = "..."')
    value = section[key]
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(place(document, f"figure.{key}"), f"{value!r} is not a name", f'{key} = "..."')
    return value
