"""Plans: where tensors are, what that moves over DRAM, and how layers are grouped."""
