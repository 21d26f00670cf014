"""Queues: one driver each."""
