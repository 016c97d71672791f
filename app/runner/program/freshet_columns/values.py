"""A value: the columns of tables that an expression depends on, by kind of dependence.

A value is a dict from a slot (`kind * 2`, plus 1 when uncertain) to a bit set of leaves (columns of tables, numbered by
`run.Run`). Bit sets keep long chains of CTEs linear. Values are shared: only `merge` changes its first argument.
"""

from __future__ import annotations

from collections.abc import Iterable

IDENTITY, TRANSFORMATION, AGGREGATION, JOIN, GROUP_BY, FILTER, SORT, WINDOW, CONDITIONAL = range(9)
NAMES = ("IDENTITY", "TRANSFORMATION", "AGGREGATION", "JOIN", "GROUP_BY", "FILTER", "SORT", "WINDOW", "CONDITIONAL")

Value = dict[int, int]
EMPTY: Value = {}


def is_direct(kind: int) -> bool:
    """Tell whether the kind is about values, not about conditions or rows."""
    return kind <= AGGREGATION


def changed(kind: int) -> int:
    """The kind of an operand of an expression that itself is used with `kind`."""
    return TRANSFORMATION if kind == IDENTITY else kind


def indirect(kind: int, condition: int) -> int:
    """The kind of a condition within an expression that itself is used with `kind`."""
    return condition if kind <= AGGREGATION else kind


def through(value: Value, kind: int) -> Value:
    """What a user of `value` depends on: values are raised to a stronger kind, conditions stay or take the user's kind."""
    if kind == IDENTITY or not value:
        return value
    result: Value = {}
    for slot, leaves in value.items():
        direct = slot < JOIN * 2
        target = kind * 2 | slot & 1 if kind > AGGREGATION or (direct and slot >> 1 < kind) else slot
        result[target] = result.get(target, 0) | leaves
    return result


def merge(target: Value, value: Value) -> None:
    """Add `value` to `target` in place."""
    for slot, leaves in value.items():
        target[slot] = target.get(slot, 0) | leaves


def union(values: Iterable[Value]) -> Value:
    """All dependences of several values."""
    result: Value = {}
    for value in values:
        merge(result, value)
    return result


def doubtful(value: Value) -> Value:
    """The same dependences, none of them certain."""
    result: Value = {}
    for slot, leaves in value.items():
        result[slot | 1] = result.get(slot | 1, 0) | leaves
    return result


def only_indirect(value: Value) -> Value:
    """The conditions among the dependences."""
    return {slot: leaves for slot, leaves in value.items() if slot >= JOIN * 2}


def counted(value: Value) -> Value:
    """What the number of an array's elements depends on: not on the values that an aggregate collected."""
    is_collected = not any(slot >> 1 in (IDENTITY, TRANSFORMATION) for slot in value)
    return EMPTY if is_collected else through({slot: leaves for slot, leaves in value.items() if slot >> 1 != AGGREGATION}, JOIN)
