"""The breaker: too many refusals mean that something is wrong with us, not with the events."""

from collections import deque

MEMORY = 1000
LARGEST_SHARE = 0.15
LEAST = 100


class Breaker:
    """Opens when more than 15 % of the last 1,000 decided events, and at least 100 of them, were refused."""

    def __init__(self, *, accept: bool = False) -> None:
        self._accept = accept
        self._refused: deque[bool] = deque(maxlen=MEMORY)

    def opens(self, decided: int, refused: int) -> bool:
        """Whether a batch with these numbers opens it; the batch is remembered only if not."""
        if decided > MEMORY:
            # By its share, rounded up: which of them were the last is not known.
            decided, refused = MEMORY, -(-refused * MEMORY // decided)
        trial = deque(self._refused, maxlen=MEMORY)
        trial.extend([True] * refused)
        trial.extend([False] * (decided - refused))
        share = sum(trial)
        if not self._accept and share >= LEAST and share > LARGEST_SHARE * len(trial):
            return True
        self._refused = trial
        return False
