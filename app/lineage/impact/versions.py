"""What the comparison reads: two lineages, and both versions of each node that differs between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from app.lineage.column_document import ColumnStatus, FoundColumn, Name, Subtype
from app.lineage.column_graph import ColumnGraph, TracedNode
from app.lineage.graph import Graph
from app.lineage.node_selectors import versioned_name

SideName = Literal["base", "head"]


@dataclass(frozen=True, slots=True)
class ImpactSide:
    """A lineage. `columns`: None if they are not known."""

    graph: Graph
    columns: ColumnGraph | None

    def name(self, unique_id: str) -> str:
        """The name of a node for people, `orders.v2` for a version."""
        position = self.graph.position(unique_id)
        return unique_id if position is None else versioned_name(self.graph.nodes[position])


class ImpactVersion(msgspec.Struct, frozen=True, gc=False):
    """A node at one commit. What an earlier release did not store is None."""

    unique_id: str
    content: bytes
    """Its JSON object in the API."""
    upstream: Sequence[str]
    definition: bytes | None = None
    """A JSON object (`definitions`)."""
    sql_hash: bytes | None = None
    """Of the code as the project has it."""
    status: ColumnStatus | str | None = None
    """How exactly its columns are known; None if nothing is stored of them, or the same for both versions (`ImpactPair`)."""
    columns: bytes | None = None
    """A `ColumnContent` as JSON."""
    code_hash: bytes | None = None
    """Of the compiled code."""


@dataclass(frozen=True, slots=True)
class ImpactPair:
    """Both versions of a node; None where it does not exist. `same_columns`: all that is stored of its columns is the same."""

    base: ImpactVersion | None
    head: ImpactVersion | None
    same_columns: bool = False


class NodeFacts(msgspec.Struct, frozen=True, gc=False):
    """Of a node's content."""

    resource_type: str = ""
    name: str = ""
    package_name: str = ""
    relation_name: str | None = None
    materialized: str | None = None
    version: Any = None
    access: str | None = None
    group: str | None = None
    owner: str | None = None
    columns: tuple[YamlColumn, ...] = ()


class YamlColumn(msgspec.Struct, frozen=True, gc=False):
    """A column in a YAML file."""

    name: str
    data_type: str | None = None


class Traced(msgspec.Struct, frozen=True, gc=False):
    """A `ColumnContent` without its edges, which may be many: they are in the `ColumnGraph`."""

    columns: tuple[FoundColumn, ...] = ()
    open: bool = False
    rendered: str | None = None
    sql: Name | None = None
    rows: Name | None = None
    missing: tuple[Name, ...] = ()
    uneven: bool = False


_facts = msgspec.json.Decoder(NodeFacts).decode
_traced = msgspec.json.Decoder(Traced).decode
_definition = msgspec.json.Decoder(dict[str, Any]).decode
Definition = Mapping[str, Any]


def facts_of(content: bytes) -> NodeFacts:
    """Decode a node's content."""
    return _facts(content)


def traced_of(version: ImpactVersion | None) -> Traced | None:
    """Decode what is stored of a node's columns."""
    return None if version is None or version.columns is None else _traced(version.columns)


def definition_of(definition: bytes | None) -> Definition | None:
    """Decode a node's definition."""
    return None if definition is None else _definition(definition)


class SideEdge(msgspec.Struct, frozen=True, gc=False):
    """An edge into a column or into all rows of a node: where it comes from."""

    upstream: str
    column: str
    """Folded."""
    subtype: Subtype
    certain: bool


class SideColumns:
    """The columns of a side, by the unique_ids of nodes and by names whose case is ignored unless it matters."""

    def __init__(self, side: ImpactSide) -> None:
        self._side = side
        self._numbers: dict[str, dict[str, int]] = {}

    def number(self, unique_id: str, name: str) -> int | None:
        """The number of a column in the `ColumnGraph`."""
        if unique_id not in self._numbers:
            self._numbers[unique_id] = self._read(unique_id)
        numbers = self._numbers[unique_id]
        exact = numbers.get(name)
        return numbers.get(folded(name)) if exact is None else exact

    def into(self, unique_id: str, name: str) -> frozenset[SideEdge]:
        """The edges into a column."""
        number, columns = self.number(unique_id, name), self._side.columns
        return frozenset() if number is None or columns is None else self._edges(columns, columns.edges_into(number))

    def into_rows(self, unique_id: str) -> frozenset[SideEdge]:
        """The edges into all rows of a node."""
        position, columns = self._side.graph.position(unique_id), self._side.columns
        return frozenset() if position is None or columns is None else self._edges(columns, columns.row_edges(position))

    def into_node(self, unique_id: str) -> Iterable[SideEdge]:
        """All edges into a node."""
        node, columns = self.node(unique_id), self._side.columns
        return () if node is None or columns is None else self._edges(columns, range(node.first, node.last))

    def node(self, unique_id: str) -> TracedNode | None:
        """A node of the `ColumnGraph`."""
        position, columns = self._side.graph.position(unique_id), self._side.columns
        return columns.nodes.get(position) if columns is not None and position is not None else None

    def made(self, unique_id: str) -> Traced | None:
        """The columns that the SQL of a node makes, without what only YAML files name."""
        node, columns = self.node(unique_id), self._side.columns
        if node is None or columns is None:
            return None
        names = (one.name for one in map(columns.column, node.columns) if one.in_sql)
        return Traced(tuple(map(FoundColumn, names)), open=node.open)

    def _edges(self, columns: ColumnGraph, numbers: Iterable[int]) -> frozenset[SideEdge]:
        edges = map(columns.edge, numbers)
        return frozenset(SideEdge(one.upstream, folded(one.upstream_column), one.subtype, one.certain) for one in edges)

    def _read(self, unique_id: str) -> dict[str, int]:
        node, columns = self.node(unique_id), self._side.columns
        if node is None or columns is None:
            return {}
        exact = {columns.name(number): number for number in node.columns}
        return {**{folded(name): number for name, number in reversed(exact.items())}, **exact}


def folded(name: str) -> str:
    """A name as warehouses compare names without quotes: that they fold to upper or lower case makes no difference between commits."""
    return name.casefold()
