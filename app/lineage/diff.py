"""The differences between two lineages, computed from only the nodes that differ: their contents and hashes."""

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


class NodeVersion(msgspec.Struct, frozen=True, gc=False):
    """A node at one commit. `content` is its JSON object; a hash is None if an earlier release stored the node without it."""

    unique_id: str
    content: bytes
    upstream: Sequence[str]
    sql_hash: bytes | None
    config_hash: bytes | None


class NodePlace(msgspec.Struct, frozen=True, gc=False):
    """The identity of a node, and its file."""

    unique_id: str
    resource_type: str = ""
    name: str = ""
    package_name: str = ""
    original_file_path: str = ""


class ColumnChanges(msgspec.Struct, frozen=True, gc=False):
    """Sorted column names. A changed column differs in its type, description or tests."""

    added: list[str]
    removed: list[str]
    changed: list[str]


class ChangedNode(NodePlace, frozen=True, gc=False):
    """A node that exists at both commits and differs."""

    changes: list[Change] = []
    columns: ColumnChanges | None = None
    """None if they did not change."""


class _Column(msgspec.Struct, frozen=True, gc=False):
    name: str
    data_type: str | None = None
    description: str = ""
    tests: list[dict[str, str]] | None = None
    """None if an earlier release stored the node without tests."""


class _Content(NodePlace, frozen=True, gc=False):
    relation_name: str | None = None
    materialized: str | None = None
    description: str = ""
    tags: list[str] = []
    columns: list[_Column] = []


@dataclass(slots=True)
class Diff:
    """Nodes are in the order of `add`; edges are sorted by `sort`."""

    nodes_added: list[NodePlace] = field(default_factory=list)
    nodes_removed: list[NodePlace] = field(default_factory=list)
    nodes_changed: list[ChangedNode] = field(default_factory=list)
    edges_added: list[Edge] = field(default_factory=list)
    edges_removed: list[Edge] = field(default_factory=list)

    def add(self, pairs: Iterable[tuple[NodeVersion | None, NodeVersion | None]]) -> None:
        """Add nodes that differ, as (base, head); None where the node does not exist."""
        for base, head in pairs:
            self.edges_added += _edges(head, base)
            self.edges_removed += _edges(base, head)
            if base is None and head is not None:
                self.nodes_added.append(_place(head))
            elif head is None and base is not None:
                self.nodes_removed.append(_place(base))
            elif base is not None and head is not None:
                self.nodes_changed.append(compare_versions(base, head))

    def sort(self) -> None:
        """Sort the edges by upstream, then downstream."""
        self.edges_added.sort()
        self.edges_removed.sort()

    def counts(self) -> dict[str, int]:
        """The length of each list."""
        return {
            "nodes_added": len(self.nodes_added),
            "nodes_removed": len(self.nodes_removed),
            "nodes_changed": len(self.nodes_changed),
            "edges_added": len(self.edges_added),
            "edges_removed": len(self.edges_removed),
        }


def compare_versions(base: NodeVersion, head: NodeVersion) -> ChangedNode:
    """What changed in a node. If hashes are missing, the change may be anything: it includes `other`."""
    old, new = _content(base), _content(head)
    columns = column_changes(old.columns, new.columns)
    has_hashes = None not in (base.sql_hash, head.sql_hash, base.config_hash, head.config_hash)
    found: dict[Change, bool] = {
        "sql": has_hashes and base.sql_hash != head.sql_hash,
        "configuration": _configuration(base, old) != _configuration(head, new) if has_hashes else _visible(old) != _visible(new),
        "columns": columns is not None,
        "description": old.description != new.description,
        "edges": list(base.upstream) != list(head.upstream),
        "other": not has_hashes or _rest(old) != _rest(new),
    }
    changes = [change for change, applies in found.items() if applies]
    return ChangedNode(*_identity(new), changes=changes or ["other"], columns=columns)


def column_changes(base: Sequence[_Column], head: Sequence[_Column]) -> ColumnChanges | None:
    """The changes of columns, None without any. Their order does not matter."""
    old, new = ({column.name: column for column in columns} for columns in (base, head))
    added, removed = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    changed = sorted(name for name in old.keys() & new.keys() if not _is_same(old[name], new[name]))
    return ColumnChanges(added, removed, changed) if added or removed or changed else None


def _is_same(old: _Column, new: _Column) -> bool:
    tests = None in (old.tests, new.tests) or old.tests == new.tests
    return tests and (old.data_type, old.description) == (new.data_type, new.description)


def _configuration(version: NodeVersion, content: _Content) -> Any:
    return version.config_hash, _visible(content)


def _visible(content: _Content) -> Any:
    """The part of the configuration that is in the API."""
    return content.materialized, content.tags


def _rest(content: _Content) -> Any:
    return _identity(content), content.relation_name


def _identity(place: NodePlace) -> tuple[str, str, str, str, str]:
    return place.unique_id, place.resource_type, place.name, place.package_name, place.original_file_path


def _place(version: NodeVersion) -> NodePlace:
    return NodePlace(*_identity(_content(version)))


def _content(version: NodeVersion) -> _Content:
    return msgspec.json.decode(version.content, type=_Content)


def _edges(version: NodeVersion | None, other: NodeVersion | None) -> Iterator[Edge]:
    """The edges into a node that its other version does not have."""
    if version is not None:
        common = set(other.upstream) if other else set()
        yield from (Edge(upstream, version.unique_id) for upstream in version.upstream if upstream not in common)
