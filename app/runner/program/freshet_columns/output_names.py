"""The names of columns that the SQL does not name, and of a query's columns without any tables."""

from __future__ import annotations

from typing import Any

import sqlglot
from sqlglot import exp

UNNAMED = "\1"
"""Begins the keys of columns whose name only the warehouse knows: nothing refers to them."""
_CAST_KEEPS_NAME = frozenset(["postgres", "redshift", "spark", "databricks"])
_FUNCTION_NAMES = {
    "Count": "count",
    "Sum": "sum",
    "Max": "max",
    "Min": "min",
    "Avg": "avg",
    "Coalesce": "coalesce",
    "Greatest": "greatest",
    "Least": "least",
    "Lower": "lower",
    "Upper": "upper",
    "RowNumber": "row_number",
    "Case": "case",
    "Exists": "exists",
    "Abs": "abs",
    "Round": "round",
}


def implicit(item: Any, dialect: str) -> Any:
    """The Identifier or the text that names an item without an alias; None where there is none."""
    if isinstance(item, exp.Column):
        return item.this
    if isinstance(item, exp.Dot) and isinstance(item.expression, exp.Identifier):
        return item.expression
    if isinstance(item, exp.Cast) and dialect in _CAST_KEEPS_NAME:
        return implicit(item.this, dialect)
    if dialect == "databricks" and isinstance(item, exp.JSONExtract):
        return item.output_name or None
    if dialect in ("postgres", "redshift"):
        return _postgres(item)
    return None


def _postgres(item: Any) -> str | None:
    """PostgreSQL names a column after its function, and `?column?` where there is none."""
    while isinstance(item, (exp.Window, exp.Filter, exp.Paren, exp.WithinGroup)):
        item = item.this
    if isinstance(item, exp.Anonymous):
        return str(item.name).lower()
    if isinstance(item, (exp.Binary, exp.Literal, exp.Unary)) and not isinstance(item, exp.Func):
        return "?column?"
    return _FUNCTION_NAMES.get(type(item).__name__)


def invented(position: int, unnamed: int, dialect: str) -> tuple[str, bool]:
    """The name that a warehouse invents, and whether that is certain; `unnamed` counts the columns before that have none."""
    if dialect == "bigquery":
        return f"f{unnamed}_", True
    if dialect in ("trino", "athena"):
        return f"_col{position}", True
    return f"column_{position + 1}", False


def output_names(sql: str, dialect: str) -> list[str]:
    """The names of a query's own projection, stars left out; empty when the SQL cannot be parsed."""
    try:
        tree = sqlglot.parse(sql, dialect=dialect)[-1]
        projections = tree.selects if isinstance(tree, exp.Query) else []
        return [_simple(item, number, dialect) for number, item in enumerate(projections) if not item.is_star]
    except Exception:  # noqa: BLE001 - whatever strangers write
        return []


def _simple(item: Any, position: int, dialect: str) -> str:
    if isinstance(item, exp.Alias):
        return item.alias
    name = implicit(item, dialect)
    return str(getattr(name, "name", name)) if name is not None else item.output_name or invented(position, position, dialect)[0]
