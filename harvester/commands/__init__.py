"""Commands: one sub-command of `harvest` each. Only these reach both sides of the queue."""
