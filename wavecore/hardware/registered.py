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

from wavecore.common.toml import Document, parse_document, read_document
from wavecore.errors import ConfigError, unknown_name

PresetKind = Literal["accelerators", "memories", "energy"]


ENTRY_POINTS = "wavecore.presets"


_NOUNS: dict[PresetKind, str] = {"accelerators": "accelerator", "memories": "memory", "energy": "energy table"}


def registered(kind: PresetKind) -> dict[str, Traversable]:
    """Map the registered names of a kind to their files.

    Raises `ConfigError` if two packages register the same name or an entry point does not load a folder's path.
    """
    found: dict[str, Traversable] = {}
    owners: dict[str, str] = {}
    for owner, root in _roots():
        for name, entry in _presets(root.joinpath(kind)):
            if name in found:
                what = f"{name!r} is registered by both {owners[name]} and {owner}"
                raise ConfigError(f"entry points {ENTRY_POINTS}", what, "another name in one of them")
            found[name], owners[name] = entry, owner
    return found


def open_document(kind: PresetKind, name: str, where: str, folder: Path) -> Document:
    """Read the registered description ``name``, or else the file of that path, relative to ``folder``.

    A path ends in ``.toml`` or contains a slash.  Raises `NameLookupError`, located at ``where``, if ``name`` is
    neither, and the errors of `registered` and `common.toml.read_document`.
    """
    names = registered(kind)
    if name in names:
        label = f"presets/{kind}/{name}.toml"
        return parse_document(label, names[name].read_bytes(), folder=Path(), by_user=False)
    if not (name.lower().endswith(".toml") or "/" in name or os.sep in name):
        raise unknown_name(where, _NOUNS[kind], name, names)
    return read_document(Path(os.path.normpath(folder / name)))


def _presets(folder: Traversable) -> Iterator[tuple[str, Traversable]]:
    """Yield (name, file) for each TOML file of a folder; nothing if there is no such folder."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.name.endswith(".toml"):
            yield entry.name.removesuffix(".toml"), entry


@functools.cache
def _roots() -> tuple[tuple[str, Traversable], ...]:
    """Return (owner, folder) for this package and for each entry point; raise `ConfigError` if one is wrong."""
    from importlib.metadata import entry_points

    roots: list[tuple[str, Traversable]] = [("wavecore", files("wavecore.hardware").joinpath("presets"))]
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: (point.name, point.value)):
        where = f"entry point {ENTRY_POINTS}: {point.name} = {point.value!r}"
        try:
            folder = Path(point.load())
        except Exception as problem:  # loading another package's module may raise any error
            hint = "repairing or uninstalling the package that registers it"
            raise ConfigError(where, f"cannot be loaded: {type(problem).__name__}: {problem}", hint) from problem
        if not folder.is_dir():
            raise ConfigError(where, f"{folder} is not a folder", "the path of a folder of presets")
        roots.append((point.name, folder))
    return tuple(roots)
