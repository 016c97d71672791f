"""What is other at one commit than at another: told from the nodes that differ alone, by their contents and the hashes of their parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

Change = Literal["sql", "configuration", "columns", "description", "edges", "other"]


class Edge(msgspec.Struct, frozen=True, order=True, gc=False):
    """An edge, by unique_ids."""

    upstream: str
    downstream: str


class Version(msgspec.Struct, frozen=True, gc=False):
    """A node as it was at one commit: `content` is its JSON object; hashes that are None are not known."""

    unique_id: str
    content: bytes
    upstream: Sequence[str]
    sql_hash: bytes | None
    config_hash: bytes | None


class Place(msgspec.Struct, frozen=True, gc=False):
    """Which node it is, and where it stands."""

    unique_id: str
    resource_type: str = ""
    name: str = ""
    package_name: str = ""
    original_file_path: str = ""


class ColumnChanges(msgspec.Struct, frozen=True, gc=False):
    """Columns by name, in the order of their names. A changed one has another type, description or other tests."""

    added: list[str]
    removed: list[str]
    changed: list[str]


class ChangedNode(Place, frozen=True, gc=False):
    """A node that is at both commits, and not the same."""

    changes: list[Change] = []
    columns: ColumnChanges | None = None
    """None: they did not change."""


class _Column(msgspec.Struct, frozen=True, gc=False):
    name: str
    data_type: str | None = None
    description: str = ""
    tests: list[dict[str, str]] | None = None
    """None: stored before tests were."""


class _Content(Place, frozen=True, gc=False):
    relation_name: str | None = None
    materialized: str | None = None
    description: str = ""
    tags: list[str] = []
    columns: list[_Column] = []


@dataclass(slots=True)
class Diff:
    """All differences: nodes in the order in which they were added, edges in their own order once it is `sort`ed."""

    nodes_added: list[Place] = field(default_factory=list)
    nodes_removed: list[Place] = field(default_factory=list)
    nodes_changed: list[ChangedNode] = field(default_factory=list)
    edges_added: list[Edge] = field(default_factory=list)
    edges_removed: list[Edge] = field(default_factory=list)

    def add(self, pairs: Iterable[tuple[Version | None, Version | None]]) -> None:
        """Take nodes that differ, as they were and as they are; None: there was, or is, none."""
        for base, head in pairs:
            self.edges_added += _edges(head, base)
            self.edges_removed += _edges(base, head)
            if base is None and head is not None:
                self.nodes_added.append(_place(head))
            elif head is None and base is not None:
                self.nodes_removed.append(_place(base))
            elif base is not None and head is not None:
                self.nodes_changed.append(changed(base, head))

    def sort(self) -> None:
        """Bring the edges into the order of what they come from, then of what they lead to."""
        self.edges_added.sort()
        self.edges_removed.sort()

    def counts(self) -> dict[str, int]:
        """Return how many there are of each kind."""
        return {
            "nodes_added": len(self.nodes_added),
            "nodes_removed": len(self.nodes_removed),
            "nodes_changed": len(self.nodes_changed),
            "edges_added": len(self.edges_added),
            "edges_removed": len(self.edges_removed),
        }


def changed(base: Version, head: Version) -> ChangedNode:
    """Return what changed in a node. What cannot be told, because it was not stored, is `other`."""
    old, new = _content(base), _content(head)
    columns = column_changes(old.columns, new.columns)
    known = None not in (base.sql_hash, head.sql_hash, base.config_hash, head.config_hash)
    found: dict[Change, bool] = {
        "sql": known and base.sql_hash != head.sql_hash,
        "configuration": _configuration(base, old) != _configuration(head, new) if known else _shown(old) != _shown(new),
        "columns": columns is not None,
        "description": old.description != new.description,
        "edges": list(base.upstream) != list(head.upstream),
        "other": not known or _rest(old) != _rest(new),
    }
    changes = [change for change, is_so in found.items() if is_so]
    return ChangedNode(*_named(new), changes=changes or ["other"], columns=columns)


def column_changes(base: Sequence[_Column], head: Sequence[_Column]) -> ColumnChanges | None:
    """Return what changed in the columns, None if nothing did. Their order is no change."""
    old, new = ({column.name: column for column in columns} for columns in (base, head))
    added, removed = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    other = sorted(name for name in old.keys() & new.keys() if not _same(old[name], new[name]))
    return ColumnChanges(added, removed, other) if added or removed or other else None


def _same(old: _Column, new: _Column) -> bool:
    tests = None in (old.tests, new.tests) or old.tests == new.tests
    return tests and (old.data_type, old.description) == (new.data_type, new.description)


def _configuration(version: Version, content: _Content) -> Any:
    return version.config_hash, _shown(content)


def _shown(content: _Content) -> Any:
    """Return what can be seen of the configuration."""
    return content.materialized, content.tags


def _rest(content: _Content) -> Any:
    return _named(content), content.relation_name


def _named(place: Place) -> tuple[str, str, str, str, str]:
    return place.unique_id, place.resource_type, place.name, place.package_name, place.original_file_path


def _place(version: Version) -> Place:
    return Place(*_named(_content(version)))


def _content(version: Version) -> _Content:
    return msgspec.json.decode(version.content, type=_Content)


def _edges(of: Version | None, without: Version | None) -> Iterator[Edge]:
    """Give the edges into a node that are not those into its other version."""
    if of is not None:
        other = set(without.upstream) if without else set()
        yield from (Edge(upstream, of.unique_id) for upstream in of.upstream if upstream not in other)
