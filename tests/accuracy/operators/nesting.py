"""Operators about names and nesting: CTEs, subqueries, columns named from outside, recursion, VALUES."""

from __future__ import annotations

from tests.accuracy.building import Choices, Col, Draft, Made, Operator, Rel
from tests.accuracy.truth import FILTER, JOIN, NOTHING, both, changed, used


class PassThrough(Operator):
    """A chain of CTEs that change nothing."""

    dialects = frozenset({"duckdb", "snowflake", "bigquery", "postgres", "databricks"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        first, second, alias = f"src{c.count}", f"renamed{c.count}", c.alias()
        sql = f"with {first} as (select * from {source.sql} as {alias}), {second} as (select * from {first}) select * from {second}"
        return Made(sql, source.cols, source.rows)


class ShadowedCte(Operator):
    """A CTE in a subquery that has the name of one around it. (Databricks: sqlglot moves the inner one out.)"""

    inputs = 2
    dialects = frozenset({"duckdb", "snowflake", "bigquery", "postgres"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (left, right), name, a, b = sources, f"same{c.count}", c.alias(), c.alias()
        one, other = c.int_of(left), c.int_of(right)
        inner = f"with {name} as (select {b}.{other.sql} as inside from {right.sql} as {b}) select inside from {name}"
        sql = (
            f"with {name} as (select {a}.{one.sql} as outside from {left.sql} as {a}) "
            f"select o.outside, i.inside from {name} as o cross join ({inner}) as i"
        )
        return Made(sql, (Col("outside", "int", one.value), Col("inside", "int", other.value)), both(left.rows, right.rows))


class CteNamedLikeTable(Operator):
    """A CTE with the name of a table of another schema."""

    dialects = frozenset({"duckdb", "snowflake", "bigquery", "postgres", "databricks"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, (one, other) = c.alias(), c.two_of(source)
        value = changed(one.value, other.value)
        left = f"{alias}.{one.sql}"
        sql = f"with t as (select {left} + {alias}.{other.sql} as id, {left} as b from {source.sql} as {alias}) select t.id, b from t"
        return Made(sql, (Col("id", "int", value), Col("b", "int", one.value)), source.rows)


class NestedSubqueries(Operator):
    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, (one, other) = c.alias(), c.two_of(source)
        condition, looked = c.condition(alias, source)
        inner = f"select {alias}.{one.sql} as k, {alias}.{other.sql} as v from {source.sql} as {alias} where {condition}"
        middle = f"select i.v as k, i.k + i.v as v from ({inner}) as i"
        cols = (Col("k", "int", other.value), Col("v", "int", changed(one.value, other.value)))
        return Made(f"select o.k, o.v from ({middle}) as o", cols, both(source.rows, used(looked, FILTER)))


class NamedFromOutside(Operator):
    """Columns that the alias of a subquery, or of a CTE, names."""

    dialects = frozenset({"duckdb", "snowflake", "postgres", "tsql", "databricks"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, (one, other), draft = c.alias(), c.two_of(source), Draft(c)
        names = [draft.add("1", "int", NOTHING) for _ in range(2)]
        inner = f"select {alias}.{one.sql}, {alias}.{other.sql} + 1 as {c.name(set())} from {source.sql} as {alias}"
        cols = (Col(names[0], "int", one.value), Col(names[1], "int", changed(other.value)))
        return Made(f"select {names[1]}, {names[0]} from ({inner}) as o({', '.join(names)})", (cols[1], cols[0]), source.rows)


class CteNamedFromOutside(Operator):
    dialects = frozenset({"duckdb", "snowflake", "postgres", "databricks"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, (one, other), name = c.alias(), c.two_of(source), f"named{c.count}"
        inner = f"select {alias}.{one.sql}, {alias}.{other.sql} as other_one from {source.sql} as {alias}"
        cols = (Col("first_one", "int", one.value), Col("second_one", "int", other.value))
        return Made(f"with {name}(first_one, second_one) as ({inner}) select * from {name}", cols, source.rows)


class Values(Operator):
    """Rows that stand in the SQL depend on nothing."""

    dialects = frozenset({"duckdb", "snowflake", "postgres", "tsql", "databricks"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, col, draft = c.alias(), c.int_of(source), Draft(c)
        draft.keep(alias, [*c.some(source.cols, 1, 4), c.int_of(source)])
        draft.add("l.weight", "int", NOTHING)
        other = c.int_of(source)
        draft.add(f"l.weight + {alias}.{other.sql}", "int", changed(other.value))
        values = "(values (1, 10), (2, 20), (3, 30)) as l(step, weight)"
        sql = f"select {draft.list()} from {source.sql} as {alias} join {values} on {alias}.{col.sql} = l.step"
        return Made(sql, tuple(draft.cols), both(source.rows, used(col.value, JOIN)))


class RecursiveCte(Operator):
    """A walk over another relation, a fixed number of steps deep."""

    inputs = 2

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (start, edges), name, a, b = sources, f"walk{c.count}", c.alias(), c.alias()
        key, value = c.two_of(start)
        to, met, added = c.int_of(edges), c.int_of(edges), c.int_of(edges)
        anchor = f"select 1 as depth, {a}.{key.sql} as node, {a}.{value.sql} as total from {start.sql} as {a}"
        step = (
            f"select w.depth + 1, {b}.{to.sql}, w.total + {b}.{added.sql} from {name} as w "
            f"join {edges.sql} as {b} on {b}.{met.sql} = w.node where w.depth < 3"
        )
        node = both(key.value, to.value)
        cols = (Col("depth", "int", NOTHING), Col("node", "int", node), Col("total", "int", changed(value.value, added.value)))
        rows = both(start.rows, edges.rows, used(both(met.value, node), JOIN))
        return Made(
            f"with recursive {name} as ({anchor} union all {step}) select depth, node, total from {name}", cols, rows, recursive=name
        )


class CountingCte(Operator):
    """A recursion that only counts: no column of a table is in it, but in what is joined."""

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        name, alias, (one, other) = f"steps{c.count}", c.alias(), c.two_of(source)
        sql = (
            f"with recursive {name} as (select 1 as n union all select n + 1 from {name} where n < 4) "
            f"select s.n, {alias}.{one.sql} + s.n as later from {source.sql} as {alias} join {name} as s on s.n <= {alias}.{other.sql}"
        )
        cols = (Col("n", "int", NOTHING), Col("later", "int", changed(one.value)))
        return Made(sql, cols, both(source.rows, used(other.value, JOIN)), recursive=name)


class FromFirst(Operator):
    dialects = frozenset({"duckdb"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias = c.alias()
        if c.chance(0.5):
            return Made(f"from {source.sql} as {alias}", source.cols, source.rows)
        cols = [*c.some(source.cols, 1, 3), c.int_of(source)]
        draft = Draft(c)
        draft.keep(alias, cols, rename=False)
        return Made(f"from {source.sql} as {alias} select {draft.list()}", tuple(draft.cols), source.rows)
