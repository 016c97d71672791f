"""Parses SQL; what is no SQL of its dialect is read as that of another one, and at last without the parts that are not understood."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlglot
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel, SqlglotError, TokenError

BACKTICKS = ("bigquery", "databricks", "spark", "clickhouse")
"""Dialects with backticks around names. In some of them, a text between double quotation marks is no name."""
OTHERS = ("trino", "snowflake", "postgres", "duckdb", "")
MAX_CHARACTERS = 50_000
"""Of texts that are tried as SQL of other dialects: each costs as much as the first."""
TITLES = {"": "standard SQL", "tsql": "SQL Server"}
SKIPPED = ("Invalid expression / Unexpected token",)
"""Errors after which the parser leaves out the rest of the text."""


RELATIONS = (exp.CTE, exp.From, exp.Join, exp.Lateral, exp.Query, exp.Table, exp.TableAlias, exp.Unnest)


class Parsed(NamedTuple):
    """The statements of a text. `doubt`: why they may mean something else than in the warehouse; `whole`: nothing is left out."""

    statements: list[Any]
    doubt: str | None = None
    whole: bool = True


def parsed(sql: str, dialect: str, *, strict: bool) -> Parsed:
    """Parse a text; if it is not `strict`, by other means too. Raises SqlglotError, of the dialect itself."""
    sql = sql.lstrip("\ufeff")
    try:
        return Parsed(_statements(sqlglot.parse(sql, dialect=dialect)))
    except SqlglotError as error:
        found = _without_comments(sql, dialect)
        if found is not None:
            return found
        found = None if strict else _as_other(sql, dialect) or _in_part(sql, dialect)
        if found is None:
            raise
        return found._replace(doubt=f"the SQL could not be parsed: {described(error)}; {found.doubt}")


def described(error: BaseException) -> str:
    """What a parser says, without the names of its own classes."""
    if isinstance(error, TokenError):
        near = " ".join(str(error).partition("'")[2].split())[:30]
        return f"a quotation mark or a comment is not closed, or a character is not known, near `{near}`"
    found = (getattr(error, "errors", None) or [{}])[0]
    description = str(found.get("description") or error).partition("<")[0].split(" for class")[0].rstrip(" .").removesuffix(" but got")
    if description.startswith("Required keyword") or not description:
        description = "an expression is not complete"
    where = f" (line {found['line']}, column {found['col']})" if found.get("line") else ""
    return (description.splitlines() or [type(error).__name__])[0] + where


def _statements(trees: list[Any]) -> list[Any]:
    return [tree for tree in trees if tree is not None and not isinstance(tree, exp.Semicolon)]


def _without_comments(sql: str, dialect: str) -> Parsed | None:
    """The same text: for the parser `order /* … */ by` is no ORDER BY."""
    if len(sql) > MAX_CHARACTERS:
        return None
    parts, end = [], 0
    try:
        for token in Dialect.get_or_raise(dialect).tokenize(sql):
            between = sql[end : token.start]
            parts += ["\n" * between.count("\n") + " " if between.strip() else between, sql[token.start : token.end + 1]]
            end = token.end + 1
        text = "".join(parts)
        return Parsed(_statements(sqlglot.parse(text, dialect=dialect))) if text != sql[:end] else None
    except SqlglotError:
        return None


def _as_other(sql: str, dialect: str) -> Parsed | None:
    """The text as SQL of the first other dialect that accepts it."""
    if len(sql) > MAX_CHARACTERS:
        return None
    others = (*BACKTICKS, *OTHERS) if dialect in BACKTICKS else OTHERS
    for other in others:
        try:
            statements = _statements(sqlglot.parse(sql, dialect=other)) if other != dialect else []
        except SqlglotError:
            continue
        if statements and all(isinstance(tree, exp.Query) for tree in statements):
            return Parsed(statements, f"it was read as {TITLES.get(other, other)}")
    return None


def _in_part(sql: str, dialect: str) -> Parsed | None:
    """The text with holes, such as an expression or a query that a macro has left empty."""
    own = Dialect.get_or_raise(dialect)
    parser = own.parser(error_level=ErrorLevel.IGNORE)
    try:
        statements = _statements(parser.parse(own.tokenize(sql), sql))
    except (SqlglotError, TypeError, ValueError, AttributeError):
        return None
    is_cut = any(str(error).startswith(SKIPPED) for error in parser.errors)
    has_columns = bool(statements) and all(isinstance(tree, exp.Query) and tree.selects and tree.find(exp.From) for tree in statements)
    if is_cut or not has_columns:
        return None
    for tree in statements:
        _fill(tree)
    return Parsed(statements, "this part is left out", whole=False)


def _fill(tree: Any) -> None:
    """Put NULL in the place of expressions that are missing; queries and tables stay missing."""
    for node in tree.walk():
        if not isinstance(node, RELATIONS):
            for name, is_needed in node.arg_types.items():
                if is_needed and node.args.get(name) is None:
                    node.set(name, exp.Null())
