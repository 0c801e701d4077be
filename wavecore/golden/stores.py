"""The two memories of the interpreter: DRAM, and one core's global buffer, kept apart and watched.

Each tensor in them knows how many of its bytes are really there.  Tokens promise; these records know.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from wavecore.errors import InvariantError
from wavecore.golden.operands import AnyArray

HINT = "a report of this bug"


def broken(where: str, what: str) -> InvariantError:
    """A law of the program that does not hold."""
    return InvariantError(where, what, HINT)


@dataclass
class DramTensor:
    """A tensor in DRAM: ``ready_bytes`` have been stored in all, over all writes of the whole of it.

    ``samples`` are those whose contributions a weight gradient contains.
    """

    values: AnyArray | None = None
    ready_bytes: int = 0
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Copy:
    """What has been read of a cell: ``samples`` of it, or all.

    Its bytes are known to be there; its numbers are looked up when they are first computed with, since those of
    a batched tensor are worked out a command at a time.
    """

    cell: DramTensor
    samples: slice | None = None

    def fetch(self, where: str, name: str) -> AnyArray:
        """The numbers; InvariantError if nobody has made them."""
        values = self.cell.values
        if values is None:
            raise broken(where, f"reads {name}, where nothing has been stored")
        return values if self.samples is None else values[self.samples]


@dataclass
class Resident:
    """A tensor of one iteration in the buffer; ``space_bytes`` are 0 while it drains straight into a sum."""

    name: str
    nbytes: int
    space_bytes: int
    ready_bytes: int = 0
    left_bytes: int = 0  # stored to DRAM
    values: Copy | None = None
    samples: int = 0
    taken_by: str = ""  # the command that writes over it
    taken_bytes: int = 0


TensorKey = tuple[int, int, str]  # segment, iteration (-1: held over all of them), tensor


@dataclass
class Buffer:
    """One core's global buffer: how many bytes are taken, and what is there."""

    capacity: int
    used: int = 0
    peak: int = 0
    residents: dict[TensorKey, Resident] = field(default_factory=dict)

    def fits(self, nbytes: int) -> bool:
        """Whether so much is free."""
        return self.used + nbytes <= self.capacity

    def take(self, nbytes: int) -> None:
        """Take what fits."""
        self.used += nbytes
        self.peak = max(self.peak, self.used)

    def find(self, where: str, key: TensorKey, reader: str = "") -> Resident:
        """What is resident under ``key``; InvariantError if it is not there, or written over by another command."""
        found = self.residents.get(key)
        if found is None:
            raise broken(where, f"{key[2]} is not in the global buffer")
        if found.taken_by and found.taken_by != reader:
            raise broken(where, f"{key[2]} has been overwritten in place by {found.taken_by}")
        return found

    def add(self, where: str, key: TensorKey, nbytes: int, space_bytes: int) -> Resident:
        """Begin a resident tensor; InvariantError if there is one of this name and iteration."""
        if key in self.residents:
            raise broken(where, f"{key[2]} is in the global buffer already")
        self.residents[key] = Resident(key[2], nbytes, space_bytes)
        return self.residents[key]

    def left(self) -> Iterator[str]:
        """What is still there."""
        for _, iteration, name in self.residents:
            yield f"{name} of iteration {iteration}"
