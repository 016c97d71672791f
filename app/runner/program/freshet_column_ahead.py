"""Renders nodes ahead, in processes from the end of the order while the one that started them goes through it from the start.

Rendering depends on other nodes only by what macros ask about tables, and that is noted. So a text is used if all questions would have the
same answers now. If not, or if a helper fails, hangs or is slow, the node is rendered as without helpers, with the same result.
"""

from __future__ import annotations

import resource
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import freshet_column_progress
import freshet_node_parsing
import freshet_node_workers
import freshet_render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshet_column_catalog import Catalog
    from freshet_column_progress import ColumnProgress
    from freshet_render import Renderer

MAX_CPU_S = 1.0
"""Of a node. A helper that takes longer is ended: the node itself has more time."""
MAX_GROWTH = 64 << 20
"""Bytes that a helper may use more than at its start."""


class Ahead:
    """The nodes that helpers render."""

    def __init__(self, renderer: Renderer, catalog: Catalog, progress: ColumnProgress) -> None:
        self._renderer, self._catalog, self._progress = renderer, catalog, progress
        self._workers = freshet_node_workers.Workers()
        self._nodes = {}  # type: dict[str, Any]
        self._rendered = {}  # type: dict[str, tuple]

    def start(self, nodes: list) -> None:
        """Start helpers for these nodes, which are in the order in which they are looked at."""
        self._nodes = {node.unique_id: node for node in nodes}
        if len(nodes) >= freshet_node_workers.ENOUGH:
            self._workers.start(list(self._nodes), self._work)

    def is_at(self, node: Any) -> None:
        """This process comes to a node."""
        self._workers.is_at(node.unique_id)

    def rendered(self, node: Any) -> tuple | None:
        """The SQL of a node and its notes, if a helper has rendered it, and would have the same result now."""
        if node.unique_id not in self._nodes:
            return None
        self._rendered.update(self._workers.arrived())
        found = self._rendered.pop(node.unique_id, None)
        if found is None or any(self._renderer.asked_again(question) != answer for question, answer in found[1].asked.items()):
            return None
        return found

    def end(self) -> None:
        """Stop all helpers."""
        self._workers.end()

    def _work(self, unique_ids: Iterator) -> None:
        """Be a helper."""
        self._progress.is_of_another()
        freshet_column_progress.prepare(freshet_column_progress.HELPING)
        _limit_memory()
        for unique_id in unique_ids:
            # The process ends with it.
            signal.setitimer(signal.ITIMER_PROF, MAX_CPU_S)
            with suppress(freshet_render.RenderError):
                self._render(self._nodes[unique_id])

    def _render(self, node: Any) -> None:
        given = freshet_node_parsing.PARSE.placeholders.given
        before = len(given)
        self._catalog.begin(node)
        notes = self._renderer.begin(node)
        code = self._renderer.render(node, freshet_render.FULL)
        if len(given) > before:
            # There is a limit for all names of a project: the other process has to count this one.
            while len(given) > before:
                given.popitem()
            return
        self._workers.sends((node.unique_id, (code, notes)))


def _limit_memory() -> None:
    """Leave the memory to the process that this one helps."""
    with suppress(OSError, ValueError), open("/proc/self/status") as file:
        now = next(int(line.split()[1]) << 10 for line in file if line.startswith("VmData"))
        resource.setrlimit(resource.RLIMIT_DATA, (now + MAX_GROWTH, now + MAX_GROWTH))
