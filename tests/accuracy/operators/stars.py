"""Operators with a star."""

from __future__ import annotations

from tests.accuracy.building import Choices, Col, Made, Operator, Rel
from tests.accuracy.truth import changed

EXCLUDING = frozenset({"duckdb", "snowflake", "bigquery", "databricks"})


class Star(Operator):
    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias = c.alias()
        star = c.r.choice(["*", f"{alias}.*"])
        return Made(f"select {star} from {source.sql} as {alias}", source.cols, source.rows)


class StarAndMore(Operator):
    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, (one, other) = c.alias(), c.two_of(source)
        name = c.name({col.name.lower() for col in source.cols})
        added = Col(name, "int", changed(one.value, other.value))
        sql = f"select {alias}.*, {alias}.{one.sql} + {alias}.{other.sql} as {name} from {source.sql} as {alias}"
        return Made(sql, (*source.cols, added), source.rows)


class StarExcept(Operator):
    dialects = EXCLUDING

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        kept = c.int_of(source)
        gone = [col for col in c.some(source.cols, 1, 3) if col != kept]
        if not gone:
            return None
        names = ", ".join(col.sql for col in gone)
        cols = tuple(col for col in source.cols if col not in gone)
        return Made(f"select * exclude ({names}) from {source.sql} as {c.alias()}", cols, source.rows)


class StarReplace(Operator):
    dialects = EXCLUDING - {"databricks"}

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        one, other = c.two_of(source)
        replaced = Col(one.name, "int", changed(one.value, other.value), one.quoted)
        cols = tuple(replaced if col == one else col for col in source.cols)
        sql = f"select * replace ({one.sql} + {other.sql} as {one.sql}) from {source.sql} as {c.alias()}"
        return Made(sql, cols, source.rows)


class StarRename(Operator):
    dialects = frozenset({"duckdb", "snowflake"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        one = c.int_of(source)
        name = c.name({col.name.lower() for col in source.cols})
        cols = tuple(col._replace(name=name, quoted=False) if col == one else col for col in source.cols)
        return Made(f"select * rename ({one.sql} as {name}) from {source.sql} as {c.alias()}", cols, source.rows)


class CountedStar(Operator):
    """A star over a join of relations that share no name."""

    inputs = 2

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        left, right = sources
        names = [col.name.lower() for col in (*left.cols, *right.cols)]
        if len(set(names)) < len(names):
            return None
        return Made(
            f"select * from {left.sql} as {c.alias()} cross join {right.sql} as {c.alias()}", left.cols + right.cols, left.rows | right.rows
        )
