"""Pixels for the nodes of each layer, from top to bottom: in their order, and close to the middle of their neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from app.lineage.layout.scene import Neighbours


def middles(rows: Sequence[Sequence[int]], above: Neighbours, below: Neighbours, pitch: Sequence[float]) -> list[float]:
    """The middle of each node, from 0; `pitch` is the room that each needs.

    Layers follow those on their left, then those on their right, then both.
    """
    middle = [0.0] * len(pitch)
    tallest = max((sum(map(pitch.__getitem__, row)) for row in rows), default=0)
    for row in rows:
        top = (tallest - sum(map(pitch.__getitem__, row))) / 2
        for node in row:
            middle[node] = top + pitch[node] / 2
            top += pitch[node]
    beside = [[*left, *right] for left, right in zip(above, below, strict=True)]
    for number, neighbours in enumerate((above, below, beside, beside)):
        for row in rows if number % 2 == 0 else rows[::-1]:
            _settle(row, neighbours, middle, pitch)
    least = min((middle[node] - pitch[node] / 2 for row in rows for node in row), default=0)
    return [one - least for one in middle]


def _settle(row: Sequence[int], neighbours: Neighbours, middle: list[float], pitch: Sequence[float]) -> None:
    """Move a layer towards its neighbours: the least sum of squares that keeps order and distances.

    Pool adjacent violators: https://en.wikipedia.org/wiki/Isotonic_regression.
    """
    blocks: list[tuple[float, int]] = []  # mean of the wanted tops, number of nodes
    offset = 0.0
    offsets = []
    for node in row:
        beside = neighbours[node]
        wanted = sum(map(middle.__getitem__, beside)) / len(beside) if beside else middle[node]
        offsets.append(offset + pitch[node] / 2)
        offset += pitch[node]
        mean, count = wanted - offsets[-1], 1
        while blocks and blocks[-1][0] > mean:
            other, more = blocks.pop()
            mean, count = (mean * count + other * more) / (count + more), count + more
        blocks.append((mean, count))
    places = iter(zip(row, offsets, strict=True))
    for mean, count in blocks:
        for _ in range(count):
            node, below = next(places)
            middle[node] = mean + below
