"""What each layer of a plan takes of the global buffer, for the figure of groups over footprints.

A run does not need these; they are computed for its folder only.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from io import StringIO

from wavecore.common.text import csv_cells, from_csv
from wavecore.errors import InputError
from wavecore.hardware.specs import Accelerator
from wavecore.plan.blocking import block
from wavecore.plan.model import Group, Plan
from wavecore.plan.placement import Direction, PlacedOperation, groups_of, place_group
from wavecore.plan.rules import verify_structure
from wavecore.plan.traffic import held_bytes
from wavecore.training.graph import TrainingGraph

DIRECTIONS = (Direction.FORWARD, Direction.BACKWARD)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFootprint:
    """One layer in one direction, on one core; ``group`` counts from 1 among the groups of the direction.

    ``sample_bytes``: inputs and outputs per sample, wherever they are; ``kept_bytes``: tensors on chip per sample while
    the layer runs, its own and others'; ``used_bytes``: what is taken of the buffer at the group's sub-batch, with
    staging and held weights.  Where a layer runs several operations, each number is the largest of theirs.
    """

    layer: str
    group: int
    direction: Direction
    sub_batch: int
    sample_bytes: int
    kept_bytes: int
    used_bytes: int


def footprints(training: TrainingGraph, plan: Plan, accelerator: Accelerator) -> tuple[LayerFootprint, ...]:
    """Return the footprints of a plan that fits its machine, in the order of the network, forward before backward.

    Raises PlanError for a plan that is not of this graph or breaks a rule.
    """
    verify_structure(training, plan)
    found = [
        item
        for direction in DIRECTIONS
        for number, group in enumerate(groups_of(plan, direction), start=1)
        for item in _group(training, group, number, direction, plan.normalization_passes, accelerator)
    ]
    rank = {direction: at for at, direction in enumerate(DIRECTIONS)}
    return tuple(sorted(found, key=lambda item: (rank[item.direction], training.unit_index[item.layer])))


def _group(
    training: TrainingGraph, group: Group, number: int, direction: Direction, passes: int, accelerator: Accelerator
) -> Iterator[LayerFootprint]:
    placed = place_group(training, group, direction, passes)
    held = held_bytes(placed, group.held)
    space = accelerator.core.global_buffer_bytes - held
    by_layer: dict[str, list[PlacedOperation]] = {}
    for operation in placed:
        by_layer.setdefault(operation.operation.unit, []).append(operation)
    for layer, operations in by_layer.items():
        stages = [block(each, accelerator.array, group.sub_batch, space).stage_bytes for each in operations]
        used = [stage + each.live_bytes * group.sub_batch for stage, each in zip(stages, operations, strict=True)]
        yield LayerFootprint(
            layer=layer,
            group=number,
            direction=direction,
            sub_batch=group.sub_batch,
            sample_bytes=max(map(_sample_bytes, operations)),
            kept_bytes=max(each.live_bytes for each in operations),
            used_bytes=max(used) + held,
        )


def _sample_bytes(placed: PlacedOperation) -> int:
    """Return the bytes per sample of the batched tensors that an operation reads and writes, each counted once."""
    tensors = {read.tensor.name: read.tensor for read in placed.reads}
    tensors |= {write.tensor.name: write.tensor for write in placed.writes}
    return sum(tensor.nbytes for tensor in tensors.values() if tensor.batched)


COLUMNS = tuple(item.name for item in fields(LayerFootprint))


def footprints_csv(rows: tuple[LayerFootprint, ...]) -> str:
    """Print footprints as CSV, the columns named as the fields of `LayerFootprint`."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(csv_cells(asdict(row).values()) for row in rows)
    return text.getvalue()


def parse_footprints(text: str, where: str) -> tuple[LayerFootprint, ...]:
    """Return the footprints that `footprints_csv` has printed.

    Raises `InputError`, located at ``where``:LINE, for anything else.
    """
    reader = csv.reader(StringIO(text))
    if tuple(next(reader, ())) != COLUMNS:
        raise InputError(f"{where}:1", "is no table of footprints", f"the columns {','.join(COLUMNS)}")
    return tuple(_row(cells, f"{where}:{reader.line_num}") for cells in reader)


def _row(cells: list[str], where: str) -> LayerFootprint:
    try:
        values = dict(zip(COLUMNS, cells, strict=True))
        numbers = {name: int(value) for name, value in values.items() if name not in ("layer", "direction")}
        return LayerFootprint(layer=from_csv(values["layer"]), direction=Direction(values["direction"]), **numbers)
    except ValueError as error:
        raise InputError(where, f"{','.join(cells)!r} is no footprint", "making the run again") from error
