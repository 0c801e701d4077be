"""Slow, exact reference models that share no code with what they check."""
