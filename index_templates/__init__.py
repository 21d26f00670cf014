"""One JSON file an index pattern: made by docs/generate.py from the record classes, loaded by `harvest setup`."""
