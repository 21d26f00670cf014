"""Elasticsearch: the way to each node, who we are there, its version, our templates, and indexes that differ from them."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from consumers.records.mapping import record_classes
from consumers.records.record import Record
from consumers.sinks.elasticsearch_cluster import Cluster, open_cluster
from consumers.sinks.elasticsearch_settings import ElasticsearchSettings, nodes
from consumers.sinks.elasticsearch_templates import Piece, all_pieces, pieces, version_there
from harvester.answers import StatusError
from harvester.commands.checks import Finding, Tell, split
from harvester.commands.checks.network import reach
from harvester.commands.words import amount_of
from harvester.errors import HarvesterError

_LOAD = "harvest setup load_index_templates"
_NEW_ENOUGH = (8, 19)
_SHOWN = 3
_NODES = "/_nodes/_all/http?filter_path=nodes.*.version"
_IF_ANY = {"ignore_unavailable": "true", "allow_no_indices": "true"}

Properties = Mapping[str, Any]


async def look(settings: ElasticsearchSettings, title: str, tell: Tell, seconds: float) -> None:
    """Everything about one cluster. A node that cannot be reached is a finding, and the others are asked."""
    places = nodes(settings)
    titles = [f"{title} {place.url.host}:{place.url.port}" if places[1:] else title for place in places]
    told: list[list[Finding]] = [[] for _ in places]
    ways = [reach(place, name, found.append, seconds) for place, name, found in zip(places, titles, told, strict=True)]
    reached = [str(place.url) for place, way in zip(places, await asyncio.gather(*ways), strict=True) if way]
    for finding in chain(*told):
        tell(finding)
    if not reached:
        tell(Finding(f"{title}: login", "skip", "nobody can be asked"))
        return
    patient = settings.model_copy(update={"url": ",".join(reached), "timeout": min(settings.timeout, seconds)})
    async with open_cluster(patient) as cluster:
        if not await _known(cluster, title, tell):
            return
        for piece in all_pieces(cluster.names):
            tell(await _template(cluster, piece, title))
        for record in record_classes():
            tell(await _drift(cluster, record, title))
            await _blocks(cluster, record, title, tell)


async def _known(cluster: Cluster, title: str, tell: Tell) -> bool:
    """Whether we are let in. A login that may only write is not told the version."""
    try:
        try:
            number = msgspec.json.decode(await cluster.request("GET", "/"))["version"]["number"]
        except StatusError as error:
            if error.status == 401:
                raise
            nodes_ = msgspec.json.decode(await cluster.request("GET", _NODES))["nodes"]
            number = min(node["version"] for node in nodes_.values())
    except HarvesterError as error:
        if isinstance(error, StatusError) and error.status == 403:
            tell(Finding(f"{title}: login", "ok", "accepted; it may not ask for the version"))
            return True
        text, fix = split(str(error).removeprefix("elasticsearch: "))
        if isinstance(error, StatusError) and error.status != 401:
            text, fix = f"{cluster.where} does not answer as Elasticsearch does ({text})", "check HARVESTER_ELASTICSEARCH_URL"
        tell(Finding(f"{title}: login", "fail", text, fix or "wait, and look again; ask its administrator if it stays so"))
        return False
    tell(Finding(f"{title}: login", "ok", "accepted"))
    tell(_version(f"{title}: version", str(number)))
    return True


def _version(name: str, number: str) -> Finding:
    if tuple(int(part) for part in number.partition("-")[0].split(".")[:2]) >= _NEW_ENOUGH:
        return Finding(name, "ok", f"Elasticsearch {number}")
    fix = f"upgrade it to {'.'.join(map(str, _NEW_ENOUGH))} or newer"
    return Finding(name, "warn", f"{number} was never tried with this program", fix)


async def _template(cluster: Cluster, piece: Piece, title: str) -> Finding:
    name, what = f"{title}: template", piece.name
    try:
        found = await version_there(cluster, piece)
    except StatusError as error:
        return Finding(name, "skip", f"{what}: this login may not look at it ({error.status})")
    if found is None:
        return Finding(name, "fail", f"{what} is not there: nothing can be written", _LOAD)
    if found < piece.version:
        return Finding(name, "fail", f"{what} has version {found}, {piece.version} is needed: nothing can be written", _LOAD)
    if found > piece.version:
        return Finding(
            name, "warn", f"version {found} is of a newer program, this one brings {piece.version}", "upgrade this program"
        )
    return Finding(name, "ok", f"{what} has version {found}, as this program brings it")


async def _drift(cluster: Cluster, record: type[Record], title: str) -> Finding:
    """Whether every index has the types of our template: those made before an upgrade do not."""
    pattern, name = cluster.names.pattern(record), f"{title}: mapping"
    wanted = pieces(record)[0].body["template"]["mappings"]["properties"]
    try:
        body = await cluster.request("GET", f"/{pattern}/_mapping", params=_IF_ANY)
    except StatusError as error:
        return Finding(name, "skip", f"this login may not look at it ({error.status})")
    found = msgspec.json.decode(body)
    wrong = {index: list(differences(wanted, one["mappings"].get("properties", {}))) for index, one in sorted(found.items())}
    wrong = {index: faults for index, faults in wrong.items() if faults}
    if not wrong:
        return Finding(name, "ok", f"{amount_of(len(found), 'index', 'indexes')} {pattern}, all as the template says")
    shown = "; ".join(f"{index}: {_first(faults)}" for index, faults in list(wrong.items())[:_SHOWN])
    fix = "reindex, or delete them and write anew: harvest queue seek elasticsearch --to beginning, or harvest backfill --again"
    return Finding(name, "warn", f"{len(wrong):,} of {len(found):,} differ from the template: {shown}", fix)


def _first(faults: Sequence[str]) -> str:
    return ", ".join(faults[:_SHOWN]) + (f" and {len(faults) - _SHOWN:,} more" if len(faults) > _SHOWN else "")


def differences(wanted: Properties, found: Properties, above: str = "") -> Iterator[str]:
    """Fields of `wanted` that `found` lacks or has with another type. What it has more is nobody's fault: families are open."""
    for field, ours in wanted.items():
        theirs, name = found.get(field), f"{above}{field}"
        if theirs is None:
            yield f"{name} is missing"
        elif (has := theirs.get("type", "object")) != (type_ := ours.get("type", "object")):
            yield f"{name} is {has}, not {type_}"
        elif "properties" in ours:
            yield from differences(ours["properties"], theirs.get("properties", {}), f"{name}.")


async def _blocks(cluster: Cluster, record: type[Record], title: str, tell: Tell) -> None:
    """Indexes that take nothing: a full disk sets such a block, and so do people."""
    path = f"/{cluster.names.pattern(record)}/_settings/index.blocks.*"
    try:
        found = msgspec.json.decode(await cluster.request("GET", path, params={**_IF_ANY, "flat_settings": "true"}))
    except StatusError:
        return
    for index, one in sorted(found.items()):
        for block, value in one["settings"].items():
            if str(value) == "true":
                fix = f'make room on its disk if it is full; then PUT /{index}/_settings {{"{block}": null}}'
                tell(Finding(f"{title}: index", "fail", f"{index}: {block} is set: nothing can be written", fix))
