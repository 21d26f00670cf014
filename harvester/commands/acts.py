"""What an operator did to the state of an installation, as a line in the log that says who, what and over which range (S63)."""

import getpass
import os
import socket

from harvester.logs import get_logger


def actor() -> str:
    """Who is at it: the account of this process and its host."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in containers
        name = f"uid {os.getuid()}"
    return f"{name}@{socket.gethostname()}"


def done(what: str, **about: object) -> None:
    """It was done: `what` is the command, `about` says to what and how much of it."""
    get_logger("operator").info(what, actor=actor(), **about)
