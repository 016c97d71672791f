"""Functions behind what they are called on: SQL Server's `x.value(…)`, DuckDB's `name.lower()`.

sqlglot takes every name in front of the dot for that of a schema, as in `dbo.f(a)`, and is right about that in other dialects.
"""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns.expressions import Walk
from freshet_columns.scopes import Scope
from freshet_columns.values import changed

XML = frozenset(("value", "query", "exist", "nodes", "modify"))
SPATIAL = "st"
SCHEMAS = frozenset(("main", "temp", "system", "pg_catalog"))
"""The methods of SQL Server's types; `dbo.f(a)` is a function of a schema. DuckDB's own schemas."""
NAMES_BELOW = (exp.Column, exp.Dot, exp.Table, exp.TableAlias, exp.DataType, exp.From, exp.Join, exp.CTE, exp.Var)
"""Nodes in which a name is no reference by itself."""
NAMED = {"alias", "using"}


def receiver(walk: Walk, node: Any, kind: int) -> None:
    """Visit what a function is called on, if that is a column or made of columns."""
    names = _names(node.this)
    if names is None:
        # In place, since subqueries are known by their identity.
        walk.push(node.this.transform(_reference, copy=False), changed(kind))
    elif _is_column(names, node.expression, walk.scope):
        field = walk.scope.column(names)
        if field is not None:
            walk.add(field.value, changed(kind))


def _is_column(names: list[Any], call: Any, scope: Scope) -> bool:
    dialect = scope.run.facts.dialect
    if dialect in ("tsql", "fabric"):
        method = str(call.name if isinstance(call, exp.Anonymous) else call.sql_name()).lower()
        return method in XML or method.startswith(SPATIAL)
    key = scope.run.folding.of(names[0])
    if dialect != "duckdb" or key in SCHEMAS:
        return False
    return scope.source(key) is not None if len(names) > 1 else scope.may_have(key)


def _names(node: Any) -> list[Any] | None:
    """The names of `a.b.c`; None for anything else."""
    names: list[Any] = []
    while isinstance(node, exp.Dot) and isinstance(node.expression, exp.Identifier):
        names.append(node.expression)
        node = node.this
    return [node, *reversed(names)] if isinstance(node, exp.Identifier) else None


def _column(names: list[Any]) -> Any:
    *around, name = [one.copy() for one in names]
    table, schema, database = [*reversed(around), None, None, None][:3]
    return exp.Column(this=name, table=table, db=schema, catalog=database)


def _reference(node: Any) -> Any:
    """A reference instead of the name that was made of it."""
    names = _names(node)
    if names is None or isinstance(node.parent, NAMES_BELOW) or node.arg_key in NAMED or _is_label(node):
        return node
    return _column(names)


def _is_label(node: Any) -> bool:
    """The parameters of a lambda, and `name => value`."""
    parent = node.parent
    return (isinstance(parent, exp.Lambda) and node.arg_key == "expressions") or (
        isinstance(parent, (exp.Kwarg, exp.PropertyEQ)) and node.arg_key == "this"
    )
