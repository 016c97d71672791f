"""What happened to one node, from its versions at the commits of a branch: the changes, and who last changed each column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from app.lineage import column_digests
from app.lineage.column_document import FoundColumn
from app.lineage.diff import Change, NodeVersion, compare_versions

Kind = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node at one commit. `node`: None if it does not exist. `columns`: a `ColumnContent` as JSON; None if they are not known."""

    node: NodeVersion | None
    columns: bytes | None = None


@dataclass(frozen=True, slots=True)
class NodeChange:
    """The difference between two states. Lists of columns are sorted."""

    kind: Kind
    changes: tuple[Change, ...] = ()
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    columns_changed: tuple[str, ...] = ()
    """Their values, types, descriptions or tests."""
    rows: bool = False
    """Other rows come out of the SQL."""
    same_data: bool = False
    """Only how the SQL is written changed."""

    @property
    def columns(self) -> frozenset[str]:
        """The columns that are new or other than before, folded."""
        return frozenset(map(str.casefold, (*self.columns_added, *self.columns_changed)))


class _Traced(msgspec.Struct, frozen=True, gc=False):
    columns: tuple[FoundColumn, ...] = ()
    sql: str | None = None
    rows: str | None = None


_traced = msgspec.json.Decoder(_Traced).decode


def change(before: NodeState, after: NodeState) -> NodeChange | None:
    """What a commit did; None if it did nothing that is known, such as another name of a table that the SQL reads."""
    if before.node is None or after.node is None:
        return _arrival(before, after)
    found = None if before.node == after.node else compare_versions(before.node, after.node)
    columns = _Columns()
    if found is not None and found.columns is not None:
        columns.added |= {*found.columns.added}
        columns.removed |= {*found.columns.removed}
        columns.changed |= {*found.columns.changed}
    rows = same_data = False
    if before.columns is not None and after.columns is not None:
        old, new = _traced(before.columns), _traced(after.columns)
        columns.compare(old.columns, new.columns)
        rows = column_digests.compare(old.rows, new.rows) == "different"
        same_data = found is not None and "sql" in found.changes and column_digests.compare(old.sql, new.sql) == "same"
    if found is None and not rows and not columns:
        return None
    return NodeChange(
        "changed",
        tuple(found.changes) if found else (),
        tuple(sorted(columns.added)),
        tuple(sorted(columns.removed)),
        tuple(sorted(columns.changed - columns.added)),
        rows=rows,
        same_data=same_data,
    )


def blame(changes: Sequence[NodeChange | None], columns: Sequence[str]) -> dict[str, int]:
    """For each of these columns the position of the first change, of those from the newest to the oldest, that it is part of.

    Columns that none of the changes is about are left out: they are older.
    """
    left = {name.casefold(): name for name in columns}
    found: dict[str, int] = {}
    for place, one in enumerate(changes):
        if one is None:
            continue
        touched = [*left] if one.kind == "added" else [name for name in left if name in one.columns]
        found |= {left.pop(name): place for name in touched}
    return found


@dataclass(slots=True)
class _Columns:
    added: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def compare(self, before: Sequence[FoundColumn], after: Sequence[FoundColumn]) -> None:
        """Add what the SQL says. A column that a YAML file began to describe is not new if the SQL made it before."""
        old, new = ({one.name.casefold(): one for one in columns} for columns in (before, after))
        described = {name for name in self.added if name.casefold() in old}
        self.added = (self.added - described) | {one.name for name, one in new.items() if name not in old}
        self.removed = {name for name in self.removed if name.casefold() not in new}
        self.removed |= {one.name for name, one in old.items() if name not in new}
        self.changed |= described | set(_other_values(old.values(), new))


def _other_values(old: Iterable[FoundColumn], new: Mapping[str, FoundColumn]) -> Iterator[str]:
    for one in old:
        other = new.get(one.name.casefold())
        if other is not None and (one.type != other.type or column_digests.compare(one.value, other.value) == "different"):
            yield other.name


def _arrival(before: NodeState, after: NodeState) -> NodeChange | None:
    if before.node is None and after.node is None:
        return None
    return NodeChange("added" if before.node is None else "removed")
