"""Follows the edges of columns, and finds columns by name.

Edges to columns are followed. Edges to all rows are shown at each node on the way, but not followed: everything in and below such a node
depends on them, which says little about one column.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from app.lineage.column_graph import ROWS, ColumnGraph, ColumnSelection
from app.lineage.column_tests import unquoted
from app.lineage.graph import Direction, similar
from app.lineage.node_selectors import NodeReference

UNLIMITED = 1 << 30


def find_columns(columns: ColumnGraph, position: int, name: str) -> list[int]:
    """The columns of a node with this name: the one that is spelled so, or those that differ in case only. In quotes, only the former."""
    node = columns.nodes.get(position)
    numbers = node.columns if node else []
    bare, is_quoted = unquoted(name)
    for spelling in (name, bare, name[1:-1] if is_quoted else name):
        if exact := [number for number in numbers if columns.name(number) == spelling]:
            return exact
    return [] if is_quoted else [number for number in numbers if columns.name(number).casefold() == name.casefold()]


def similar_columns(columns: ColumnGraph, positions: Iterable[int], name: str) -> list[str]:
    """The names of the nodes' columns that are similar, the most similar first."""
    numbers = (number for position in positions if (node := columns.nodes.get(position)) for number in node.columns)
    names = dict.fromkeys(map(columns.name, numbers))
    return similar(name, ((one, one) for one in names))


def around(
    columns: ColumnGraph, positions: Sequence[int], start: Sequence[int] | None, direction: Direction, depth: int | None
) -> ColumnSelection:
    """What nodes (at these positions), or only their columns `start`, depend on and what depends on them, at most `depth` nodes away."""
    up = depth if direction != "downstream" else 0
    down = depth if direction != "upstream" else 0
    return reach(columns, positions, start, NodeReference("", up, down))


def reach(columns: ColumnGraph, positions: Sequence[int], start: Sequence[int] | None, reference: NodeReference) -> ColumnSelection:
    """The same with dbt's graph operators; their depths count nodes."""
    known = [position for position in positions if position in columns.nodes]
    chosen = [number for position in known for number in columns.nodes[position].columns] if start is None else list(start)
    walk = _Walk(columns, set(chosen), set(known))
    if reference.parents_of_children:
        below = walk.downstream(chosen, None)
        walk.upstream(sorted(below), None)
    else:
        walk.upstream(chosen, reference.upstream)
        walk.downstream(chosen, reference.downstream)
    return walk.selection()


@dataclass(slots=True)
class _Walk:
    columns: ColumnGraph
    reached: set[int]
    nodes: set[int]
    edges: set[int] = field(default_factory=set)

    def upstream(self, start: Sequence[int], depth: int | None) -> None:
        seen, with_rows, edge = set(start), set[int](), list(start)
        for _ in range(UNLIMITED if depth is None else depth):
            if not edge:
                break
            found: list[int] = []
            for column in edge:
                for one in self.columns.edges_into(column):
                    self._add(one)
                    above = self.columns.upstream(one)
                    if above not in seen:
                        seen.add(above)
                        found.append(above)
            for position in {self.columns.owner(column) for column in edge} - with_rows:
                with_rows.add(position)
                for one in self.columns.row_edges(position):
                    self._add(one)
            edge = found

    def downstream(self, start: Sequence[int], depth: int | None) -> set[int]:
        """The columns that depend on these, which are included."""
        seen, edge = set(start), list(start)
        for _ in range(UNLIMITED if depth is None else depth):
            if not edge:
                break
            found: list[int] = []
            for column in edge:
                for one in self.columns.edges_out_of(column):
                    self._add(one)
                    below = self.columns.downstream(one)
                    if below != ROWS and below not in seen:
                        seen.add(below)
                        found.append(below)
            edge = found
        return seen

    def _add(self, edge: int) -> None:
        columns = self.columns
        self.edges.add(edge)
        self.reached.add(columns.upstream(edge))
        self.nodes.add(columns.below(edge))
        if columns.downstream(edge) != ROWS:
            self.reached.add(columns.downstream(edge))

    def selection(self) -> ColumnSelection:
        nodes: dict[int, list[int]] = {position: [] for position in self.nodes}
        for column in self.reached:
            nodes.setdefault(self.columns.owner(column), [])
        chosen = {
            position: [number for number in self.columns.nodes[position].columns if number in self.reached] for position in sorted(nodes)
        }
        return ColumnSelection(self.columns, chosen, sorted(self.edges))
