"""The order within each layer: near to neighbours, so that few edges cross."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.lineage.layout.routes import Routed

SWEEPS = 8
"""Each one layer by layer, to the right and to the left in turn."""


def rows(found: Routed, sweeps: int = SWEEPS) -> list[list[int]]:
    """The nodes and steps of each layer, in order."""
    order: list[list[int]] = [[] for _ in range(max(found.layers, default=-1) + 1)]
    for node in _by_depth(found.below, found.above):
        order[found.layers[node]].append(node)
    place = [0.0] * len(found.layers)
    for row in order:
        _spread(row, place)
    for sweep in range(sweeps):
        to_right = sweep % 2 == 0
        for row in order[1:] if to_right else order[-2::-1]:
            _sort(row, found.above if to_right else found.below, place)
    return order


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
    step = 1 / len(row)
    for number, node in enumerate(row):
        place[node] = (number + 0.5) * step


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
