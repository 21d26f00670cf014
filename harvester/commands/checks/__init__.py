"""What `harvest doctor` looks at: one module for each side of an installation. A check tells findings, each with its fix."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, NamedTuple

from harvester.errors import HarvesterError

State = Literal["ok", "warn", "fail", "skip"]


class Finding(NamedTuple):
    """One thing that was looked at. `skip`: it was not, and why. What is not ok has a fix where there is one to name."""

    name: str
    state: State
    text: str
    fix: str = ""


Tell = Callable[[Finding], None]


class Check(NamedTuple):
    """`look` tells what it finds, and may raise: what it told before counts all the same."""

    name: str
    look: Callable[[Tell], Awaitable[None]]


async def run(checks: Sequence[Check], seconds: float) -> list[list[Finding]]:
    """The findings of each check. All look at the same time, none longer than `seconds`, and none stops another."""
    told: list[list[Finding]] = [[] for _ in checks]
    tasks = [asyncio.create_task(_looked(check, found.append)) for check, found in zip(checks, told, strict=True)]
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for check, found, task in zip(checks, told, tasks, strict=True):
        if task in late:
            # Not waited for: what hangs may hang in a system call.
            task.cancel()
            found.append(
                Finding(check.name, "fail", f"no end within {seconds:g} s", "look at what it asks, or give it more: --timeout")
            )
    return told


async def _looked(check: Check, tell: Tell) -> None:
    try:
        await check.look(tell)
    except HarvesterError as error:
        text, fix = split(str(error))
        tell(Finding(check.name, "fail", text, fix or "mend this, and look again"))
    except Exception as error:  # noqa: BLE001 - a check that breaks is a finding, and the others go on
        tell(Finding(check.name, "fail", f"the check itself broke: {type(error).__name__}: {error}", "report it"))


_ORDERS = r"(?:add|ask|check|fetch|give|harvest|make|name|restore|set|stop|upgrade|use)\b"
_TO_DO = re.compile(rf"[.:;] (?:next: (.+?)|({_ORDERS}.*?))\.?$", re.IGNORECASE | re.DOTALL)
_ASIDE = re.compile(r"\((set [^()]*)\)")


def split(text: str) -> tuple[str, str]:
    """An error's text as what is wrong and what to do, which ours say at their end; "" when it does not say."""
    if found := _TO_DO.search(text):
        wrong, fix = text[: found.start()], found[1] or found[2]
        # Both may stand in one pair of brackets.
        cut = wrong.count("(") > wrong.count(")") and fix.endswith(")")
        return (f"{wrong})", fix[:-1]) if cut else (wrong, fix)
    aside = _ASIDE.search(text)
    return text, aside[1] if aside else ""
