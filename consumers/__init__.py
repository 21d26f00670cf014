"""The consumers: everything behind the queue."""
