"""What an expression depends on: the values that it is made of, and the conditions that choose between them.

The walk keeps its own stack, so that chains of thousands of operators cost no recursion. A subquery that has no relation yet is
put into `scope.missing`; the caller evaluates it and tries again (see `queries.evaluated`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from freshet_columns.relations import Relation
from freshet_columns.scopes import Scope
from freshet_columns.values import (
    AGGREGATION,
    CONDITIONAL,
    IDENTITY,
    SORT,
    WINDOW,
    Value,
    changed,
    indirect,
    is_direct,
    merge,
    through,
    union,
)

Stack = list[tuple[Any, int]]


class Walk:
    """One expression on its way: what is still to be visited, and what was found."""

    __slots__ = ("scope", "stack", "value")

    def __init__(self, expression: Any, scope: Scope, kind: int) -> None:
        self.scope = scope
        self.stack: Stack = [(expression, kind)]
        self.value: Value = {}

    def push(self, node: Any, kind: int) -> None:
        """Visit a node, or a list of them, later."""
        if isinstance(node, list):
            self.stack.extend((item, kind) for item in node)
        elif node is not None:
            self.stack.append((node, kind))

    def add(self, value: Value, kind: int) -> None:
        """Record a dependence."""
        merge(self.value, through(value, kind))


Handler = Callable[[Walk, Any, int], None]


def handles(kind: type) -> Callable[[Handler], Handler]:
    """Register the handler of a kind of node that another module knows about."""

    def register(handler: Handler) -> Handler:
        _HANDLERS[kind] = handler
        return handler

    return register


def dependences(expression: Any, scope: Scope, kind: int = IDENTITY) -> Value:
    """All dependences of an expression that is used with `kind`."""
    walk = Walk(expression, scope, kind)
    stack = walk.stack
    while stack:
        node, kind = stack.pop()
        handler = _HANDLERS.get(type(node))
        if handler is None:
            handler = _handler_of(type(node))
        handler(walk, node, kind)
    return walk.value


def children(walk: Walk, node: Any, kind: int) -> None:
    """Visit the operands of any operator or function: it changes them."""
    kind = changed(kind)
    stack = walk.stack
    for child in node.args.values():
        if isinstance(child, exp.Expr):
            stack.append((child, kind))
        elif isinstance(child, list):
            stack.extend((item, kind) for item in child if isinstance(item, exp.Expr))


def _nothing(_walk: Walk, _node: Any, _kind: int) -> None:
    """A literal, a type, a name that is no reference."""


def _column(walk: Walk, node: Any, kind: int) -> None:
    if isinstance(node.this, exp.Star):
        _star_of(walk, node, kind)
        return
    field = walk.scope.column(node.parts)
    if field is not None:
        merge(walk.value, through(field.value, kind))


def _star_of(walk: Walk, node: Any, kind: int) -> None:
    source = walk.scope.source(walk.scope.run.folding.of(node.args["table"])) if node.args.get("table") else None
    if source is not None:
        walk.add(walk.scope.whole(source.relation), changed(kind))


def _star(walk: Walk, _node: Any, kind: int) -> None:
    for source in walk.scope.sources:
        walk.add(walk.scope.whole(source.relation), changed(kind))


def _columns(walk: Walk, node: Any, kind: int) -> None:
    """`COLUMNS(…)` within an expression: the column that it is being made for, else all of them."""
    if walk.scope.matched is not None:
        walk.add(walk.scope.matched.value, kind)
    else:
        _star(walk, node, kind)


def _same(walk: Walk, node: Any, kind: int) -> None:
    """Parentheses and aliases change nothing."""
    walk.push(node.this, kind)


def _aggregate(walk: Walk, node: Any, kind: int) -> None:
    children(walk, node, AGGREGATION if is_direct(kind) else kind)


def _count(walk: Walk, node: Any, kind: int) -> None:
    counted = node.this
    star = isinstance(counted, exp.Star) or (isinstance(counted, exp.Column) and isinstance(counted.this, exp.Star))
    if not star:
        _aggregate(walk, node, kind)


def _case(walk: Walk, node: Any, kind: int) -> None:
    condition, branch = indirect(kind, CONDITIONAL), changed(kind)
    walk.push(node.args.get("this"), condition)
    for branch_node in node.args.get("ifs") or ():
        walk.push(branch_node.this, condition)
        walk.push(branch_node.args.get("true"), branch)
    walk.push(node.args.get("default"), branch)


def _condition_first(walk: Walk, node: Any, kind: int) -> None:
    """`IF(condition, a, b)`, `NVL2(a, b, c)`."""
    walk.push(node.this, indirect(kind, CONDITIONAL))
    walk.push(node.args.get("true"), changed(kind))
    walk.push(node.args.get("false"), changed(kind))


def _condition_last(walk: Walk, node: Any, kind: int) -> None:
    """`NULLIF(a, b)`, `sum(a) filter (where b)`."""
    walk.push(node.this, changed(kind) if isinstance(node, exp.Nullif) else kind)
    walk.push(node.expression, indirect(kind, CONDITIONAL))


def _window(walk: Walk, node: Any, kind: int) -> None:
    walk.push(node.this, kind)
    around = indirect(kind, WINDOW)
    for window in definitions(node, walk.scope):
        walk.push(window.args.get("partition_by"), around)
        order = window.args.get("order")
        walk.push(order.expressions if order is not None else None, around)


def definitions(window: Any, scope: Scope) -> list[Any]:
    """The window itself, and the named ones that it builds upon."""
    definitions = [window]
    name = window.args.get("alias")
    while name is not None and len(definitions) <= len(scope.windows):
        definition = scope.windows.get(scope.run.folding.of(name))
        if definition is None:
            break
        definitions.append(definition)
        name = definition.args.get("alias")
    return definitions


def _within_group(walk: Walk, node: Any, kind: int) -> None:
    """`percentile_cont(0.5) within group (order by a)` is made of `a`; `listagg(a) within group (order by b)` is sorted by `b`."""
    walk.push(node.this, kind)
    sorts = node.this.find(exp.Column) is not None
    used = SORT if sorts else AGGREGATION
    walk.push([item.this for item in node.expression.expressions], indirect(kind, used) if sorts or is_direct(kind) else kind)


def _order(walk: Walk, node: Any, kind: int) -> None:
    """`array_agg(a order by b)`."""
    walk.push(node.args.get("this"), kind)
    walk.push(node.expressions, indirect(kind, SORT))


def _lambda(walk: Walk, node: Any, kind: int) -> None:
    names = frozenset(walk.scope.run.folding.of(parameter) for parameter in node.expressions)
    walk.add(dependences(node.this, walk.scope.inner(names), changed(kind)), IDENTITY)


def _comprehension(walk: Walk, node: Any, kind: int) -> None:
    folding = walk.scope.run.folding
    names = frozenset(folding.of(part) for part in (node.expression, node.args.get("position")) if part is not None)
    inner = walk.scope.inner(names)
    walk.push(node.args.get("iterator"), changed(kind))
    walk.add(dependences(node.this, inner, changed(kind)), IDENTITY)
    condition = node.args.get("condition")
    if condition is not None:
        walk.add(dependences(condition, inner, indirect(kind, CONDITIONAL)), IDENTITY)


def _named_argument(walk: Walk, node: Any, kind: int) -> None:
    """`name => value`, `struct(value as name)`: the name is no reference."""
    walk.push(node.expression, kind)


def _subquery(walk: Walk, node: Any, kind: int) -> None:
    relation = _relation_of(walk, node)
    if relation is not None:
        walk.add(union(field.value for field in relation.fields), kind)
        walk.add(relation.wild or {}, kind)
        walk.add(relation.rows, kind if not is_direct(kind) else IDENTITY)
        if relation.rest:
            walk.scope.run.note("a subquery reads all columns of a table whose columns are not all known")


def _exists(walk: Walk, node: Any, kind: int) -> None:
    if not isinstance(node.this, exp.Query):
        children(walk, node, kind)
        return
    relation = _relation_of(walk, node.this)
    if relation is not None:
        walk.add(relation.rows, kind if not is_direct(kind) else IDENTITY)


def _relation_of(walk: Walk, node: Any) -> Relation | None:
    relation = walk.scope.subqueries.get(id(node))
    if relation is None:
        walk.scope.missing.append((node, walk.scope))
    return relation


_VALUE_WINDOWS = ("Lag", "Lead", "FirstValue", "LastValue", "NthValue", "First", "Last")
_EXACT_TYPES: dict[str, Handler] = {
    "Column": _column,
    "Star": _star,
    "Columns": _columns,
    "Paren": _same,
    "Alias": _same,
    "Case": _case,
    "If": _condition_first,
    "Nvl2": _condition_first,
    "Nullif": _condition_last,
    "Filter": _condition_last,
    "Window": _window,
    "WithinGroup": _within_group,
    "Order": _order,
    "Ordered": _same,
    "Lambda": _lambda,
    "Comprehension": _comprehension,
    "Kwarg": _named_argument,
    "PropertyEQ": _named_argument,
    "Exists": _exists,
    "Count": _count,
    "CountIf": _aggregate,
    "IgnoreNulls": _same,
    "RespectNulls": _same,
    "Literal": _nothing,
    "Identifier": _nothing,
    "DataType": _nothing,
    "Null": _nothing,
    "Boolean": _nothing,
    "Var": _nothing,
    "JSONPath": _nothing,
    "WindowSpec": _nothing,
    **dict.fromkeys(_VALUE_WINDOWS, children),
}
_HANDLERS: dict[type, Handler] = {getattr(exp, name): handler for name, handler in _EXACT_TYPES.items() if hasattr(exp, name)}


def _handler_of(kind: type) -> Handler:
    if issubclass(kind, exp.Query):
        handler: Handler = _subquery
    elif issubclass(kind, exp.AggFunc):
        handler = _aggregate
    else:
        handler = children
    _HANDLERS[kind] = handler
    return handler
