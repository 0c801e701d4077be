"""Find the tensors of a PyTorch checkpoint, and multiply weights with the masks that pruning keeps beside them."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from wavecore.errors import FileError
from wavecore.sparsity.arrays import MOST_ARRAYS, check_unpacked

_TORCH = 'pip install "wavecore[torch]"'
_PREFERRED = ("state_dict", "model_state_dict", "model")
_DEEPEST = 4

# torch.nn.utils.prune writes NAME_orig and NAME_mask until prune.remove(); spectral_norm writes NAME_orig alone.
# A parametrization writes MODULE.parametrizations.NAME.original, and its mask only if that is a buffer.
_ORIGINAL = re.compile(r"(?P<name>.+)_orig")
_PARAMETRIZED = re.compile(r"(?P<module>(?:.+\.)?)parametrizations\.(?P<name>[^.]+)\.original")

T = TypeVar("T")


def torch_state(path: Path) -> dict[str, Any]:
    """Return the tensors of a ``.pt`` or ``.pth`` file by name, without running code from it.

    They are those of the state dict that the file is, or holds under a key of any name.  Raises `FileError` for a file
    that is damaged, holds other objects, several state dicts or none, or unpacks to too much, and without PyTorch.
    """
    try:
        import torch
    except ImportError as error:
        raise FileError(str(path), "can only be read with PyTorch", _TORCH) from error
    _check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about formats that the reader refuses afterwards
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file may raise anything
        what = "is damaged, or holds objects other than tensors, which cannot be read safely"
        raise FileError(str(path), what, "torch.save(module.state_dict(), ...) or a .safetensors file") from error
    if not isinstance(loaded, Mapping):
        raise FileError(str(path), f"holds a {type(loaded).__name__}, not a state dict", "module.state_dict()")
    state = _state_dict(path, loaded)
    tensors = {str(name): value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if len(tensors) > MOST_ARRAYS:
        raise FileError(str(path), f"holds {len(tensors)} tensors", f"at most {MOST_ARRAYS}")
    return tensors


def pruned_weights(path: Path, tensors: Mapping[str, T]) -> dict[str, T]:
    """Return arrays or tensors with each weight that pruning has split into original and mask multiplied again.

    Raises `FileError` for a mask that has not the shape of its weight, and for a parametrized weight without a mask,
    of which the file does not say what it is multiplied with.
    """
    found = dict(tensors)
    for name in tensors:
        if original := _ORIGINAL.fullmatch(name):
            plain, mask = original["name"], f"{original['name']}_mask"
        elif parametrized := _PARAMETRIZED.fullmatch(name):
            plain = f"{parametrized['module']}{parametrized['name']}"
            mask = f"{name.removesuffix('original')}0.mask"
            if mask not in tensors:
                what = f"holds {name[:80]!r}, and not what its parametrization makes of it"
                raise FileError(str(path), what, "sparsifier.squash_mask() or remove_parametrizations() before saving")
        else:
            continue
        value: Any = found.pop(name)
        beside: Any = found.pop(mask, None)
        if beside is not None and beside.shape != value.shape:
            sizes = ("x".join(map(str, each.shape)) for each in (beside, value))
            what = "the mask of {!r} is {}, but its weights are {}".format(name[:60], *sizes)
            raise FileError(str(path), what, "the complete file")
        found[plain] = value if beside is None else value * beside
    return found


def _check_archive(path: Path) -> None:
    """Raise `FileError` if the zip archive that a checkpoint is unpacks to more than its size explains."""
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
        except zipfile.BadZipFile as error:
            raise FileError(str(path), "is damaged", "the complete file") from error
        check_unpacked(path, unpacked)


def _state_dict(path: Path, loaded: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return the mapping that holds weights: the file's own, or the only one, or one of a usual name, below its keys.

    Raises `FileError` if there are several.
    """
    found = dict(_with_weights(loaded, ()))
    if len(found) < 2:
        return next(iter(found.values()), loaded)
    for key in _PREFERRED:
        if (key,) in found:
            return found[(key,)]
    names = ", ".join(repr(".".join(keys)) for keys in found)
    raise FileError(str(path), f"holds the weights of several networks: {names}", "torch.save of one of them")


def _with_weights(
    mapping: Mapping[Any, Any], keys: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Mapping[Any, Any]]]:
    """Yield mappings that hold tensors of two or more dimensions, with their keys; an optimizer's are not weights."""
    if any(getattr(value, "ndim", 0) > 1 for value in mapping.values()):
        yield keys, mapping
    elif len(keys) < _DEEPEST:
        for key, value in mapping.items():
            if isinstance(value, Mapping) and isinstance(key, str) and "optim" not in key.lower():
                yield from _with_weights(value, (*keys, key))
