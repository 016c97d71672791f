"""PIVOT and UNPIVOT, as clauses behind a table and as DuckDB's statements."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns import digests
from freshet_columns.canonical import others
from freshet_columns.digests import Origin
from freshet_columns.queries import Query, Work, evaluated, evaluates
from freshet_columns.relations import Field, Relation, without
from freshet_columns.row_digests import of
from freshet_columns.scopes import Scope
from freshet_columns.values import AGGREGATION, CONDITIONAL, EMPTY, FILTER, GROUP_BY, TRANSFORMATION, Value, merge, through, union


def pivoted(relation: Relation, pivot: Any, around: Scope) -> Work:
    """The relation behind a PIVOT or UNPIVOT."""
    scope = Scope(around.environment, around.outer)
    scope.add("", relation)
    if pivot.args.get("unpivot"):
        return (yield from _unpivot(relation, pivot, scope))
    return (yield from _pivot(relation, pivot, scope))


@evaluates(exp.Pivot)
def statement(query: Query) -> Work:
    """`PIVOT table ON column USING sum(value) GROUP BY column`, `UNPIVOT table ON columns INTO NAME n VALUE v`."""
    node = query.node
    relation = yield Query(node.this, query.environment, query.outer)
    return (yield from pivoted(relation, node, Scope(query.environment, query.outer)))


# PIVOT


def _pivot(relation: Relation, pivot: Any, scope: Scope) -> Work:
    aggregates = pivot.args.get("using") or (pivot.expressions if pivot.args.get("fields") else [])
    deciding = pivot.args.get("fields") or pivot.expressions
    columns = [item.this if isinstance(item, exp.In) else item for item in deciding]
    values: list[Value] = []
    for item in aggregates:
        values.append((yield from evaluated(item, scope, AGGREGATION)))  # noqa: PERF401 - no comprehension may yield
    chosen: Value = {}
    for column in columns:
        merge(chosen, (yield from evaluated(column, scope, CONDITIONAL)))
    kept, rows = yield from _kept(relation, pivot, _keys([*aggregates, *columns], scope), scope)
    origin = _origin("pivot", relation, pivot, kept, scope)
    made = _made(pivot, values or [EMPTY], chosen, scope)
    for number, field in enumerate(made or ()):
        field.digest = digests.made("pivot column", origin.rows, str(number))
    if made is None:
        scope.run.note("the columns that a PIVOT makes depend on the data")
    rest = () if pivot.args.get("group") else without(relation.rest, frozenset(_keys([*aggregates, *columns], scope)))
    result = Relation(kept + (made or []), rest, rows, None if made is not None else union([*values, chosen]), origin)
    result.fixed = len(result.fields) if relation.closed and made is not None else 0
    return result


_NOT_OF_CLAUSE = frozenset(("this", "alias", "with_"))


def _origin(what: str, relation: Relation, pivot: Any, kept: list[Field], scope: Scope) -> Origin:
    """The origin of the result, by the text of the clause and the columns that are kept."""
    origin = scope.run.origin(relation)
    clause = digests.made(what, *others(pivot, scope, _NOT_OF_CLAUSE))
    if pivot.args.get("unpivot"):  # which makes values of the columns' names
        clause = digests.made(what, clause, *(digests.text(scope.run.folding.of(column.this)) for column in pivot.find_all(exp.Column)))
    rows = digests.made(what, origin.rows, clause, *sorted(of(field, scope.run) for field in kept))
    return origin._replace(rows=rows, columns=digests.made(what, origin.columns, clause))


def _kept(relation: Relation, pivot: Any, taken: set[str], scope: Scope) -> Work:
    """The columns that a PIVOT groups by: those of its GROUP BY, else all others."""
    group = pivot.args.get("group")
    if group is None:
        if relation.rest:
            scope.run.note("a PIVOT groups by all other columns, and not all of them are known")
        fields = [field for field in relation.fields if field.key not in taken]
    else:
        fields = [scope.member(relation, scope.run.folding.of(item.this), item.name) for item in _columns(group.expressions)]
        fields = [field for field in fields if field is not None]
    return fields, union([relation.rows, through(union(field.value for field in fields), GROUP_BY)])
    yield  # a generator like the others


def _made(pivot: Any, values: list[Value], chosen: Value, scope: Scope) -> list[Field] | None:
    """The columns that a PIVOT makes: for each value of the columns that decide, one for each aggregate."""
    names = pivot.args.get("columns") or _statement_names(pivot)
    if names is None:
        return None
    by_value = not pivot.args.get("value_columns_first")
    step = max(1, len(names) // len(values))
    return [
        Field(
            name.name,
            scope.run.folding.of(name),
            union([values[number % len(values) if by_value else min(number // step, len(values) - 1)], chosen]),
        )
        for number, name in enumerate(names)
    ]


def _statement_names(pivot: Any) -> list[Any] | None:
    """The names that DuckDB's statement makes for `ON column IN (…)`."""
    using = pivot.args.get("using") or []
    if len(pivot.expressions) != 1 or not isinstance(pivot.expressions[0], exp.In) or pivot.args.get("fields"):
        return None
    values = [item.alias or item.name for item in pivot.expressions[0].expressions]
    suffixes = [item.alias or (item.sql("duckdb") if len(using) > 1 else "") for item in using] or [""]
    return [exp.to_identifier(f"{value}_{suffix}" if suffix else value, quoted=True) for value in values for suffix in suffixes]


# UNPIVOT


def _unpivot(relation: Relation, pivot: Any, scope: Scope) -> Work:
    """Values that are NULL make no row, unless the SQL says INCLUDE NULLS."""
    names, targets, groups = _unpivot_parts(pivot)
    values: list[Value] = [{} for _ in targets]
    taken: set[str] = set()
    for group in groups:
        for number, column in enumerate(group[: len(targets)]):
            merge(values[number], (yield from evaluated(column, scope, TRANSFORMATION)))
            taken |= _keys([column], scope)
    kept = [field for field in relation.fields if field.key not in taken]
    folding = scope.run.folding
    origin = _origin("unpivot", relation, pivot, [], scope)
    made = [Field(name.name, folding.of(name), EMPTY) for name in names]
    made += [Field(target.name, folding.of(target), values[number]) for number, target in enumerate(targets)]
    for number, field in enumerate(made):
        field.digest = digests.made("unpivot column", origin.rows, str(number))
    nulls = EMPTY if pivot.args.get("include_nulls") else through(union(values), FILTER)
    rest = without(relation.rest, frozenset(taken))
    result = Relation(kept + made, rest, union([relation.rows, nulls]), relation.wild, origin)
    result.fixed = len(result.fields) if relation.closed else 0
    return result


def _unpivot_parts(pivot: Any) -> tuple[list[Any], list[Any], list[list[Any]]]:
    """The column that names, the columns for values, and the groups of columns that they come from."""
    into = pivot.args.get("into")
    if not pivot.args.get("fields"):
        names = [_identifier(into.this)] if into is not None else [exp.to_identifier("name")]
        targets = [_identifier(item) for item in into.expressions] if into is not None else [exp.to_identifier("value")]
        return names, targets, [_flat(item) for item in pivot.expressions]
    targets = [_identifier(item) for target in pivot.expressions for item in _flat(target)]
    fields = [item for item in pivot.args["fields"] if isinstance(item, exp.In)]
    return [_identifier(item.this) for item in fields], targets, [_flat(column) for item in fields for column in item.expressions]


def _flat(node: Any) -> list[Any]:
    """The columns of an item: itself, or the members of a tuple, whatever name follows."""
    node = node.this if isinstance(node, (exp.Alias, exp.PivotAlias)) else node
    return list(node.expressions) if isinstance(node, exp.Tuple) else [node]


def _identifier(node: Any) -> Any:
    return node.this if isinstance(node, exp.Column) else node


def _columns(nodes: list[Any]) -> list[Any]:
    return [column for node in nodes for column in node.find_all(exp.Column)]


def _keys(nodes: list[Any], scope: Scope) -> set[str]:
    return {scope.run.folding.of(column.this) for column in _columns(nodes) if isinstance(column.this, exp.Identifier)}
