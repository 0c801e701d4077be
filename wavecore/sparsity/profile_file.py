"""Read and write profiles as TOML, with masks in a file next to it; errors name FILE:LINE."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NoReturn, get_args

from wavecore.common.files import ANOTHER_PATH, write_file
from wavecore.common.origin import HINT, KEY, SourceFile, read_source_file
from wavecore.common.toml import Document, as_path, place, read_document, toml_string
from wavecore.common.typecheck import require
from wavecore.errors import ConfigError, FileError, nearest
from wavecore.network.sparsity import Mask, mask_of
from wavecore.sparsity.arrays import read_arrays, write_npz
from wavecore.sparsity.profile import SCHEMA, Decomposition, LayerSparsity, Profile

LARGEST = 1 << 24  # of an index, a rank or a count
MASK_SUFFIXES = (".npz", ".safetensors")

_TOP = ("schema", "name", "workload", KEY, "options", "source", "masks", "layers")
_LAYER = tuple(each.name for each in fields(LayerSparsity))
_HEADER = """\
# What is left of a pruned network.  All shares are of non-zero elements, 0 to 1.
#
# weight_density        of the layer's weights, those that the keys below leave
# activation_density    of its outputs, behind the ReLU that follows it
# kept_outputs, _inputs channels or features: how many, or a list of which, from 0
# rank, decomposition   two layers with so many channels between: "channel" (k x k, then 1 x 1) or "spatial"
# hidden                units of a recurrent layer
# removed               the residual branch with this layer is gone
# block                 [rows, columns] in which zeros come, of the inner dimension x outputs of the product
# masks                 .npz or .safetensors beside this file: an array a layer, in PyTorch's shape

"""


def load_profile(path: str | Path) -> Profile:
    """Read the profile at ``path`` and its masks; raises `FileError` or `ConfigError`, with FILE:LINE."""
    return parse_profile(read_document(path))


def parse_profile(document: Document) -> Profile:
    """Return the profile in a document; raises as `load_profile` does."""
    return _ProfileReader(document).profile()


def profile_text(profile: Profile, masks: str = "") -> str:
    """Return the profile as TOML; ``masks`` is the name of the file with its masks."""
    lines = [f"schema = {toml_string(SCHEMA)}", f"name = {toml_string(profile.name)}"]
    if profile.workload:
        lines.append(f"workload = {toml_string(profile.workload)}")
    if profile.source_file is not None:
        lines.append(profile.source_file.toml)
    if profile.options:
        options = ", ".join(f"{key} = {_value(value)}" for key, value in profile.options.items())
        lines.append(f"options = {{ {options} }}")
    lines.append(f"source = {toml_string(profile.source)}")
    if masks:
        lines.append(f"masks = {toml_string(masks)}")
    for name, layer in profile.layers.items():
        lines += ["", f"[layers.{toml_string(name)}]"]
        for key in _LAYER:
            value = getattr(layer, key)
            if value is not None and value is not False and (key != "decomposition" or layer.rank is not None):
                lines.append(f"{key} = {_value(value)}")
    return _HEADER + "\n".join(lines) + "\n"


def save_profile(profile: Profile, path: str | Path) -> None:
    """Write ``profile`` to ``path``, and its masks to ``STEM.masks.npz`` in the same folder, each whole or not at all.

    The path of its ``source_file`` is taken as one from the working directory.  Raises `FileError` if one cannot be
    written.
    """
    require(profile, Profile, "profile", "wavecore.load_profile(PATH)")
    path = as_path(path)
    masks = f"{path.stem}.masks.npz" if profile.masks else ""
    if masks:
        write_npz(path.with_name(masks), {name: mask.array for name, mask in profile.masks.items()})
    if profile.source_file is not None:
        profile = replace(profile, source_file=profile.source_file.moved(Path(), path.parent))
    write_file(path, profile_text(profile, masks), hint=ANOTHER_PATH)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return toml_string(value)
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_value, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class _ProfileReader:
    """Reads a profile from a TOML document; every method raises `ConfigError` for a value that is not allowed."""

    document: Document

    def fail(self, path: str, what: str, hint: str) -> NoReturn:
        raise ConfigError(place(self.document, path) if path else self.document.label, what, hint)

    def profile(self) -> Profile:
        data = self.document.data
        schema = data.get("schema")
        if schema is None:
            self.fail("", "there is no schema", f'schema = "{SCHEMA}" as the first line')
        if schema != SCHEMA:
            self.fail("schema", f"{_shown(schema)} is not known", f'"{SCHEMA}"')
        self.check_keys(data, _TOP, "")
        tables = data.get("layers", {})
        if not isinstance(tables, dict):
            self.fail("layers", "is not a table of layers", '[layers."conv1"]')
        layers = {name: self.layer(name, table) for name, table in tables.items()}
        masks = self.masks(data["masks"]) if "masks" in data else {}
        for name in masks:
            if name in layers and layers[name].weight_density is not None:
                self.fail(
                    f"layers.{name}.weight_density", "is given together with a mask of the layer", "only one of them"
                )
        if not layers and not masks:
            self.fail("", "has no entry for any layer", '[layers."conv1"]')
        return Profile(
            name=self.text("name"),
            source=self.text("source"),
            workload=self.text("workload") if "workload" in data else "",
            options=self.options(data.get("options", {})),
            layers=layers,
            masks=masks,
            source_file=self.source_file(data.get(KEY)),
            document=self.document,
        )

    def source_file(self, value: object) -> SourceFile | None:
        found = read_source_file(value)
        if value is not None and found is None:
            self.fail(KEY, f"{_shown(value)} describes no file", HINT)
        return None if found is None else found.moved(self.document.folder, Path())

    def check_keys(self, table: Mapping[str, Any], allowed: tuple[str, ...], prefix: str) -> None:
        for key in table:
            if key not in allowed:
                hint = " or ".join(nearest(key, allowed)) or "one of " + ", ".join(allowed)
                self.fail(prefix + key, "unknown key", hint)

    def text(self, key: str) -> str:
        value = self.document.data.get(key)
        if value is None:
            self.fail("", f"there is no {key}", f'{key} = "..."')
        if not isinstance(value, str) or not value.strip():
            self.fail(key, f"{_shown(value)} is not a string", f'{key} = "..."')
        return value

    def options(self, value: object) -> dict[str, int | float | str]:
        if not isinstance(value, dict):
            self.fail("options", f"{_shown(value)} is not a table", "options = { image = 28 }")
        for key, option in value.items():
            if isinstance(option, bool) or not isinstance(option, int | float | str):
                self.fail("options", f"{key} is {_shown(option)}, not a number or a string", "options = { image = 28 }")
        return value

    def layer(self, name: str, table: object) -> LayerSparsity:
        path = f"layers.{name}"
        if not isinstance(table, dict):
            self.fail(path, "is not a table", f"[layers.{toml_string(name)}]")
        self.check_keys(table, _LAYER, f"{path}.")
        found = {key: _READ[key](self, f"{path}.{key}", value) for key, value in table.items()}
        if "decomposition" in found and "rank" not in found:
            self.fail(f"{path}.decomposition", "there is no rank", "rank = 12 in the same table")
        return LayerSparsity(**found)

    def share(self, path: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self.fail(path, f"{_shown(value)} is not a number", "a share of 0 to 1")
        if not 0 <= value <= 1:
            self.fail(path, f"{_shown(value)} is out of range", "a share of 0 to 1")
        return float(value)

    def integer(self, path: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(path, f"{_shown(value)} is not an integer", f"1 to {LARGEST}")
        if not 1 <= value <= LARGEST:
            hint = "removed = true, to remove the whole branch" if value == 0 else f"1 to {LARGEST}"
            self.fail(path, f"{_shown(value)} is out of range", hint)
        return value

    def kept(self, path: str, value: object) -> int | tuple[int, ...]:
        if not isinstance(value, list):
            return self.integer(path, value)
        if not value:
            self.fail(path, "keeps nothing", "removed = true, to remove the whole branch")
        for index in value:
            if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < LARGEST:
                self.fail(path, f"{_shown(index)} is not an index", "integers from 0")
        if len(set(value)) < len(value):
            self.fail(path, "contains an index twice", "each index once")
        return tuple(sorted(value))

    def block(self, path: str, value: object) -> tuple[int, int]:
        if not isinstance(value, list) or len(value) != 2:
            self.fail(path, f"{_shown(value)} is not a pair", "[8, 8]")
        return self.integer(path, value[0]), self.integer(path, value[1])

    def flag(self, path: str, value: object) -> bool:
        if not isinstance(value, bool):
            self.fail(path, f"{_shown(value)} is not true or false", "true or false, without quotes")
        return value

    def decomposition(self, path: str, value: object) -> Decomposition:
        for known in get_args(Decomposition):
            if value == known:
                return known  # type: ignore[no-any-return]
        self.fail(path, f"{_shown(value)} is not known", " or ".join(get_args(Decomposition)))

    def masks(self, value: object) -> dict[str, Mask]:
        if not isinstance(value, str) or not value.lower().endswith(MASK_SUFFIXES):
            self.fail("masks", f"{_shown(value)} is not a {' or '.join(MASK_SUFFIXES)} file", 'masks = "masks.npz"')
        parts = PurePosixPath(value)
        if parts.is_absolute() or ".." in parts.parts or PureWindowsPath(value).drive or "\\" in value:
            self.fail("masks", f"{value!r} points outside the profile's folder", "a file in the profile's folder")
        file = self.document.folder / value
        if not file.resolve().is_relative_to(self.document.folder.resolve()):
            self.fail("masks", f"{value!r} points outside the profile's folder", "a file in the profile's folder")
        arrays = read_arrays(file)
        masks: dict[str, Mask] = {}
        for name, array in arrays.items():
            layer = name.removesuffix(".weight")
            if layer in masks:
                raise FileError(str(file), f"has both {layer!r} and {layer + '.weight'!r}", "one of them")
            masks[layer] = mask_of(array)
        return masks


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


_READ: Mapping[str, Any] = {
    "weight_density": _ProfileReader.share,
    "activation_density": _ProfileReader.share,
    "kept_outputs": _ProfileReader.kept,
    "kept_inputs": _ProfileReader.kept,
    "rank": _ProfileReader.integer,
    "decomposition": _ProfileReader.decomposition,
    "removed": _ProfileReader.flag,
    "hidden": _ProfileReader.integer,
    "block": _ProfileReader.block,
}
