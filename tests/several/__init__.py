"""Several processes on one set of stores."""
