"""Where every tensor of a program lies in DRAM.

Addresses are given out in the order in which the program first moves a tensor, without reuse.  Each region begins with
a row of every channel.  A tensor begins half of the banks after the one before it, so that streams that are read and
written side by side, a little apart in time, are in different banks.  Cores have their own copy of what they compute
(batched tensors and weight gradients); weights and the optimizer's state are shared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from wavecore.errors import InvariantError
from wavecore.hardware.dram import bank_sets, row_set_bytes
from wavecore.hardware.specs import MemorySpec
from wavecore.plan.traffic import Transfer
from wavecore.program.commands import Program, commands, transfers_of
from wavecore.training.operations import Tensor, TensorClass


class Region(NamedTuple):
    """The bytes of a tensor in DRAM; ``core`` is None if all cores share them."""

    tensor: str
    core: int | None
    address: int
    nbytes: int


@dataclass(frozen=True)
class Addresses:
    """The regions of all tensors, in the order of their addresses."""

    regions: tuple[Region, ...]
    cores: int

    def __str__(self) -> str:
        return "\n".join(
            f"{region.address:#014x} {region.nbytes:>12} B  {region.tensor}"
            + ("" if region.core is None else f" (core {region.core})")
            for region in self.regions
        )

    @cached_property
    def _at(self) -> dict[tuple[str, int | None], Region]:
        return {(region.tensor, region.core): region for region in self.regions}

    def place(
        self, transfer: Transfer, core: int, first_sample: int, samples: int, offset_bytes: int
    ) -> tuple[int, int]:
        """Return where byte ``offset_bytes`` of a core's transfer is, and how many bytes from there on are contiguous.

        The transfer is that of the sub-batch of ``samples`` samples from ``first_sample`` on; each of its passes
        begins anew.  In an update a core moves its share of the tensor, and of weight gradients that of each core in
        turn.  Bytes of a tensor that is compressed are at their dense address.
        """
        tensor = transfer.tensor
        owner = core if per_core(tensor) else None
        begin, size = 0, tensor.nbytes
        if tensor.batched:
            begin, size = first_sample * tensor.nbytes, samples * tensor.nbytes
        elif transfer.update:
            begin = tensor.nbytes * core // self.cores
            size = tensor.nbytes * (core + 1) // self.cores - begin
            if owner is not None:
                owner = min(offset_bytes // size, self.cores - 1)
        try:
            region = self._at[tensor.name, owner]
        except KeyError:
            raise InvariantError("addresses", f"tensor {tensor.name!r} of core {owner} has no place in DRAM") from None
        within = offset_bytes % size
        return region.address + begin + within, size - within


def allocate(program: Program, memory: MemorySpec) -> Addresses:
    """Give every tensor that a program moves its address in ``memory``."""
    rows, banks = row_set_bytes(memory), bank_sets(memory)
    regions: list[Region] = []
    end = 0
    for number, (tensor, samples) in enumerate(_tensors(program)):
        owners: tuple[int | None, ...] = (None,)
        if per_core(tensor):
            owners = tuple(range(len(program.cores)))
        for owner in owners:
            nbytes = tensor.nbytes * (samples if tensor.batched else 1)
            row = -(-end // rows)
            row += (number * (banks // 2) + number // 2 + (owner or 0) * (banks // 4) - row) % banks
            regions.append(Region(tensor.name, owner, row * rows, nbytes))
            end = row * rows + nbytes
    return Addresses(tuple(regions), len(program.cores))


def per_core(tensor: Tensor) -> bool:
    """Return whether each core has a copy of its own: of what it computes."""
    return tensor.batched or tensor.tensor_class is TensorClass.WEIGHT_GRADIENT


def _tensors(program: Program) -> Iterator[tuple[Tensor, int]]:
    """Yield each tensor that moves, in the order of its first use, and the most samples of it that a core has."""
    samples = max((sum(n for n, _ in segment.iterations) for core in program.cores for segment in core), default=0)
    seen: set[str] = set()
    for core in range(len(program.cores)):
        for _, _, _, command in commands(program, core):
            for transfer in transfers_of(command):
                if transfer.tensor.name not in seen:
                    seen.add(transfer.tensor.name)
                    yield transfer.tensor, samples
