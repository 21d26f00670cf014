"""The sandbox: vendor APIs simulated with their paging, limits, lateness and faults."""
