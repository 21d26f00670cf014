"""Sources: one vendor API each."""
