"""Folders that read each other: the strongly connected components of the graph of folders, in linear time.

https://en.wikipedia.org/wiki/Tarjan%27s_strongly_connected_components_algorithm, with a stack of its own: Python's ends earlier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence


def cycles(reads: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The folders that are part of a cycle, each with a number that all folders of one cycle share; `reads` has every folder as a key.

    >>> cycles({"a": ["b"], "b": ["c"], "c": ["b"], "d": ["d"]})
    {'c': 0, 'b': 0}
    """
    search = _Search(reads)
    for folder in reads:
        if folder not in search.found:
            search.visit(folder)
    return search.cycles


class _Search:
    def __init__(self, reads: Mapping[str, Sequence[str]]) -> None:
        self._reads = reads
        self.found: dict[str, int] = {}
        """The folders in the order in which they were reached."""
        self._lowest: dict[str, int] = {}
        self._open: dict[str, None] = {}
        """Reached, and not yet known to which cycle they belong; in order."""
        self.cycles: dict[str, int] = {}
        self._count = 0

    def visit(self, start: str) -> None:
        """Follow everything that a folder reads."""
        path: list[tuple[str, Iterator[str]]] = [self._enter(start)]
        while path:
            folder, rest = path[-1]
            below = next(rest, None)
            if below is None:
                path.pop()
                self._leave(folder)
                if path:
                    above = path[-1][0]
                    self._lowest[above] = min(self._lowest[above], self._lowest[folder])
            elif below not in self.found:
                path.append(self._enter(below))
            elif below in self._open:
                self._lowest[folder] = min(self._lowest[folder], self.found[below])

    def _enter(self, folder: str) -> tuple[str, Iterator[str]]:
        self.found[folder] = self._lowest[folder] = len(self.found)
        self._open[folder] = None
        return folder, iter(self._reads.get(folder, ()))

    def _leave(self, folder: str) -> None:
        if self._lowest[folder] != self.found[folder]:
            return
        members: list[str] = []
        while not members or members[-1] != folder:
            members.append(self._open.popitem()[0])
        if len(members) > 1:
            self.cycles |= dict.fromkeys(members, self._count)
            self._count += 1
