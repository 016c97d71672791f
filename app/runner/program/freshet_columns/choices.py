"""Functions that choose between values, columns by position, and tables that stand where values are expected."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns.expressions import Walk, children, handles
from freshet_columns.relations import Relation
from freshet_columns.scopes import Scope
from freshet_columns.values import CONDITIONAL, changed, indirect, union


def choose(walk: Walk, pairs: list[Any], kind: int) -> None:
    """Conditions and values in turn, and what is taken otherwise: of `DECODE`, and ClickHouse's `multiIf`."""
    for number, item in enumerate(pairs):
        is_condition = number % 2 == 0 and number + 1 < len(pairs)
        walk.push(item, indirect(kind, CONDITIONAL) if is_condition else changed(kind))


@handles(exp.DecodeCase)
def _decode(walk: Walk, node: Any, kind: int) -> None:
    operand, *pairs = node.expressions
    walk.push(operand, indirect(kind, CONDITIONAL))
    choose(walk, pairs, kind)


@handles(exp.Parameter)
def _parameter(walk: Walk, node: Any, kind: int) -> None:
    """Snowflake's `$2` is the second column of the only table; in other dialects, it is a parameter of the query."""
    scope, number = walk.scope, node.this
    if scope.run.facts.dialect != "snowflake" or not isinstance(number, exp.Literal) or number.is_string or not scope.sources:
        children(walk, node, kind)
        return
    relation, place = scope.sources[0].relation, int(number.this)
    if len(scope.sources) == 1 and 1 <= place <= relation.fixed:
        walk.add(relation.fields[place - 1].value, kind)
        scope.resolved[id(node)] = (node, scope.sources[0].seen(relation.fields[place - 1]))
    elif relation.fields or not scope.run.is_outside(relation):
        scope.run.note(f"`${place}` means a column by its position, which is not known")


@handles(exp.In)
def _in(walk: Walk, node: Any, kind: int) -> None:
    """ClickHouse's and DuckDB's `a in t`, where `t` is a table."""
    relation = _table(node.args.get("field"), walk.scope)
    if relation is None:
        children(walk, node, kind)
        return
    walk.push(node.this, changed(kind))
    walk.scope.subqueries[id(node.args["field"])] = relation
    walk.add(union([*(field.value for field in relation.fields), relation.rows]), changed(kind))
    if relation.rest:
        walk.scope.run.note("a table is compared as a whole, and not all of its columns are known")


def _table(name: Any, scope: Scope) -> Relation | None:
    """The table of a name that could be a column's; None if there is none."""
    run = scope.run
    if run.facts.dialect not in ("clickhouse", "duckdb") or not isinstance(name, exp.Column) or isinstance(name.this, exp.Star):
        return None
    key = run.folding.of(name.parts[0])
    if key in scope.environment.ctes and len(name.parts) == 1:
        return scope.environment.ctes[key]
    if scope.source(key) is not None or any(source.relation.find(key) for source in scope.sources):
        return None
    table = run.catalog.table(tuple((part.name, bool(part.args.get("quoted"))) for part in name.parts))
    return run.relation(table) if table is not None else None
