"""The registered workloads: their descriptions, and the function that builds one with its options."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real

from wavecore.common.entry_points import blame, broken, collect, failures, find, origin
from wavecore.errors import ConfigError, InputError, unknown_name
from wavecore.network.graph import DEFAULT_BATCH_PER_CORE, LayerGraph

GROUP = "wavecore.workloads"
ATTRIBUTE = "WORKLOADS"

OptionValue = int | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A network's size as printed elsewhere: trained elements, and forward multiply-accumulates per sample.

    ``parameters`` is exact; ``forward_gmacs``, in 1e9 and of convolutions and linear layers only, is rounded
    to the digits printed.
    """

    parameters: int
    forward_gmacs: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A network that can be simulated by name.

    ``build`` takes the options as keywords, each with a default that is an int, a float or a str, and
    returns the network.  ``batch_per_core`` is the mini-batch of one core, in samples, unless told otherwise.
    """

    name: str
    build: Callable[..., LayerGraph]
    summary: str
    batch_per_core: int = DEFAULT_BATCH_PER_CORE
    published: Published | None = None


def workload_names() -> tuple[str, ...]:
    """Return the names of all registered workloads, families together."""
    return tuple(collect(GROUP, ATTRIBUTE, Workload))


def workload_info(name: str) -> Workload:
    """Return the registered workload called ``name``; `NameLookupError` if there is none."""
    if not isinstance(name, str):
        raise InputError("workload", f"is {name!r}, not a name", '"resnet50"')
    info: Workload = find("workload", "workload", name, GROUP, ATTRIBUTE, Workload)
    return info


def workload_options(name: str) -> Mapping[str, OptionValue]:
    """Return the options that workload ``name`` takes, with their defaults."""
    options = {}
    for option in inspect.signature(workload_info(name).build).parameters.values():
        if type(option.default) not in (int, float, str):
            what = f"its option {option.name!r} has no int, float or str as default"
            raise ConfigError(f"workload {name}", what, "a default for it in the function that builds it")
        options[option.name] = option.default
    return options


def broken_workloads() -> tuple[ConfigError, ...]:
    """Return an error for each registered module of workloads that cannot be used."""
    return broken(GROUP, ATTRIBUTE, Workload)


def workload(name: str, /, **options: OptionValue) -> LayerGraph:
    """Build the registered workload ``name``: ``workload("resnet50", image=256, width=0.5)``.

    ``options`` are the workload's own, which `workload_options` lists with their defaults.  The graph carries the
    workload's own mini-batch.  Raises `NameLookupError` for a name or an option that does not exist, `InputError` for a
    value of another type than the option's, `GraphError` for sizes that make no network, and `ConfigError` where the
    function of another package fails or returns no network.
    """
    info, given = workload_info(name), checked_options(name, options)
    where, other = f"workload {name}", origin(GROUP, ATTRIBUTE, name, Workload)
    with failures(where, other, ConfigError):
        graph = info.build(**given)
    if not isinstance(graph, LayerGraph):
        what = f"its function returned {type(graph).__name__} {graph!r:.40}, not a LayerGraph"
        raise ConfigError(blame(where, other), what, "Network(...).build() as its result")
    return replace(graph, batch_per_core=info.batch_per_core)


def checked_options(name: str, options: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """Return all options of workload ``name``: the given ones, checked as in `workload`, and defaults of the others."""
    defaults = workload_options(name)
    where = f"workload {name}"
    for option in options:
        if option not in defaults:
            raise unknown_name(where, "option", option, defaults)
    return {
        option: checked_option(where, option, options[option], default) if option in options else default
        for option, default in defaults.items()
    }


def checked_option(where: str, option: str, value: object, default: OptionValue) -> OptionValue:
    """Return ``value`` in the type of the option's ``default``; `InputError`, at ``where``, if it has another."""
    if isinstance(default, str):
        wanted = "a text"
        if isinstance(value, str):
            return value
    elif isinstance(default, int):
        wanted = "a whole number"
        if isinstance(value, Integral) and not isinstance(value, bool):
            return int(value)
    else:
        wanted = "a finite number"
        if isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    raise InputError(where, f"{option} is {value!r}, not {wanted}", f"{option}={default!r}")
