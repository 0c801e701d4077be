"""Items registered under an entry-point group: workloads, schedules and others, of this package and of others.

An entry point names a module, and the module holds a table of named items::

    [project.entry-points."wavecore.workloads"]
    resnet = "wavecore.workloads.resnet"        # the module has WORKLOADS: Mapping[str, Workload]

This package registers its own in the same way.  An entry point that cannot be loaded does not affect the others: its
error is kept, and raised when a name is asked for that no other entry point has.  A name that this package has stays
its own, whoever else registers it; one that two others register is an error when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from wavecore.errors import ConfigError, WavecoreError, unknown_name

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

K = TypeVar("K")
V = TypeVar("V")


OURS = "wavecore"
REPAIR = "repairing or uninstalling the package that registers it"


def collect(group: str, attribute: str, item: Any = object) -> Mapping[str, Any]:
    """Return all items of ``group`` by name: the tables called ``attribute`` of its modules, put together.

    Those of this package come first; entry points come in the order of their names, and items in the order of their
    tables.  Every item must be an instance of ``item``.
    """
    return _load(group, attribute, item).items


def broken(group: str, attribute: str, item: Any = object) -> tuple[ConfigError, ...]:
    """Return an error for each entry point of ``group`` that cannot be used, or not all of it."""
    return _load(group, attribute, item).errors


def find(where: str, noun: str, name: str, group: str, attribute: str, item: Any = object) -> Any:
    """Return the item called ``name``.

    Raises `NameLookupError`, which offers the nearest names of this ``noun``; or, where an entry point is
    broken that may have held it, or two have it, `ConfigError`, which says both.
    """
    loaded = _load(group, attribute, item)
    if name in loaded.items:
        return loaded.items[name]
    missing = unknown_name(where, noun, name, loaded.items)
    for error in loaded.errors:
        what = f"{missing.what}, and {error.where} {error.what}"
        raise ConfigError(missing.where, what, f"{missing.hint}, or {error.hint}")
    raise missing


def origin(group: str, attribute: str, name: str, item: Any = object) -> str:
    """Return the entry point, with its package, that another package registers ``name`` by; "" if it is ours."""
    entry = _load(group, attribute, item).owners.get(name)
    return "" if entry is None or _is_ours(entry) else place(entry)


def blame(where: str, origin: str) -> str:
    """Return where an error is, with the entry point of another package that is at fault."""
    return f"{where} ({origin})" if origin else where


class OpenTable(dict[K, V]):
    """A table of this package that other packages add to, by the tables called ``attribute`` under ``group``.

    Their modules are loaded when a key is asked for that this package does not have.
    """

    def __init__(self, own: Mapping[K, V], group: str, attribute: str, item: Any = object) -> None:
        super().__init__(own)
        self._source = (group, attribute, item)

    def __missing__(self, key: K) -> V:
        loaded = _load(*self._source)
        if key in loaded.items:
            found: V = loaded.items[key]
            return found
        for error in loaded.errors:
            raise error
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        if super().__contains__(key):
            return True
        loaded = _load(*self._source)
        for error in () if key in loaded.items else loaded.errors:
            raise error
        return key in loaded.items

    def names(self) -> tuple[K, ...]:
        """Return all keys, of this package and of others."""
        return tuple(dict.fromkeys((*self, *_load(*self._source).items)))


class _Loaded(NamedTuple):
    """What the entry points of a group hold: items and who registers them, and an error for each that is at fault."""

    items: Mapping[Any, Any]
    owners: Mapping[Any, EntryPoint]
    errors: tuple[ConfigError, ...]


@cache
def _load(group: str, attribute: str, item: Any) -> _Loaded:
    items: dict[Any, Any] = {}
    owners: dict[Any, EntryPoint] = {}
    errors = []
    for entry in _entries(group):
        try:
            table = _table(entry, attribute, item)
        except ConfigError as error:
            errors.append(error)
            continue
        for name, value in table.items():
            if name not in owners:
                items[name], owners[name] = value, entry
                continue
            what = f"registers {name!r}, which {place(owners[name])} has already"
            errors.append(ConfigError(place(entry), what, "another name in one of them, or uninstalling one"))
            if not _is_ours(owners[name]):
                items.pop(name, None)
    return _Loaded(MappingProxyType(items), MappingProxyType(owners), tuple(errors))


def _entries(group: str) -> Iterator[EntryPoint]:
    """Yield the entry points of a group, each module once, ours first, in an order that no installation changes."""
    from importlib.metadata import entry_points

    seen = set()
    for entry in sorted(entry_points(group=group), key=lambda each: (not _is_ours(each), each.name, each.value)):
        if entry.value not in seen:
            seen.add(entry.value)
            yield entry


def _is_ours(entry: EntryPoint) -> bool:
    return entry.dist is not None and entry.dist.name == OURS


def place(entry: EntryPoint) -> str:
    """Return an entry point as a message names it."""
    package = f" of package {entry.dist.name}" if entry.dist is not None and not _is_ours(entry) else ""
    return f"entry point {entry.group}: {entry.name} = {entry.value!r}{package}"


def _table(entry: EntryPoint, attribute: str, item: Any) -> Mapping[Any, Any]:
    """Return the table of the module that ``entry`` names.  Raises `ConfigError` if there is none or it is wrong."""
    where = place(entry)
    try:
        table = getattr(entry.load(), attribute, None)
    except Exception as problem:  # another package's module may fail in any way at all
        raise ConfigError(where, f"cannot be loaded: {type(problem).__name__}: {problem}", REPAIR) from problem
    if not isinstance(table, Mapping):
        raise ConfigError(where, f"has no table named {attribute}", f"a mapping {attribute} in that module")
    for name, value in table.items():
        if not isinstance(value, item):
            raise ConfigError(where, f"{name!r} is a {type(value).__name__}, not a {item.__name__}", REPAIR)
    return table


@contextmanager
def failures(where: str, origin: str, error: type[WavecoreError]) -> Iterator[None]:
    """Raise what the code of another package raises in the block as ``error``, which names its entry point.

    Errors of this package pass, and so does everything if the code is ours, with ``origin`` "".
    """
    try:
        yield
    except WavecoreError:
        raise
    except Exception as problem:
        if not origin:
            raise
        what = f"failed: {type(problem).__name__}: {problem}"
        raise error(blame(where, origin), what, f"{REPAIR}; --debug shows its traceback") from problem
