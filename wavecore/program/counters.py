"""The counters of a program: each one's unit and definition, and the names under which it is reported, stand here once.

`CommandCost` and `RowCounts` have these fields, and sums, a run's totals and rows, and the metrics are made from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Reported:
    """Where a counter appears in a run's JSON: its ``key``, its ``title`` in tables, and what it says there."""

    key: str
    title: str
    definition: str


@dataclass(frozen=True, slots=True)
class CounterSpec:
    """What a counter is: its ``unit``, and where its ``total`` over the step and its value for a ``row`` are reported.

    Both are None for a counter that only energy is made from.
    """

    unit: str
    total: Reported | None
    row: Reported | None


def _reported(unit: str, total: Reported | None = None, row: Reported | None = None) -> Mapping[str, Any]:
    return {"counter": CounterSpec(unit, total, row)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Accesses and operations, all cores together; energy is made from them."""

    macs: int = field(
        default=0,
        metadata=_reported(
            "MACs",
            Reported(
                "macs",
                "MACs",
                "Multiply-accumulates that the step needs, all cores.  Forward and weight gradient of a convolution: "
                "one for each output, channel of its group and tap of the kernel, Ho Wo Co (Ci / groups) R S a sample, "
                "as published counts have it, so that taps on padding count.  Data gradient: at most as many, none on "
                "zeros that a stride inserts, and outside of the output no more than forward has on padding.",
            ),
            Reported("macs", "MACs", "Multiply-accumulates of this row, all cores."),
        ),
    )
    effectual_macs: int = field(
        default=0,
        metadata=_reported(
            "MACs",
            Reported(
                "effectual_macs",
                "effectual MACs",
                "Effectual multiply-accumulates: those of macs of which neither operand is zero, all that an ideal "
                "machine that skips every zero would do.  The zeros of the two operands are taken to be independent.",
            ),
            Reported("effectual_macs", "effectual MACs", "Those of this row's macs of which neither operand is zero."),
        ),
    )
    gated_macs: int = field(
        default=0,
        metadata=_reported(
            "MACs",
            Reported(
                "gated_macs",
                "gated MACs",
                "Those of macs with a zero operand whose multiplier is switched off (sparsity.gating): they take "
                "time, but no energy except that of the registers.",
            ),
            Reported(
                "gated_macs",
                "gated MACs",
                "Those of this row's macs whose multiplier is switched off because an operand is zero.",
            ),
        ),
    )
    skipped_macs: int = field(
        default=0,
        metadata=_reported(
            "MACs",
            Reported(
                "skipped_macs",
                "skipped MACs",
                "Those of macs that are left out because the array's tile of weights is all zero "
                "(sparsity.tile_skipping).",
            ),
            Reported(
                "skipped_macs",
                "skipped MACs",
                "Those of this row's macs that are left out because their tile of weights is all zero.",
            ),
        ),
    )
    vector_macs: int = field(
        default=0,
        metadata=_reported(
            "MACs",
            Reported(
                "vector_macs",
                "MACs on the vector unit",
                "Those of macs that are lane operations of the vector unit, counted among them in energy and time: of "
                "grouped convolutions that run faster there than on the array (layers.mapping).",
            ),
            Reported("vector_macs", "MACs on the vector unit", "Those of this row's macs that run on the vector unit."),
        ),
    )
    surplus_macs: int = field(
        default=0,
        metadata=_reported(
            "MACs",
            Reported(
                "surplus_macs",
                "surplus MACs",
                "Multiplications of the array beyond macs (layers.mapping): with zeros between the blocks of packed "
                "groups and in the rows of trimmed waves, unless multipliers with a zero operand rest "
                "(sparsity.gating), and those of packed groups whose products are thrown away.  They take the energy "
                "of others.",
            ),
            Reported("surplus_macs", "surplus MACs", "Multiplications of the array for this row beyond its macs."),
        ),
    )
    vector_operations: int = field(
        default=0,
        metadata=_reported(
            "operations",
            row=Reported("vector_operations", "vector operations", "Lane-operations of the vector units, all cores."),
        ),
    )
    # bytes shifted through the registers of the array's processing elements
    register_bytes: int = field(default=0, metadata=_reported("bytes"))
    # bytes in and out of the array's operand and result buffers
    local_buffer_bytes: int = field(default=0, metadata=_reported("bytes"))
    buffer_read_bytes: int = field(
        default=0,
        metadata=_reported(
            "bytes",
            Reported(
                "global_buffer_bytes.read", "global buffer reads", "Bytes read from the global buffers, all cores."
            ),
            Reported("global_buffer_read_bytes", "buffer read", "Bytes that this row reads from the global buffers."),
        ),
    )
    buffer_write_bytes: int = field(
        default=0,
        metadata=_reported(
            "bytes",
            Reported(
                "global_buffer_bytes.write", "global buffer writes", "Bytes written to the global buffers, all cores."
            ),
            Reported("global_buffer_write_bytes", "buffer write", "Bytes that this row writes to the global buffers."),
        ),
    )
    # bytes of weight gradients that cross from core to core
    interconnect_bytes: int = field(default=0, metadata=_reported("bytes"))


COUNTERS: Mapping[str, CounterSpec] = MappingProxyType(
    {each.name: each.metadata["counter"] for each in fields(Counters)}
)
"""Every counter by its field's name, in the order of the fields."""
