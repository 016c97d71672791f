"""One lineage as it is read: nodes by position, edges in compact arrays, and the part of it that somebody asks for."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import chain
from typing import Literal

import msgspec
import orjson

Direction = Literal["upstream", "downstream", "both"]

CANDIDATES = 10
"""So many names are offered in the place of one that is not there."""
LOOKED_AT = 50
"""So many are compared letter by letter, after a quick look at all."""
NODE_BYTES = 600
"""What a node takes in memory besides its JSON and that of its edges, about."""
NGRAM = 3
MAX_NAME = 200
"""Longer names have no near ones."""
ALIKE = 0.5
"""`SequenceMatcher`'s ratio from which on two names are near."""


class ShownNode(msgspec.Struct, frozen=True, gc=False):
    """A node as it is read: `content` is its JSON object.

    Without `gc`: the collector would stop for tens of thousands of them, which refer to nothing but texts.
    """

    unique_id: str
    resource_type: str
    name: str
    package_name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """What is wanted of a lineage: everything that is said holds at once, edges are those between the nodes that are left.

    `focus` is a unique_id or a name, `depth` the number of edges from there, None for all the way.
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
    """A lineage, never changed after it was made. `nodes` are in the order in which they are shown."""

    __slots__ = ("__weakref__", "_children", "_numbers", "edges", "nbytes", "nodes", "parents")

    def __init__(self, nodes: Sequence[ShownNode], upstream: Sequence[Sequence[str]]) -> None:
        """Take the nodes, and of each the unique_ids of the nodes that it depends on."""
        self.nodes = nodes
        self._numbers = {node.unique_id: number for number, node in enumerate(nodes)}
        self.parents = [tuple(map(self._numbers.__getitem__, above)) for above in upstream]
        self._children = _turned(self.parents)
        texts = [orjson.dumps(node.unique_id) for node in nodes]
        self.edges = [edges_json([texts[parent] for parent in above], texts[number]) for number, above in enumerate(self.parents)]
        """Of each node, the edges into it as JSON."""
        self.nbytes = NODE_BYTES * len(nodes) + sum(len(node.content) for node in nodes) + sum(map(len, self.edges))

    def find(self, focus: str) -> list[int]:
        """Return the positions that a unique_id or a name stands for: one, or several of one name, or none."""
        if focus in self._numbers:
            return [self._numbers[focus]]
        return [number for number, node in enumerate(self.nodes) if node.name == focus]

    def near(self, focus: str) -> list[str]:
        """Return the unique_ids most like one that is not there, or with the names most like it; the nearest first."""
        if len(focus) > MAX_NAME:
            return []
        wanted = focus.casefold()
        grams = {wanted[start : start + NGRAM] for start in range(max(1, len(wanted) - NGRAM + 1))}
        names = [(node.unique_id if "." in focus else node.name).casefold() for node in self.nodes]
        shared = [sum(gram in name for gram in grams) for name in names]
        likely = heapq.nlargest(LOOKED_AT, (number for number, found in enumerate(shared) if found), key=shared.__getitem__)
        matcher = SequenceMatcher(autojunk=False)
        matcher.set_seq2(wanted)
        ranked = []
        for number in likely:
            matcher.set_seq1(names[number][:MAX_NAME])
            ratio = max(matcher.ratio(), ALIKE if wanted in names[number] else 0)
            ranked.append((-ratio, self.nodes[number].unique_id))
        return [unique_id for ratio, unique_id in sorted(ranked) if -ratio >= ALIKE][:CANDIDATES]

    def select(self, part: Part, start: int | None = None) -> Selection:
        """Return the nodes of a part; `start` is where its focus stands."""
        everything = range(len(self.nodes))
        return self._filtered(part, everything if start is None else sorted(self._around(start, part)))

    def select_few(self, part: Part, most: int) -> Selection | None:
        """Do the same for a focus that is a unique_id, with work for about `most` nodes at most: None when there is more to it."""
        start = self._numbers.get(part.focus or "")
        around = set() if start is None else self._around(start, part, most)
        return self._filtered(part, sorted(around)) if 0 < len(around) <= most else None

    def _filtered(self, part: Part, numbers: Iterable[int]) -> Selection:
        if part.resource_types:
            numbers = (number for number in numbers if self.nodes[number].resource_type in part.resource_types)
        if part.package is not None:
            numbers = (number for number in numbers if self.nodes[number].package_name == part.package)
        if part.tag is not None:
            numbers = (number for number in numbers if part.tag in _tags(self.nodes[number]))
        return Selection(self, numbers)

    def _around(self, start: int, part: Part, most: int | None = None) -> set[int]:
        reached = {start}
        if part.direction != "downstream":
            reached |= _reach(self.parents, start, part.depth, most)
        if part.direction != "upstream":
            reached |= _reach(self._children, start, part.depth, most)
        return reached


class Selection:
    """Nodes of a graph and the edges between them: as JSON, or one by one."""

    __slots__ = ("_graph", "_shown", "numbers")

    def __init__(self, graph: Graph, numbers: Iterable[int]) -> None:
        self._graph = graph
        self.numbers = array("I", numbers)
        self._shown = bytearray(len(graph.nodes))
        for number in self.numbers:
            self._shown[number] = 1

    def nodes(self) -> Iterator[bytes]:
        """Yield the nodes, in the graph's order."""
        nodes = self._graph.nodes
        return (nodes[number].content for number in self.numbers)

    def edges(self) -> Iterator[bytes]:
        """Yield the edges into each node that has any, comma-separated."""
        whole = len(self.numbers) == len(self._shown)
        return filter(None, self._graph.edges if whole else map(self._edges_into, self.numbers))

    def numbered(self) -> Iterator[tuple[int, ShownNode]]:
        """Yield the nodes with their positions in the graph."""
        return ((number, self._graph.nodes[number]) for number in self.numbers)

    def shown(self) -> Iterator[ShownNode]:
        """Yield the nodes, in the graph's order."""
        return map(self._graph.nodes.__getitem__, self.numbers)

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Yield the edges as positions of upstream and downstream, in the order of `edges`."""
        return ((parent, number) for number in self.numbers for parent in self.parents(number))

    def parents(self, number: int) -> list[int]:
        """Return the positions of the selected nodes that a node depends on."""
        return [parent for parent in self._graph.parents[number] if self._shown[parent]]

    def node(self, number: int) -> ShownNode:
        """Return the node at a position."""
        return self._graph.nodes[number]

    def _edges_into(self, number: int) -> bytes:
        graph, shown = self._graph, self._shown
        parents = graph.parents[number]
        left = [parent for parent in parents if shown[parent]]
        if len(left) == len(parents):
            return graph.edges[number]
        texts = [orjson.dumps(graph.nodes[parent].unique_id) for parent in left]
        return edges_json(texts, orjson.dumps(graph.nodes[number].unique_id))


def edges_json(upstream: Sequence[bytes], downstream: bytes) -> bytes:
    """Return edges into one node, comma-separated; the unique_ids are JSON strings."""
    end = b',"downstream":' + downstream + b"}"
    return b",".join([b'{"upstream":' + one + end for one in upstream])


def _turned(parents: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    children: list[list[int]] = [[] for _ in parents]
    for number, above in enumerate(parents):
        for parent in above:
            children[parent].append(number)
    return list(map(tuple, children))


def _reach(neighbours: Sequence[Sequence[int]], start: int, depth: int | None, most: int | None) -> set[int]:
    """Return what is at most `depth` edges away; it may end early once there are more than `most`."""
    reached = {start}
    edge = {start}
    while edge and (depth is None or depth > 0) and (most is None or len(reached) <= most):
        edge = set(chain.from_iterable(map(neighbours.__getitem__, edge))) - reached
        reached |= edge
        depth = None if depth is None else depth - 1
    return reached


def _tags(node: ShownNode) -> list[str]:
    return msgspec.json.decode(node.content, type=_Tagged).tags
