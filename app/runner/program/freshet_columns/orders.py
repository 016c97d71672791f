"""ORDER BY with LIMIT: an order decides about rows where only some of them are taken."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns.dialects import AFTER, BEFORE, NONE
from freshet_columns.queries import Query, Work, condition_rows, evaluated
from freshet_columns.relations import Relation
from freshet_columns.row_digests import describe_limited
from freshet_columns.scopes import Scope
from freshet_columns.values import EMPTY, FILTER, GROUP_BY, SORT, Value, merge, through, union


def sorted_rows(node: Any, scope: Scope, relation: Relation) -> Work:
    """What the rows of a query depend on by its LIMIT; `relation` holds its columns, which ordinals mean."""
    rows: Value = {}
    limit = node.args.get("limit")
    for item in limit.expressions if isinstance(limit, exp.Limit) else []:
        merge(rows, (yield from evaluated(item, scope, GROUP_BY)))
    for clause in (limit, node.args.get("offset")):
        number = clause.expression if isinstance(clause, (exp.Limit, exp.Offset)) else None
        if number is not None and number.find(exp.Query) is not None:
            merge(rows, (yield from condition_rows(number, scope, FILTER)))
    order = node.args.get("order")
    if order is None:
        return rows
    if limit is None and node.args.get("offset") is None and not _is_distinct_on(node):
        yield from _names(order, scope, relation)
    else:
        merge(rows, (yield from _sorts(order, scope, relation)))
    return rows


def _sorts(order: Any, scope: Scope, relation: Relation) -> Work:
    """What the expressions of ORDER BY depend on."""
    rows: Value = {}
    for item in order.expressions:
        key = item.this if isinstance(item, exp.Ordered) else item
        scope.alias_mode = BEFORE if isinstance(key, exp.Column) else _IN_ORDER.get(scope.run.facts.dialect, BEFORE)
        merge(rows, (yield from by_ordinal(key, scope, relation, SORT)))
    scope.alias_mode = NONE
    return rows


def _names(order: Any, scope: Scope, relation: Relation) -> Work:
    """Look for columns that are missing in an order that decides about nothing: what else is not known of it does not matter."""
    run = scope.run
    notes, missing = dict(run.notes), len(run.missing)
    yield from _sorts(order, scope, relation)
    if len(run.missing) == missing:
        run.notes = notes


_IN_ORDER = {"postgres": NONE, "redshift": AFTER, "duckdb": AFTER}
"""How expressions of ORDER BY see aliases, where a lone name sees them otherwise."""


def _is_distinct_on(node: Any) -> bool:
    found = node.args.get("distinct")
    return isinstance(found, exp.Distinct) and found.args.get("on") is not None


def by_ordinal(item: Any, scope: Scope, relation: Relation, kind: int) -> Work:
    """The dependences of an expression, or of the column at a position."""
    if isinstance(item, exp.Literal) and not item.is_string:
        number = int(item.this) if item.this.isdigit() else 0
        if 1 <= number <= relation.fixed:
            return through(relation.fields[number - 1].value, kind)
        if number > relation.fixed and not relation.closed:
            scope.run.note(f"position {number} is behind a star whose columns are not all known")
        return EMPTY
    return (yield from evaluated(item, scope, kind))


def limited(query: Query, relation: Relation, known: frozenset[str]) -> Work:
    """ORDER BY and LIMIT behind a query in parentheses or a set operation. `known`: its parts that are read elsewhere."""
    node = query.node
    if not any(value for name, value in node.args.items() if name not in known):
        return relation
    scope = Scope(query.environment, query.outer)
    scope.add("", relation)
    rows = EMPTY
    if node.args.get("order") is not None or node.args.get("limit") is not None:
        missing = dict(scope.run.missing)
        rows = yield from sorted_rows(node, scope, relation)
        if isinstance(node, exp.Subquery):
            scope.run.missing = missing  # in PostgreSQL and DuckDB, an order behind parentheses sees the tables within
    relation = relation.copied(union([relation.rows, rows]))
    describe_limited(node, scope, relation, known)
    return relation
