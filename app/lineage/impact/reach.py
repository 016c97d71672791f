"""Follows changes downstream: by column where columns are known, else by model. Each column, and each node, is visited once.

From columns that are gone, the way goes along the edges of the base, through nodes whose own SQL is the same; those that were rewritten
have changes of their own. Everything else goes along the edges of the head.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from app.lineage.column_graph import ColumnGraph
from app.lineage.graph import Graph
from app.lineage.impact.changes import Starts
from app.lineage.impact.model import Route
from app.lineage.impact.versions import ImpactSide, SideColumns


@dataclass(slots=True)
class Visit:
    """A reached node. `columns`: names of its columns, of gone ones at the base."""

    distance: int
    rows: bool = False
    columns: set[str] = field(default_factory=set)

    @property
    def route(self) -> Route:
        """The one that says most: all rows are more than some columns, and known columns are more than a model."""
        return "rows" if self.rows else "column" if self.columns else "model"


@dataclass(slots=True)
class _Front:
    """What is to be visited at one distance: columns by number, nodes by position at the head."""

    columns: list[int] = field(default_factory=list)
    base_columns: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    models: list[int] = field(default_factory=list)


class Reach:
    """The reached nodes by their positions at the head; the changed nodes where it starts are at distance 0."""

    def __init__(self, base: ImpactSide, head: ImpactSide, rewritten: Collection[str], head_ids: Mapping[str, str]) -> None:
        """`rewritten`: nodes whose own SQL changed, by unique_id at the base. `head_ids`: of renamed nodes, by unique_id at the base."""
        self.visits: dict[int, Visit] = {}
        self._base, self._head, self._rewritten, self._head_ids = base, head, rewritten, head_ids
        self._fronts: dict[int, _Front] = {}
        self._seen: dict[str, set[int]] = {"columns": set(), "base_columns": set(), "rows": set(), "models": set()}
        self._looked: set[int] = set()
        """Nodes whose dependents without exact columns were visited."""
        self._at_head: dict[int, int | None] = {}
        """Positions at the head by those at the base; None: it is gone, or rewritten."""

    def start(self, starts: Starts, distances: Mapping[int, int]) -> None:
        """Begin at these columns and nodes. `distances`: of nodes (by position) that are no changed nodes themselves."""
        base_names, head_names = SideColumns(self._base), SideColumns(self._head)
        for unique_id, column in starts.columns:
            self._begin("columns", head_names.number(unique_id, column), unique_id, distances)
        for unique_id, column in starts.base_columns:
            self._begin("base_columns", base_names.number(unique_id, column), self._head_ids.get(unique_id, unique_id), distances)
        for kind, nodes in (("rows", starts.rows), ("models", starts.models)):
            for unique_id in nodes:
                self._begin(kind, self._head.graph.position(unique_id), unique_id, distances)

    def run(self) -> None:
        """Follow everything, the nearest first."""
        distance = 0
        while self._fronts:
            front = self._fronts.pop(distance, None)
            if front is not None:
                self._nodes(front, distance)
                self._columns(front, distance)
            distance += 1

    def _begin(self, kind: str, number: int | None, unique_id: str, distances: Mapping[int, int]) -> None:
        position = self._head.graph.position(unique_id)
        if position is None:
            return
        distance = distances.get(position, 0)
        if number is not None:
            self._add(kind, [number], distance)
        else:
            self._add("models", self._without_columns(position), distance + 1)

    def _add(self, kind: str, numbers: Iterable[int], distance: int) -> None:
        seen = self._seen[kind]
        new = [number for number in dict.fromkeys(numbers) if number not in seen]
        if new:
            seen.update(new)
            getattr(self._fronts.setdefault(distance, _Front()), kind).extend(new)

    def _nodes(self, front: _Front, distance: int) -> None:
        graph = self._head.graph
        for position in front.rows:
            self._visit(position, distance).rows = True
            self._add("rows", graph.children(position), distance + 1)
        for position in front.models:
            if not self._visit(position, distance).rows:
                self._add("models", graph.children(position), distance + 1)

    def _columns(self, front: _Front, distance: int) -> None:
        if self._head.columns is not None:
            for column in front.columns:
                self._column(self._head.columns, column, self._head.columns.owner(column), distance)
        if self._base.columns is not None:
            for column in front.base_columns:
                position = self._position(self._base.columns, self._base.columns.owner(column), start=distance == 0)
                self._column(self._base.columns, column, position, distance)

    def _column(self, side: ColumnGraph, column: int, position: int | None, distance: int) -> None:
        if position is None:
            return
        visit = self._visit(position, distance)
        visit.columns.add(side.name(column))
        if not visit.rows:
            self._follow(side, column, position, distance + 1)

    def _follow(self, side: ColumnGraph, column: int, position: int, distance: int) -> None:
        columns, nodes = side.followers(column)
        if side is self._head.columns:
            self._add("columns", columns, distance)
            self._add("rows", nodes, distance)
        else:
            self._add("base_columns", [one for one in columns if self._position(side, side.owner(one)) is not None], distance)
            self._add("rows", [at for one in nodes if (at := self._position(side, one)) is not None], distance)
        self._add("models", self._without_columns(position), distance)

    def _visit(self, position: int, distance: int) -> Visit:
        visit = self.visits.get(position)
        if visit is None:
            visit = self.visits[position] = Visit(distance)
        return visit

    def _without_columns(self, position: int) -> Iterable[int]:
        """The nodes that depend on this one, and of which it is not known exactly by which columns. Once for each node."""
        if position in self._looked:
            return ()
        self._looked.add(position)
        columns = self._head.columns
        children = self._head.graph.children(position)
        if columns is None:
            return children
        return [child for child in children if (node := columns.nodes.get(child)) is None or node.status != "exact"]

    def _position(self, base: ColumnGraph, position: int, *, start: bool = False) -> int | None:
        """The position at the head of a node of the base, unless its SQL is another one (that is where a way starts)."""
        unique_id = base.unique_id(position)
        if start:
            return self._head.graph.position(self._head_ids.get(unique_id, unique_id))
        if position not in self._at_head:
            known = None if unique_id in self._rewritten else self._head.graph.position(self._head_ids.get(unique_id, unique_id))
            self._at_head[position] = known
        return self._at_head[position]


def distances_from(graph: Graph, positions: Iterable[int]) -> dict[int, int]:
    """The number of edges to each node downstream of these, which are at distance 0."""
    found = dict.fromkeys(positions, 0)
    queue = list(found)
    for position in queue:  # it grows
        for child in graph.children(position):
            if child not in found:
                found[child] = found[position] + 1
                queue.append(child)
    return found
