"""Queries of every kind: which module evaluates which, and the stack that they wait on for their subqueries.

A query is evaluated by a generator that yields a `Query` for each subquery and is sent its relation. So deep nesting fills a list
here and not Python's own stack.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

from sqlglot import exp

from freshet_columns.expressions import dependences
from freshet_columns.relations import Relation
from freshet_columns.scopes import Environment, Scope
from freshet_columns.values import IDENTITY, Value, merge


class Query(NamedTuple):
    """A query to evaluate, and what it sees of the text around it."""

    node: Any
    environment: Environment
    outer: Scope | None


Work = Generator[Query, Relation, Any]
_EVALUATORS: dict[type, Any] = {}


def evaluates(kind: type) -> Any:
    """Register a generator function as the evaluator of a kind of query."""

    def register(function: Any) -> Any:
        _EVALUATORS[kind] = function
        return function

    return register


def evaluate(query: Query) -> Relation:
    """The relation that a query makes."""
    waiting: list[Work] = [start(query)]
    result: Any = None
    while waiting:
        try:
            request = waiting[-1].send(result)
        except StopIteration as stop:
            result = stop.value
            waiting.pop()
        else:
            waiting.append(start(request))
            result = None
    return result


def start(query: Query) -> Work:
    """The generator that evaluates a query."""
    for kind in type(query.node).__mro__:
        if kind in _EVALUATORS:
            return _EVALUATORS[kind](query)
    return _unknown(query)


def _unknown(query: Query) -> Work:
    name = type(query.node).__name__.upper()
    query.environment.run.note("a query is missing" if query.node is None else f"Freshet does not understand this kind of query: {name}")
    return Relation([], wild={})
    yield  # a generator like the others


def evaluated(expression: Any, scope: Scope, kind: int = IDENTITY) -> Work:
    """The dependences of an expression, its subqueries included."""
    value: Value = dependences(expression, scope, kind)
    while scope.missing:
        pending = list(scope.missing)
        scope.missing.clear()
        for node, around in pending:
            if id(node) not in scope.subqueries:
                scope.subqueries[id(node)] = yield Query(node, around.environment, around)
        value = dependences(expression, scope, kind)
    return value


def condition_rows(condition: Any, scope: Scope, kind: int) -> Work:
    """The dependences of a condition; in a subquery, parts that compare columns may mean columns of the tables around it."""
    if scope.outer is None or scope.outer.weak:
        return (yield from evaluated(condition, scope, kind))
    rows: Value = {}
    for part in _conjuncts(condition):
        scope.in_condition = sum(1 for _ in part.find_all(exp.Column)) > 1
        merge(rows, (yield from evaluated(part, scope, kind)))
    scope.in_condition = False
    return rows


def _conjuncts(condition: Any) -> list[Any]:
    parts: list[Any] = []
    waiting = [condition]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (exp.And, exp.Paren)):
            waiting += [node.this, *([node.expression] if isinstance(node, exp.And) else [])]
        else:
            parts.append(node)
    return parts


@evaluates(exp.Paren)
def _paren(query: Query) -> Work:
    return (yield query._replace(node=query.node.this))


@evaluates(exp.DDL)
def _statement(query: Query) -> Work:
    """`create table … as`, `insert into … select`: the query inside."""
    return (yield query._replace(node=query.node.args.get("expression")))
