"""Operators that group rows."""

from __future__ import annotations

from tests.accuracy.building import Choices, Col, Draft, Made, Operator, Rel
from tests.accuracy.operators.expressions import aggregate, aggregates
from tests.accuracy.truth import AGGREGATION, CONDITIONAL, FILTER, GROUP_BY, SORT, both, changed, used

ORDINALS = frozenset({"duckdb", "snowflake", "bigquery", "postgres", "databricks"})


class GroupBy(Operator):
    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, keys, draft = c.alias(), c.some(source.cols, 1, 2), Draft(c)
        draft.keep(alias, keys)
        aggregates(c, alias, source, draft)
        by = ", ".join(f"{alias}.{key.sql}" for key in keys)
        rows = both(source.rows, used(both(*(key.value for key in keys)), GROUP_BY))
        return Made(f"select {draft.list()} from {source.sql} as {alias} group by {by}", tuple(draft.cols), rows)


class GroupByHidden(Operator):
    """Groups whose key is no column of the result."""

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, key, draft = c.alias(), c.int_of(source), Draft(c)
        aggregates(c, alias, source, draft)
        rows = both(source.rows, used(key.value, GROUP_BY))
        return Made(f"select {draft.list()} from {source.sql} as {alias} group by {alias}.{key.sql}", tuple(draft.cols), rows)


class GroupByOrdinal(Operator):
    dialects = ORDINALS

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, key, draft = c.alias(), c.int_of(source), Draft(c)
        draft.keep(alias, [key])
        one, other = c.two_of(source)
        value = changed(one.value, other.value)
        draft.add(f"{alias}.{one.sql} + {alias}.{other.sql}", "int", value)
        aggregates(c, alias, source, draft)
        rows = both(source.rows, used(both(key.value, value), GROUP_BY))
        return Made(f"select {draft.list()} from {source.sql} as {alias} group by 1, 2", tuple(draft.cols), rows)


class GroupByAll(Operator):
    dialects = frozenset({"duckdb", "snowflake", "bigquery", "databricks"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, keys, draft = c.alias(), c.some(source.cols, 1, 2), Draft(c)
        draft.keep(alias, keys)
        aggregates(c, alias, source, draft)
        rows = both(source.rows, used(both(*(key.value for key in keys)), GROUP_BY))
        return Made(f"select {draft.list()} from {source.sql} as {alias} group by all", tuple(draft.cols), rows)


class TotalAggregate(Operator):
    """Aggregates without groups: one row."""

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, draft = c.alias(), Draft(c)
        aggregates(c, alias, source, draft)
        return Made(f"select {draft.list()} from {source.sql} as {alias}", tuple(draft.cols), source.rows)


class Having(Operator):
    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, key, summed, draft = c.alias(), c.int_of(source), c.int_of(source), Draft(c)
        draft.keep(alias, [key])
        aggregates(c, alias, source, draft)
        sql = f"select {draft.list()} from {source.sql} as {alias} group by {alias}.{key.sql} having sum({alias}.{summed.sql}) > 4"
        return Made(sql, tuple(draft.cols), both(source.rows, used(key.value, GROUP_BY), used(summed.value, FILTER)))


class GroupingSets(Operator):
    dialects = frozenset({"duckdb", "snowflake", "bigquery", "postgres", "databricks"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        (one, other), alias, draft = c.two_of(source), c.alias(), Draft(c)
        if one == other:
            return None
        draft.keep(alias, [one, other])
        aggregates(c, alias, source, draft)
        a, b = f"{alias}.{one.sql}", f"{alias}.{other.sql}"
        how = c.r.choice([f"rollup ({a}, {b})", f"cube ({a}, {b})", f"grouping sets (({a}, {b}), ({a}), ())"])
        rows = both(source.rows, used(both(one.value, other.value), GROUP_BY))
        return Made(f"select {draft.list()} from {source.sql} as {alias} group by {how}", tuple(draft.cols), rows)


class AggregateFilter(Operator):
    dialects = frozenset({"duckdb", "postgres", "databricks"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, (key, summed), draft = c.alias(), c.two_of(source), Draft(c)
        condition, looked = c.condition(alias, source)
        draft.keep(alias, [key])
        value = both(used(summed.value, AGGREGATION), used(looked, CONDITIONAL))
        draft.add(f"sum({alias}.{summed.sql}) filter (where {condition})", "int", value)
        draft.add(f"count(*) filter (where {condition})", "int", used(looked, CONDITIONAL))
        sql = f"select {draft.list()} from {source.sql} as {alias} group by {alias}.{key.sql}"
        return Made(sql, tuple(draft.cols), both(source.rows, used(key.value, GROUP_BY)))


class OrderedAggregate(Operator):
    dialects = frozenset({"duckdb", "postgres", "bigquery", "snowflake"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, (key, listed), order, draft = c.alias(), c.two_of(source), c.int_of(source), Draft(c)
        draft.keep(alias, [key])
        draft.keep(alias, [])
        value = both(used(listed.value, AGGREGATION), used(order.value, SORT))
        draft.add(f"string_agg(cast({alias}.{listed.sql} as varchar), ',' order by {alias}.{order.sql})", "text", value)
        sql = f"select {draft.list()} from {source.sql} as {alias} group by {alias}.{key.sql}"
        return Made(sql, tuple(draft.cols), both(source.rows, used(key.value, GROUP_BY)))


class GroupByExpression(Operator):
    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, (one, other), draft = c.alias(), c.two_of(source), Draft(c)
        key, value = f"{alias}.{one.sql} - {alias}.{other.sql}", changed(one.value, other.value)
        draft.add(key, "int", value)
        aggregates(c, alias, source, draft)
        rows = both(source.rows, used(value, GROUP_BY))
        return Made(f"select {draft.list()} from {source.sql} as {alias} group by {key}", tuple(draft.cols), rows)


class Distinct(Operator):
    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, draft = c.alias(), Draft(c)
        draft.keep(alias, [*c.some(source.cols, 1, 3), c.int_of(source)])
        rows = both(source.rows, used(both(*(col.value for col in draft.cols)), GROUP_BY))
        return Made(f"select distinct {draft.list()} from {source.sql} as {alias}", tuple(draft.cols), rows)


class DistinctOn(Operator):
    dialects = frozenset({"duckdb", "postgres"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, (key, order), draft = c.alias(), c.two_of(source), Draft(c)
        draft.keep(alias, [*c.some(source.cols), c.int_of(source)], rename=False)
        k, o = f"{alias}.{key.sql}", f"{alias}.{order.sql}"
        sql = f"select distinct on ({k}) {draft.list()} from {source.sql} as {alias} order by {k}, {o}"
        return Made(sql, tuple(draft.cols), both(source.rows, used(key.value, GROUP_BY), used(both(key.value, order.value), SORT)))


class Pivot(Operator):
    dialects = frozenset({"duckdb", "snowflake", "bigquery", "databricks"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, key, by, summed = c.alias(), c.int_of(source), c.int_of(source), c.int_of(source)
        inner = f"select {alias}.{key.sql} as gk, {alias}.{by.sql} as pk, {alias}.{summed.sql} as pv from {source.sql} as {alias}"
        value = both(used(summed.value, AGGREGATION), used(by.value, CONDITIONAL))
        cols = (Col("gk", "int", key.value), Col("p1", "int", value), Col("p2", "int", value))
        rows = both(source.rows, used(key.value, GROUP_BY))
        outer = c.alias()
        sql = f"select {outer}.gk, {outer}.p1, {outer}.p2 from ({inner}) pivot (sum(pv) for pk in (1 as p1, 2 as p2)) as {outer}"
        return Made(sql, cols, rows)


class Unpivot(Operator):
    """Rows whose value is NULL are left out, so they depend on the values."""

    dialects = frozenset({"duckdb", "snowflake", "bigquery", "databricks"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, key, (one, other) = c.alias(), c.int_of(source), c.two_of(source)
        inner = f"select {alias}.{key.sql} as uk, {alias}.{one.sql} as ua, {alias}.{other.sql} as ub from {source.sql} as {alias}"
        values = both(one.value, other.value)
        cols = (Col("uk", "int", key.value), Col("item", "int", changed(values)))
        rows = both(source.rows, used(values, FILTER))
        return Made(f"select uk, item from ({inner}) unpivot (item for which in (ua, ub)) as {c.alias()}", cols, rows)


class UnnestedAggregate(Operator):
    """A list made by an aggregate, and a row for each of its items, NULLs included: their number does not depend on the values."""

    dialects = frozenset({"duckdb", "postgres"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, (key, listed), outer = c.alias(), c.two_of(source), c.alias()
        grouped, items = f"{alias}.{key.sql}", f"array_agg({alias}.{listed.sql})"
        inner = f"select {grouped} as gk, {items} as items from {source.sql} as {alias} group by {grouped}"
        cols = (Col("gk", "int", key.value), Col("item", "int", used(listed.value, AGGREGATION)))
        rows = both(source.rows, used(key.value, GROUP_BY))
        return Made(f"select {outer}.gk, l.item from ({inner}) as {outer} cross join unnest({outer}.items) as l(item)", cols, rows)


class AggregateOfAggregate(Operator):
    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, key, outer = c.alias(), c.int_of(source), c.alias()
        sql, value = aggregate(c, f"{alias}.", source)
        inner = f"select {alias}.{key.sql} as gk, {sql} as gv from {source.sql} as {alias} group by {alias}.{key.sql}"
        cols = (Col("most", "int", used(value, AGGREGATION)), Col("keys", "int", used(key.value, AGGREGATION)))
        rows = both(source.rows, used(key.value, GROUP_BY))
        return Made(f"select max({outer}.gv) as most, count({outer}.gk) as keys from ({inner}) as {outer}", cols, rows)
