"""Letters: stores of what could not be finished."""
