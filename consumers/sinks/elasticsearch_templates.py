"""Index templates on a server: what we bring, what is there, and putting one in the place of the other (E63, E66)."""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import msgspec

from consumers.protocols import NO_TEMPLATE
from consumers.records.harvester import OWN
from consumers.records.mapping import record_classes
from consumers.records.record import Record
from consumers.sinks.elasticsearch_answers import LOAD
from consumers.sinks.elasticsearch_cluster import Cluster
from consumers.sinks.elasticsearch_names import Names
from harvester.answers import StatusError
from harvester.errors import InvalidEventError, PermanentError
from harvester.logs import get_logger

_GOOD_FOR = 60.0
"""Seconds that a look at a template holds: a server that was made anew meanwhile has none, and would guess every type."""
_LATER = f"harvest setup load_index_templates, then harvest dead-letters requeue --reason {NO_TEMPLATE}"

Action = Literal["loaded", "upgraded", "loaded again", "left alone"]


class Piece(NamedTuple):
    """One template as one request puts it."""

    path: str
    body: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def version(self) -> int:
        return int(self.body["version"])


class Loading(NamedTuple):
    """What `load` did with one template. `found`: the version that was there, None when there was none."""

    piece: Piece
    action: Action
    found: int | None


@cache
def pieces(record: type[Record], names: Names = Names()) -> tuple[Piece, ...]:  # noqa: B008 - a constant
    """The templates of a record as its file in `index_templates` holds them, in the order in which a server takes them."""
    name = names.template(record)
    held = msgspec.json.decode(files("index_templates").joinpath(f"{record.__shape__.table}.json").read_bytes())
    whole = held["index_template"]
    for part in ("index_patterns", "composed_of", "ignore_missing_component_templates"):
        whole[part] = [names.of(one) for one in whole[part]]
    return (
        Piece(f"/_component_template/{name}@package", held["component_template"]),
        Piece(f"/_index_template/{name}", whole),
    )


def all_pieces(names: Names = Names()) -> list[Piece]:  # noqa: B008 - a constant
    """Those of every record that there is."""
    return [piece for record in record_classes() for piece in pieces(record, names)]


async def version_there(cluster: Cluster, piece: Piece) -> int | None:
    """The version that the server has; 0 for one without a version, None when there is none."""
    try:
        answer = msgspec.json.decode(await cluster.request("GET", piece.path))
    except StatusError as error:
        if error.status == 404:
            return None
        raise
    (found,) = next(iter(answer.values()))
    kind = "component_template" if "component_template" in found else "index_template"
    return int(found[kind].get("version") or 0)


async def load(cluster: Cluster, piece: Piece) -> Loading:
    """Put a template, unless the server has a newer one: that is left alone. Putting it again changes nothing."""
    found = await version_there(cluster, piece)
    if found is not None and found > piece.version:
        return Loading(piece, "left alone", found)
    await cluster.request("PUT", piece.path, msgspec.json.encode(piece.body))
    return Loading(piece, "loaded" if found is None else "upgraded" if found < piece.version else "loaded again", found)


class Guard:
    """Refuses to write a record whose template is not there: an index without it would guess the types of all fields.

    A vendor's record stops the sink with it, one of the harvester's own does not: that is refused alone.
    """

    def __init__(self, cluster: Cluster, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._clock = clock
        self._good_until: dict[type[Record], float] = {}
        self._faults: dict[type[Record], str] = {}
        self._told: set[type[Record]] = set()

    async def check(self, records: Iterable[type[Record]]) -> Mapping[type[Record], InvalidEventError]:
        """Those of our own without a place, and why. PermanentError: a vendor's has none. A look holds for a minute."""
        refused: dict[type[Record], InvalidEventError] = {}
        for record in records:
            if self._good_until.get(record, 0.0) < self._clock():
                self._faults[record] = await self._look(record)
                if self._faults[record] and record not in OWN:
                    raise PermanentError(self._faults[record])
                self._good_until[record] = self._clock() + _GOOD_FOR
            if fault := self._faults[record]:
                refused[record] = InvalidEventError(fault, reason=NO_TEMPLATE)
        return refused

    def forget(self) -> None:
        """Look again before the next write: the server was away, and may have been made anew."""
        self._good_until.clear()

    async def _look(self, record: type[Record]) -> str:
        """What is wrong with its template; "" for nothing."""
        ours = pieces(record, self._cluster.names)[-1]
        found, where = await version_there(self._cluster, ours), self._cluster.where
        if found is None:
            fault = f"elasticsearch: {where} has no index template {ours.name}: nothing was written. {LOAD}"
        elif found < ours.version:
            fault = (
                f"elasticsearch: {where} has the index template {ours.name} in version {found}, {ours.version} is needed: "
                f"nothing was written. {LOAD}"
            )
        else:
            fault = ""
        if found is not None and found > ours.version:
            self._tell(record, "the index template is of a newer program", template=ours.name, there=found, ours=ours.version)
        elif fault and record in OWN:
            self._tell(
                record, "events of the harvester itself become dead letters, all other data go on", error=fault, next=_LATER
            )
        return fault

    def _tell(self, record: type[Record], text: str, **more: object) -> None:
        """Once."""
        if record not in self._told:
            self._told.add(record)
            get_logger("consume").warning(text, **more)
