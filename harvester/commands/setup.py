"""`harvest setup`: what servers need before the first event."""

import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from harvester.commands import parts
from harvester.commands.options import json_option
from harvester.commands.setup_dashboards import dashboards
from harvester.errors import ConfigError

if TYPE_CHECKING:
    from consumers.kibana import Import
    from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
    from consumers.sinks.elasticsearch_templates import Loading, Piece
    from harvester.loading import Loaded

_FORMAT = 1


@click.group("setup", invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> int:
    """Make what the servers lack: topics, queues, buckets, the index templates of the sinks in HARVESTER_SINKS; and
    import the dashboards where HARVESTER_KIBANA_URL names a Kibana.

    May be repeated: what is there is left as it is. It says what it made.

    \b
    harvest setup                               all of it, before the first start and after an upgrade
    harvest setup load_index_templates          the templates alone
    harvest setup load_index_templates --print  for an administrator who does it by hand
    harvest setup dashboards                    the dashboards alone, into Kibana
    """
    return 0 if ctx.invoked_subcommand else _everything(as_json=as_json)


def _everything(*, as_json: bool) -> int:
    from consumers.kibana_settings import KibanaSettings
    from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
    from harvester.commands.setup_dashboards import as_data, import_where_there, told
    from harvester.service import run_once

    sinks = parts.configured_sinks()
    others = [family for family in parts.sink_settings(sinks) if family is not ElasticsearchSettings]
    loaded = parts.settings(*others, ElasticsearchSettings, KibanaSettings)
    made: list[str] = []
    templates: list[Loading] = []
    imports: list[Import] = []
    whole = False
    try:
        run_once(prepared(loaded, sinks, made, templates))
        prefix = loaded.get(ElasticsearchSettings).index_prefix
        run_once(import_where_there(loaded.get(KibanaSettings), prefix, imports))
        whole = True
    finally:  # what was made before a fault stays, and is told
        lines = [*made, *_told(templates), *told(imports)]
        if as_json:
            click.echo(json.dumps({"format": _FORMAT, "made": made, **_templates(templates), **as_data(imports)}, indent=2))
        elif lines or whole:
            click.echo("\n".join(lines or ["nothing was missing"]))
    return 0


async def prepared(loaded: "Loaded", sinks: "Sequence[str]", made: "list[str]", templates: "list[Loading]") -> int:
    """Make what the servers lack; what was made is added to the lists, also when this fails half-way."""
    from consumers.caches import DRIVERS as CACHES
    from consumers.sinks.archive_settings import ArchiveSettings
    from harvester.coverages import DRIVERS as COVERAGES
    from harvester.drivers import prepare
    from harvester.letters import DRIVERS as LETTERS
    from harvester.objects import DRIVERS as OBJECTS
    from harvester.queues import DRIVERS as QUEUES
    from harvester.retry import ONE_SHOT, retrying
    from harvester.settings import CoreSettings

    core = loaded.get(CoreSettings)
    archive = loaded.models.get(ArchiveSettings)
    stores = (
        ("queue", core.queue_url, QUEUES),
        ("coverage store", core.coverage_url, COVERAGES),
        ("store of letters", core.letters_url, LETTERS),
        ("store of objects", core.claims_url, OBJECTS),
        ("archive", archive.url if isinstance(archive, ArchiveSettings) else "", OBJECTS),
        ("cache", core.cache_url, CACHES),
    )
    for kind, url, drivers in stores:
        if not url:
            continue
        made += await retrying(partial(prepare, kind, url, drivers, core), ONE_SHOT)
    if "elasticsearch" in map(parts.group_of, sinks):
        from consumers.sinks.elasticsearch_settings import ElasticsearchSettings

        await _load(loaded.get(ElasticsearchSettings), templates)
    return 0


@command.command("load-index-templates")
@click.option("--print", "only_print", is_flag=True, help="Ask no server: print what would be sent, for Kibana's Dev Tools.")
@json_option
def load_index_templates(*, only_print: bool, as_json: bool) -> None:
    """Put the index templates on the Elasticsearch of HARVESTER_ELASTICSEARCH_URL.

    May be repeated: what is older is upgraded, what is newer is left alone, and the templates named …@custom, which are yours,
    are never touched.
    """
    try:
        from consumers.sinks.elasticsearch_templates import all_pieces
    except ModuleNotFoundError as error:
        raise ConfigError(f"the sink elasticsearch needs {error.name}: install event-harvester[elasticsearch]") from error

    from consumers.sinks.elasticsearch_names import Names
    from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
    from harvester.service import run_once

    if only_print:
        pieces = all_pieces(Names(parts.index_prefix()))
        click.echo(_requests(pieces) if as_json else _spelled(pieces))
        return
    settings = parts.settings(ElasticsearchSettings).get(ElasticsearchSettings)
    loaded: list[Loading] = []
    run_once(_load(settings, loaded))
    click.echo(json.dumps({"format": _FORMAT, **_templates(loaded)}, indent=2) if as_json else "\n".join(_told(loaded)))


command.add_command(dashboards)


async def _load(settings: "ElasticsearchSettings", loaded: "list[Loading]") -> int:
    from consumers.sinks.elasticsearch_cluster import open_cluster
    from consumers.sinks.elasticsearch_templates import all_pieces, load
    from harvester.retry import ONE_SHOT, retrying

    async with open_cluster(settings) as cluster:
        for piece in all_pieces(cluster.names):

            async def put(piece: "Piece" = piece) -> "Loading":
                return await load(cluster, piece)

            loaded.append(await retrying(put, ONE_SHOT))
    return 0


def _told(loaded: "list[Loading]") -> list[str]:
    return [
        f"{one.piece.name}: {one.action}, version {one.piece.version}"
        if one.action != "left alone"
        else f"{one.piece.name}: left alone, the server has version {one.found}, this program brings {one.piece.version}"
        for one in loaded
    ]


def _templates(loaded: "list[Loading]") -> dict[str, list[dict[str, object]]]:
    return {
        "templates": [
            {"name": one.piece.name, "action": one.action, "version": one.piece.version, "found": one.found} for one in loaded
        ]
    }


def _requests(pieces: "list[Piece]") -> str:
    return json.dumps([{"method": "PUT", "path": piece.path, "body": piece.body} for piece in pieces], indent=2)


def _spelled(pieces: "list[Piece]") -> str:
    return "\n\n".join(f"PUT {piece.path}\n{json.dumps(piece.body, indent=2)}" for piece in pieces)
