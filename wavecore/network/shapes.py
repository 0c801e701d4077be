"""Shapes of one sample's activations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """Channels x height x width of one sample; a feature vector is ``channels x 1 x 1``."""

    channels: int
    height: int = 1
    width: int = 1

    @property
    def elements(self) -> int:
        """Elements of one sample."""
        return self.channels * self.height * self.width

    @property
    def pixels(self) -> int:
        """Positions of one channel of one sample."""
        return self.height * self.width

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"
