"""Functions that choose between values, and columns by position."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns.expressions import Walk, children, handles
from freshet_columns.values import CONDITIONAL, changed, indirect


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
    elif relation.fields or not scope.run.is_outside(relation):
        scope.run.note(f"`${place}` means a column by its position, which is not known")
