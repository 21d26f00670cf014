"""What our indexes and their templates are called on a server: the one place that puts the prefix before a name (E69)."""

import msgspec

from consumers.records.record import Record, index_name, index_pattern
from consumers.records.template import template_name
from harvester.event import Event


class Names(msgspec.Struct, frozen=True):
    """All names of one installation. Without a prefix they are those of the requirements, such as useractions-2026.11.28."""

    prefix: str = ""

    def of(self, name: str) -> str:
        """A name, or a pattern of names, as the server has it."""
        return f"{self.prefix}{name}"

    def index(self, record: Record, event: Event) -> str:
        """The index of the event's own day."""
        return self.of(index_name(record, event))

    def pattern(self, record: type[Record]) -> str:
        """All indexes of the record."""
        return self.of(index_pattern(record))

    def template(self, record: type[Record]) -> str:
        """The record's index template; the parts that it is made of are called like it, with @package and @custom."""
        return self.of(template_name(record))
