"""One training step: its operations, and how a network is unrolled into them."""
