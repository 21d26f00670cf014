"""What a GraphQL query costs, and how many nodes it may return, by the vendor's rule: counted before it is answered."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
)

_MOST_NODES = 500_000
_MOST_FIRST = 100
_MOST_IDS = 100


class Cost(NamedTuple):
    points: int
    nodes: int


class LimitError(GraphQLError):
    """A query that is not answered at all; `kind` is the error's type."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def cost_of(
    schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any]
) -> Cost:
    """Of the operation that is run. Raises LimitError: no first or last, more than a hundred, or too many nodes or ids."""
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    counter = _Counter(schema, fragments, variables)
    counter.walk(operation.selection_set, "Query", 1)
    if counter.nodes > _MOST_NODES:
        message = f"This query requests up to {counter.nodes:,} possible nodes which exceeds the maximum limit of 500,000."
        raise LimitError("MAX_NODE_LIMIT_EXCEEDED", message)
    return Cost(max(1, (counter.requests + 50) // 100), counter.nodes)


class _Counter:
    def __init__(
        self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode], variables: Mapping[str, Any]
    ) -> None:
        self._schema, self._fragments, self._variables = schema, fragments, variables
        self.requests = self.nodes = 0

    def walk(self, selected: SelectionSetNode, parent: str, times: int) -> None:
        """`times`: how often `parent` may be there."""
        for each in selected.selections:
            match each:
                case FieldNode():
                    self._field(each, parent, times)
                case InlineFragmentNode():
                    self.walk(each.selection_set, each.type_condition.name.value if each.type_condition else parent, times)
                case FragmentSpreadNode():
                    fragment = self._fragments[each.name.value]
                    self.walk(fragment.selection_set, fragment.type_condition.name.value, times)

    def _field(self, field: FieldNode, parent: str, times: int) -> None:
        fields = getattr(self._schema.type_map[parent], "fields", {})
        definition = fields.get(field.name.value)
        if definition is None or field.selection_set is None:
            return
        kind = get_named_type(definition.type).name
        if kind.endswith("Connection") and self._asks_for_nodes(field.selection_set):
            many = self._bound(field, kind)
            self.requests += times
            self.nodes += times * many
            times *= many
        elif field.name.value == "nodes" and parent == "Query":
            times *= self._ids(field)
        self.walk(field.selection_set, kind, times)

    def _asks_for_nodes(self, selected: SelectionSetNode) -> bool:
        """Totals alone need no bound, and are taken to cost nothing."""
        for each in selected.selections:
            if isinstance(each, FieldNode) and each.name.value in {"nodes", "edges"}:
                return True
            if isinstance(each, InlineFragmentNode) and self._asks_for_nodes(each.selection_set):
                return True
            if isinstance(each, FragmentSpreadNode) and self._asks_for_nodes(self._fragments[each.name.value].selection_set):
                return True
        return False

    def _bound(self, field: FieldNode, kind: str) -> int:
        given = [self._number(each.value) for each in field.arguments or () if each.name.value in {"first", "last"}]
        numbers = [number for number in given if number is not None]
        if not numbers:
            message = f"You must provide a `first` or `last` value to properly paginate the `{field.name.value}` connection."
            raise LimitError("MISSING_PAGINATION_BOUNDARIES", message)
        if not 1 <= numbers[0] <= _MOST_FIRST:
            name = kind.removesuffix("Connection")
            message = f"Requesting {numbers[0]} records on the `{name}` connection exceeds the `first` limit of 100 records."
            raise LimitError("EXCESSIVE_PAGINATION", message)
        return numbers[0]

    def _number(self, value: ValueNode) -> int | None:
        """None: it is null, or a variable that is not given."""
        if isinstance(value, VariableNode):
            given = self._variables.get(value.name.value)
            return given if isinstance(given, int) else None
        return int(value.value) if isinstance(value, IntValueNode) else None

    def _ids(self, field: FieldNode) -> int:
        number = 1
        for argument in field.arguments or ():
            if isinstance(argument.value, ListValueNode):
                number = len(argument.value.values)
            elif isinstance(argument.value, VariableNode):
                number = len(self._variables.get(argument.value.name.value) or ())
        if number > _MOST_IDS:
            message = f"You may not provide more than {_MOST_IDS} node ids; you provided {number}."
            raise LimitError("ARGUMENT_LIMIT", message)
        return number
