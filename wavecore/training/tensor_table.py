"""The tensors of a training step while it is unrolled, in the order in which they are declared."""

from __future__ import annotations

from wavecore.training.operations import Tensor, TensorClass


class TensorTable:
    """Tensors by name; one that is declared again keeps its place."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def declare(self, name: str, tensor_class: TensorClass, nbytes: int, batched: bool = True) -> str:
        """Add a tensor of ``nbytes`` per sample, or (not ``batched``) in all, and return its name."""
        self.tensors[name] = Tensor(name, tensor_class, nbytes, batched)
        return name

    def drop(self, name: str) -> None:
        """Remove a tensor."""
        del self.tensors[name]

    def nbytes(self, name: str) -> int:
        """Return the bytes of a tensor, per sample if it is batched."""
        return self.tensors[name].nbytes

    def same_size(self, tensor: str, others: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of ``others`` whose space ``tensor`` fills exactly; one that holds a concatenation is larger."""
        nbytes = self.nbytes(tensor)
        return tuple(other for other in others if self.nbytes(other) == nbytes)

    def share(self, gradient: str, tensor: str) -> int | None:
        """Return the bytes of a sample's gradient that belong to a tensor; None if all do.

        They are a part where the gradient is that of a concatenation.
        """
        nbytes = self.nbytes(tensor)
        return nbytes if nbytes < self.nbytes(gradient) else None
