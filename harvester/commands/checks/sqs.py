"""Whether the SQS queues are there, and what of their settings could lose events. Nothing is made."""

from harvester.commands.checks import Finding, Tell
from harvester.queues.sqs import examined
from harvester.settings import CoreSettings
from harvester.url import parse


async def look(core: CoreSettings, tell: Tell) -> None:
    """One finding for each SQS queue of the URL."""
    if parse(core.queue_url).scheme != "sqs":
        return
    for name, faults in (await examined(core.queue_url, core)).items():
        check = f"queue: {name}"
        if faults is None:
            tell(Finding(check, "ok", "there is none yet: harvest setup makes it, or the first harvest"))
        elif not faults:
            tell(Finding(check, "ok", "no redrive policy, and it keeps messages long enough"))
        for fault in faults or ():
            wrong, _, fix = fault.partition("; ")
            tell(Finding(check, "fail", wrong, fix))
