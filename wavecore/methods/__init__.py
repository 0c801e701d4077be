"""Published methods of pruning: they train a small network, and the simulator costs the result."""
