"""Answers macros that ask the warehouse while a node is rendered, from what is known without one, and notes what was asked.

dbt's own adapter does everything else: quoting, names of relations, types, dispatch.
"""

from __future__ import annotations

import functools
import importlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import freshet_columns
import freshet_render_listing
import freshet_render_macros
import freshet_render_notes
import freshet_render_types
import freshet_render_variables
from dbt.adapters.base.connections import BaseConnectionManager
from dbt.clients import jinja as dbt_jinja
from dbt.context.providers import RuntimeDatabaseWrapper
from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshet_column_catalog import Catalog

WITHOUT_ANSWER = frozenset(
    (
        "already_exists",
        "assert_valid_snapshot_target_given_strategy",
        "create_schema",
        "drop_relation",
        "drop_schema",
        "expand_target_column_types",
        "grant_access_to",
        "rename_relation",
        "truncate_relation",
        "valid_snapshot_target",
    )
)
"""Methods of adapters whose answer says nothing about a warehouse."""
RESPONSES = ("dbt.adapters.contracts.connection", "dbt.contracts.connection")
PLACEHOLDER = "freshetunknown"
"""The start of names that `app/runner/profile.py` puts in the place of unknown ones."""


class OfflineError(Exception):
    """Something tried to connect."""

    def __init__(self) -> None:
        super().__init__("it wanted to connect to the warehouse, and Freshet has none")


class Answers:
    """The answers for one project."""

    def __init__(self, catalog: Catalog, nodes: dict, dialect: str, internal: tuple) -> None:
        """`nodes`: by unique_id, all that are relations. `internal`: names of packages that belong to dbt."""
        self._catalog, self._nodes, self.dialect, self._internal = catalog, nodes, dialect, internal
        self._response = _response()
        self._adapter = None  # type: Any
        self.notes = freshet_render_notes.Notes("", internal)
        self._own = ""
        self._lists = freshet_render_listing.Lists(nodes, dialect)

    def begin(self, unique_id: str, package: str) -> freshet_render_notes.Notes:
        """Take notes for a node."""
        self._own = unique_id
        self.notes = freshet_render_notes.Notes(package, self._internal)
        return self.notes

    def install(self, adapter: Any) -> None:
        """Answer in the place of the adapter, and let nothing connect."""
        self._adapter = adapter
        RuntimeDatabaseWrapper.__getattr__ = lambda wrapper, name: self._attribute(wrapper, name)  # noqa: PLW0108 - a method would be bound
        for manager in _all_kinds(BaseConnectionManager):
            if "open" in vars(manager):
                manager.open = classmethod(_refuse)
        self._watch_macros()
        freshet_render_variables.install(self._deciding)

    def asked_again(self, question: list) -> str:
        """The answer to a question of the notes as it would be now, as a short text."""
        kind, *names = question
        if kind == "table":
            return self._catalog.digest(names[0])
        if kind == "listed":
            return freshet_render_listing.digest(self._lists.rows(*names))
        found = (self._ephemeral(names[-1]) or self._catalog.find(tuple(names))) if names else None
        return (found or "") if kind == "relation" else self._state(found)

    def columns(self, relation: Any = None) -> list:
        """The known columns of a relation, as the adapter's."""
        return self._columns(self._adapter, relation)

    def is_open(self, relation: Any) -> bool:
        """Whether a relation of the warehouse may have more columns than those that are known."""
        names = () if getattr(relation, "is_cte", False) else _names(relation)
        if not names:
            return False
        found = self._catalog.find(names)
        self.notes.ask("columns", names, self._state(found))
        table = self._catalog.tables.get(found) if found else None
        return table is None or table.open

    def _watch_macros(self) -> None:
        stack, generator = dbt_jinja.MacroStack, dbt_jinja.MacroGenerator
        push, pop, call = stack.push, stack.pop, generator.__call__

        def pushing(self_: Any, name: str) -> None:
            self.notes.enter(name)
            push(self_, name)

        def popping(self_: Any, name: str) -> None:
            self.notes.leave()
            pop(self_, name)

        def calling(self_: Any, *arguments: Any, **more: Any) -> Any:
            own = freshet_render_macros.OWN.get(getattr(self_.macro, "unique_id", ""))
            if own is None or self_.stack is None:
                return call(self_, *arguments, **more)
            return own(self, lambda: call(self_, *arguments, **more), arguments, more)

        stack.push, stack.pop, generator.__call__ = pushing, popping, calling

    def _attribute(self, wrapper: Any, name: str) -> Any:
        adapter = wrapper._adapter  # noqa: SLF001 - dbt's, like those below
        if name not in adapter._available_:
            raise AttributeError(f"'{type(wrapper).__name__}' object has no attribute '{name}'")
        own = OWN.get(name)
        if own is not None:
            return lambda *arguments, **more: own(self, adapter, *arguments, **more)
        if name not in adapter._parse_replacements_:
            return getattr(adapter, name)
        return self._replaced(name, adapter._parse_replacements_[name])

    def _replaced(self, name: str, replacement: Callable) -> Callable:
        def answer(*arguments: Any, **more: Any) -> Any:
            if name not in WITHOUT_ANSWER:
                self.notes.invent(f"asks the warehouse by `adapter.{name}`")
            return replacement(*arguments, **more)

        return answer

    def _execute(self, _adapter: Any, sql: str = "", *_arguments: Any, **_more: Any) -> tuple:
        import freshet_render_tables  # noqa: PLC0415 - imports agate, which few projects need

        freshet_render_tables.install()
        columns, complete = self._shape(sql)
        notes, who = self.notes, self.notes.caller()
        looked = lambda: notes.invent("reads rows from the warehouse", who)  # noqa: E731
        names = [column.name for column in columns]
        listed = self._lists.rows(self._own, str(sql))
        if listed is not None:
            notes.invent("lists tables of the warehouse, of which only those of the project are known", who)
            notes.ask("listed", (self._own, str(sql)), freshet_render_listing.digest(listed))
            return self._response, freshet_render_tables.table(names, listed)
        return self._response, freshet_render_tables.WatchedTable(names, looked, (lambda: None) if complete else looked)

    def _columns(self, adapter: Any, relation: Any = None, *_arguments: Any, **_more: Any) -> list:
        names = _names(relation)
        found = (self._ephemeral(names[-1]) or self._catalog.find(names)) if names else None
        table = self._catalog.tables.get(found) if found else None
        self.notes.ask("columns", names, self._state(found))
        if table is None and found != self._own:
            self.notes.invent(f"asks for the columns of {_shown(names)}, which is not a part of the project")
        elif table is not None and table.open:
            self.notes.invent(f"asks for the columns of `{_named(table.unique_id)}`, of which not all are known")
        return [self._column(adapter, column) for column in (table.columns if table else ())]

    def _columns_of_query(self, adapter: Any, sql: str = "", *_arguments: Any, **_more: Any) -> list:
        columns, complete = self._shape(sql)
        if not complete:
            self.notes.invent("asks the warehouse for the columns of a query")
        return [self._column(adapter, column) for column in columns]

    def _relation(self, adapter: Any, database: Any = None, schema: Any = None, identifier: Any = None, **_more: Any) -> Any:
        names = tuple(str(part) for part in (database, schema, identifier) if part)
        found = self._catalog.find(names)
        self.notes.ask("relation", names, found or "")
        if found is None:
            if names[-1:] != _names_of(self._nodes.get(self._own))[-1:]:
                self.notes.invent(f"asks whether {_shown(names)} exists, which is not a part of the project")
            return None
        return None if found == self._own else self._existing(adapter, self._nodes[found])

    def _has_schema(self, _adapter: Any, database: Any = None, schema: Any = None, **_more: Any) -> bool:
        known = self._catalog.has_schema(str(schema or database))
        if not known:
            self.notes.invent(f"asks whether the schema `{schema or database}` exists")
        return known

    def _existing(self, adapter: Any, node: Any) -> Any:
        config = getattr(node, "config", None)
        kind = "view" if getattr(config, "materialized", None) == "view" else "table"
        return adapter.Relation.create_from(adapter.config, node, type=adapter.Relation.get_relation_type(kind))

    def _column(self, adapter: Any, column: Any) -> Any:
        text = adapter.Column.translate_type("string")
        made = _adapters(adapter, column.name, column.type or text, text)
        if column.type is None:
            made = freshet_render_types.watched(made, self._deciding(f"type of the column `{column.name}`", "is not known"))
            self.notes.types |= {
                spelling for kind in (text, made.dtype, made.data_type) for spelling in _spellings(str(kind), self.dialect)
            }
        return made

    def _deciding(self, what: str, why: str = "has no value") -> Callable:
        """What to call when something unknown decides about the SQL: that is noted of who has asked for it."""
        notes, who = self.notes, self.notes.caller()
        return lambda: notes.invent(f"decides by the {what}, which {why}", who)

    def _shape(self, sql: str) -> tuple:
        """The columns of a query, and whether these are certainly all."""
        before = self._catalog.hits, self._catalog.misses
        self._catalog.hits, self._catalog.misses = {}, []
        try:
            found = freshet_columns.analyse(str(sql), self.dialect, self._catalog)
            for unique_id, digest in self._catalog.hits.items():
                self.notes.ask("table", (unique_id,), digest)
        finally:
            self._catalog.hits, self._catalog.misses = before
        return found.columns, found.status != "unknown" and not found.open

    def _state(self, unique_id: str | None) -> str:
        return self._catalog.digest(unique_id) if unique_id else ""

    def _ephemeral(self, name: str) -> str | None:
        return self._catalog.behind_cte(name)


OWN = {
    "execute": Answers._execute,  # noqa: SLF001
    "get_columns_in_relation": Answers._columns,  # noqa: SLF001
    "get_columns_in_select_sql": Answers._columns_of_query,  # noqa: SLF001
    "get_column_schema_from_query": Answers._columns_of_query,  # noqa: SLF001
    "get_relation": Answers._relation,  # noqa: SLF001
    "check_schema_exists": Answers._has_schema,  # noqa: SLF001
    "compare_dbr_version": lambda *_arguments, **_more: 1,
}
"""Instead of an adapter's own. The last one is Databricks' for a SQL warehouse, which is newer than all that macros compare it with."""


def _adapters(adapter: Any, name: str, *kinds: str) -> Any:
    """A column as the adapter has it, of the first type that it takes."""
    for kind in kinds:
        with suppress(Exception):
            return adapter.Column.create(name, kind)
    return adapter.Column(name, kinds[-1])


@functools.cache
def _spellings(kind: str, dialect: str) -> set:
    """A type as macros write it, and as the engine does."""
    found = {kind.lower()}
    with suppress(Exception):
        found.add(exp.DataType.build(kind, dialect=dialect).sql(dialect=dialect).lower())
    return found


def _refuse(_cls: type, _connection: Any) -> None:
    raise OfflineError


def _response() -> Any:
    for name in RESPONSES:
        with suppress(ImportError, AttributeError):
            return importlib.import_module(name).AdapterResponse("OK")
    return "OK"


def _names(relation: Any) -> tuple:
    parts = (getattr(relation, name, None) for name in ("database", "schema", "identifier"))
    return tuple(str(part) for part in parts if part)


def _names_of(node: Any) -> tuple:
    return () if node is None else (str(getattr(node, "identifier", None) or getattr(node, "alias", None) or node.name),)


def _shown(names: tuple) -> str:
    known = [name for name in names if not name.startswith(PLACEHOLDER)]
    return f"`{'.'.join(known)}`" if known else "a relation without a name"


def _named(unique_id: str) -> str:
    """A node as people call it: the model's name, or the source's and the table's."""
    return unique_id.split(".", 2)[2]


def _all_kinds(kind: type) -> list:
    return [kind] + [deeper for direct in kind.__subclasses__() for deeper in _all_kinds(direct)]
