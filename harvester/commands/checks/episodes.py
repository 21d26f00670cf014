"""The search service that actions get their recording from: whether it can be asked."""

import asyncio

from consumers.enrichers.episodes import derived
from harvester.commands.checks import Check, Finding, Tell, split
from harvester.errors import PermanentError, TransientError
from harvester.http import HttpSettings, open_http
from harvester.loading import Loaded
from harvester.opencast_answers import SEARCH
from harvester.retry import Retry
from harvester.sources.opencast_settings import OpencastSettings, http_settings

_NOTHING = "0"
"""A recording to look up: what matters is that there is an answer."""
_MEANWHILE = "events are written without title and course meanwhile, and completed by themselves; ask its administrator"


def with_episodes(source: Check, loaded: Loaded, seconds: float) -> Check:
    """The check of an Opencast, and then of its search service, if the server lets this account in."""

    async def look(tell: Tell) -> None:
        let_in = False

        def heard(finding: Finding) -> None:
            nonlocal let_in
            if finding.name in (f"{source.name}: login", f"{source.name}: rights"):
                let_in = finding.state == "ok"
            tell(finding)

        await source.look(heard)
        if let_in:
            tell(await _asked(f"{source.name}: episodes", http_settings(loaded.get(OpencastSettings)), seconds))

    return Check(source.name, look)


async def _asked(title: str, engage: HttpSettings, seconds: float) -> Finding:
    try:
        async with asyncio.timeout(seconds), open_http(engage, retry=Retry(attempts=1)) as http:
            answer = await http.get(SEARCH, id=_NOTHING)
            derived(answer.body, _NOTHING)
    except TimeoutError:
        return Finding(title, "fail", f"no answer of {SEARCH} within {seconds:g} s", _MEANWHILE)
    except (TransientError, PermanentError) as error:
        text, fix = split(str(error).removeprefix(f"{engage.name}: "))
        return Finding(title, "fail", text, f"{fix}; {_MEANWHILE}" if fix else _MEANWHILE)
    return Finding(title, "ok", "the search service answers")
