"""Which columns the nodes that others name have lost, by their names at the head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from app.lineage.impact.changes import Changes, GoneColumn
from app.lineage.impact.mentions import mentioned
from app.lineage.impact.model import Break, BreakKind
from app.lineage.impact.versions import ImpactSide
from app.lineage.impact.words import lost_by, name, sentence


class LostColumns:
    """The columns that are gone, for readers that are no SQL models."""

    def __init__(self, head: ImpactSide, changes: Changes, base_ids: Mapping[str, str]) -> None:
        """`base_ids`: of renamed nodes, by their unique_id at the head."""
        self.head = head
        self._changes, self._base_ids = changes, base_ids

    def name(self, unique_id: str) -> str:
        """The name of a node that may be gone, for people."""
        return self._changes.sides["base" if self.head.graph.position(unique_id) is None else "head"].name(unique_id)

    def of(self, unique_id: str) -> Mapping[str, GoneColumn]:
        """What a node has lost, by folded name."""
        return self._changes.gone.get(self._base_ids.get(unique_id, unique_id), {})

    def upstream(self, unique_id: str) -> list[str]:
        """The unique_ids that a node depends on."""
        graph = self.head.graph
        position = graph.position(unique_id)
        return [] if position is None else [graph.nodes[one].unique_id for one in graph.parents[position]]

    def exposures(self, unique_id: str) -> list[str]:
        """The unique_ids of the exposures that depend on a node."""
        graph = self.head.graph
        position = graph.position(unique_id)
        below = () if position is None else (graph.nodes[one] for one in graph.children(position))
        return [node.unique_id for node in below if node.resource_type == "exposure"]

    def in_text(self, text: str, nodes: Sequence[str]) -> Iterator[tuple[str, GoneColumn]]:
        """The lost columns of these nodes that a text mentions, unless another one of them has a column of this name."""
        candidates = [one for one in nodes if self.of(one)]
        if not candidates:
            return
        words = mentioned(text)
        for unique_id in candidates:
            for key in sorted(words & self.of(unique_id).keys()):
                if not any(self._has(other, key) for other in nodes):
                    yield unique_id, self.of(unique_id)[key]

    def broken(self, unique_id: str, kind: BreakKind, text: str, at: str, gone: GoneColumn, *, certain: bool) -> Break:
        """A break. `text`: who names the column, and how; `at`: the node that has lost it."""
        reason = sentence(f"{text} {self.words(at, gone)}")
        return Break(unique_id=unique_id, kind=kind, certain=certain and gone.certain, reason=reason, cause=gone.root, column=gone.name)

    def words(self, at: str, gone: GoneColumn) -> str:
        """A column, and that `at` has lost it."""
        return lost_by(gone.name, name(self.head.name(at)), gone.new_name)

    def _has(self, unique_id: str, key: str) -> bool:
        return key not in self.of(unique_id) and self._changes.columns_of["head"].number(unique_id, key) is not None
