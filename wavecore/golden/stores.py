"""The two memories of the interpreter: DRAM, and the global buffer of one core.

Each tensor counts how many of its bytes have been written.  These counts are kept apart from the program's tokens, so
that a token that is posted too early is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from wavecore.errors import InvariantError
from wavecore.golden.operands import AnyArray

HINT = "a report of this bug"


def broken(where: str, what: str) -> InvariantError:
    """Return an error that says at which place (``where``) the program breaks which rule (``what``)."""
    return InvariantError(where, what, HINT)


@dataclass
class DramTensor:
    """A tensor in DRAM and its values, None before the first store.

    ``ready_bytes`` counts all bytes stored so far; a tensor that is written in several iterations counts once for
    each.  ``samples`` is the number of samples whose contributions a weight gradient contains.
    """

    values: AnyArray | None = None
    ready_bytes: int = 0
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy on chip of a tensor in DRAM, or of some of its samples.

    The loads check that the bytes have been stored.  The values are fetched only when a command computes with them,
    because the interpreter computes the values of a whole command at its last step.
    """

    dram_tensor: DramTensor
    samples: slice | None = None

    def fetch(self, where: str, name: str) -> AnyArray:
        """Return the values; raise InvariantError if nothing has been stored."""
        values = self.dram_tensor.values
        if values is None:
            raise broken(where, f"reads {name}, where nothing has been stored")
        return values if self.samples is None else values[self.samples]


@dataclass
class Resident:
    """A tensor in the global buffer.

    ``nbytes`` is its size and ``space_bytes`` the space it has: 0 for a result that is added at once to a sum, and for
    a tensor whose space is part of its segment's held space.  ``ready_bytes`` have been written and ``stored_bytes``
    stored to DRAM.  ``samples`` is the number of samples that a weight gradient contains.  ``overwritten_by`` names
    the command that writes its result into this space, of which ``overwritten_bytes`` are written.
    """

    name: str
    nbytes: int
    space_bytes: int
    ready_bytes: int = 0
    stored_bytes: int = 0
    values: Copy | None = None
    samples: int = 0
    overwritten_by: str = ""
    overwritten_bytes: int = 0


TensorKey = tuple[int, int, str]  # (segment, iteration or `executed.ALL_ITERATIONS`, token or tensor)


@dataclass
class Buffer:
    """The global buffer of one core: its capacity, the bytes in use, and the tensors in it."""

    capacity: int
    used: int = 0
    peak: int = 0
    residents: dict[TensorKey, Resident] = field(default_factory=dict)

    def fits(self, nbytes: int) -> bool:
        """Return whether ``nbytes`` are free."""
        return self.used + nbytes <= self.capacity

    def take(self, nbytes: int) -> None:
        """Take ``nbytes``; the caller checks with `fits` that they are free."""
        self.used += nbytes
        self.peak = max(self.peak, self.used)

    def result(self, where: str, key: TensorKey) -> Resident:
        """Return the tensor under ``key``, to which a command adds results; raise InvariantError if it is not there.

        Another command that has read its first samples may already have overwritten them.
        """
        found = self.residents.get(key)
        if found is None:
            raise broken(where, f"{key[2]} is not in the global buffer")
        return found

    def find(self, where: str, key: TensorKey, reader: str = "") -> Resident:
        """Return the tensor under ``key``.

        Raises InvariantError if it is not there, or if another command than ``reader`` has begun to overwrite it.
        """
        found = self.result(where, key)
        if found.overwritten_by and found.overwritten_by != reader:
            raise broken(where, f"{key[2]} has been overwritten in place by {found.overwritten_by}")
        return found

    def add(self, where: str, key: TensorKey, nbytes: int, space_bytes: int) -> Resident:
        """Add a tensor of which nothing is written yet; raise InvariantError if ``key`` is there already."""
        if key in self.residents:
            raise broken(where, f"{key[2]} is in the global buffer already")
        self.residents[key] = Resident(key[2], nbytes, space_bytes)
        return self.residents[key]

    def residents_left(self) -> Iterator[str]:
        """Describe each tensor that is still in the buffer, for an error message."""
        for _, iteration, name in self.residents:
            yield f"{name} of iteration {iteration}"
