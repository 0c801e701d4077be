"""What a simulation says: totals, rows, energy, the invariants they obey, and the folder they are kept in."""
