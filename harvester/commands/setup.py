"""`harvest setup`: what servers need before the first event."""

import json
from typing import TYPE_CHECKING

import click

from harvester.commands import parts
from harvester.commands.options import json_option
from harvester.errors import ConfigError

if TYPE_CHECKING:
    from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
    from consumers.sinks.elasticsearch_templates import Loading, Piece

_FORMAT = 1


@click.group("setup")
def command() -> None:
    """Prepare the servers that sinks write to.

    \b
    harvest setup load_index_templates          before the first document; again after an upgrade
    harvest setup load_index_templates --print  for an administrator who does it by hand
    """


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

    if only_print:
        click.echo(_requests(all_pieces()) if as_json else _spelled(all_pieces()))
        return
    from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
    from harvester.service import run_once

    loaded: list[Loading] = []
    settings = parts.settings(ElasticsearchSettings).get(ElasticsearchSettings)
    run_once(_load(settings, loaded))
    click.echo(_report(loaded) if as_json else _told(loaded))


async def _load(settings: "ElasticsearchSettings", loaded: "list[Loading]") -> int:
    from consumers.sinks.elasticsearch_cluster import open_cluster
    from consumers.sinks.elasticsearch_templates import all_pieces, load
    from harvester.retry import ONE_SHOT, retrying

    async with open_cluster(settings) as cluster:
        for piece in all_pieces():

            async def put(piece: "Piece" = piece) -> "Loading":
                return await load(cluster, piece)

            loaded.append(await retrying(put, ONE_SHOT))
    return 0


def _told(loaded: "list[Loading]") -> str:
    return "\n".join(
        f"{one.piece.name}: {one.action}, version {one.piece.version}"
        if one.action != "left alone"
        else f"{one.piece.name}: left alone, the server has version {one.found}, this program brings {one.piece.version}"
        for one in loaded
    )


def _report(loaded: "list[Loading]") -> str:
    templates = [
        {"name": one.piece.name, "action": one.action, "version": one.piece.version, "found": one.found} for one in loaded
    ]
    return json.dumps({"format": _FORMAT, "templates": templates}, indent=2)


def _requests(pieces: "list[Piece]") -> str:
    return json.dumps([{"method": "PUT", "path": piece.path, "body": piece.body} for piece in pieces], indent=2)


def _spelled(pieces: "list[Piece]") -> str:
    return "\n\n".join(f"PUT {piece.path}\n{json.dumps(piece.body, indent=2)}" for piece in pieces)
