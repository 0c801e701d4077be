"""Measure a sparsity profile: zeros of a checkpoint's weights, and of activations in a forward pass."""
