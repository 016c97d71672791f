"""The nodes around a focus by their distance, and the shortest ways from one node to another. Linear in the edges that are passed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from app.lineage.graph import Graph

MOST_COUNTED = 1_000_000
"""Ways that are counted: in a large graph there can be more than any number has digits for."""


@dataclass(frozen=True, slots=True)
class ShortestPaths:
    """Ways from an upstream node to one downstream of it, as positions. `count`: how many there are, up to `MOST_COUNTED`."""

    paths: list[list[int]]
    count: int


def by_distance(graph: Graph, start: Collection[int], around: Collection[int]) -> list[tuple[int, int]]:
    """The positions `around` some nodes with their numbers of edges from there: the nearest first, then in the order of the graph.

    What lies neither upstream nor downstream, as parents of children do, comes by its distance in any direction.
    """
    within = {*around}
    found = _distances(graph.parents.__getitem__, start, within) | _distances(graph.children, start, within)
    if len(found) < len(within):
        found = _distances(lambda one: (*graph.parents[one], *graph.children(one)), start, within) | found
    return sorted(found.items(), key=lambda one: (one[1], one[0]))


def shortest_paths(graph: Graph, upstream: int, downstream: int, most: int) -> ShortestPaths:
    """The shortest ways, at most `most` of them; none if `downstream` does not depend on `upstream`."""
    distances, counts, level = {downstream: 0}, {downstream: 1}, [downstream]
    while level and upstream not in distances:
        found: dict[int, int] = {}
        for one in level:
            for parent in graph.parents[one]:
                if parent not in distances:
                    found[parent] = min(MOST_COUNTED, found.get(parent, 0) + counts[one])
        distances |= dict.fromkeys(found, distances[level[0]] + 1)
        counts |= found
        level = list(found)
    if upstream not in distances:
        return ShortestPaths([], 0)
    return ShortestPaths(list(islice(_ways(graph, upstream, distances), most)), counts[upstream])


def _distances(neighbours: Callable[[int], Sequence[int]], start: Collection[int], within: Collection[int]) -> dict[int, int]:
    found = dict.fromkeys(start, 0)
    level: Collection[int] = found.keys()
    distance = 0
    while level:
        distance += 1
        level = {one for above in level for one in neighbours(above) if one in within and one not in found}
        found |= dict.fromkeys(level, distance)
    return found


def _ways(graph: Graph, upstream: int, distances: dict[int, int]) -> Iterator[list[int]]:
    """Each way down on which the distance from the end shrinks with every edge."""
    path: list[int] = []
    open_: list[Iterator[int]] = [iter([upstream])]
    while open_:
        one = next(open_[-1], None)
        if one is None:
            open_.pop()
            del path[-1:]
        elif distances[one] == 0:
            yield [*path, one]
        else:
            path.append(one)
            open_.append(iter([below for below in graph.children(one) if distances.get(below) == distances[one] - 1]))
