"""The registered descriptions of hardware: accelerators, memories and energy tables of this and other packages.

Those of this package are TOML files in ``presets/accelerators``, ``presets/memories`` and ``presets/energy``.  Another
package registers a folder that contains such folders by an entry point of the group ``wavecore.presets`` that loads
the folder's path.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

from wavecore.common.entry_points import REPAIR, place
from wavecore.common.toml import Document, parse_document, read_document
from wavecore.errors import ConfigError, unknown_name

PresetKind = Literal["accelerators", "memories", "energy"]


ENTRY_POINTS = "wavecore.presets"


_NOUNS: dict[PresetKind, str] = {"accelerators": "accelerator", "memories": "memory", "energy": "energy table"}


def registered(kind: PresetKind) -> dict[str, Traversable]:
    """Map the registered names of a kind to their files.  A name that this package has stays its own."""
    found: dict[str, Traversable] = {}
    for _, root in _roots()[0]:
        for name, entry in _presets(root.joinpath(kind)):
            found.setdefault(name, entry)
    return found


def broken(kind: PresetKind) -> Iterator[ConfigError]:
    """Yield an error for each entry point that cannot be used, and for each name of a kind that is taken already."""
    roots, errors = _roots()
    yield from errors
    owners: dict[str, str] = {}
    for owner, root in roots:
        for name, _ in _presets(root.joinpath(kind)):
            if name in owners:
                what = f"registers the {_NOUNS[kind]} {name!r}, which {owners[name]} has already"
                yield ConfigError(owner, what, "another name in one of them, or uninstalling one")
            owners.setdefault(name, owner)


def open_document(kind: PresetKind, name: str, where: str, folder: Path) -> Document:
    """Read the registered description ``name``, or else the file of that path, relative to ``folder``.

    A path ends in ``.toml`` or contains a slash.  Raises `NameLookupError`, located at ``where``, if ``name`` is
    neither; `ConfigError` if an entry point that may have had it is broken; the errors of `common.toml.read_document`.
    """
    names = registered(kind)
    if name in names:
        label = f"presets/{kind}/{name}.toml"
        return parse_document(label, names[name].read_bytes(), folder=Path(), by_user=False)
    if not (name.lower().endswith(".toml") or "/" in name or os.sep in name):
        missing = unknown_name(where, _NOUNS[kind], name, names)
        for error in _roots()[1]:
            what = f"{missing.what}, and {error.where} {error.what}"
            raise ConfigError(where, what, f"{missing.hint}, or {error.hint}")
        raise missing
    return read_document(Path(os.path.normpath(folder / name)))


def _presets(folder: Traversable) -> Iterator[tuple[str, Traversable]]:
    """Yield (name, file) for each TOML file of a folder; nothing if there is no such folder."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.name.endswith(".toml"):
            yield entry.name.removesuffix(".toml"), entry


@functools.cache
def _roots() -> tuple[tuple[tuple[str, Traversable], ...], tuple[ConfigError, ...]]:
    """Return (owner, folder) for this package and for each entry point, and an error for each that is wrong."""
    from importlib.metadata import entry_points

    roots: list[tuple[str, Traversable]] = [("wavecore", files("wavecore.hardware").joinpath("presets"))]
    errors = []
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: (point.name, point.value)):
        where = place(point)
        try:
            folder = Path(point.load())
        except Exception as problem:  # loading another package's module may raise any error
            errors.append(ConfigError(where, f"cannot be loaded: {type(problem).__name__}: {problem}", REPAIR))
            continue
        if folder.is_dir():
            roots.append((where, folder))
        else:
            errors.append(ConfigError(where, f"{folder} is not a folder", "the path of a folder of presets"))
    return tuple(roots), tuple(errors)
