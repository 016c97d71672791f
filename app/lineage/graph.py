"""A lineage in memory, nodes by position, and the filters of the API."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import chain
from typing import Literal

import msgspec
import orjson

Direction = Literal["upstream", "downstream", "both"]

MAX_SUGGESTIONS = 10
"""Names that are suggested instead of one that does not exist."""
MAX_COMPARED = 50
"""Names that are compared letter by letter, after a quick ranking of all."""
NODE_BYTES = 600
"""Approximate memory of a node, without its JSON and that of its edges."""
NGRAM = 3
MAX_NGRAMS = 40
"""Of the sought name, evenly spaced, in the quick ranking."""
MAX_NAME = 120
"""Characters. For longer names, nothing is suggested."""
MIN_SIMILARITY = 0.5
"""The `ratio()` of `SequenceMatcher` from which two names are similar."""


class GraphNode(msgspec.Struct, frozen=True, gc=False):
    """`content` is the node's JSON object.

    `gc=False`: tens of thousands of nodes would slow down the garbage collector, and they contain no cycles.
    """

    unique_id: str
    resource_type: str
    name: str
    package_name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class GraphFilter:
    """Selects the nodes that meet all conditions, and the edges between them.

    `focus` is a unique_id or a name, `depth` the number of edges from there, None without a limit.
    """

    focus: str | None = None
    direction: Direction = "both"
    depth: int | None = None
    resource_types: tuple[str, ...] = ()
    package: str | None = None
    tag: str | None = None


class _Tagged(msgspec.Struct):
    tags: list[str] = []


class Graph:
    """An immutable lineage. `nodes` are in the order of the API."""

    __slots__ = ("__weakref__", "_children", "_numbers", "edges", "nbytes", "nodes", "parents")

    def __init__(self, nodes: Sequence[GraphNode], upstream: Sequence[Sequence[str]]) -> None:
        """`upstream` has the unique_ids that each node depends on."""
        self.nodes = nodes
        self._numbers = {node.unique_id: number for number, node in enumerate(nodes)}
        self.parents = [tuple(map(self._numbers.__getitem__, above)) for above in upstream]
        self._children = _inverted(self.parents)
        texts = [orjson.dumps(node.unique_id) for node in nodes]
        self.edges = [edges_json([texts[parent] for parent in above], texts[number]) for number, above in enumerate(self.parents)]
        """The edges into each node, as JSON."""
        self.nbytes = NODE_BYTES * len(nodes) + sum(len(node.content) for node in nodes) + sum(map(len, self.edges))

    def find(self, focus: str) -> list[int]:
        """The positions of the nodes with this unique_id or name; several nodes can have the same name."""
        if focus in self._numbers:
            return [self._numbers[focus]]
        return [number for number, node in enumerate(self.nodes) if node.name == focus]

    def position(self, unique_id: str) -> int | None:
        """The position of the node with this unique_id."""
        return self._numbers.get(unique_id)

    def children(self, position: int) -> tuple[int, ...]:
        """The positions of the nodes that depend on this one."""
        return self._children[position]

    def similar(self, focus: str) -> list[str]:
        """The unique_ids that are similar to `focus`, or whose names are; the most similar first."""
        return similar(focus, ((node.unique_id, node.unique_id if "." in focus else node.name) for node in self.nodes))

    def select(self, graph_filter: GraphFilter, focus: Iterable[int] | None = None) -> Selection:
        """Apply a filter; `focus` has the positions of its focus and of everything around it."""
        return self._filtered(graph_filter, range(len(self.nodes)) if focus is None else sorted(focus))

    def around(self, start: Collection[int], graph_filter: GraphFilter) -> set[int]:
        """The positions of the nodes that the filter's direction and depth lead to."""
        return self._around({*start}, graph_filter)

    def select_small(self, graph_filter: GraphFilter, max_nodes: int) -> Selection | None:
        """`select` for a focus that is a unique_id; None if more than `max_nodes` are within reach, without visiting many more."""
        start = self._numbers.get(graph_filter.focus or "")
        around = set() if start is None else self._around({start}, graph_filter, max_nodes)
        return self._filtered(graph_filter, sorted(around)) if 0 < len(around) <= max_nodes else None

    def reach(self, start: set[int], direction: Literal["upstream", "downstream"], depth: int | None) -> set[int]:
        """The positions at most `depth` edges away from any of `start` (None: at any distance), `start` included."""
        return _reach(self.parents if direction == "upstream" else self._children, start, depth, None)

    def _filtered(self, graph_filter: GraphFilter, numbers: Iterable[int]) -> Selection:
        if graph_filter.resource_types:
            numbers = (number for number in numbers if self.nodes[number].resource_type in graph_filter.resource_types)
        if graph_filter.package is not None:
            numbers = (number for number in numbers if self.nodes[number].package_name == graph_filter.package)
        if graph_filter.tag is not None:
            numbers = (number for number in numbers if graph_filter.tag in _tags(self.nodes[number]))
        return Selection(self, numbers)

    def _around(self, start: set[int], graph_filter: GraphFilter, max_nodes: int | None = None) -> set[int]:
        reached = {*start}
        if graph_filter.direction != "downstream":
            reached |= _reach(self.parents, start, graph_filter.depth, max_nodes)
        if graph_filter.direction != "upstream":
            reached |= _reach(self._children, start, graph_filter.depth, max_nodes)
        return reached


class Selection:
    """Nodes of a graph and the edges between them, as JSON or one by one."""

    __slots__ = ("_graph", "_included", "numbers")

    def __init__(self, graph: Graph, numbers: Iterable[int]) -> None:
        self._graph = graph
        self.numbers = array("I", numbers)
        self._included = bytearray(len(graph.nodes))
        for number in self.numbers:
            self._included[number] = 1

    def nodes(self) -> Iterator[bytes]:
        """The JSON objects of the nodes, in the graph's order."""
        nodes = self._graph.nodes
        return (nodes[number].content for number in self.numbers)

    def edges(self) -> Iterator[bytes]:
        """The edges as JSON: for each node that has any, those into it, comma-separated."""
        whole = len(self.numbers) == len(self._included)
        return filter(None, self._graph.edges if whole else map(self._edges_into, self.numbers))

    def numbered(self) -> Iterator[tuple[int, GraphNode]]:
        """The nodes with their positions in the graph."""
        return ((number, self._graph.nodes[number]) for number in self.numbers)

    def graph_nodes(self) -> Iterator[GraphNode]:
        """The nodes, in the graph's order."""
        return map(self._graph.nodes.__getitem__, self.numbers)

    def pairs(self) -> Iterator[tuple[int, int]]:
        """The edges as positions (upstream, downstream), in the order of `edges`."""
        return ((parent, number) for number in self.numbers for parent in self.parents(number))

    def parents(self, number: int) -> list[int]:
        """The positions of the selected nodes that a node depends on."""
        return [parent for parent in self._graph.parents[number] if self._included[parent]]

    def has(self, number: int) -> bool:
        """Whether the node at a position in the graph is selected."""
        return bool(self._included[number])

    def node(self, number: int) -> GraphNode:
        """The node at a position in the graph."""
        return self._graph.nodes[number]

    def _edges_into(self, number: int) -> bytes:
        graph, included = self._graph, self._included
        parents = graph.parents[number]
        left = [parent for parent in parents if included[parent]]
        if len(left) == len(parents):
            return graph.edges[number]
        texts = [orjson.dumps(graph.nodes[parent].unique_id) for parent in left]
        return edges_json(texts, orjson.dumps(graph.nodes[number].unique_id))


def similar(sought: str, names: Iterable[tuple[str, str]]) -> list[str]:
    """The keys of the names that are similar to `sought`, the most similar first; `names` are pairs of a key and a name."""
    if len(sought) > MAX_NAME:
        return []
    sought = sought.casefold()
    starts = range(0, max(1, len(sought) - NGRAM + 1), 1 + len(sought) // MAX_NGRAMS)
    grams = {sought[start : start + NGRAM] for start in starts}
    folded = [(key, name[:MAX_NAME].casefold()) for key, name in names]
    shared = [sum(gram in name for gram in grams) for _, name in folded]
    likely = heapq.nlargest(MAX_COMPARED, (number for number, found in enumerate(shared) if found), key=shared.__getitem__)
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(sought)
    ranked = []
    for key, name in map(folded.__getitem__, likely):
        matcher.set_seq1(name[:MAX_NAME])
        ranked.append((-max(matcher.ratio(), MIN_SIMILARITY if sought in name else 0), key))
    return [key for ratio, key in sorted(ranked) if -ratio >= MIN_SIMILARITY][:MAX_SUGGESTIONS]


def edges_json(upstream: Sequence[bytes], downstream: bytes) -> bytes:
    """The edges into one node, comma-separated; the unique_ids are JSON strings."""
    end = b',"downstream":' + downstream + b"}"
    return b",".join([b'{"upstream":' + one + end for one in upstream])


def _inverted(parents: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    children: list[list[int]] = [[] for _ in parents]
    for number, above in enumerate(parents):
        for parent in above:
            children[parent].append(number)
    return list(map(tuple, children))


def _reach(neighbours: Sequence[Sequence[int]], start: set[int], depth: int | None, max_nodes: int | None) -> set[int]:
    """The nodes at most `depth` edges away, `start` included. The search stops when it has more than `max_nodes`."""
    reached = {*start}
    edge = {*start}
    while edge and (depth is None or depth > 0) and (max_nodes is None or len(reached) <= max_nodes):
        edge = set(chain.from_iterable(map(neighbours.__getitem__, edge))) - reached
        reached |= edge
        depth = None if depth is None else depth - 1
    return reached


def _tags(node: GraphNode) -> list[str]:
    return msgspec.json.decode(node.content, type=_Tagged).tags
