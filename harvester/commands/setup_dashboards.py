"""`harvest setup dashboards`: Kibana's dashboards, imported or printed."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from harvester.commands import parts
from harvester.commands.options import json_option
from harvester.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from consumers.kibana import Import
    from consumers.kibana_settings import KibanaSettings

_FORMAT = 1
_AGAIN = "Next, once it answers: harvest setup dashboards"


@click.command("dashboards")
@click.option("--print", "only_print", is_flag=True, help="Ask no server: print the file, for Kibana's own import.")
@json_option
def dashboards(*, only_print: bool, as_json: bool) -> int:
    """Import the dashboards into the Kibana of HARVESTER_KIBANA_URL (default: http://localhost:5601).

    May be repeated: ours are brought back as they are in this version, what you saved under another name stays.

    \b
    harvest setup dashboards
    harvest setup dashboards --print > dashboards.ndjson    Stack Management > Saved Objects > Import
    """
    from consumers.kibana import import_objects, objects
    from consumers.kibana_settings import KibanaSettings
    from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
    from harvester.service import run_once

    if only_print:
        click.echo(objects(parts.index_prefix()).decode(), nl=False)
        return 0
    loaded = parts.settings(ElasticsearchSettings, KibanaSettings)
    prefix = loaded.get(ElasticsearchSettings).index_prefix
    imports: list[Import] = []

    async def act() -> int:
        imports.append(await import_objects(loaded.get(KibanaSettings), prefix, retry=parts.QUICK))
        return 0

    run_once(act())
    click.echo(json.dumps({"format": _FORMAT, **as_data(imports)}, indent=2) if as_json else "\n".join(told(imports)))
    complain(imports)
    return 0


async def import_where_there(settings: "KibanaSettings", prefix: str, imports: "list[Import]") -> int:
    """As a part of `setup`: only where a Kibana is named, and one that does not answer yet stops nothing."""
    from consumers.kibana import import_objects

    if not settings.url:
        return 0
    try:
        imports.append(await import_objects(settings, prefix, retry=parts.QUICK))
    except TransientError as error:
        click.echo(f"the dashboards were not imported: {error}. {_AGAIN}", err=True)
    complain(imports)
    return 0


def told(imports: "Sequence[Import]") -> list[str]:
    """A line for each object that is there now."""
    return [
        f"{one.type} {one.title or one.id}: {'renewed' if one.renewed else 'imported'}" for it in imports for one in it.objects
    ]


def as_data(imports: "Sequence[Import]") -> dict[str, Any]:
    """The same as JSON has it; nothing where no import was made."""
    return {
        key: value
        for it in imports
        for key, value in (
            ("kibana", it.where),
            ("objects", [{"type": o.type, "id": o.id, "title": o.title, "renewed": o.renewed} for o in it.objects]),
            ("faults", it.faults),
        )
    }


def complain(imports: "Sequence[Import]") -> None:
    """PermanentError: Kibana did not take everything."""
    faults = [fault for it in imports for fault in it.faults]
    if faults:
        raise PermanentError("\n  ".join([f"kibana: {len(faults)} of the objects were not imported:", *faults]))
