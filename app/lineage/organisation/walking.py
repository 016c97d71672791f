"""Which nodes of which projects a node is connected with, level by level: the caller finds what leads from one project to another."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import Literal

from app.lineage.graph import Graph

MOST_LEVELS = 10
"""Edges that are followed one by one. With a greater depth, a project is one level: too much is found then."""

Positions = dict[str, set[int]]
"""Nodes by connection."""


class Walk:
    """A walk in one direction. `level`: the nodes that were reached last."""

    def __init__(self, direction: Literal["upstream", "downstream"], depth: int | None, start: Mapping[str, Collection[int]]) -> None:
        self.direction = direction
        self._left = None if depth is None or depth > MOST_LEVELS else depth
        self.reached: Positions = {}
        self.level: Positions = {}
        self._next: Positions = {}
        for connection_id, positions in start.items():
            self.enter(connection_id, positions)
        self._advance()

    def enter(self, connection_id: str, positions: Collection[int], *, at_once: bool = False) -> Collection[int]:
        """Add nodes that another project leads to, an edge away or `at_once`: they are what leads there. Returns those that are new."""
        new = {*positions} - self.reached.get(connection_id, set())
        if new and at_once:
            self.reached.setdefault(connection_id, set()).update(new)
            self.level.setdefault(connection_id, set()).update(new)
        elif new:
            self._next.setdefault(connection_id, set()).update(new)
        return new

    def step(self, graphs: Mapping[str, Graph]) -> bool:
        """Go to the next level; False: there is none, or it is too far away."""
        if self._left == 0:
            return False
        for connection_id, positions in self.level.items():
            self.enter(connection_id, self._beside(graphs[connection_id], positions))
        self._left = None if self._left is None else self._left - 1
        return self._advance()

    def nodes(self) -> Iterator[tuple[str, int]]:
        """The nodes of the level."""
        return chain.from_iterable(((one, number) for number in positions) for one, positions in self.level.items())

    def _beside(self, graph: Graph, positions: set[int]) -> set[int]:
        return graph.reach(positions, self.direction, None if self._left is None else 1)

    def _advance(self) -> bool:
        self.level, self._next = {one: new for one, found in self._next.items() if (new := found - self.reached.get(one, set()))}, {}
        for connection_id, positions in self.level.items():
            self.reached.setdefault(connection_id, set()).update(positions)
        return bool(self.level)
