"""What `--select` means where columns are shown: nodes in dbt's syntax (`node_selectors`), and `orders.total` for one column.

A column comes with everything that it is made of. dbt's operators say otherwise: `1+orders.total`, `orders.total+`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from app.lineage import column_reach, node_selectors
from app.lineage.column_graph import ColumnGraph, ColumnSelection
from app.lineage.column_tests import quoted
from app.lineage.graph import MAX_SUGGESTIONS, Graph
from app.lineage.node_selectors import MAX_SELECTORS, NodeReference, SelectorError

_PART = re.compile(r'(?:"[^"]*"|`[^`]*`|\S)+')
"""Names in quotes may have spaces."""
INTO = NodeReference("", upstream=1)


@dataclass(frozen=True, slots=True)
class FollowedColumn:
    """A column by number, of the node at a position, and where to follow it."""

    position: int
    column: int
    reference: NodeReference


@dataclass(frozen=True, slots=True)
class SelectedColumns:
    """`nodes`: positions of those that are selected whole."""

    nodes: frozenset[int]
    followed: tuple[FollowedColumn, ...]

    def on_the_way(self, columns: ColumnGraph) -> frozenset[int]:
        """The positions of the nodes that the followed columns lead to."""
        reached = (column_reach.reach(columns, [one.position], [one.column], one.reference) for one in self.followed)
        return frozenset(position for part in reached for position in part.nodes)

    def part(self, columns: ColumnGraph) -> ColumnSelection:
        """The selected nodes with the edges into them, and the followed columns with all edges on the way."""
        parts = [column_reach.reach(columns, sorted(self.nodes), None, INTO)] if self.nodes else []
        parts += [column_reach.reach(columns, [one.position], [one.column], one.reference) for one in self.followed]
        return _union(columns, parts)


def select(graph: Graph, columns: ColumnGraph | None, selection: str) -> SelectedColumns:
    """Raises SelectorError if a part matches nothing. None: the columns are not known, so `orders.total` selects `orders`."""
    parts = _PART.findall(selection)
    if not 1 <= len(parts) <= MAX_SELECTORS:
        raise SelectorError(selection, f"has to be 1 to {MAX_SELECTORS} selectors")
    nodes: set[int] = set()
    followed: dict[tuple[int, NodeReference], FollowedColumn] = {}
    for part in parts:
        try:
            nodes |= node_selectors.select(graph, part)
        except SelectorError as error:
            reference, positions, name = _split(graph, part, error)
            if columns is None:
                nodes |= positions
                continue
            found = _followed(columns, part, reference, positions, name)
            followed |= {(one.column, one.reference): one for one in found}
    return SelectedColumns(frozenset(nodes), tuple(followed.values()))


def _split(graph: Graph, part: str, error: SelectorError) -> tuple[NodeReference, set[int], str]:
    """The nodes and the name of a column; the operators with the default of a column. Raises the error if there is no such node."""
    reference = node_selectors.parse(part)
    if not reference.has_operators:
        reference = replace(reference, upstream=None)
    for node, name in _dotted(reference.node):
        try:
            return reference, node_selectors.select(graph, node), name
        except SelectorError:
            continue
    node, _, name = reference.node.rpartition(".")
    similar = graph.similar(node) if node else []
    near = error.candidates or ([f"{one}.{name}" for one in similar] if name else similar)
    raise SelectorError(error.selector, error.reason, near) from error


def _dotted(text: str) -> Iterator[tuple[str, str]]:
    """Each way to split a text at a dot, the last dot first: names of columns and of nodes can both have dots."""
    node, dot, name = text.rpartition(".")
    while dot:
        if node and name:
            yield node, name
        node, dot, before = node.rpartition(".")
        name = f"{before}.{name}"


def _followed(columns: ColumnGraph, part: str, reference: NodeReference, positions: set[int], name: str) -> Iterator[FollowedColumn]:
    bare, found = replace(reference, node=""), False
    for position in sorted(positions):
        for column in column_reach.find_columns(columns, position, name):
            found = True
            yield FollowedColumn(position, column, bare)
    if not found:
        raise _no_column(columns, part, reference.node.removesuffix(f".{name}"), positions, name)


def _no_column(columns: ColumnGraph, part: str, node: str, positions: set[int], name: str) -> SelectorError:
    names = [columns.name(one) for position in sorted(positions) if position in columns.nodes for one in columns.nodes[position].columns]
    if not names:
        return SelectorError(part, f"names no column: none of {node} is known")
    near = column_reach.similar_columns(columns, sorted(positions), name)
    is_open = any(columns.nodes[position].open for position in positions if position in columns.nodes)
    reason = f"names no {'known ' if is_open else ''}column of {node}"
    listed = ", ".join(map(quoted, names[:MAX_SUGGESTIONS])) + (" …" if len(names) > MAX_SUGGESTIONS else "")
    more = f", which {'may have more than' if is_open else 'has'} {listed}"
    return SelectorError(part, reason if near else f"{reason}{more}", [f"{node}.{quoted(one)}" for one in near])


def _union(columns: ColumnGraph, parts: Iterable[ColumnSelection]) -> ColumnSelection:
    nodes: dict[int, set[int]] = {}
    edges: set[int] = set()
    for part in parts:
        edges.update(part.edges)
        for position, numbers in part.nodes.items():
            nodes.setdefault(position, set()).update(numbers)
    chosen = {position: [one for one in columns.nodes[position].columns if one in nodes[position]] for position in sorted(nodes)}
    return ColumnSelection(columns, chosen, sorted(edges))
