"""SELECT: its sources, its columns, and what its set of rows depends on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlglot import exp

from freshet_columns import row_digests
from freshet_columns.ctes import named_expressions, with_ctes
from freshet_columns.descriptions import described
from freshet_columns.dialects import BEFORE
from freshet_columns.joins import join
from freshet_columns.matches import connected_rows, matched_rows
from freshet_columns.orders import by_ordinal, limited, sorted_rows
from freshet_columns.pivots import pivoted
from freshet_columns.projections import Projection
from freshet_columns.queries import Query, Work, condition_rows, evaluated, evaluates
from freshet_columns.relations import Field, Relation, without
from freshet_columns.scopes import Scope
from freshet_columns.tables import aliased, source
from freshet_columns.values import EMPTY, FILTER, GROUP_BY, Value, merge, through, union


@evaluates(exp.Select)
def select(query: Query) -> Work:
    """The relation of one SELECT."""
    node = query.node
    environment = yield from with_ctes(node, query.environment, query.outer)
    scope = Scope(environment, query.outer)
    yield from _sources(node, scope)
    if node.args.get("match") is not None:
        yield from matched_rows(node.args["match"], scope)
    if node.args.get("connect") is not None:
        yield from connected_rows(node.args["connect"], scope)
    for window in node.args.get("windows") or ():
        scope.windows[scope.run.folding.of(window.this)] = window
    scope.alias_mode = scope.run.facts.lateral
    for named in named_expressions(node):
        key = scope.run.folding.of(named.args["alias"].this)
        scope.aliases[key] = described(Field(named.alias, key, (yield from evaluated(named.this, scope))), named.this, scope)
    projection = Projection(scope)
    for item in node.expressions:
        yield from projection.add(item)
    relation = _cleaned(node, projection.relation(), scope)
    relation.rows = yield from _rows(node, scope, relation, projection)
    row_digests.describe(node, scope, relation, projection)
    return relation


_READ = frozenset(
    """
    with_ kind expressions hint distinct from_ operation_modifiers laterals joins prewhere where group having qualify windows
    distribute sort cluster order limit offset locks sample settings format options exclude into match connect
    """.split()  # noqa: SIM905
)


def _cleaned(node: Any, relation: Relation, scope: Scope) -> Relation:
    """What stands behind the projection: Redshift's EXCLUDE, and clauses that are not understood."""
    for name, value in node.args.items():
        if value and name not in _READ:
            scope.run.note(f"the clause {name.strip('_').upper()} is read only in part")
    excluded = frozenset(scope.run.folding.of(_identifier(item)) for item in node.args.get("exclude") or ())
    if not excluded:
        return relation
    fields = [field for field in relation.fields if field.key not in excluded]
    return Relation(fields, without(relation.rest, excluded), EMPTY, relation.wild)


def _identifier(node: Any) -> Any:
    return node.this if isinstance(node, exp.Column) else node


@evaluates(exp.Subquery)
def subquery(query: Query) -> Work:
    """A query in parentheses, with clauses of its own perhaps."""
    node = query.node
    environment = yield from with_ctes(node, query.environment, query.outer)
    relation = yield Query(node.this, environment, query.outer)
    for pivot in node.args.get("pivots") or ():
        relation = yield from pivoted(relation, pivot, Scope(environment, query.outer))
        relation = aliased(relation, pivot.args.get("alias"), environment.run)
    return (yield from limited(query, relation, _OF_SUBQUERY))


_OF_SUBQUERY = frozenset(("this", "alias", "with_", "pivots", "joins", "laterals", "sample"))
"""What is not a clause behind a query in parentheses, or is read where it stands in a FROM clause."""


def _sources(node: Any, scope: Scope) -> Work:
    start = node.args.get("from_")
    if start is not None:
        yield from source(start.this, scope)
    for item in node.args.get("joins") or ():
        yield from join(item, scope)
    for item in node.args.get("laterals") or ():
        yield from source(item, scope)


def _rows(node: Any, scope: Scope, relation: Relation, projection: Projection) -> Work:
    """What the set of rows depends on: the sources' own rows, joins, conditions, groups, and limits with an order."""
    rows = union([item.relation.rows for item in scope.sources] + scope.rows)
    facts = scope.run.facts
    for clause, mode in (("prewhere", facts.where), ("where", facts.where), ("having", facts.having), ("qualify", facts.having)):
        condition = node.args.get(clause)
        if condition is not None:
            scope.alias_mode = mode
            merge(rows, (yield from condition_rows(condition.this, scope, FILTER)))
    scope.alias_mode = facts.group
    merge(rows, (yield from _groups(node, scope, relation, projection)))
    scope.alias_mode = BEFORE
    merge(rows, (yield from _distinct(node, scope, relation)))
    merge(rows, (yield from sorted_rows(node, scope, relation)))
    return rows


def _groups(node: Any, scope: Scope, relation: Relation, projection: Projection) -> Work:
    group = node.args.get("group")
    if group is None:
        return EMPTY
    rows: Value = {}
    if group.args.get("all") and not group.expressions:
        if relation.rest:
            scope.run.note("GROUP BY ALL compares all columns, and not all of them are known")
        merge(rows, _group_all(projection))
    for item in _flat(group):
        merge(rows, (yield from by_ordinal(item, scope, relation, GROUP_BY)))
    return rows


def _group_all(projection: Projection) -> Value:
    """GROUP BY ALL: every column without an aggregate."""
    pairs = zip(projection.fields, projection.items)  # noqa: B905 - `strict` needs Python 3.10
    return through(union(field.value for field, item in pairs if item is None or not _has_aggregate(item)), GROUP_BY)


def _has_aggregate(item: Any) -> bool:
    return any(not isinstance(found.parent, exp.Window) for found in item.find_all(exp.AggFunc))


def _flat(group: Any) -> Iterable[Any]:
    """The expressions of a GROUP BY, those of its sets included."""
    for name in ("expressions", "grouping_sets", "cube", "rollup"):
        items = group.args.get(name)
        for item in items if isinstance(items, list) else []:
            if isinstance(item, (exp.Cube, exp.Rollup, exp.GroupingSets)):
                yield from item.expressions
            else:
                yield item


def _distinct(node: Any, scope: Scope, relation: Relation) -> Work:
    clause = node.args.get("distinct")
    if not isinstance(clause, exp.Distinct):
        return EMPTY
    on = clause.args.get("on")
    if on is None:
        if relation.rest:
            scope.run.note("DISTINCT compares all columns, and not all of them are known")
        return through(union(field.value for field in relation.fields), GROUP_BY)
    rows: Value = {}
    for item in on.expressions if isinstance(on, exp.Tuple) else [on]:
        merge(rows, (yield from by_ordinal(item, scope, relation, GROUP_BY)))
    return rows
