"""Two lineages as one graph, with marks for what differs."""

from __future__ import annotations

from collections.abc import Sequence

from app.lineage.diff import Diff, Edge
from app.lineage.graph import Graph, GraphNode
from app.lineage.layout.scene import Mark, Marks


def merged(base: Graph, head: Graph) -> Graph:
    """The nodes and edges of both, nodes as they are at the head. The edges of two lineages together can be a circle."""
    nodes: dict[str, GraphNode] = {node.unique_id: node for graph in (base, head) for node in graph.nodes}
    upstream: dict[str, set[str]] = {unique_id: set() for unique_id in nodes}
    for graph in (base, head):
        for node, above in zip(graph.nodes, graph.parents, strict=True):
            upstream[node.unique_id].update(graph.nodes[parent].unique_id for parent in above)
    ids = sorted(nodes)
    return Graph([nodes[unique_id] for unique_id in ids], [sorted(upstream[unique_id]) for unique_id in ids])


def marks(diff: Diff) -> Marks:
    """The marks of what a comparison found."""
    nodes: dict[str, Mark] = {one.unique_id: "added" for one in diff.nodes_added}
    nodes |= {one.unique_id: "removed" for one in diff.nodes_removed}
    nodes |= {one.unique_id: "changed" for one in diff.nodes_changed}
    return Marks(nodes, _edges(diff.edges_added, "added") | _edges(diff.edges_removed, "removed"))


def _edges(found: Sequence[Edge], mark: Mark) -> dict[tuple[str, str], Mark]:
    return {(edge.upstream, edge.downstream): mark for edge in found}
