"""Whole pixels for the nodes of each layer: in their order, and close to the middle of their neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from app.lineage.layout.routes import Routed

PASSES = 4


def heights(found: Routed, rows: Sequence[Sequence[int]], pitch: Sequence[int]) -> list[float]:
    """The middle of each node and step; `pitch` is the room that each needs."""
    middle = [0.0] * len(found.layers)
    tallest = max((sum(map(pitch.__getitem__, row)) for row in rows), default=0)
    for row in rows:
        below = (tallest - sum(map(pitch.__getitem__, row))) / 2
        for node in row:
            middle[node] = below + pitch[node] / 2
            below += pitch[node]
    for number in range(PASSES):
        to_right = number % 2 == 0
        for row in rows[1:] if to_right else rows[-2::-1]:
            _settle(row, found.above if to_right else found.below, middle, pitch)
    return middle


def _settle(row: Sequence[int], neighbours: Sequence[Sequence[int]], middle: list[float], pitch: Sequence[int]) -> None:
    """Move a layer towards its neighbours: the least sum of squares that keeps order and distances (pool adjacent violators)."""
    blocks: list[tuple[float, int]] = []  # mean of the wanted tops, number of nodes
    offset = 0.0
    offsets = []
    for node in row:
        beside = neighbours[node]
        wanted = sum(map(middle.__getitem__, beside)) / len(beside) if beside else middle[node]
        offsets.append(offset + pitch[node] / 2)
        mean, count = wanted - offsets[-1], 1
        offset += pitch[node]
        while blocks and blocks[-1][0] > mean:
            other, more = blocks.pop()
            mean, count = (mean * count + other * more) / (count + more), count + more
        blocks.append((mean, count))
    places = iter(zip(row, offsets, strict=True))
    for mean, count in blocks:
        for _ in range(count):
            node, below = next(places)
            middle[node] = mean + below
