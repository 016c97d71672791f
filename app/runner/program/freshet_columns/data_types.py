"""Types of columns, where the SQL itself states them."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

_BOOLEAN = (exp.Predicate, exp.Not, exp.And, exp.Or, exp.Boolean)
_INTEGER = (exp.Count, exp.RowNumber)


def type_of(expression: Any, dialect: str) -> str | None:
    """The type of an expression in the dialect's spelling; None where only the warehouse knows."""
    while isinstance(expression, exp.Paren):
        expression = expression.this
    if isinstance(expression, exp.Cast):
        return _spelled(expression.args.get("to"), dialect)
    if isinstance(expression, _BOOLEAN):
        return "boolean"
    return "bigint" if isinstance(expression, _INTEGER) else None


def _spelled(target: Any, dialect: str) -> str | None:
    return target.sql(dialect=dialect).lower() if isinstance(target, exp.Expr) else None
