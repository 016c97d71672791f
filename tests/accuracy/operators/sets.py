"""Operators that combine relations of the same shape."""

from __future__ import annotations

from tests.accuracy.building import Choices, Col, Made, Operator, Rel
from tests.accuracy.truth import FILTER, GROUP_BY, both, used


def branches(c: Choices, left: Rel, right: Rel) -> tuple[list[Col], list[Col], str, str]:
    """As many columns of each side, of the same kinds, and the two queries."""
    count = min(len(left.ints()), len(right.ints()), c.r.randint(1, 3))
    ours, theirs = c.r.sample(left.ints(), count), c.r.sample(right.ints(), count)
    a, b = c.alias(), c.alias()
    first = f"select {', '.join(f'{a}.{col.sql}' for col in ours)} from {left.sql} as {a}"
    second = f"select {', '.join(f'{b}.{col.sql}' for col in theirs)} from {right.sql} as {b}"
    return ours, theirs, first, second


def joined(ours: list[Col], theirs: list[Col]) -> tuple[Col, ...]:
    """Columns by position, under the names of the first side."""
    return tuple(col._replace(value=both(col.value, other.value)) for col, other in zip(ours, theirs, strict=True))


class UnionAll(Operator):
    inputs = 2

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        left, right = sources
        ours, theirs, first, second = branches(c, left, right)
        return Made(f"{first} union all {second}", joined(ours, theirs), both(left.rows, right.rows))


class UnionOfThree(Operator):
    inputs = 2

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        left, right = sources
        ours, theirs, first, second = branches(c, left, right)
        third = c.table()
        if len(third.ints()) < len(ours):
            return None
        more, alias = c.r.sample(third.ints(), len(ours)), c.alias()
        sql = f"{first} union all {second} union all select {', '.join(f'{alias}.{col.sql}' for col in more)} from {third.sql} as {alias}"
        return Made(sql, joined(list(joined(ours, theirs)), more), both(left.rows, right.rows))


class UnionDistinct(Operator):
    inputs = 2
    word = "union"

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        left, right = sources
        ours, theirs, first, second = branches(c, left, right)
        cols = joined(ours, theirs)
        word = "union distinct" if c.dialect == "bigquery" else "union"
        rows = both(left.rows, right.rows, used(both(*(col.value for col in cols)), GROUP_BY))
        return Made(f"{first} {word} {second}", cols, rows)


class UnionByName(Operator):
    inputs = 2
    dialects = frozenset({"duckdb", "snowflake"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        left, right = sources
        ours, theirs, first, second = branches(c, left, right)
        if any(col.quoted for col in (*ours, *theirs)):
            return None
        values = {col.name: col for col in ours}
        for col in theirs:
            known = values.get(col.name)
            values[col.name] = col if known is None else known._replace(value=both(known.value, col.value))
        return Made(f"{first} union all by name {second}", tuple(values.values()), both(left.rows, right.rows))


class Difference(Operator):
    """INTERSECT and EXCEPT: the values of the first side, by comparing all columns of both."""

    inputs = 2

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        left, right = sources
        ours, theirs, first, second = branches(c, left, right)
        word = c.r.choice(["intersect", "except"]) + (" distinct" if c.dialect == "bigquery" else "")
        rows = both(left.rows, right.rows, used(both(*(col.value for col in (*ours, *theirs))), FILTER))
        return Made(f"{first} {word} {second}", tuple(ours), rows)


class UnionOfStars(Operator):
    """Two stars over the same relation."""

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        a, b = c.alias(), c.alias()
        condition, looked = c.condition(b, source)
        sql = f"select * from {source.sql} as {a} union all select * from {source.sql} as {b} where {condition}"
        return Made(sql, source.cols, both(source.rows, used(looked, FILTER)))
