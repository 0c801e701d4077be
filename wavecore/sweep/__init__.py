"""Design-space sweeps: a specification, its points, their results in a store, and one tidy table."""
