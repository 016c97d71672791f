"""Builds a `ColumnGraph` from what a container found out about columns and what the YAML files say of them.

Names that are not the same match if they differ in case only, and no other column of the node does. In SQL, names in quotes can differ in
case; both are then columns, and the YAML file has to spell them in the same way.
"""

from __future__ import annotations

from array import array
from collections.abc import Container, Iterable, Mapping
from sys import intern
from typing import Any

import msgspec

from app.lineage.column_document import ColumnStatus, FoundColumn
from app.lineage.column_graph import CERTAIN, SUBTYPES, ColumnArrays, ColumnGraph, TracedNode
from app.lineage.column_tests import unquoted
from app.lineage.graph import Graph
from app.lineage.resource_types import RELATIONS

UNKNOWN, ABSENT, PRESENT = range(3)
"""Indexes into `column_graph.IN_SQL`."""
NOT_TRACED = "The columns document has no line for this node."
AMBIGUOUS = -1
_CODES: Mapping[str, int] = {name: number for number, name in enumerate(SUBTYPES)}


class _YamlColumn(msgspec.Struct, gc=False):
    name: str
    data_type: str | None = None
    description: str = ""


class _Content(msgspec.Struct, gc=False):
    columns: list[_YamlColumn] = []


class _Stored(msgspec.Struct, gc=False):
    """What matters here of a `ColumnContent`, with edges as tuples, which are faster to read: there are millions."""

    reason: str | None = None
    columns: tuple[FoundColumn, ...] = ()
    open: bool = False
    edges: list[tuple[str, str, str | None, str, bool]] = []
    hard_coded: tuple[str, ...] = ()
    rows: str | None = None


_stored = msgspec.json.Decoder(_Stored).decode
_yaml = msgspec.json.Decoder(_Content).decode


class ColumnMerge:
    """Add all nodes of a lineage in any order, then `finish`. Linear in the number of columns and edges."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._arrays = ColumnArrays()
        self._nodes: dict[int, TracedNode] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._read: set[int] = set()
        """Columns of sources that some SQL certainly reads: so they exist."""

    def add(self, unique_id: str, status: ColumnStatus | str, content: bytes) -> None:
        """Add a node, with its `ColumnContent` as JSON. Nodes that the lineage does not have are left out."""
        position = self._graph.position(unique_id)
        if position is None or position in self._nodes:
            return
        known: Any = status
        found = _stored(content)
        numbers = list(dict.fromkeys(self._number(position, column.name) for column in found.columns))
        for column in found.columns:
            self._arrays.types[self._number(position, column.name)] = None if column.type is None else intern(column.type)
        node = TracedNode(known, found.reason, found.open, found.hard_coded, array("i", numbers))
        node.file = found.rows if unique_id.startswith("seed.") else None
        for number in numbers:
            self._arrays.in_sql[number] = self._presence(position, node)
        self._nodes[position] = node
        self._add_edges(position, node, found)

    def finish(self) -> ColumnGraph:
        """The columns of the added nodes, and of those that are tables or views but were not added."""
        for position, node in enumerate(self._graph.nodes):
            if node.resource_type in RELATIONS and position not in self._nodes:
                self._nodes[position] = TracedNode("unknown", NOT_TRACED, True, (), array("i"))  # noqa: FBT003 - `open`
        aliases: dict[int, int] = {}
        nodes = dict(sorted(self._nodes.items()))
        for position, traced in nodes.items():
            self._merge(position, traced, aliases)
        arrays = self._arrays
        if aliases:
            arrays.up = array("i", [aliases.get(column, column) for column in arrays.up])
        for column in self._read:
            arrays.in_sql[aliases.get(column, column)] = PRESENT
        return ColumnGraph(self._graph, nodes, arrays)

    def _number(self, position: int, name: str) -> int:
        names = self._names.setdefault(position, {})
        if name not in names:
            arrays = self._arrays
            names[name] = len(arrays.names)
            arrays.names.append(intern(name))
            arrays.types.append(None)
            arrays.owners.append(position)
            arrays.in_sql.append(UNKNOWN)
            arrays.first.append(0)
            arrays.last.append(0)
        return names[name]

    def _presence(self, position: int, node: TracedNode) -> int:
        """Whether a column that the container reports is in the SQL. Of unknown nodes and open seeds, it repeats the YAML file."""
        kind = self._graph.nodes[position].resource_type
        is_known = not node.open if kind == "seed" else kind != "source" and node.status != "unknown"
        return PRESENT if is_known else UNKNOWN

    def _add_edges(self, position: int, node: TracedNode, found: _Stored) -> None:
        """Those to columns in their order, then those to all rows."""
        arrays, places, folded = self._arrays, dict.fromkeys(node.columns), self._folded(node)
        above: dict[str, tuple[int | None, bool]] = {}
        into: dict[str | None, tuple[array[int], bytearray]] = {}
        for upstream, name, column, subtype, certain in found.edges:
            if upstream not in above:
                above[upstream] = self._above(upstream)
            owner, is_source = above[upstream]
            if owner is None:
                continue
            number = self._names.get(owner, {}).get(name)
            number = self._number(owner, name) if number is None else number
            if column not in into:
                into[column] = array("i"), bytearray()
            ups, codes = into[column]
            ups.append(number)
            codes.append(_CODES[subtype] | CERTAIN if certain else _CODES[subtype])
            if is_source and certain:
                self._read.add(number)
        rows = into.pop(None, (array("i"), bytearray()))
        by_column: dict[int, list[tuple[array[int], bytearray]]] = {}
        for own, edges in into.items():
            number = self._own(position, str(own), places, folded)
            places.setdefault(number)
            by_column.setdefault(number, []).append(edges)
        node.columns = array("i", places)
        node.first = len(arrays.up)
        for number in places:
            arrays.first[number] = len(arrays.up)
            for edges in by_column.get(number, ()):
                self._extend(number, *edges)
            arrays.last[number] = len(arrays.up)
        node.rows = len(arrays.up)
        self._extend(~position, *rows)
        node.last = len(arrays.up)

    def _above(self, unique_id: str) -> tuple[int | None, bool]:
        """The position of a node, and whether it is a source."""
        position = self._graph.position(unique_id)
        return position, position is not None and self._graph.nodes[position].resource_type == "source"

    def _extend(self, down: int, ups: array[int], codes: bytearray) -> None:
        self._arrays.up += ups
        self._arrays.down += array("i", [down]) * len(ups)
        self._arrays.codes += codes

    def _own(self, position: int, name: str, places: Container[int], folded: Mapping[str, int]) -> int:
        """A column of the node itself."""
        number = self._names.get(position, {}).get(name, AMBIGUOUS)
        if number in places:
            return number
        same = folded.get(name.casefold(), AMBIGUOUS)
        return self._number(position, name) if same == AMBIGUOUS else same

    def _folded(self, node: TracedNode) -> dict[str, int]:
        folded: dict[str, int] = {}
        for number in node.columns:
            _fold(folded, self._arrays.names[number], number)
        return folded

    def _merge(self, position: int, node: TracedNode, aliases: dict[int, int]) -> None:
        """Add to a node the columns that only the YAML file, or another node's SQL, names."""
        listed, folded = set(node.columns), self._folded(node)
        complete = not node.open and (node.status == "exact" or self._graph.nodes[position].resource_type == "seed")
        for column in _yaml(self._graph.nodes[position].content).columns:
            self._merge_one(position, node, column, listed, folded, ABSENT if complete else UNKNOWN)
        for name, number in self._names.get(position, {}).items():
            if number in listed:
                continue
            same = folded.get(name.casefold(), AMBIGUOUS)
            if same != AMBIGUOUS:
                aliases[number] = same
            else:
                node.columns.append(number)
                listed.add(number)
                _fold(folded, name, number)

    def _merge_one(
        self, position: int, node: TracedNode, column: _YamlColumn, listed: set[int], folded: dict[str, int], otherwise: int
    ) -> None:
        name, quoted = unquoted(column.name)
        number = self._names.get(position, {}).get(name, AMBIGUOUS)
        if number not in listed and not quoted:
            number = folded.get(name.casefold(), AMBIGUOUS)
        if number not in listed:
            number = self._number(position, name)
            node.columns.append(number)
            listed.add(number)
            _fold(folded, name, number)
            self._arrays.in_sql[number] = otherwise
        self._arrays.types[number] = intern(column.data_type) if column.data_type else self._arrays.types[number]
        if column.description and number not in self._arrays.descriptions:
            self._arrays.descriptions[number] = column.description


def column_graph(graph: Graph, columns: Iterable[tuple[str, str, bytes]]) -> ColumnGraph:
    """The column graph of a lineage; `columns` are (unique_id, status, content) of its nodes."""
    merge = ColumnMerge(graph)
    for one in columns:
        merge.add(*one)
    return merge.finish()


def _fold(folded: dict[str, int], name: str, number: int) -> None:
    key = name.casefold()
    folded[key] = AMBIGUOUS if key in folded else number
