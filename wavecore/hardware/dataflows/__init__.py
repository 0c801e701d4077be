"""The dataflows of the array by their names, which ``array.dataflow`` chooses from."""

from __future__ import annotations

from wavecore.common.entry_points import OpenTable
from wavecore.errors import unknown_name
from wavecore.hardware.dataflows.base import Dataflow, TileShape
from wavecore.hardware.dataflows.weight_stationary import WEIGHT_STATIONARY
from wavecore.hardware.specs import ArraySpec

DATAFLOWS: OpenTable[str, Dataflow] = OpenTable(
    {each.name: each for each in (WEIGHT_STATIONARY,)}, "wavecore.dataflows", "DATAFLOWS", Dataflow
)


def find_dataflow(name: str, where: str) -> Dataflow:
    """Return the dataflow of that name.  Raises `NameLookupError`, located at ``where``, if there is none."""
    if name not in DATAFLOWS:
        raise unknown_name(where, "dataflow", name, DATAFLOWS.names())
    return DATAFLOWS[name]


def dataflow_of(array: ArraySpec) -> Dataflow:
    """Return the dataflow of ``array``.  Raises `NameLookupError` if there is none of that name."""
    return find_dataflow(array.dataflow, "array.dataflow")


def largest_tile(array: ArraySpec) -> TileShape:
    """Return the sizes of the largest tile of a wave of ``array`` under its dataflow."""
    return dataflow_of(array).largest_tile(array)
