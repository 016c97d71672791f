"""Operators that choose rows by conditions, and subqueries in expressions."""

from __future__ import annotations

from tests.accuracy.building import Choices, Draft, Made, Operator, Rel
from tests.accuracy.truth import AGGREGATION, FILTER, SORT, WINDOW, Value, both, changed, used


class Filtering(Operator):
    """Some columns of one relation, and a predicate."""

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        source, alias = sources[0], c.alias()
        condition, looked = self.predicate(c, alias, source, sources[1:])
        draft = Draft(c)
        draft.keep(alias, [*c.some(source.cols), c.int_of(source)])
        rows = both(source.rows, used(looked, FILTER))
        return Made(f"select {draft.list()} from {source.sql} as {alias} where {condition}", tuple(draft.cols), rows)

    def predicate(self, c: Choices, alias: str, source: Rel, others: tuple[Rel, ...]) -> tuple[str, Value]:
        """The condition, and everything that it looks at."""
        raise NotImplementedError


class Filter(Filtering):
    def predicate(self, c: Choices, alias: str, source: Rel, others: tuple[Rel, ...]) -> tuple[str, Value]:
        return c.condition(alias, source)


class StarFilter(Operator):
    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias = c.alias()
        condition, looked = c.condition(alias, source)
        return Made(f"select * from {source.sql} as {alias} where {condition}", source.cols, both(source.rows, used(looked, FILTER)))


class InSubquery(Filtering):
    inputs = 2

    def predicate(self, c: Choices, alias: str, source: Rel, others: tuple[Rel, ...]) -> tuple[str, Value]:
        other, inner, col = others[0], c.alias(), c.int_of(source)
        picked = c.int_of(other)
        condition, looked = c.condition(inner, other)
        word = c.r.choice(["in", "in", "not in"])
        sql = f"{alias}.{col.sql} {word} (select {inner}.{picked.sql} from {other.sql} as {inner} where {condition})"
        return sql, both(col.value, picked.value, looked, other.rows)


class Exists(Filtering):
    inputs = 2

    def predicate(self, c: Choices, alias: str, source: Rel, others: tuple[Rel, ...]) -> tuple[str, Value]:
        other, inner, col = others[0], c.alias(), c.int_of(source)
        met = c.int_of(other)
        condition, looked = c.condition(inner, other)
        word = c.r.choice(["exists", "exists", "not exists"])
        sql = f"{word} (select 1 from {other.sql} as {inner} where {inner}.{met.sql} = {alias}.{col.sql} and {condition})"
        return sql, both(col.value, met.value, looked, other.rows)


class ComparedWithSubquery(Filtering):
    inputs = 2

    def predicate(self, c: Choices, alias: str, source: Rel, others: tuple[Rel, ...]) -> tuple[str, Value]:
        other, inner, col = others[0], c.alias(), c.int_of(source)
        picked = c.int_of(other)
        sql = f"{alias}.{col.sql} >= (select avg({inner}.{picked.sql}) from {other.sql} as {inner})"
        return sql, both(col.value, picked.value, other.rows)


class ScalarSubquery(Operator):
    """A value of another relation; what chooses its rows is a condition of this column alone."""

    inputs = 2
    correlated = False

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source, other), alias, inner = sources, c.alias(), c.alias()
        picked, col = c.int_of(other), c.int_of(source)
        condition, looked = c.condition(inner, other)
        if self.correlated:
            met = c.int_of(other)
            condition, looked = f"{inner}.{met.sql} = {alias}.{col.sql}", both(met.value, col.value)
        draft = Draft(c)
        draft.keep(alias, [*c.some(source.cols, 1, 3), c.int_of(source)])
        value = both(used(picked.value, AGGREGATION), used(looked, FILTER), other.rows)
        draft.add(f"(select max({inner}.{picked.sql}) from {other.sql} as {inner} where {condition})", "int", value)
        return Made(f"select {draft.list()} from {source.sql} as {alias}", tuple(draft.cols), source.rows)


class CorrelatedSubquery(ScalarSubquery):
    correlated = True
    dialects = frozenset({"duckdb", "snowflake", "bigquery", "postgres", "tsql"})


class Limit(Operator):
    """An order decides which rows are left."""

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, by = c.alias(), c.int_of(source)
        draft = Draft(c)
        draft.keep(alias, [*c.some(source.cols), c.int_of(source)], rename=False)
        sql = f"select {draft.list()} from {source.sql} as {alias} order by {alias}.{by.sql} desc limit 4"
        return Made(sql, tuple(draft.cols), both(source.rows, used(by.value, SORT)))


class LimitByAlias(Operator):
    """An order by a name of the SELECT list, which hides a column of the source."""

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, (one, other) = c.alias(), c.two_of(source)
        value = changed(one.value, other.value)
        draft = Draft(c)
        draft.keep(alias, [c.int_of(source)], rename=False)
        name = draft.add(f"{alias}.{one.sql} + {alias}.{other.sql}", "int", value)
        sql = f"select {draft.list()} from {source.sql} as {alias} order by {name} limit 3"
        return Made(sql, tuple(draft.cols), both(source.rows, used(value, SORT)))


class OrderOnly(Operator):
    """An order without a limit chooses nothing."""

    dialects = frozenset({"duckdb", "snowflake", "bigquery", "postgres", "databricks"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, by = c.alias(), c.int_of(source)
        return Made(f"select * from {source.sql} as {alias} order by {alias}.{by.sql}", source.cols, source.rows)


class Qualify(Operator):
    dialects = frozenset({"duckdb", "snowflake", "bigquery", "databricks"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, by, order = c.alias(), c.int_of(source), c.int_of(source)
        draft = Draft(c)
        draft.keep(alias, [*c.some(source.cols), c.int_of(source)], rename=False)
        window = f"row_number() over (partition by {alias}.{by.sql} order by {alias}.{order.sql} desc)"
        sql = f"select {draft.list()} from {source.sql} as {alias} qualify {window} = 1"
        return Made(sql, tuple(draft.cols), both(source.rows, used(both(by.value, order.value), FILTER)))


class Deduplicated(Operator):
    """The form that every dbt project has: the newest row of each key."""

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, outer, by, order = c.alias(), c.alias(), c.int_of(source), c.int_of(source)
        window = f"row_number() over (partition by {alias}.{by.sql} order by {alias}.{order.sql} desc)"
        inner = f"select {alias}.*, {window} as rn from {source.sql} as {alias}"
        if any(col.name.lower() == "rn" for col in source.cols):
            return None
        draft = Draft(c)
        draft.keep(outer, [*c.some(source.cols), c.int_of(source)], rename=False)
        if c.chance(0.3):
            draft.add(f"{outer}.rn", "int", used(both(by.value, order.value), WINDOW))
        sql = f"select {draft.list()} from ({inner}) as {outer} where {outer}.rn = 1"
        return Made(sql, tuple(draft.cols), both(source.rows, used(both(by.value, order.value), FILTER)))
