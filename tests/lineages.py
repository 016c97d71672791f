"""Lineages as tests look at them: all nodes of a stored one, and the difference of two from sets, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from app.lineage.graph import GraphNode
from app.lineage.nodes import ChangeSummary, Lineage
from app.store import Store
from app.store.lineages import LineageHead


async def nodes_of(store: Store, head: LineageHead) -> Sequence[GraphNode]:
    """The nodes of a lineage, as they are shown."""
    graph = await store.lineage_cache.get(head)
    assert graph is not None
    return graph.nodes


def difference(before: Lineage, after: Lineage) -> ChangeSummary:
    """All changes, in order."""
    old, new = ({node.unique_id: node.hash for node in found.nodes} for found in (before, after))
    old_edges, new_edges = ({(upstream, node.unique_id) for node in found.nodes for upstream in node.upstream} for found in (before, after))
    return ChangeSummary(
        nodes_added=tuple(sorted(new.keys() - old.keys())),
        nodes_removed=tuple(sorted(old.keys() - new.keys())),
        nodes_changed=tuple(sorted(key for key in new.keys() & old.keys() if new[key] != old[key])),
        edges_added=tuple(sorted(new_edges - old_edges)),
        edges_removed=tuple(sorted(old_edges - new_edges)),
    )
