"""The order within each layer of a few nodes: with few crossings, at a price that a whole lineage cannot pay.

It depends on these nodes alone, so edits elsewhere leave it as it is.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence

from app.lineage.layout.routes import Routed

SWEEPS = 8
"""Each one layer by layer, to the right and to the left in turn; the best order of all is kept."""
SWITCHES = 10
"""Passes in which two neighbours in a layer change places if fewer edges cross then."""
MAX_LOOKS = 100_000
"""Ends of edges that all passes together may look at."""


def rows(found: Routed) -> list[list[int]]:
    """The nodes and steps of each layer, in order."""
    order: list[list[int]] = [[] for _ in range(max(found.layers, default=-1) + 1)]
    for node in _by_depth(found.below, found.above):
        order[found.layers[node]].append(node)
    place = [0.0] * len(found.layers)
    for row in order:
        _spread(row, place)
    best, least = [[*row] for row in order], _crossing(order, found.below, place)
    for sweep in range(SWEEPS if least else 0):
        to_right = sweep % 2 == 0
        for row in order[1:] if to_right else order[-2::-1]:
            _sort(row, found.above if to_right else found.below, place)
        crossing = _crossing(order, found.below, place)
        if crossing < least:
            best, least = [[*row] for row in order], crossing
    for row in best:
        _spread(row, place)
    if least:
        _switch(best, found, place)
    return best


def _crossing(order: Sequence[Sequence[int]], below: Sequence[Sequence[int]], place: Sequence[float]) -> int:
    """How many edges cross, each pair once."""
    total = 0
    for row in order:
        ends: list[float] = []
        for node in row:
            mine = [place[one] for one in below[node]]
            total += sum(len(ends) - bisect_right(ends, end) for end in mine)
            for end in mine:
                insort(ends, end)
    return total


def _sort(row: list[int], neighbours: Sequence[Sequence[int]], place: list[float]) -> None:
    """Sort a layer by the middle of each node's neighbours on one side; nodes without any stay where they are."""
    for node in row:
        beside = neighbours[node]
        if beside:
            place[node] = sum(map(place.__getitem__, beside)) / len(beside)
    row.sort(key=place.__getitem__)
    _spread(row, place)


def _spread(row: Sequence[int], place: list[float]) -> None:
    """Places from 0 to 1, so that layers of different sizes can be compared."""
    step = 1 / max(1, len(row))
    for number, node in enumerate(row):
        place[node] = (number + 0.5) * step


def _switch(order: Sequence[list[int]], found: Routed, place: list[float]) -> None:
    passes = min(SWITCHES, MAX_LOOKS // (1 + 4 * sum(map(len, found.below))))
    for _ in range(passes):
        if not sum(_switch_row(row, found, place) for row in order):
            return


def _switch_row(row: list[int], found: Routed, place: list[float]) -> int:
    """How often two neighbours changed places."""
    sides = [{node: sorted(map(place.__getitem__, beside[node])) for node in row} for beside in (found.above, found.below)]
    switched = 0
    for number in range(len(row) - 1):
        upper, lower = row[number : number + 2]
        if sum(_crossings(side[lower], side[upper]) - _crossings(side[upper], side[lower]) for side in sides) < 0:
            row[number : number + 2] = lower, upper
            place[upper], place[lower] = place[lower], place[upper]
            switched += 1
    return switched


def _crossings(upper: Sequence[float], lower: Sequence[float]) -> int:
    """How many edges of two nodes, one above the other, cross; both are the sorted places of their neighbours."""
    found = passed = 0
    for one in upper:
        while passed < len(lower) and lower[passed] < one:
            passed += 1
        found += passed
    return found


def _by_depth(below: Sequence[Sequence[int]], above: Sequence[Sequence[int]]) -> Iterator[int]:
    """Yield all nodes, each followed by those that depend on it."""
    seen = bytearray(len(below))
    for start, upstream in enumerate(above):
        stack = [start] if not upstream and not seen[start] else []
        while stack:
            node = stack.pop()
            if not seen[node]:
                seen[node] = 1
                yield node
                stack.extend(reversed(below[node]))
