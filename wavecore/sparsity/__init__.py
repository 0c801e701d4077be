"""Sparsity profiles of pruned networks: files, changes to a network, and use of the zeros by a machine."""
