"""MATCH_RECOGNIZE and CONNECT BY: what they read is followed, but not which rows they make, so the analysis is approximate."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns.canonical import others
from freshet_columns.digests import made
from freshet_columns.queries import Work, evaluated
from freshet_columns.relations import Field, Relation
from freshet_columns.scopes import Scope
from freshet_columns.stars import everything
from freshet_columns.values import FILTER, GROUP_BY, SORT, Value, merge, union


def matched_rows(node: Any, scope: Scope) -> Work:
    """Put the result of MATCH_RECOGNIZE in the place of the tables that it reads."""
    scope.run.note("the clause MATCH_RECOGNIZE is read only in part")
    rows: Value = {}
    yield from _conditions(node, scope, rows)
    fields: list[Field] = []
    for measure in node.args.get("measures") or ():
        item = measure.this if isinstance(measure, exp.MatchRecognizeMeasure) else measure
        value = yield from evaluated(item, scope)
        fields.append(Field(item.alias_or_name, scope.run.folding.key(item.alias_or_name, False), value))  # noqa: FBT003
    before = everything(scope)
    origin = scope.run.origin(before)
    origin = origin._replace(rows=made("match", origin.rows, *others(node, scope, frozenset(("alias",)))))
    _keep(scope, Relation(before.fields + fields, before.rest, union([before.rows, rows]), origin=origin), node)


def _conditions(node: Any, scope: Scope, rows: Value) -> Work:
    order = node.args.get("order")
    clauses = [(node.args.get("partition_by") or [], GROUP_BY), (order.expressions if order is not None else [], SORT)]
    clauses.append(([item.this for item in node.args.get("define") or ()], FILTER))
    for items, kind in clauses:
        for item in items:
            merge(rows, (yield from evaluated(item, scope, kind)))


def _keep(scope: Scope, relation: Relation, node: Any) -> None:
    alias = node.args.get("alias")
    name = scope.run.folding.of(alias.this) if isinstance(alias, exp.TableAlias) and alias.this is not None else ""
    known = {**scope.by_alias}
    scope.sources.clear()
    scope.row_parts.clear()
    scope.tables = 0
    scope.add(name, relation)
    scope.by_alias.update(dict.fromkeys(known, scope.sources[0]))


def connected_rows(node: Any, scope: Scope) -> Work:
    """What the rows of a hierarchy depend on: START WITH and CONNECT BY."""
    scope.run.note("the clause CONNECT BY is read only in part")
    for name in ("start", "connect"):
        if node.args.get(name) is not None:
            scope.rows.append((yield from evaluated(node.args[name], scope, FILTER)))
    scope.row_parts.append(made("connect", *others(node, scope, frozenset())))
