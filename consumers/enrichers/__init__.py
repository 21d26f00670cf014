"""Enrichers: one kind of metadata each."""
