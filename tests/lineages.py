"""Lineages as tests look at them: all nodes of a stored one, and the difference of two from sets, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from app.graph import ShownNode
from app.lineage import Difference, Lineage
from app.records import LineageHead
from app.store import Store


async def nodes_of(store: Store, head: LineageHead) -> Sequence[ShownNode]:
    """The nodes of a lineage, as they are shown."""
    graph = await store.graphs.of(head)
    assert graph is not None
    return graph.nodes


def difference(before: Lineage, after: Lineage) -> Difference:
    """All changes, in order."""
    old, new = ({node.unique_id: node.hash for node in found.nodes} for found in (before, after))
    old_edges, new_edges = ({(upstream, node.unique_id) for node in found.nodes for upstream in node.upstream} for found in (before, after))
    return Difference(
        nodes_added=tuple(sorted(new.keys() - old.keys())),
        nodes_removed=tuple(sorted(old.keys() - new.keys())),
        nodes_changed=tuple(sorted(key for key in new.keys() & old.keys() if new[key] != old[key])),
        edges_added=tuple(sorted(new_edges - old_edges)),
        edges_removed=tuple(sorted(old_edges - new_edges)),
    )
