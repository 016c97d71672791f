"""Follows changes downstream: by column where columns are known, else by model. Each column, and each node, is visited once.

From columns that are gone, the way goes along the edges of the base, through nodes whose own SQL is the same; those that were rewritten
have changes of their own. Everything else goes along the edges of the head.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from app.lineage.column_graph import ROWS, ColumnGraph
from app.lineage.graph import Graph
from app.lineage.impact.changes import Starts
from app.lineage.impact.model import Route
from app.lineage.impact.versions import ImpactSide, SideColumns


@dataclass(slots=True)
class Visit:
    """A reached node. `columns`: names of its columns, of gone ones at the base."""

    distance: int
    rows: bool = False
    model: bool = False
    columns: set[str] = field(default_factory=set)

    @property
    def route(self) -> Route:
        """The one that says most: all rows are more than some columns, and known columns are more than a model."""
        return "rows" if self.rows else "column" if self.columns else "model"


Step = tuple[str, int]
"""`head` or `base` and a column of that side; `rows` or `model` and a node of the head."""


class Reach:
    """The reached nodes by their positions at the head; the changed nodes where it starts are at distance 0."""

    def __init__(self, base: ImpactSide, head: ImpactSide, rewritten: Collection[str], head_ids: Mapping[str, str]) -> None:
        """`rewritten`: nodes whose own SQL changed, by unique_id at the base. `head_ids`: of renamed nodes, by unique_id at the base."""
        self.visits: dict[int, Visit] = {}
        self._base, self._head, self._rewritten, self._head_ids = base, head, rewritten, head_ids
        self._seen: set[Step] = set()
        self._left: dict[int, list[Step]] = {}
        self._inexact: set[int] = set()
        """Nodes whose children without exact columns were visited."""
        self._base_names = SideColumns(base)
        self._head_names = SideColumns(head)

    def start(self, starts: Starts, distances: Mapping[int, int]) -> None:
        """Begin at these columns and nodes. `distances`: of nodes (by position) that are no changed nodes themselves."""
        for side, places, names in (("head", starts.columns, self._head_names), ("base", starts.base_columns, self._base_names)):
            for unique_id, column in places:
                number = names.number(unique_id, column)
                if number is not None:
                    self._begin((side, number), self._head_ids.get(unique_id, unique_id) if side == "base" else unique_id, distances)
                if side == "base" or number is None:
                    self._children_without(self._head_ids.get(unique_id, unique_id), distances)
        for kind, nodes in (("rows", starts.rows), ("model", starts.models)):
            for unique_id in nodes:
                position = self._head.graph.position(unique_id)
                if position is not None:
                    self._begin((kind, position), unique_id, distances)

    def run(self) -> None:
        """Follow everything, the nearest first."""
        distance = 0
        while self._left:
            for step in self._left.pop(distance, ()):
                self._visit(step, distance)
            distance += 1

    def _begin(self, step: Step, unique_id: str, distances: Mapping[int, int]) -> None:
        position = self._head.graph.position(unique_id)
        self._add(step, 0 if position is None else distances.get(position, 0))

    def _children_without(self, unique_id: str, distances: Mapping[int, int]) -> None:
        position = self._head.graph.position(unique_id)
        if position is not None:
            for child in self._without_columns(position):
                self._add(("model", child), distances.get(position, 0) + 1)

    def _add(self, step: Step, distance: int) -> None:
        if step not in self._seen:
            self._seen.add(step)
            self._left.setdefault(distance, []).append(step)

    def _visit(self, step: Step, distance: int) -> None:
        kind, number = step
        position = number if kind in {"rows", "model"} else self._owner(kind, number)
        if position is None:
            return
        visit = self.visits.setdefault(position, Visit(distance))
        if kind == "rows":
            visit.rows = True
        elif kind == "model":
            visit.model = True
        else:
            visit.columns.add(self._name(kind, number))
        for following in self._following(step, position, visit):
            self._add(following, distance + 1)

    def _following(self, step: Step, position: int, visit: Visit) -> Iterator[Step]:
        kind, number = step
        if kind == "rows":
            yield from (("rows", child) for child in self._head.graph.children(position))
        elif visit.rows:
            return
        elif kind == "model":
            yield from (("model", child) for child in self._head.graph.children(position))
        else:
            side = self._head if kind == "head" else self._base
            if side.columns is not None:
                yield from self._along(kind, side.columns, number)
            yield from (("model", child) for child in self._without_columns(position))

    def _along(self, kind: str, columns: ColumnGraph, number: int) -> Iterator[Step]:
        for edge in columns.edges_out_of(number):
            below, column = columns.below(edge), columns.downstream(edge)
            if kind == "base":
                unique_id = columns.unique_id(below)
                position = self._head.graph.position(self._head_ids.get(unique_id, unique_id))
                if position is None or unique_id in self._rewritten:
                    continue
                below = position
            yield ("rows", below) if column == ROWS else (kind, column)

    def _without_columns(self, position: int) -> Iterable[int]:
        """The nodes that depend on this one, and of which it is not known exactly by which columns. Once for each node."""
        if position in self._inexact:
            return ()
        self._inexact.add(position)
        columns = self._head.columns
        children = self._head.graph.children(position)
        if columns is None:
            return children
        return [child for child in children if (node := columns.nodes.get(child)) is None or node.status != "exact"]

    def _name(self, side: str, column: int) -> str:
        columns = self._head.columns if side == "head" else self._base.columns
        return "" if columns is None else columns.name(column)

    def _owner(self, side: str, column: int) -> int | None:
        columns = self._head.columns if side == "head" else self._base.columns
        if columns is None:
            return None
        position = columns.owner(column)
        if side == "head":
            return position
        unique_id = columns.unique_id(position)
        return self._head.graph.position(self._head_ids.get(unique_id, unique_id))


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
