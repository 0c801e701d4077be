"""Sparsity: profiles of pruned networks, what they change in a graph, and what an accelerator makes of them."""
