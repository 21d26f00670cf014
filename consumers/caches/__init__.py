"""Caches: one driver each."""
