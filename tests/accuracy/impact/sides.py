"""Two commits in memory, and their impact, as the service computes it from what it has stored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from app.lineage.column_document import NodeColumns
from app.lineage.column_graph import ColumnGraph
from app.lineage.column_merge import column_graph
from app.lineage.graph import Graph
from app.lineage.impact.compute import impact
from app.lineage.impact.model import Impact
from app.lineage.impact.versions import ImpactPair, ImpactSide, ImpactVersion
from app.lineage.nodes import Lineage, Node
from app.service.commands.extracted import graph_of


@dataclass(frozen=True)
class Side:
    """The lineage of a commit with its columns."""

    lineage: Lineage
    columns: tuple[NodeColumns, ...]
    project_dir: str = ""

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """By unique_id."""
        return {node.unique_id: node for node in self.lineage.nodes}

    @cached_property
    def traced(self) -> dict[str, NodeColumns]:
        """By unique_id."""
        return {node.unique_id: node for node in self.columns}

    @cached_property
    def graph(self) -> Graph:
        """Of all nodes."""
        return graph_of(self.lineage)

    @cached_property
    def column_graph(self) -> ColumnGraph:
        """Of all columns."""
        return column_graph(self.graph, ((node.unique_id, node.status, node.content) for node in self.columns))

    def code(self, unique_id: str) -> str | None:
        """The compiled code of a node."""
        found = self.traced.get(unique_id)
        return None if found is None or found.compiled_code is None else found.compiled_code.decode()

    def version(self, unique_id: str, *, with_columns: bool) -> ImpactVersion | None:
        """A node as it is compared."""
        node, found = self.nodes.get(unique_id), self.traced.get(unique_id)
        if node is None:
            return None
        kept = found if with_columns else None
        code = None if kept is None or kept.compiled_code is None else hashlib.sha256(kept.compiled_code).digest()
        return ImpactVersion(
            node.unique_id,
            node.content,
            node.upstream,
            node.definition,
            node.sql_hash,
            None if kept is None else kept.status,
            None if kept is None else kept.content,
            code,
        )


def compare(base: Side, head: Side) -> Impact:
    """The impact of the change from one to the other."""
    pairs = [*_pairs(base, head)]
    names = [one.unique_id for pair in pairs for one in (pair.base, pair.head) if one is not None]
    codes = {name: (base.code(name), head.code(name)) for name in names}
    definitions = {node.unique_id: node.definition for node in head.lineage.nodes}
    return impact(ImpactSide(base.graph, base.column_graph), ImpactSide(head.graph, head.column_graph), pairs, codes, definitions)


def _pairs(base: Side, head: Side) -> Iterator[ImpactPair]:
    """The nodes that differ in anything that is stored."""
    for unique_id in sorted(base.nodes.keys() | head.nodes.keys()):
        old, new = base.nodes.get(unique_id), head.nodes.get(unique_id)
        before, after = base.traced.get(unique_id), head.traced.get(unique_id)
        same_columns = (before.hash if before else None) == (after.hash if after else None)
        if not same_columns or old is None or new is None or old.hash != new.hash:
            yield ImpactPair(
                base.version(unique_id, with_columns=not same_columns),
                head.version(unique_id, with_columns=not same_columns),
                same_columns=same_columns and old is not None and new is not None,
            )
