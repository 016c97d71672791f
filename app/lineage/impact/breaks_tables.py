"""What breaks because a table is gone, or has another name, that something reads without `ref` or `source`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.lineage.impact.model import Break
from app.lineage.impact.versions import ImpactSide, folded
from app.lineage.impact.words import name, sentence

MIN_PARTS = 2
"""A name of one part may be any table."""


@dataclass(frozen=True, slots=True)
class GoneTable:
    """A table that no node makes any more. `table`: its database, schema and name; `cause`: the node that makes it under another name."""

    unique_id: str
    name: str
    table: tuple[str | None, ...]
    cause: str | None = None
    is_public: bool = False
    """Whether other projects may refer to the node, which is gone."""


def table_breaks(gone: Iterable[GoneTable], base: ImpactSide, head: ImpactSide) -> Iterator[Break]:
    """Readers of these tables by name, as far as they did so at the base, and other projects."""
    by_name: dict[tuple[str, ...], GoneTable] = {}
    for one in gone:
        for first in range(len(one.table) - MIN_PARTS + 1):
            parts = [folded(part) for part in one.table[first:] if part is not None]
            if len(parts) == len(one.table) - first:
                by_name[tuple(parts)] = one
        if one.is_public:
            reason = sentence(f"{name(one.name)} was public, and is removed: other projects may refer to it")
            yield Break(unique_id=one.unique_id, kind="node_removed", certain=False, reason=reason, cause=one.unique_id)
    if head.columns is None or not by_name:
        return
    for position, node in head.columns.nodes.items():
        for table in node.hard_coded:
            found = by_name.get(tuple(folded(part.strip('"`[] ')) for part in table.split(".")))
            unique_id = head.columns.unique_id(position)
            if found is not None and not _was_unknown(base, unique_id, table):
                what = "which no node makes any more" if found.cause is None else f"the former table of {name(found.name)}"
                reason = sentence(f"{name(head.name(unique_id))} reads {name(table)} by name, {what}")
                yield Break(unique_id=unique_id, kind="node_removed", certain=False, reason=reason, cause=found.cause or found.unique_id)


def _was_unknown(base: ImpactSide, unique_id: str, table: str) -> bool:
    position = base.graph.position(unique_id)
    node = base.columns.nodes.get(position) if base.columns is not None and position is not None else None
    return node is not None and table in node.hard_coded
