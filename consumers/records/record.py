"""The record: one class per index or table, from which document, table columns and names follow."""

import re
import typing
from collections.abc import Collection, Iterator
from datetime import date, datetime
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_args, get_origin

import msgspec
from msgspec import UNSET, UnsetType

from harvester.event import Event

Kind = Literal["text", "integer", "number", "boolean", "timestamp", "date", "json"]
Enrichment = Literal["complete", "not_found", "pending"]

KINDS: dict[Any, Kind] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "boolean",
    datetime: "timestamp",
    date: "date",
}
_TIME = re.compile(r"\{time:([^{}]*)\}")
_DAYS = re.compile(r"(?:%[Ymdjy]|[^%])*")
_encoder = msgspec.json.Encoder()
_encode, _encode_into = _encoder.encode, _encoder.encode_into
_asdict = msgspec.structs.asdict
_NULL = msgspec.Raw(b"null")


class Column(NamedTuple):
    """One field of a record as a table has it: nested fields are joined with `_`, `path` leads to it in a row of JSON."""

    name: str
    path: tuple[str, ...]
    kind: Kind
    text: str
    """What the field means, for the data dictionary."""
    type: Any = None
    """Its Python type without Annotated and None; the header's follow from their kind."""
    marks: tuple[object, ...] = ()
    """What stands in its Annotated."""
    null: bool = False
    left_out: bool = False
    """Whether a document leaves it out when it is unknown."""


class Family(NamedTuple):
    """Marks a `dict[str, str]` field as an open family: its keys, named like `pattern`, stand at the top of the document."""

    pattern: str


class Ip(NamedTuple):
    """Marks a string that should be an IP address: an index takes what is none, but does not find it as one."""


class Point(NamedTuple):
    """Marks a list of longitude and latitude: an index finds it on a map."""


class FullText(NamedTuple):
    """Marks a string whose words an index finds, and the whole of it as `<name>.keyword`."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a record class says of itself, computed once when the class is made."""

    index: str
    table: str
    key: str
    partition: str
    """The time or date column that a warehouse cuts the table by: it never changes."""
    cluster: tuple[str, ...]
    """The columns that a warehouse sorts the table by, at most four."""
    columns: tuple[Column, ...]
    unset: tuple[str, ...]
    """Fields that may be UNSET."""
    families: tuple[str, ...]
    """Names of the open families among the fields."""
    times: tuple[str, ...]
    """Names of the times."""
    enrichers: tuple[str, ...]
    """Names of those whose data the record is made of."""
    names: dict[int, str]
    """Index names by day, filled as they are asked for."""


class Header(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What every document holds under `event`."""

    id: str
    dataset: str
    module: str
    ingested: datetime
    enrichment: str | None = None


# In a table the time is `event_time`: "@" may not begin a column's name in BigQuery and would need quotes elsewhere.
HEADER = (
    Column("event_time", ("@timestamp",), "timestamp", "when it happened at the source"),
    Column("event_id", ("event", "id"), "text", "id of this state of the thing, the same at every reading"),
    Column("event_dataset", ("event", "dataset"), "text", "type of the event"),
    Column("event_module", ("event", "module"), "text", "name of the configured source"),
    Column("event_ingested", ("event", "ingested"), "timestamp", "when it was handed to the sink"),
    Column(
        "event_enrichment",
        ("event", "enrichment"),
        "text",
        "what became of its look-up: `complete`; `not_found`: there is nothing to find; `pending`: not made yet, it is made "
        "later by itself. Left out where nothing is looked up",
        null=True,
        left_out=True,
    ),
)


@typing.dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class RecordMeta(msgspec.StructMeta):
    """Takes `index`, `table`, `key`, `enrichers`, `partition` and `cluster` as class arguments beside those of a Struct."""

    def __new__(  # noqa: PYI034 - Self is not allowed in a metaclass
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        index: str = "",
        table: str = "",
        key: str = "",
        enrichers: tuple[str, ...] = (),
        partition: str = "event_time",
        cluster: tuple[str, ...] = (),
        **options: Any,
    ) -> "RecordMeta":
        """Raises TypeError when the names do not fit the fields."""
        cls = super().__new__(mcls, name, bases, namespace, kw_only=True, **options)
        if table:
            said: dict[str, Any] = {"index": index, "table": table, "key": key, "partition": partition, "cluster": cluster}
            type.__setattr__(cls, "__shape__", _shape(cls, **said, enrichers=enrichers))
        return cls


class Record(msgspec.Struct, frozen=True, gc=False, metaclass=RecordMeta):
    """What a sink writes for a reader. A subclass gives `index` (with the event's day), `table` and `key`, a field's name.

    Fields are scalars, frozen structs of scalars (flattened in tables), lists and plain dicts (JSON columns), or open
    families. One that may be UNSET is left out while it is. A string in `Annotated` says what the field means. The key is
    unique within a source. `enrichers` are the keys of an event's context that it is made of, and that it waits for.
    `partition` and `cluster` name columns by which a warehouse cuts and sorts the table.
    """

    __shape__: ClassVar[Shape]


def columns(record: type[Record]) -> tuple[Column, ...]:
    """The columns of the record's table, its own first, then those that every record has."""
    return record.__shape__.columns


def index_pattern(record: type[Record]) -> str:
    """The pattern that all indexes of the record match, and with it those of another name that begins like its one."""
    index = record.__shape__.index
    return _TIME.sub("*", index) if _TIME.search(index) else f"{index}*"


def document(record: Record, event: Event, ingested: datetime) -> bytes:
    """The record as Elasticsearch and stdout get it: one line of JSON without its line break.

    Times at its top are written with `+00:00`, as readers of the predecessor's documents expect.
    """
    line = bytearray()
    add_document(line, record, event, ingested)
    return bytes(line)


def add_document(lines: bytearray, record: Record, event: Event, ingested: datetime) -> None:
    """The same, written behind `lines`."""
    shape, body = record.__shape__, _body(record)
    for name in shape.times:
        if body[name] is not None:
            body[name] = msgspec.Raw(_encode(body[name]).replace(b"Z", b"+00:00"))
    for name in shape.families:
        body.update(body.pop(name))
    body["@timestamp"] = event.time
    body["event"] = Header(event.id, event.type, event.source, ingested, enrichment(record, event))
    _encode_into(body, lines, -1)


def row(record: Record, event: Event, ingested: datetime, rank: int) -> bytes:
    """The record as a table loads it: one line of JSON in which every column's `path` leads to its value, and `event_rank`."""
    body = _body(record)
    body["@timestamp"] = event.time
    body["event"] = Header(event.id, event.type, event.source, ingested, enrichment(record, event))
    body["event_rank"] = rank
    return _encode(body)


def _body(record: Record) -> dict[str, Any]:
    body = _asdict(record)
    for name in record.__shape__.unset:
        if body[name] is UNSET:
            del body[name]
    return body


def enrichment(record: Record, event: Event) -> Enrichment | None:
    """What became of the look-ups for it; None when it needs none."""
    found: Enrichment | None = None
    for name in record.__shape__.enrichers:
        value = event.context.get(name)
        if value is None:
            return "pending"
        if found != "not_found":
            found = "not_found" if value == _NULL else "complete"
    return found


def key(record: Record) -> Any:
    """The value of the record's key field."""
    return getattr(record, record.__shape__.key)


def document_id(record: Record, event: Event) -> str:
    """The bare key when the source is named like its kind (`opencast`), else `name:key`: sources never meet in one index."""
    bare = key(record)
    kind = event.type.partition(".")[0]
    return str(bare) if event.source == kind else f"{event.source}:{bare}"


def index_name(record: Record, event: Event) -> str:
    """The index of the event's own day, so that a replay overwrites instead of repeating."""
    shape = record.__shape__
    day = event.time.toordinal()
    name = shape.names.get(day)
    if name is None:
        name = shape.names[day] = _TIME.sub(lambda match: event.time.strftime(match[1]), shape.index)
    return name


def _shape(cls: type, *, index: str, table: str, key: str, partition: str, cluster: tuple[str, ...], **more: Any) -> Shape:
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {name: hints[name] for name in cls.__struct_fields__}  # type: ignore[attr-defined]
    if key not in fields:
        raise TypeError(f"{cls.__name__}: key {key!r} is not one of its fields")
    if not all(_DAYS.fullmatch(pattern) for pattern in _TIME.findall(index)):
        raise TypeError(f"{cls.__name__}: index {index!r} may tell days apart, not hours")
    flat = (*_columns(fields), *HEADER)
    names = [column.name for column in flat]
    if len(set(names)) < len(names) or {"@timestamp", "event", "event_rank"} & fields.keys():
        raise TypeError(f"{cls.__name__}: two columns of one name in {names}")
    if any(column.name == partition and column.kind not in ("timestamp", "date") for column in flat) or not {
        partition,
        *cluster,
    } <= {*names}:
        raise TypeError(f"{cls.__name__}: partition {partition!r} is no time among its columns, or one of {cluster} is none")
    top = [column for column in flat[: -len(HEADER)] if len(column.path) == 1]
    return Shape(
        index=index,
        table=table,
        key=key,
        partition=partition,
        cluster=cluster,
        columns=flat,
        unset=tuple(name for name, hint in fields.items() if UnsetType in get_args(hint)),
        families=tuple(column.name for column in top if any(isinstance(mark, Family) for mark in column.marks)),
        times=tuple(column.name for column in top if column.kind == "timestamp"),
        names={},
        **more,
    )


def _columns(fields: dict[str, Any], above: Column | None = None, omitted: Collection[str] = ()) -> Iterator[Column]:
    for name, hint in fields.items():
        type_, marks, null = _unwrapped(hint)
        path = (*above.path, name) if above else (name,)
        column = Column(
            "_".join(path),
            path,
            KINDS.get(type_, "json"),
            next((mark for mark in marks if isinstance(mark, str)), ""),
            type_,
            marks,
            null or (above is not None and above.null),
            UnsetType in get_args(hint) or name in omitted or (above is not None and above.left_out),
        )
        if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
            yield from _columns(typing.get_type_hints(type_, include_extras=True), column, _omitted(type_))
        else:
            yield column


def _omitted(struct: type[msgspec.Struct]) -> frozenset[str]:
    """The fields of a nested struct that its JSON leaves out at their default."""
    if not struct.__struct_config__.omit_defaults:
        return frozenset()
    return frozenset(field.name for field in msgspec.structs.fields(struct) if not field.required)


def _unwrapped(hint: Any) -> tuple[Any, tuple[object, ...], bool]:
    """The type without Annotated, None and UNSET, what Annotated says, and whether it may be one of the two."""
    marks: tuple[object, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *said = get_args(hint)
        marks = tuple(said)
    null = False
    if isinstance(hint, UnionType):
        types = [member for member in get_args(hint) if member not in (NoneType, UnsetType)]
        null = len(types) < len(get_args(hint))
        hint = types[0] if len(types) == 1 else hint
    return hint, marks, null
