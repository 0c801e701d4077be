"""Published methods that make networks sparse, small and real: trained here, costed by the simulator."""
