"""Sinks: one destination each."""
