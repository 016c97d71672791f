"""Many directories of a repository at once. Comparing every path with every directory would take minutes where there are very many."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable


class Directories:
    """A set of directories, `""` being the root; questions about a path are answered by bisection."""

    def __init__(self, directories: Iterable[str]) -> None:
        named = set(directories)
        self._everything = "" in named
        self._sorted = sorted(f"{directory}/" for directory in named if directory)
        self._outermost: list[str] = []
        for directory in self._sorted:
            # What is below a directory follows it.
            if not self._outermost or not directory.startswith(self._outermost[-1]):
                self._outermost.append(directory)

    def hold(self, path: str) -> bool:
        """Whether a path is below one of them."""
        before = bisect_right(self._outermost, path)
        return self._everything or (before > 0 and path.startswith(self._outermost[before - 1]))

    def lead_through(self, path: str) -> bool:
        """Whether one of them is this path, or below it."""
        at = bisect_left(self._sorted, f"{path}/")
        return at < len(self._sorted) and self._sorted[at].startswith(f"{path}/")

    @property
    def outermost(self) -> list[str]:
        """Those that are below no other, without the root."""
        return [directory.removesuffix("/") for directory in self._outermost]
