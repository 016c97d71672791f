"""What an earlier job found out, from its columns document, and which of that still holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import freshet_column_records

if TYPE_CHECKING:
    from freshet_column_catalog import Catalog
    from freshet_column_keys import Keys
    from freshet_columns import Analysis
    from freshet_render import Renderer

ALL = "all"
"""Instead of a list of macros: which ones were called is not known."""


class Remembered(NamedTuple):
    """A node in an earlier document."""

    record: dict
    """The decoded line."""
    line: bytes

    @property
    def cache(self) -> dict:
        """What it depends on."""
        return self.record["cache"]

    def analysis(self) -> Analysis:
        """What was found, before later nodes asked for columns."""
        found, own = freshet_column_records.analysis(self.record), self.cache.get("own")
        if own is None:
            return found
        columns, edges = own
        return found._replace(columns=found.columns[:columns], edges=found.edges[:edges])


class Memory:
    """An earlier document; empty if there is none that fits."""

    def __init__(self, document: bytes, identity: dict) -> None:
        """`identity`: what the first line has to say."""
        self.nodes = {}  # type: dict[str, Remembered]
        self.macros = []  # type: list[list[str]]
        """unique_id and digest, in the order in which lines refer to them."""
        lines = list(freshet_column_records.lines(document))
        if not lines:
            return
        head = freshet_column_records.decoded(document[slice(*lines[0])])
        if any(head.get(key) != value for key, value in identity.items()):
            return
        self.macros = head["cache"]["macros"]
        for start, end in lines[1:]:
            line = document[start:end]
            record = freshet_column_records.decoded(line)
            self.nodes[record["unique_id"]] = Remembered(record, line)

    def key(self, unique_id: str) -> str | None:
        """The key of a node's line; None if there is no such line, or no key."""
        found = self.nodes.get(unique_id)
        return None if found is None else found.record["cache"].get("key")


class Recall:
    """Decides what of an earlier document still holds."""

    def __init__(self, memory: Memory, keys: Keys, catalog: Catalog, renderer: Renderer) -> None:
        self._memory, self._keys, self._catalog, self._renderer = memory, keys, catalog, renderer
        before = {unique_id: digest for unique_id, digest in memory.macros if digest}
        self._names = [unique_id for unique_id, _ in memory.macros]
        self._stale = keys.stale_macros(before)
        self._new = keys.new_names(before) if before else set()

    def rendering(self, node: Any, key: str, ephemerals: dict) -> Remembered | None:
        """The node's line if it would be rendered to the same SQL."""
        found = self._memory.nodes.get(node.unique_id)
        self._catalog.begin(node)
        if found is None or found.cache.get("key") != key or found.cache.get("ephemerals") != ephemerals:
            return None
        graph = found.cache["graph"]
        if self._macros_changed(node, found.cache["macros"]) or (graph is not None and graph != self._keys.everything()):
            return None
        same = all(self._renderer.asked_again(question) == answer for question, answer in found.cache["asked"])
        return found if same else None

    def tables_are_same(self, node: Any, found: Remembered) -> bool:
        """Whether the tables in a node's SQL are what they were."""
        self._catalog.begin(node)
        tables, misses = found.cache["tables"].items(), found.cache["misses"]
        same = all(self._catalog.digest(unique_id) == digest for unique_id, digest in tables)
        return same and all(self._catalog.find(tuple(names)) is None for names in misses)

    def _macros_changed(self, node: Any, called: Any) -> bool:
        if called == ALL:
            return bool(self._stale or self._new)
        macros = [self._names[number] for number in called]
        return not self._stale.isdisjoint(macros) or (bool(self._new) and self._keys.may_call(node, macros, self._new))
