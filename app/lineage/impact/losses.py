"""What changes take away from those who read a table by its name: columns, or the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from app.lineage.impact.model import Change
from app.lineage.impact.tables import search_key
from app.lineage.impact.versions import folded

MAKERS = ("model", "seed", "snapshot")
"""The resource types that dbt makes a table for."""
REBUILT = frozenset({"table", "view"})
"""Materializations that leave no column of an earlier run."""
NO_TABLE = "ephemeral"
MAX_TABLES = 500
"""Tables of which it is looked for readers: the first ones that lose something."""
_LOSE = frozenset({"removed", "renamed", "moved"})
_LOSE_COLUMNS = frozenset({"removed", "renamed"})


class MadeTable(NamedTuple):
    """What a node makes."""

    name: str | None
    """As dbt writes it; None if there is none, or if it is not known."""
    materialized: str | None = None


class LostColumn(msgspec.Struct, frozen=True, gc=False):
    """A column that a table no longer has. `new_name`: if another column has its values now."""

    name: str
    new_name: str | None
    certain: bool


class LostTable(msgspec.Struct, frozen=True, gc=False):
    """A table that is no longer made (no `columns`), or has lost some."""

    unique_id: str
    """The node that made it, or makes it now."""
    name: str
    certain: bool
    columns: Mapping[str, LostColumn] = {}
    """By folded name."""
    keeps_columns: bool = False
    """The table may still have the columns, because later runs only add to it."""
    through: str | None = None
    """The node that hands its columns on, if this is what those lose who read that node."""


def takes_away(changes: Iterable[Change]) -> bool:
    """Whether a table can have lost anything."""
    return any(change.change_class in _LOSE and change.unique_id.partition(".")[0] in MAKERS for change in changes)


def with_fewer_columns(changes: Iterable[Change]) -> list[str]:
    """The unique_ids of the nodes that lost columns."""
    return list(dict.fromkeys(change.unique_id for change in changes if change.change_class in _LOSE_COLUMNS and change.columns))


def lost_tables(changes: Iterable[Change], gone: Mapping[str, MadeTable], come: Mapping[str, MadeTable]) -> list[LostTable]:
    """What is lost, at most of `MAX_TABLES`.

    `gone`, `come`: the tables, by unique_id, of all nodes that differ between base and head, as they are at each side, and on both sides of
    those that lost columns without a difference of their own. A table that another node makes now is not lost.
    """
    old = {search_key(table.name): table.name for table in gone.values() if table.name}
    made = {search_key(table.name) for table in come.values() if table.name}
    certain = all(table.name or table.materialized == NO_TABLE for table in come.values())
    whole = [
        LostTable(unique_id, table.name, certain)
        for unique_id, table in gone.items()
        if table.name and search_key(table.name) not in made and _is_lost(come.get(unique_id))
    ]
    columns = _columns(change for change in changes if change.change_class in _LOSE_COLUMNS)
    parts = [
        LostTable(unique_id, name, certain=True, columns=lost, keeps_columns=new.materialized not in REBUILT)
        for unique_id, lost in columns.items()
        if (new := come.get(unique_id)) and new.name and (name := old.get(search_key(new.name)))
    ]
    return [*whole, *parts][:MAX_TABLES]


def _is_lost(new: MadeTable | None) -> bool:
    """Whether a node no longer makes a table that nobody else makes; a name that is not known may be the old one."""
    return new is None or new.name is not None or new.materialized == NO_TABLE


def _columns(changes: Iterable[Change]) -> dict[str, dict[str, LostColumn]]:
    found: dict[str, dict[str, LostColumn]] = {}
    for change in changes:
        for place, name in enumerate(change.columns):
            new_name = change.new_columns[place] if place < len(change.new_columns) else None
            # Another spelling of a name matters only to those who quote it.
            certain = change.certain and (new_name is None or folded(new_name) != folded(name))
            found.setdefault(change.unique_id, {}).setdefault(folded(name), LostColumn(name, new_name, certain))
    return found
