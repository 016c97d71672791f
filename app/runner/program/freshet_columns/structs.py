"""Structs, rows and arrays of them: which value each field has, as far as the SQL itself builds them."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns.expressions import Walk, children, dependences, handles
from freshet_columns.methods import receiver
from freshet_columns.relations import Field
from freshet_columns.scopes import Scope
from freshet_columns.values import AGGREGATION, Value, changed, merge, only_indirect, through, union

Parts = dict[str, Field]
_WRAPPERS = (exp.Paren, exp.Alias, exp.Order, exp.Limit, exp.Distinct, exp.IgnoreNulls, exp.RespectNulls)
_PICKING = (exp.ArrayAgg, exp.AnyValue, exp.First, exp.Last, exp.ArgMax, exp.ArgMin, exp.Max, exp.Min, exp.ArrayConcatAgg)


def parts_of(expression: Any, scope: Scope) -> Parts | None:
    """The fields of a struct, or of the structs in an array; None where they are not known."""
    while isinstance(expression, _WRAPPERS) and expression.this is not None:
        expression = expression.this
    kind = type(expression)
    if kind is exp.Column:
        field = scope.column(expression.parts) if not isinstance(expression.this, exp.Star) else None
        return field.parts if field is not None else None
    maker = _MAKERS.get(kind) or (_picked if isinstance(expression, _PICKING) else None)
    if maker is None and isinstance(expression, exp.Query):
        maker = _queried
    return maker(expression, scope) if maker is not None else None


def _struct(node: Any, scope: Scope) -> Parts | None:
    parts: Parts = {}
    for item in node.expressions:
        named = isinstance(item, (exp.PropertyEQ, exp.Alias, exp.Kwarg))
        name = (item.args.get("alias") if isinstance(item, exp.Alias) else item.this) if named else item
        identifier = name if isinstance(name, exp.Identifier) else getattr(name, "this", None)
        text = identifier.name if isinstance(identifier, exp.Identifier) else getattr(name, "name", "")
        if not text:
            return None
        key = scope.run.folding.of(identifier) if isinstance(identifier, exp.Identifier) else scope.run.folding.key(text, False)  # noqa: FBT003
        value = (item.this if isinstance(item, exp.Alias) else item.expression) if named else item
        parts[key] = field_of(value, scope).renamed(text, key)
    return parts


def field_of(expression: Any, scope: Scope) -> Field:
    """The value and the fields of an expression whose subqueries were evaluated before."""
    if type(expression) is exp.Column and not isinstance(expression.this, exp.Star):
        field = scope.column(expression.parts)
        if field is not None:
            return field
    return Field("", "", dependences(expression, scope), None, parts_of(expression, scope))


def _member(node: Any, scope: Scope) -> Parts | None:
    field = member(node, scope)
    return field.parts if field is not None else None


def member(node: Any, scope: Scope) -> Field | None:
    """The field that `struct.name`, `struct['name']` or `array[0].name` means; None where that is not known."""
    name = node.expression if isinstance(node, exp.Dot) else node.expressions[0] if len(node.expressions) == 1 else None
    if isinstance(name, exp.Literal) and not name.is_string:
        return None
    text = name.name if isinstance(name, (exp.Identifier, exp.Literal)) else ""
    parts = parts_of(node.this, scope) if text else None
    if parts is None:
        return None
    key = scope.run.folding.of(name) if isinstance(name, exp.Identifier) else scope.run.folding.key(text, False)  # noqa: FBT003
    return parts.get(key)


def _element(node: Any, scope: Scope) -> Parts | None:
    """`array[0]` has the fields of the array's structs, `struct['name']` those of its field."""
    index = node.expressions[0] if len(node.expressions) == 1 else None
    is_name = isinstance(index, exp.Literal) and index.is_string
    return _member(node, scope) if is_name else parts_of(node.this, scope)


def _picked(node: Any, scope: Scope) -> Parts | None:
    parts = parts_of(node.this, scope)
    if parts is None:
        return None
    chosen = only_indirect(dependences(node, scope))
    if isinstance(node, (exp.ArgMax, exp.ArgMin)):
        merge(chosen, dependences(node.expression, scope, AGGREGATION))
    return {key: _raised(field, chosen) for key, field in parts.items()}


def _raised(field: Field, chosen: Value) -> Field:
    value = union([through(field.value, AGGREGATION), chosen])
    return Field(field.name, field.key, value, field.type, field.parts)


def _array(node: Any, scope: Scope) -> Parts | None:
    """`array(select as struct …)` and `[struct(1 as a), struct(2)]`, whose first struct names the fields."""
    first, *others = node.expressions or [None]
    parts = parts_of(first, scope) if first is not None else None
    if parts is None:
        return None
    values = {key: dict(field.value) for key, field in parts.items()}
    for other in others:
        for number, key in enumerate(parts):
            merge(values[key], dependences(_at(other, number), scope))
    return {key: field.valued(values[key]) for key, field in parts.items()}


def _at(node: Any, number: int) -> Any:
    """The expression at a position of a struct; the whole of anything else."""
    if not isinstance(node, exp.Struct) or number >= len(node.expressions):
        return node
    item = node.expressions[number]
    return item.expression if isinstance(item, (exp.PropertyEQ, exp.Kwarg)) else item


def _queried(node: Any, scope: Scope) -> Parts | None:
    relation = scope.subqueries.get(id(node))
    if relation is None or not relation.closed or not relation.fields:
        return None
    inner = node.unnest() if isinstance(node, exp.Subquery) else node
    if isinstance(inner, exp.Select) and inner.args.get("kind") == "STRUCT":
        return {field.key: field for field in relation.fields}
    return relation.fields[0].parts if len(relation.fields) == 1 else None


_MAKERS = {exp.Struct: _struct, exp.Dot: _member, exp.Bracket: _element, exp.Array: _array}


@handles(exp.Dot)
def _dot(walk: Walk, node: Any, kind: int) -> None:
    field = member(node, walk.scope)
    if field is not None:
        walk.add(field.value, kind)
    elif isinstance(node.expression, exp.Func):
        receiver(walk, node, kind)
        walk.push(node.expression, changed(kind))
    else:
        walk.push(node.this, changed(kind))


@handles(exp.Bracket)
def _bracket(walk: Walk, node: Any, kind: int) -> None:
    field = member(node, walk.scope)
    if field is not None:
        walk.add(field.value, kind)
    else:
        children(walk, node, kind)
