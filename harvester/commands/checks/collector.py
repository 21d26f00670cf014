"""The collector that log lines are sent to: the way there. No line is sent."""

from yarl import URL

from harvester.commands.checks import Check, Finding, Tell
from harvester.commands.checks.network import reach
from harvester.origin import HttpSettings
from harvester.remotelogs import LogsSettings


def collector_check(settings: LogsSettings, seconds: float) -> Check:
    """The check of HARVESTER_LOGS_URL."""

    async def look(tell: Tell) -> None:
        target = settings.target
        if target is None:
            tell(Finding("logs", "ok", "they go to stderr alone"))
            return
        # The path may hold the token.
        url = URL.build(scheme="https" if target.tls else "http", host=target.host, port=target.port)
        await reach(HttpSettings(name="logs", url=url, url_hint="check HARVESTER_LOGS_URL"), "logs", tell, seconds)

    return Check("logs", look)
