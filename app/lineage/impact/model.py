"""What the difference between two commits does, in the shapes of the API (`…/impact`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec

ChangeClass = Literal["removed", "renamed", "retyped", "rows", "logic", "added", "moved", "none"]
"""`rows`: which rows there are (predicates, joins, grouping, distinct). `logic`: the value of columns. `moved`: the same data in another
table, or its columns in another order. `none`: the data is the same, but something else that counts is not (access, contract, version).
"""
BreakKind = Literal[
    "node_removed",
    "column_removed",
    "column_renamed",
    "column_missing",
    "column_count",
    "schema_change",
    "contract",
    "access",
    "test",
    "unit_test",
    "exposure",
    "metric",
    "semantic_model",
    "saved_query",
]
"""`column_missing`: SQL names a column that nothing it reads has, nor had at the base. `column_count`: SQL puts columns together by
position, in a union for example, and their numbers do not match any more. `schema_change`: the next incremental run fails,
because the table that exists has other columns. `node_removed`: SQL names a table that no node makes any more.
"""
Route = Literal["column", "rows", "model"]
"""How a node is reached: by columns that changed, by rows that changed, or only known to depend on the model."""


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One class of change of one node."""

    unique_id: str
    change_class: ChangeClass = msgspec.field(name="class")
    certain: bool
    columns: tuple[str, ...] = ()
    """Sorted as in the SQL, by their names at the base; of `added` ones at the head. Empty: the whole node."""
    new_columns: tuple[str, ...] = ()
    """Of `renamed`: the names at the head."""
    reason: str
    """One sentence of plain text."""
    inherited: bool = False
    """The node's own SQL is the same: it changes because of what it reads, for example by `select *`."""
    more_columns: int = 0
    """How many more there are than `columns` lists."""


class Reached(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A node that depends on a change. `distance`: edges of the graph from the nearest changed node."""

    unique_id: str
    resource_type: str
    distance: int
    by: Route
    owner: str | None
    group: str | None = None
    columns: tuple[str, ...] = ()
    """Its columns that depend on the change, if `by` is `column`."""
    more_columns: int = 0
    """How many more there are than `columns` lists."""


class Break(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something that no longer works. `unique_id`: the node that breaks."""

    unique_id: str
    kind: BreakKind
    certain: bool
    reason: str
    """One sentence of plain text that names the cause and the place."""
    cause: str | None = None
    """The unique_id of the changed node."""
    column: str | None = None
    """The column of `cause` that is missed."""
    connection_id: str | None = None
    """If the node is one of another connection."""


@dataclass(frozen=True, slots=True)
class Impact:
    """The whole. Changes, reached nodes and breaks are in the order in which people should read them, the most important first."""

    changes: tuple[Change, ...] = ()
    reached: tuple[Reached, ...] = ()
    breaks: tuple[Break, ...] = ()
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """Of everything, listed or not: `changes` by class (nodes), `columns` by class (columns of nodes whose own SQL changed), `reached` by
    resource type (tests too, which are never listed), `by` by route, `owners` and `groups` (nodes reached), `breaks` by kind, `certain`
    (`breaks`, `changes`).
    """
    left_out: dict[str, int] = field(default_factory=dict)
    """How many `changes`, `reached` nodes and `breaks` are not listed, and how many `definitions` were not searched for what breaks."""
    without_columns: tuple[Literal["base", "head"], ...] = ()
    """Sides whose columns are not known. If there is one, everything is known by model only, and nothing of it is certain."""
