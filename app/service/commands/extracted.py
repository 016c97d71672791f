"""What `extract` has made of one commit, and which part of it was asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from app.core.errors import ColumnsError
from app.core.plurals import count
from app.github.git.local import LocalSource
from app.lineage.column_document import NodeColumns
from app.lineage.column_graph import ColumnGraph, ColumnSelection
from app.lineage.column_selectors import FollowedColumn
from app.lineage.graph import Graph, GraphNode
from app.lineage.nodes import Lineage
from app.pipeline.refresh import NewLineage


@dataclass(frozen=True, slots=True)
class TracedColumns:
    """The columns of a lineage: as a graph, and by unique_id as a container found them."""

    graph: ColumnGraph
    nodes: Mapping[str, NodeColumns]


@dataclass(frozen=True)
class Extracted:
    """One commit with its lineage."""

    source: LocalSource
    refreshed: NewLineage
    result: Mapping[str, Any]
    """As `NewLineage.result`."""
    traced: TracedColumns | ColumnsError | None = None
    """Its columns, or why there are none; None: nothing needs them."""
    shows_columns: bool = False
    """Whether somebody asked to see them."""

    @cached_property
    def graph(self) -> Graph:
        """The lineage as a graph."""
        return self.traced.graph.graph if isinstance(self.traced, TracedColumns) else graph_of(self.lineage)

    @property
    def columns(self) -> ColumnGraph | ColumnsError | None:
        """The columns to show, or why there are none; None: nobody asked for them."""
        if not self.shows_columns:
            return None
        return self.traced.graph if isinstance(self.traced, TracedColumns) else self.traced

    @property
    def lineage(self) -> Lineage:
        """The lineage, in memory."""
        lineage = self.refreshed.lineage
        assert isinstance(lineage, Lineage)  # noqa: S101 - `Inline` returns one
        return lineage

    @property
    def label(self) -> str:
        """For people: `shop at 1a2b3c4`, with what is not committed."""
        source = self.source
        if source.head_sha is None:
            return source.repository.full_name
        more = f" with {count(len(source.uncommitted), 'uncommitted file')}" if source.uncommitted else ""
        return f"{source.repository.full_name} at {source.head_sha[:7]}{more}"

    def column_part(self, selected: Selected | None) -> ColumnSelection | None:
        """The selected columns; None if there are none at all."""
        if not isinstance(self.columns, ColumnGraph):
            return None
        return self.columns.whole() if selected is None else selected.part


@dataclass(frozen=True, slots=True)
class Selected:
    """A selection by positions. `nodes` were named, `positions` also has the nodes of columns that were followed."""

    nodes: Collection[int]
    positions: Collection[int]
    followed: tuple[FollowedColumn, ...] = ()
    part: ColumnSelection | None = None


def graph_of(lineage: Lineage) -> Graph:
    """A lineage as a graph."""
    nodes = [GraphNode(node.unique_id, node.resource_type, node.name, node.package_name, node.content) for node in lineage.nodes]
    return Graph(nodes, [node.upstream for node in lineage.nodes])
