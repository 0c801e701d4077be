"""Networks: layer kinds, the graph of layers, and the registered workloads."""
