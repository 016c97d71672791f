"""A dbt project as a runner container reads it: relations, compiled SQL, columns and edges of its nodes, and closures of the edges."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any

import msgspec
import sqlglot

from app.lineage.column_document import ColumnsLine, head_of
from tests.accuracy.observed import Index, index
from tests.accuracy.project_files import Files, Whole, files
from tests.accuracy.truth import Edge, Leaf
from tests.integration.column_containers import written

BASES = ("source", "seed")
Parts = tuple[str, str, str]


@dataclass(frozen=True)
class ProjectNode:
    """`relation`: database, schema, name. `sql`: compiled, for DuckDB; None for sources and seeds. Names of columns are in lower case."""

    unique_id: str
    kind: str
    relation: Parts
    sql: str | None
    columns: tuple[str, ...]
    edges: frozenset[Edge]
    parents: tuple[str, ...]
    path: str
    is_ephemeral: bool = False

    @property
    def name(self) -> str:
        """The last part of the unique_id."""
        return self.unique_id.rpartition(".")[2]


@dataclass(frozen=True)
class ReadProject:
    """The nodes by unique_id, parents first, and the files that they were read from."""

    nodes: Mapping[str, ProjectNode]
    files: Files

    @property
    def models(self) -> list[ProjectNode]:
        """The nodes with SQL."""
        return [node for node in self.nodes.values() if node.sql is not None]

    def ancestors(self, node: ProjectNode) -> list[str]:
        """The sources and seeds that a node reads, also through others."""
        found = set[str]()
        left = [*node.parents]
        while left:
            parent = self.nodes[left.pop()]
            found |= {parent.unique_id} if parent.kind in BASES else set()
            left += parent.parents
        return sorted(found)

    def tables_of(self, node: ProjectNode) -> list[str]:
        """What a node reads directly: through ephemeral models, which are no tables, what those read."""
        found = list[str]()
        for parent in (self.nodes[name] for name in node.parents):
            found += self.tables_of(parent) if parent.is_ephemeral else [parent.unique_id]
        return sorted({*found})

    def direct(self, node: ProjectNode) -> Index:
        """The edges of a node from tables, those through ephemeral models joined."""
        return self._followed(node, lambda parent: not parent.is_ephemeral)

    def whole(self, node: ProjectNode) -> Index:
        """The edges of a node joined back to sources and seeds."""
        return self._closures[node.unique_id]

    @cached_property
    def _closures(self) -> dict[str, Index]:
        return {name: self._followed(node, lambda parent: parent.kind in BASES) for name, node in self.nodes.items()}

    def _followed(self, node: ProjectNode, is_end: Callable[[ProjectNode], bool]) -> Index:
        """Follow edges back to where `is_end` holds. Rows depend on what row-set edges lead to, and on the rows of what is read."""
        own = index(node.edges)
        found = Index({}, set())
        for parent in (self.nodes[name] for name in node.parents):
            before = None if is_end(parent) else self._followed(parent, is_end)
            found.rows.update(_joined(own.rows, parent, before), before.rows if before else ())
            for column, leaves in own.columns.items():
                found.columns.setdefault(column, set()).update(_joined(leaves, parent, before))
        return found


def _joined(leaves: Iterable[Leaf], parent: ProjectNode, before: Index | None) -> set[Leaf]:
    """The leaves of one parent, or what its columns are made of."""
    own = [leaf for leaf in leaves if leaf[0] == parent.unique_id]
    return {*own} if before is None else set[Leaf]().union(*(before.columns.get(column, ()) for _, column in own))


async def read(project: Whole) -> ReadProject:
    """Have a container read a project. Raises UnavailableProjectError."""
    given = files(project)
    found = await written(given, adapter=project.adapter, keep_state=False)
    return ReadProject(nodes(json.loads(found.manifest), found.document, project.answered), given)


def nodes(manifest: Mapping[str, Any], document: bytes, answered: Mapping[str, str]) -> dict[str, ProjectNode]:
    """The nodes of the project itself, parents first, with the container's own names of relations. `answered`: see `Whole`."""
    described = {**manifest["nodes"], **manifest["sources"]}
    known = {name for name in described if name.split(".")[1] == manifest["metadata"]["project_name"]}
    dialect = head_of(document).dialect
    parents = {name: [one for one in _depends_on(described[name]) if one in known] for name in known}
    found = {}
    for line in (msgspec.json.decode(text, type=ColumnsLine) for text in document.splitlines()[1:]):
        if line.unique_id in known:
            compiled = None if line.compiled_code is None else _in_duckdb(line.compiled_code, dialect)
            code = answered.get(described[line.unique_id]["name"], compiled)
            found[line.unique_id] = _node(described[line.unique_id], line, code, tuple(parents[line.unique_id]))
    order = TopologicalSorter({name: node.parents for name, node in sorted(found.items())}).static_order()
    return {name: found[name] for name in order}


def _node(described: Mapping[str, Any], line: ColumnsLine, code: str | None, parents: tuple[str, ...]) -> ProjectNode:
    edges = (
        Edge(edge.upstream, edge.upstream_column.lower(), None if edge.column is None else edge.column.lower(), edge.subtype)
        for edge in line.edges
    )
    return ProjectNode(
        described["unique_id"],
        described["resource_type"],
        (described["database"], described["schema"], described.get("identifier") or described["alias"]),
        code,
        tuple(column.name.lower() for column in line.columns),
        frozenset(edges),
        parents,
        described["original_file_path"],
        described["config"].get("materialized") == "ephemeral",
    )


def _depends_on(described: Mapping[str, Any]) -> list[str]:
    named: list[str] = described.get("depends_on", {}).get("nodes", [])
    return named


def _in_duckdb(sql: str, dialect: str | None) -> str:
    """SQL of another dialect is translated by sqlglot."""
    return sql if dialect == "duckdb" else sqlglot.transpile(sql, read=dialect, write="duckdb")[0]
