"""What PostgreSQL says, as errors that name the next action, by its codes.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from collections.abc import Callable
from typing import NamedTuple

import asyncpg

from harvester.errors import ConfigError, HarvesterError, InvalidEventError, PermanentError, TransientError

RAISED = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, OverflowError, UnicodeEncodeError)
"""What a statement may raise: the server's refusals, the client's, a connection that is lost, and a value that does not fit."""


class _Case(NamedTuple):
    """Codes that begin like one of these."""

    codes: tuple[str, ...]
    kind: Callable[[str], HarvesterError]
    hint: str


def _refused(text: str) -> InvalidEventError:
    return InvalidEventError(text, reason="refused")


_CASES = (
    _Case(("53100",), TransientError, "make room on the disk of the server"),
    _Case(("53300",), TransientError, "raise its max_connections, or end some"),
    _Case(("25006",), TransientError, "it takes no writes: it is a standby, or was made read-only"),
    _Case(("42P01", "42703"), TransientError, "the table was changed under us, it is looked at again"),
    _Case(("08", "40", "53", "55P03", "57", "58"), TransientError, "tried again"),
    _Case(("28",), PermanentError, "check HARVESTER_POSTGRES_USER and HARVESTER_POSTGRES_PASSWORD, and the server's pg_hba.conf"),
    _Case(("3D000",), ConfigError, "make it: CREATE DATABASE …; or name another in HARVESTER_POSTGRES_URL"),
    _Case(
        ("42501",),
        PermanentError,
        "grant the account CREATE and USAGE on the schema, TEMPORARY on the database, and SELECT, INSERT, UPDATE on our tables",
    ),
    _Case(("42P10",), ConfigError, "the table has no primary key of ours: rename it, we make a new one"),
    _Case(("42", "55000"), ConfigError, "something else stands where our table should be: rename it"),
    _Case(("22", "23", "54"), _refused, "the batch was refused"),
)


def named(error: Exception, where: object) -> HarvesterError:
    """The error to raise for one of RAISED, met at `where`."""
    said = f"postgres {where}: {str(error).partition(chr(10))[0] or type(error).__name__}"
    if isinstance(error, OverflowError | UnicodeEncodeError):
        return _refused(f"{said} (the batch was refused)")
    if "rejected SSL upgrade" in str(error):
        return PermanentError(f"{said} (set ssl = on in its postgresql.conf, or HARVESTER_POSTGRES_ALLOW_PLAIN=true)")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return PermanentError(f"{said} (name the authority of its certificate in HARVESTER_POSTGRES_CA_FILE)")
    if not isinstance(error, asyncpg.PostgresError):
        return TransientError(f"{said} (is it running, and HARVESTER_POSTGRES_URL right? Tried again)")
    code = error.sqlstate or ""
    for case in _CASES:
        if code.startswith(case.codes):
            return case.kind(f"{said} ({case.hint})")
    return PermanentError(f"{said} (code {code})")
