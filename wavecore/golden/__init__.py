"""Slow, exact references that share no code with what they judge."""
