"""What BigQuery says, as errors that name the next action: https://cloud.google.com/bigquery/docs/error-messages."""

from typing import Any

import msgspec

from harvester.errors import HarvesterError, InvalidEventError, PermanentError, TransientError
from harvester.google import Answered, refusal

_AGAIN = {
    "backendError",
    "duplicate",  # two made one table at the same time: it is there when it is looked for again
    "internalError",
    "jobBackendError",
    "jobInternalError",
    "jobRateLimitExceeded",
    "notFound",
    "rateLimitExceeded",
    "resourcesExceeded",
    "stopped",
    "tableUnavailable",
    "timeout",
}
_TOMORROW = {"quotaExceeded"}
_PAUSE = 900.0
"""Seconds: a day's quota comes back bit by bit. No sink is waited for longer at once (`harvester.retry.TOLD_CAP`)."""
_ACTS = ("datasets.create", "datasets.get", "tables.create", "tables.get", "tables.update", "tables.updateData")
PERMISSIONS = ", ".join(f"bigquery.{act}" for act in (*_ACTS, "tables.getData", "tables.delete", "jobs.create"))
"""What it takes to write: the roles BigQuery Data Editor and BigQuery Job User hold it."""


class _Reason(msgspec.Struct, frozen=True):
    reason: str = ""


class _Errors(msgspec.Struct, frozen=True):
    errors: tuple[_Reason, ...] = ()


class _Envelope(msgspec.Struct, frozen=True):
    error: _Errors = _Errors()


def refused(answer: Answered, where: str) -> HarvesterError:
    """What an answer means that is none we wanted. Limits come as 403, too, and are told by their reason alone."""
    found = refusal(answer, where, PERMISSIONS)
    reason = _reason(answer)
    if reason in _TOMORROW:
        return TransientError(str(found), retry_after=_PAUSE)
    return TransientError(str(found)) if reason in _AGAIN and answer.status == 403 else found


def failed(job: dict[str, Any], where: str) -> HarvesterError | None:
    """What a finished job failed of; None when it did not."""
    error = job.get("status", {}).get("errorResult")
    if not error:
        return None
    reason, text = error.get("reason", ""), f"{where}: {error.get('reason', '')}: {error.get('message', '')}"
    if reason in _TOMORROW:
        return TransientError(text, retry_after=_PAUSE)
    if reason in _AGAIN or "concurrent update" in text:
        return TransientError(text)
    if reason == "invalid":
        return InvalidEventError(f"{text} (the batch was refused)", reason="refused")
    if reason == "accessDenied":
        return PermanentError(f"{text}: the account needs {PERMISSIONS}")
    return PermanentError(text)


def _reason(answer: Answered) -> str:
    try:
        errors = msgspec.json.decode(answer.body, type=_Envelope).error.errors
    except msgspec.MsgspecError:
        return ""
    return errors[0].reason if errors else ""
