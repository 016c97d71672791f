"""Answers queries of `information_schema` for tables and schemas with those of the project. Independent of dbt."""

from __future__ import annotations

import functools
import hashlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlglot
from freshet_column_catalog import identifier, is_ephemeral
from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Iterable

LISTS = re.compile(r"information_schema[\"`\]]?\s*\.\s*[\"`\[]?(tables|schemata)\b", re.IGNORECASE)


class Listed(NamedTuple):
    """A table as `information_schema` has it."""

    database: str
    schema: str
    name: str
    kind: str
    """`table`, `view` or `external`."""
    unique_id: str = ""

    def column(self, name: str) -> str | None:
        """The value of a column of `information_schema`; None if it is not known without a warehouse."""
        return getattr(self, COLUMNS[name]) if name in COLUMNS else None


COLUMNS = {"table_catalog": "database", "catalog_name": "database", "table_schema": "schema", "schema_name": "schema", "table_name": "name"}
MAX_LISTS = 200
"""Queries whose rows are remembered."""
KIND = "table_type"
"""Macros make dbt's word of the warehouse's."""


class Lists:
    """The tables of one project, and what queries list of them."""

    def __init__(self, nodes: dict, dialect: str) -> None:
        """`nodes`: by unique_id, all that are relations."""
        self._nodes, self._dialect = nodes, dialect
        self._tables = None  # type: list[Listed] | None
        self._found = {}  # type: dict[str, list | None]

    def rows(self, own: str, sql: str) -> list | None:
        """The rows of a query, without the node that asks, each once; None if it lists no tables."""
        if sql not in self._found:
            if len(self._found) >= MAX_LISTS:
                self._found.clear()
            self._found[sql] = rows(sql, self._dialect, self._all())
        found = self._found[sql]
        return None if found is None else distinct(found, own)

    def _all(self) -> list:
        """In an order that does not depend on that of files."""
        if self._tables is None:
            named = [(unique_id, node) for unique_id, node in sorted(self._nodes.items()) if not is_ephemeral(node)]
            self._tables = [
                Listed(node.database or "", node.schema or "", identifier(node), _kind(unique_id), unique_id) for unique_id, node in named
            ]
        return self._tables


def digest(listed: list | None) -> str:
    """A short text about rows."""
    return hashlib.blake2b(repr(listed).encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()


def distinct(found: list[tuple[str, dict[str, str | None]]], own: str | None = None) -> list[dict[str, str | None]]:
    """The rows of all tables but `own`, each once."""
    return [dict(row) for row in dict.fromkeys(tuple(row.items()) for unique_id, row in found if unique_id != own)]


def _kind(unique_id: str) -> str:
    return "external" if unique_id.startswith("source.") else "table"


def rows(sql: str, dialect: str, tables: Iterable[Listed]) -> list[tuple[str, dict[str, str | None]]] | None:
    """The rows by column, each with the table's unique_id; None if the query lists no tables. What it asks beyond names counts as true."""
    if LISTS.search(sql) is None:
        return None
    try:
        selects = [select for tree in sqlglot.parse(sql, dialect=dialect) if tree is not None for select in tree.find_all(exp.Select)]
    except (sqlglot.errors.SqlglotError, RecursionError):
        return None
    lists = [(select, names) for select in selects if (names := _qualifiers(select, dialect)) is not None]
    known = list(tables) if lists else []
    found = [(table, select) for select, names in lists for table in known if _is_meant(select, names, table, dialect)]
    return [(table.unique_id, _row(select, table)) for table, select in found] if lists else None


def _qualifiers(select: exp.Select, dialect: str) -> list[str] | None:
    """What stands before `information_schema` in a query that reads nothing else: a database, or BigQuery's project and dataset."""
    reads = list(select.find_all(exp.Table))
    if len(reads) != 1 or LISTS.search(reads[0].sql(dialect)) is None:
        return None
    names = [part for part in re.split(r"[.\"`\[\]]+", reads[0].sql(dialect).split(" ")[0]) if part]
    return [name.lower() for name in names[:-2]]


def _is_meant(select: exp.Select, qualifiers: list[str], table: Listed, dialect: str) -> bool:
    names = [table.database.lower(), table.schema.lower()] if dialect == "bigquery" else [table.database.lower()]
    if any(given != name for given, name in zip(qualifiers, names, strict=False)):
        return False
    where = select.args.get("where")
    return where is None or _truth(where.this, table) is not False


def _row(select: exp.Select, table: Listed) -> dict[str, str | None]:
    return {item.alias_or_name: _projected(item, table) for item in select.expressions}


def _projected(item: Any, table: Listed) -> str | None:
    inner = item.unalias()
    name = (inner.name if isinstance(inner, exp.Column) else item.alias_or_name).lower()
    return table.kind if name == KIND else table.column(name)


def _truth(node: Any, table: Listed) -> bool | None:
    """Whether a condition is true, in any case of letters; None if that is not known."""
    rule = next((rule for kind, rule in RULES.items() if isinstance(node, kind)), None)
    return rule(node, table) if rule is not None else None


def _text(node: Any, table: Listed) -> str | None:
    """The value of a column or a literal, in lower case."""
    if isinstance(node, (exp.Lower, exp.Upper, exp.Paren, exp.Trim, exp.Cast)):
        return _text(node.this, table)
    value = node.name if isinstance(node, exp.Literal) else table.column(node.name.lower()) if isinstance(node, exp.Column) else None
    return value.lower() if value is not None else None


def _and(node: Any, table: Listed) -> bool | None:
    both = _truth(node.left, table), _truth(node.right, table)
    return False if False in both else None if None in both else True


def _or(node: Any, table: Listed) -> bool | None:
    both = _truth(node.left, table), _truth(node.right, table)
    return True if True in both else None if None in both else False


def _not(node: Any, table: Listed) -> bool | None:
    found = _truth(node.this, table)
    return None if found is None else not found


def _equal(node: Any, table: Listed) -> bool | None:
    both = _text(node.this, table), _text(node.expression, table)
    return None if None in both else both[0] == both[1]


def _different(node: Any, table: Listed) -> bool | None:
    found = _equal(node, table)
    return None if found is None else not found


def _among(node: Any, table: Listed) -> bool | None:
    value, options = _text(node.this, table), [_text(option, table) for option in node.expressions]
    return None if value is None or None in options or not options else value in options


def _like(node: Any, table: Listed) -> bool | None:
    value, pattern = _text(node.this, table), _text(node.expression, table)
    if value is None or pattern is None:
        return None
    return (_compiled(pattern).fullmatch(value) is not None) is not bool(node.args.get("negate"))


@functools.lru_cache(maxsize=200)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = {"%": ".*", "_": "."}
    return re.compile("".join(parts.get(letter, re.escape(letter)) for letter in pattern), re.DOTALL)


RULES = {
    exp.And: _and,
    exp.Or: _or,
    exp.Not: _not,
    exp.Paren: lambda node, table: _truth(node.this, table),
    exp.EQ: _equal,
    exp.NEQ: _different,
    exp.In: _among,
    exp.Like: _like,
    exp.ILike: _like,
}
