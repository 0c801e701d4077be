"""Items registered under an entry-point group: workloads and schedules, of this package and of others.

An entry point names a module, and the module holds a table of named items::

    [project.entry-points."wavecore.workloads"]
    resnet = "wavecore.workloads.resnet"        # the module has WORKLOADS: Mapping[str, Workload]

This package registers its own in the same way.  An entry point that cannot be loaded does not affect the others: its
error is kept, and raised when a name is asked for that no other entry point has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from wavecore.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def collect(group: str, attribute: str, item: type = object) -> Mapping[str, Any]:
    """Return all items of ``group`` by name: the tables called ``attribute`` of its modules, put together.

    Entry points come in the order of their names, and items in the order of their tables.  Every item must be
    an instance of ``item``.  Raises `ConfigError` when two modules register the same name.
    """
    return _load(group, attribute, item)[0]


def broken(group: str, attribute: str, item: type = object) -> tuple[ConfigError, ...]:
    """Return an error for each entry point of ``group`` that cannot be used."""
    return _load(group, attribute, item)[1]


def find(where: str, noun: str, name: str, group: str, attribute: str, item: type = object) -> Any:
    """Return the item called ``name``.

    Raises `NameLookupError`, which offers the nearest names of this ``noun``; or, where an entry point is
    broken that may have held it, `ConfigError`, which says both.
    """
    items = collect(group, attribute, item)
    if name in items:
        return items[name]
    missing = unknown_name(where, noun, name, items)
    for error in broken(group, attribute, item):
        what = f"{missing.what}, and {error.where} {error.what}"
        raise ConfigError(missing.where, what, f"{missing.hint}, or {error.hint}")
    raise missing


@cache
def _load(group: str, attribute: str, item: Any) -> tuple[Mapping[str, Any], tuple[ConfigError, ...]]:
    items: dict[str, Any] = {}
    owners: dict[str, str] = {}
    errors = []
    for entry in _entries(group):
        try:
            table = _table(entry, attribute, item)
        except ConfigError as error:
            errors.append(error)
            continue
        for name, value in table.items():
            if name in owners:
                raise ConfigError(
                    f"entry points {group}",
                    f"{name!r} is registered by both {owners[name]} and {entry.value}",
                    "another name in one of them, or uninstalling one",
                )
            items[name], owners[name] = value, entry.value
    return MappingProxyType(items), tuple(errors)


def _entries(group: str) -> Iterator[EntryPoint]:
    """Yield the entry points of a group, each module once, in an order that does not depend on the installation."""
    from importlib.metadata import entry_points

    seen = set()
    for entry in sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value)):
        if entry.value not in seen:
            seen.add(entry.value)
            yield entry


def _table(entry: EntryPoint, attribute: str, item: type[Any]) -> Mapping[str, Any]:
    """Return the table of the module that ``entry`` names.  Raises `ConfigError` if there is none or it is wrong."""
    where = f"entry point {entry.group}: {entry.name} = {entry.value!r}"
    hint = "repairing or uninstalling the package that registers it"
    try:
        table = getattr(entry.load(), attribute, None)
    except Exception as problem:  # another package's module may fail in any way at all
        raise ConfigError(where, f"cannot be loaded: {type(problem).__name__}: {problem}", hint) from problem
    if not isinstance(table, Mapping):
        raise ConfigError(where, f"has no table named {attribute}", f"a mapping {attribute} in that module")
    for name, value in table.items():
        if not isinstance(value, item):
            raise ConfigError(where, f"{name!r} is a {type(value).__name__}, not a {item.__name__}", hint)
    return table
