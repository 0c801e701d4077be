"""A network by what a user calls it: a registered name, or the path of an ONNX model or of a SCALE-Sim topology."""

from __future__ import annotations

from pathlib import Path

from wavecore.common.files import is_onnx, is_topology
from wavecore.errors import FileError, InputError
from wavecore.importers.files import refuse_suffix
from wavecore.importers.onnx import from_onnx
from wavecore.importers.topology import topology_workload
from wavecore.network.catalog import workload, workload_names
from wavecore.network.graph import LayerGraph

HINT = "a registered name (wavecore list workloads), an .onnx model or a SCALE-Sim topology .csv"


def named_network(network: str | Path | LayerGraph) -> LayerGraph:
    """Return the network called ``network``, a name or a path; a network is returned as it is.

    Raises `NameLookupError` for a name that is not registered, what `from_onnx` and `topology_workload` raise for their
    files, `FileError` for other files and for a missing one, and `InputError` for a value of another type.
    """
    if isinstance(network, LayerGraph):
        return network
    if not isinstance(network, str | Path):
        shown = repr(network) if isinstance(network, int | float) else f"a {type(network).__name__}"
        raise InputError("workload", f"is {shown}, not a name, a path or a graph", '"resnet50"')
    name = str(network)
    if is_topology(name) and Path(name).exists():
        return topology_workload(name)
    if is_onnx(name) and Path(name).exists():
        return from_onnx(name)
    refuse_other_files(name)
    return workload(name)


def refuse_other_files(name: str) -> None:
    """Raise `FileError` if ``name`` is a path: it is missing, or networks are not read from such files."""
    path = Path(name)
    if name in workload_names() or not (path.suffix or "/" in name):
        return
    if path.is_dir():
        raise FileError(name, "is a folder, not a workload", HINT)
    if not path.exists():
        raise FileError(name, "there is no such file, and no workload of that name", HINT)
    if not path.is_file():
        raise FileError(name, "is not a regular file", HINT)
    refuse_suffix(name)
    kind = f"{path.suffix} files" if path.suffix else "files without a suffix"
    raise FileError(name, f"workloads are not read from {kind}", HINT)
