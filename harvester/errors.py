"""Errors, named by what to do next.

HarvesterError
├── ConfigError            a setting is wrong or missing: print every fault and stop (exit 3)
├── RefusedError           going on could lose or double something: stop and say the ways on (exit 4)
├── TransientError         the world is busy: wait and repeat the same thing
├── PermanentError         this source or sink cannot work: stop it, the others go on (exit 1)
├── InvalidEventError      this one event is broken: it becomes a dead letter, the stream goes on
├── PayloadTooLargeError   these messages do not fit the queue: nothing was published
├── ConflictError          another wrote it first: read it again, then decide anew
└── CoverageResetError     an operator reset the book: load it again
"""

from collections.abc import Sequence
from typing import ClassVar


class HarvesterError(Exception):
    """The root of the tree. `exit_code` is what a command ends with when the error reaches its top."""

    exit_code: ClassVar[int] = 1


class ConfigError(HarvesterError):
    """Settings are wrong or missing. `faults` holds one line each, all of them at once."""

    exit_code = 3

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class RefusedError(HarvesterError):
    """Refused for safety; the text names the ways on. `lost`: events that are known to be gone, for the metrics."""

    exit_code = 4

    def __init__(self, text: str, *, lost: int = 0) -> None:
        super().__init__(text)
        self.lost = lost


class TransientError(HarvesterError):
    """Wait and repeat. `retry_after` is the wait in seconds that the other side asked for, None when it did not."""

    def __init__(self, text: str, *, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class PermanentError(HarvesterError):
    """Repeating cannot help: credentials, rights, a removed endpoint. A person has to act."""


class InvalidEventError(HarvesterError):
    """One event can never pass. `reason` is a short word for counting and filtering letters."""

    def __init__(self, text: str, *, reason: str = "schema") -> None:
        super().__init__(text)
        self.reason = reason


class PayloadTooLargeError(HarvesterError):
    """The messages at `indexes` are larger than the queue takes; none of the batch was published."""

    def __init__(self, text: str, *, indexes: Sequence[int]) -> None:
        super().__init__(text)
        self.indexes = tuple(indexes)


class ConflictError(HarvesterError):
    """A conditional write was lost to another writer; nothing was written."""


class CoverageResetError(HarvesterError):
    """The book was reset or deleted since it was loaded; what is known of it is void."""
