"""What breaks in one other project that reads tables of ours as sources: nodes that name a lost column or table, and exposures below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from app.core.models.github import Repository
from app.lineage.column_document import FoundEdge
from app.lineage.impact.losses import LostColumn, LostTable
from app.lineage.impact.model import Break, BreakKind
from app.lineage.impact.tables import same_table, same_warehouse, search_key
from app.lineage.impact.versions import folded
from app.lineage.impact.words import joined, name, sentence

CODE = ("model", "snapshot", "function")
"""Resource types whose SQL reads a source."""
READERS = (*CODE, "exposure", "test")
"""Resource types that break if what they read of a source is lost."""
ON_THE_WAY = ("exposure", "metric", "model", "saved_query", "semantic_model", "snapshot")
"""Resource types that lead from a node that breaks to an exposure."""
OF_CODE = frozenset({"column_removed", "column_renamed", "node_removed"})
"""What breaks what depends on it."""

Matches = Mapping[str, LostTable]
"""By the unique_id of a source, the table that it is."""


class SourceTest(msgspec.Struct, frozen=True, gc=False):
    """A test of a column of a source."""

    unique_id: str


class SourceColumn(msgspec.Struct, frozen=True, gc=False):
    """A column of a source in its YAML file."""

    name: str
    tests: tuple[SourceTest, ...] = ()


class ForeignSource(msgspec.Struct, frozen=True, gc=False):
    """A source of another project. `columns`: those of its YAML file."""

    unique_id: str
    table: str
    """As dbt writes it."""
    columns: tuple[SourceColumn, ...] = ()


class ForeignNode(msgspec.Struct, frozen=True, gc=False):
    """A node of another project, with what it depends on."""

    unique_id: str
    resource_type: str
    name: str
    upstream: Sequence[str]


@dataclass(frozen=True, slots=True)
class ForeignReader:
    """A node that depends on sources, and what is known of what it reads."""

    node: ForeignNode
    status: str | None = None
    """How exactly its columns are known; None if they are not."""
    edges: tuple[FoundEdge, ...] = ()
    words: frozenset[str] | None = None
    """The folded names in its code; None if it was not read."""
    is_open: bool = False
    """Whether it selects everything of a table whose columns are not all known."""

    @property
    def is_code(self) -> bool:
        """Whether it reads tables itself."""
        return self.node.resource_type in CODE

    @property
    def needs_words(self) -> bool:
        """Whether only its code can say which columns it reads."""
        return self.node.resource_type == "test" or (self.is_code and (self.is_open or self.status != "exact"))

    def may_hand_on(self, edge: FoundEdge) -> bool:
        """Whether a column may be only part of `select *`: without it, the node has one column less, and works."""
        return (
            self.is_open and edge.subtype == "IDENTITY" and edge.column is not None and folded(edge.column) == folded(edge.upstream_column)
        )

    def hands_on(self, edge: FoundEdge) -> bool:
        """Whether it is: the code does not name it."""
        return self.may_hand_on(edge) and self.words is not None and folded(edge.upstream_column) not in self.words


@dataclass(frozen=True, slots=True)
class ForeignProject:
    """Another connection of the owner."""

    connection_id: str
    repository: Repository
    project_dir: str | None
    adapter_type: str | None

    def named(self, node: str) -> str:
        """A node of it, for people."""
        directory = f" ({name(self.project_dir)})" if self.project_dir else ""
        return f"{name(node)} in {name(self.repository.full_name)}{directory}"


def sources_of(sources: Iterable[ForeignSource], adapter_type: str | None, lost: Iterable[LostTable], own_adapter: str | None) -> Matches:
    """The tables that sources of another project are, with its adapter and that of the project whose tables are lost."""
    by_key: dict[bytes, list[LostTable]] = {}
    for table in lost:
        by_key.setdefault(search_key(table.name), []).append(table)
    return {
        source.unique_id: table
        for source in sources
        for table in by_key.get(search_key(source.table), ())
        if same_table(table.name, own_adapter, source.table, adapter_type)
    }


def breaks_of_readers(
    project: ForeignProject,
    own_adapter: str | None,
    sources: Mapping[str, ForeignSource],
    matches: Matches,
    readers: Iterable[ForeignReader],
) -> list[Break]:
    """What breaks of the nodes that depend on sources: one break for each node and each table."""
    certain = same_warehouse(own_adapter, project.adapter_type)
    found: dict[tuple[str, str | None], Break] = {}
    for reader in readers:
        for unique_id in reader.node.upstream:
            table = matches.get(unique_id)
            one = None if table is None else _Reading(project, table, sources[unique_id], reader).broken()
            if one is not None:
                found.setdefault((one.unique_id, one.cause), one if certain else msgspec.structs.replace(one, certain=False))
    return list(found.values())


def handed_on(matches: Matches, reader: ForeignReader, *, keeps_columns: bool) -> LostTable | None:
    """What those lose who read a node that selects everything of what lost a column. `keeps_columns`: its table may still have them."""
    for unique_id in reader.node.upstream:
        table = matches.get(unique_id)
        if table is None:
            continue
        columns = {
            folded(edge.upstream_column): LostColumn(column.name, column.new_name, column.certain and edge.certain)
            for edge in reader.edges
            if edge.upstream == unique_id and reader.hands_on(edge) and (column := table.columns.get(folded(edge.upstream_column)))
        }
        if columns:
            keeps = table.keeps_columns or keeps_columns
            through = table.through or reader.node.name
            return msgspec.structs.replace(table, columns=columns, keeps_columns=keeps, through=through)
    return None


def exposures_below(project: ForeignProject, broken: Sequence[Break], nodes: Iterable[ForeignNode]) -> list[Break]:
    """The exposures that depend on nodes that break, each with the cause of the nearest one."""
    below: dict[str, list[str]] = {}
    by_id: dict[str, ForeignNode] = {}
    for node in nodes:
        by_id[node.unique_id] = node
        for upstream in node.upstream:
            below.setdefault(upstream, []).append(node.unique_id)
    nearest = {one.unique_id: one for one in reversed(broken) if one.kind in OF_CODE}
    edge = list(nearest)
    while edge:
        found = []
        for unique_id in edge:
            for reached in below.get(unique_id, ()):
                if reached not in nearest:
                    nearest[reached] = nearest[unique_id]
                    found.append(reached)
        edge = found
    named = {one.unique_id for one in broken}
    return [
        _below(project, by_id[unique_id], by_id.get(cause.unique_id), cause)
        for unique_id, cause in nearest.items()
        if unique_id not in named and by_id[unique_id].resource_type == "exposure"
    ]


@dataclass(frozen=True, slots=True)
class _Reading:
    """A node that reads a table through a source."""

    project: ForeignProject
    table: LostTable
    source: ForeignSource
    reader: ForeignReader

    def broken(self) -> Break | None:
        """What breaks."""
        kind = self.reader.node.resource_type
        if not self.table.columns:
            return self._without_table()
        if kind == "test":
            return self._test()
        return self._code() if self.reader.is_code else self._exposure()

    def _without_table(self) -> Break | None:
        """A test is not reported: it is one of the table that is lost."""
        if self.reader.node.resource_type == "test":
            return None
        table, is_code = self.table, self.reader.is_code
        text = f"{'reads' if is_code else 'depends on'} {name(table.name)}, which {name(table.unique_id)} no longer makes"
        return self._break("node_removed" if is_code else "exposure", text, certain=table.certain and is_code)

    def _code(self) -> Break | None:
        table, reader = self.table, self.reader
        certain, possible = dict[str, LostColumn](), dict[str, LostColumn]()
        for edge in reader.edges:
            column = table.columns.get(folded(edge.upstream_column)) if edge.upstream == self.source.unique_id else None
            if column is not None and not reader.hands_on(edge):
                is_named = edge.certain and not reader.may_hand_on(edge)
                (certain if is_named and column.certain and not table.keeps_columns else possible)[column.name] = column
        if reader.status != "exact" or reader.is_open:
            possible |= {column.name: column for name, column in table.columns.items() if reader.words is None or name in reader.words}
        columns = list((certain or possible).values())
        if not columns:
            return None
        kind: BreakKind = "column_renamed" if all(one.new_name for one in columns) else "column_removed"
        return self._break(kind, f"{'reads' if certain else 'may read'} {_lost(table, columns)}", certain=bool(certain), column=columns[0])

    def _test(self) -> Break | None:
        table, reader = self.table, self.reader
        declared = [column.name for column in self.source.columns if any(test.unique_id == reader.node.unique_id for test in column.tests)]
        columns = [column for name in declared if (column := table.columns.get(folded(name)))]
        certain = not table.keeps_columns and any(one.certain for one in columns)
        if not declared and reader.words is not None:
            columns = [column for name, column in table.columns.items() if name in reader.words]
        if not columns:
            return None
        return self._break("test", f"{'tests' if declared else 'may test'} {_lost(table, columns)}", certain=certain, column=columns[0])

    def _exposure(self) -> Break:
        columns = list(self.table.columns.values())
        through = f" through {name(self.table.through)}" if self.table.through else ""
        text = f"depends on {name(self.table.name)}{through}, which no longer has {_listed(columns)}"
        return self._break("exposure", text, certain=False, column=columns[0])

    def _break(self, kind: BreakKind, text: str, *, certain: bool, column: LostColumn | None = None) -> Break:
        node = self.reader.node
        return Break(
            unique_id=node.unique_id,
            kind=kind,
            certain=certain,
            reason=sentence(f"{self.project.named(node.name)} {text}"),
            cause=self.table.unique_id,
            column=column.name if column else None,
            connection_id=self.project.connection_id,
        )


def _lost(table: LostTable, columns: Sequence[LostColumn]) -> str:
    """`amount` of `db.prod.orders`, which no longer has it."""
    them = "it" if len(columns) == 1 else "them"
    kept = f", although it may keep {them} until it is built again in full" if table.keeps_columns else ""
    through = f" through {name(table.through)}" if table.through else ""
    return f"{_listed(columns)} of {name(table.name)}{through}, which no longer has {them}{kept}"


def _listed(columns: Sequence[LostColumn]) -> str:
    return joined([name(one.name) + (f" (now {name(one.new_name)})" if one.new_name else "") for one in columns], "column")


def _below(project: ForeignProject, exposure: ForeignNode, broken: ForeignNode | None, cause: Break) -> Break:
    verb = "breaks" if cause.certain else "may break"
    return Break(
        unique_id=exposure.unique_id,
        kind="exposure",
        certain=False,
        reason=sentence(f"{project.named(exposure.name)} depends on {name(broken.name if broken else cause.unique_id)}, which {verb}"),
        cause=cause.cause,
        column=cause.column,
        connection_id=project.connection_id,
    )
