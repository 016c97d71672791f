"""The nodes that a layout shows, and the edges between them."""

from __future__ import annotations

import posixpath
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from app.lineage.graph import Graph, GraphFilter, GraphNode
from app.lineage.resource_types import BY_NAME

Mark = Literal["added", "removed", "changed"]
Neighbours = Sequence[Sequence[int]]

HIDDEN = frozenset({"test", "unit_test", "analysis", "operation"})
"""Resource types that a layout shows only if it is asked for them."""
SHOWN = tuple(name for name in BY_NAME if name not in HIDDEN)
TESTS = frozenset({"test", "unit_test"})
NODE_BYTES = 400
"""Approximate memory of a node and its edges, beyond its graph."""


class Marks(msgspec.Struct, frozen=True):
    """What differs between two lineages; edges as pairs (upstream, downstream)."""

    nodes: Mapping[str, Mark] = {}
    edges: Mapping[tuple[str, str], Mark] = {}


class _File(msgspec.Struct, gc=False):
    original_file_path: str = ""


class Scene:
    """A selection of a graph: its nodes by number, in the graph's order, and their neighbours in it."""

    __slots__ = ("__weakref__", "_numbers", "children", "graph", "marks", "nbytes", "parents", "positions", "project", "tests")

    def __init__(
        self, graph: Graph, selected: GraphFilter, *, project: str | None = None, marks: Marks | None = None, also: str | None = None
    ) -> None:
        """`project` is the package that is the project itself, `also` the unique_id of a node that is shown in any case."""
        self.graph, self.project, self.marks = graph, project, marks or Marks()
        found = graph.select(selected).numbers
        self.positions = found if also is None else array("I", sorted({*found, *graph.find(also)}))
        self._numbers = array("i", [-1]) * len(graph.nodes)
        for number, position in enumerate(self.positions):
            self._numbers[position] = number
        self.parents = [self._shown(graph.parents[position]) for position in self.positions]
        self.children: list[list[int]] = [[] for _ in self.positions]
        for number, above in enumerate(self.parents):
            for parent in above:
                self.children[parent].append(number)
        self.tests = Counter(
            parent for node, above in zip(graph.nodes, graph.parents, strict=True) if node.resource_type in TESTS for parent in above
        )
        """The number of tests, shown or not, of each position of the graph that has any."""
        self.nbytes = graph.nbytes + NODE_BYTES * len(self.positions)

    def __len__(self) -> int:
        """The number of nodes."""
        return len(self.positions)

    def node(self, number: int) -> GraphNode:
        """A node."""
        return self.graph.nodes[self.positions[number]]

    def number(self, position: int) -> int | None:
        """The number of the node at a position of the graph; None if it is not shown."""
        found = self._numbers[position]
        return None if found < 0 else found

    def mark(self, number: int) -> Mark | None:
        """What differs in a node."""
        return self.marks.nodes.get(self.node(number).unique_id)

    def edge_mark(self, upstream: int, downstream: int) -> Mark | None:
        """Whether an edge is in only one of two lineages."""
        return self.marks.edges.get((self.node(upstream).unique_id, self.node(downstream).unique_id)) if self.marks.edges else None

    def groups(self) -> list[str]:
        """The group of each node."""
        decoder = msgspec.json.Decoder(_File)
        nodes = map(self.graph.nodes.__getitem__, self.positions)
        return [group(node.package_name, decoder.decode(node.content).original_file_path, self.project) for node in nodes]

    def _shown(self, positions: Sequence[int]) -> list[int]:
        found = map(self._numbers.__getitem__, positions)
        return [number for number in found if number >= 0]


def group(package: str, path: str, project: str | None) -> str:
    """What a node is shown together with: its folder, or its package if that is not the project itself."""
    return posixpath.dirname(path) if package == project or project is None else package
