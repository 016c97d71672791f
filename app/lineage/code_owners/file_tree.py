"""Files as a tree, from which patterns take those that they match: no file twice."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from functools import cached_property

from app.lineage.code_owners.patterns import ANY, NamePattern, Pattern, Segment

MAX_STEPS = 500_000
"""Names compared and directories entered, about a microsecond each."""
_LAST = "\U0010ffff"


class TooManyStepsError(Exception):
    """`MAX_STEPS` were taken."""


class _Node:
    """A file or directory."""

    __slots__ = ("children", "left", "parent", "path")

    def __init__(self, parent: _Node | None) -> None:
        self.parent = parent
        self.children: dict[str, _Node] = {}
        self.left = 0
        """The number of files here and below that are not taken."""
        self.path: str | None = None
        """Of a file that is not taken."""


class FileTree:
    """The files that are not taken."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._root = _Node(None)
        self._named: dict[str, list[_Node]] = {}
        self._steps = 0
        for path in dict.fromkeys(paths):
            node = self._root
            for name in path.split("/"):
                child = node.children.get(name)
                if child is None:
                    child = node.children[name] = _Node(node)
                    self._named.setdefault(name, []).append(child)
                node = child
            node.path = path
            _add_left(node, 1)

    @property
    def is_empty(self) -> bool:
        """Whether all files are taken."""
        return self._root.left == 0

    def has_at_root(self, name: str) -> bool:
        """Whether a file or directory in the root of the repository has this name."""
        return name in self._root.children

    def step(self, number: int = 1) -> None:
        """Count steps. Raises TooManyStepsError."""
        self._steps += number
        if self._steps > MAX_STEPS:
            raise TooManyStepsError

    def take(self, pattern: Pattern) -> list[str]:
        """Take the files that match a pattern. Raises TooManyStepsError; then none are taken."""
        taken: list[str] = []
        for node in self._find(pattern.segments):
            if pattern.matches != "contents":
                _take(node, taken)
            if pattern.matches != "files":
                _take_contents(node, taken)
        return taken

    def _find(self, segments: tuple[Segment, ...]) -> list[_Node]:
        found, anywhere = [self._root], False
        for segment in segments:
            if segment is None:
                anywhere = True
            elif anywhere:
                found, anywhere = self._below(found, segment), False
            else:
                found = self._among(found, segment)
            if not found:
                return []
        return found

    def _among(self, nodes: list[_Node], segment: str | NamePattern) -> list[_Node]:
        """The children of these nodes that match."""
        self.step(len(nodes))
        if isinstance(segment, str):
            named = (node.children.get(segment) for node in nodes)
            return [child for child in named if child is not None and child.left]
        return [child for node in nodes for name, child in node.children.items() if self._fits(segment, name) and child.left]

    def _below(self, nodes: list[_Node], segment: str | NamePattern) -> list[_Node]:
        """The nodes anywhere below these that match."""
        if nodes == [self._root]:
            return [node for name in self._names(segment) for node in self._of_name(name)]
        if isinstance(segment, str):
            named = self._of_name(segment)
            if len(named) < sum(node.left for node in nodes):
                return self._only_below(named, {*nodes})
        found: dict[_Node, None] = {}
        seen, waiting = {*nodes}, [*nodes]
        while waiting:
            node = waiting.pop()
            self.step(1 + len(node.children))
            for name, child in node.children.items():
                if child.left:
                    if name == segment if isinstance(segment, str) else self._fits(segment, name):
                        found[child] = None
                    if child.children and child not in seen:
                        seen.add(child)
                        waiting.append(child)
        return [*found]

    def _only_below(self, nodes: list[_Node], directories: set[_Node]) -> list[_Node]:
        found = []
        for node in nodes:
            above = node.parent
            while above is not None and above not in directories:
                self.step()
                above = above.parent
            if above is not None:
                found.append(node)
        return found

    def _of_name(self, name: str) -> list[_Node]:
        """All nodes with a name that are not taken as a whole."""
        nodes = self._named.get(name, [])
        self.step(len(nodes))
        found = [node for node in nodes if node.left]
        if len(found) < len(nodes):
            self._named[name] = found
        return found

    def _fits(self, pattern: NamePattern, name: str) -> bool:
        self.step(1 + (pattern.cost * len(name) >> 9))
        return pattern.fits(name)

    def _names(self, segment: str | NamePattern) -> list[str]:
        if isinstance(segment, str):
            return [segment]
        first, last = segment.pieces[0], segment.pieces[-1]
        self.step(1 + (len(first) + len(last) >> 6))
        if first and ANY not in first:
            names = self._sorted_names
            candidates = names[bisect_left(names, first) : bisect_left(names, first + _LAST)]
        elif last and ANY not in last:
            names, end = self._reversed_names, last[::-1]
            candidates = [name[::-1] for name in names[bisect_left(names, end) : bisect_left(names, end + _LAST)]]
        else:
            candidates = self._sorted_names
        return [name for name in candidates if self._fits(segment, name)]

    @cached_property
    def _sorted_names(self) -> list[str]:
        return sorted(self._named)

    @cached_property
    def _reversed_names(self) -> list[str]:
        return sorted(name[::-1] for name in self._named)


def _take(node: _Node, taken: list[str]) -> None:
    if node.path is not None:
        taken.append(node.path)
        node.path = None
        _add_left(node, -1)


def _take_contents(node: _Node, taken: list[str]) -> None:
    waiting = [node]
    while waiting:
        for child in waiting.pop().children.values():
            if child.left:
                _take(child, taken)
                if child.left:
                    waiting.append(child)


def _add_left(node: _Node | None, number: int) -> None:
    while node is not None:
        node.left += number
        node = node.parent
