"""A sparsity profile measured on a real model."""
