"""The harvester: everything from a vendor's API up to and including the queue. It knows nothing of consumers."""

__version__ = "0.1.0"
