"""What another package adds to wavecore, one file for each kind of thing."""

from pathlib import Path

PRESETS = Path(__file__).parent / "presets"
