"""Coverage stores: one driver each."""
