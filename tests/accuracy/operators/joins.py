"""Operators that join two relations."""

from __future__ import annotations

from tests.accuracy.building import Choices, Col, Draft, Made, Operator, Rel
from tests.accuracy.truth import FILTER, JOIN, Value, both, changed, used


def on(c: Choices, left: tuple[str, Rel], right: tuple[str, Rel]) -> tuple[str, Value]:
    """A condition between two relations, and what it looks at."""
    (a, rel_a), (b, rel_b) = left, right
    one, other = c.int_of(rel_a), c.int_of(rel_b)
    sql, value = f"{a}.{one.sql} = {b}.{other.sql}", both(one.value, other.value)
    if c.chance(0.4):
        third, fourth = c.int_of(rel_a), c.int_of(rel_b)
        sql, value = f"{sql} and {a}.{third.sql} <= {b}.{fourth.sql} + 3", both(value, third.value, fourth.value)
    return sql, value


def columns_of_both(c: Choices, left: tuple[str, Rel], right: tuple[str, Rel]) -> Draft:
    """Some columns of both sides, and perhaps an expression over both."""
    draft = Draft(c)
    for alias, rel in (left, right):
        draft.keep(alias, c.some(rel.cols, 1, 3))
    one, other = c.int_of(left[1]), c.int_of(right[1])
    draft.add(f"{left[0]}.{one.sql} + {right[0]}.{other.sql}", "int", changed(one.value, other.value))
    return draft


class OnJoin(Operator):
    inputs = 2
    words = "join"

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        left, right = (c.alias(), sources[0]), (c.alias(), sources[1])
        condition, looked = on(c, left, right)
        draft = columns_of_both(c, left, right)
        rows = both(left[1].rows, right[1].rows, used(looked, JOIN))
        sql = f"select {draft.list()} from {left[1].sql} as {left[0]} {self.words} {right[1].sql} as {right[0]} on {condition}"
        return Made(sql, tuple(draft.cols), rows)


class InnerJoin(OnJoin):
    words = "inner join"


class LeftJoin(OnJoin):
    words = "left join"


class RightJoin(OnJoin):
    words = "right outer join"


class FullJoin(Operator):
    """The usual form: keys of both sides, coalesced."""

    inputs = 2

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (left, right), a, b = sources, c.alias(), c.alias()
        one, other = c.int_of(left), c.int_of(right)
        draft = Draft(c)
        draft.add(f"coalesce({a}.{one.sql}, {b}.{other.sql})", "int", changed(one.value, other.value))
        draft.keep(a, c.some(left.cols, 1, 3))
        draft.keep(b, c.some(right.cols, 1, 3))
        sql = f"select {draft.list()} from {left.sql} as {a} full join {right.sql} as {b} on {a}.{one.sql} = {b}.{other.sql}"
        return Made(sql, tuple(draft.cols), both(left.rows, right.rows, used(both(one.value, other.value), JOIN)))


class CrossJoin(Operator):
    inputs = 2

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        left, right = (c.alias(), sources[0]), (c.alias(), sources[1])
        draft = columns_of_both(c, left, right)
        sql = f"select {draft.list()} from {left[1].sql} as {left[0]} cross join {right[1].sql} as {right[0]}"
        return Made(sql, tuple(draft.cols), both(left[1].rows, right[1].rows))


class CommaJoin(Operator):
    inputs = 2

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        left, right = (c.alias(), sources[0]), (c.alias(), sources[1])
        condition, looked = on(c, left, right)
        draft = columns_of_both(c, left, right)
        sql = f"select {draft.list()} from {left[1].sql} as {left[0]}, {right[1].sql} as {right[0]} where {condition}"
        return Made(sql, tuple(draft.cols), both(left[1].rows, right[1].rows, used(looked, FILTER)))


class UnqualifiedJoin(Operator):
    """Names that only one side has, without saying which."""

    inputs = 2

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (left, right), a, b = sources, c.alias(), c.alias()
        names = [col.name.lower() for col in (*left.cols, *right.cols)]
        ours = [col for col in (*left.cols, *right.cols) if names.count(col.name.lower()) == 1]
        if not any(col.kind == "int" for col in ours):
            return None
        cols = c.some(ours, 1, 6)
        cols = cols if any(col.kind == "int" for col in cols) else [col for col in ours if col.kind == "int"]
        condition, looked = on(c, (a, left), (b, right))
        sql = f"select {', '.join(col.sql for col in cols)} from {left.sql} as {a} join {right.sql} as {b} on {condition}"
        return Made(sql, tuple(cols), both(left.rows, right.rows, used(looked, JOIN)))


class SelfJoin(Operator):
    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        left, right = (c.alias(), source), (c.alias(), source)
        condition, looked = on(c, left, right)
        draft = columns_of_both(c, left, right)
        sql = f"select {draft.list()} from {source.sql} as {left[0]} join {source.sql} as {right[0]} on {condition}"
        return Made(sql, tuple(draft.cols), both(source.rows, used(looked, JOIN)))


class Using(Operator):
    """The merged column belongs to the left side, in a right join to the right, in a full join to both."""

    inputs = 2
    dialects = frozenset({"duckdb", "snowflake", "bigquery", "postgres", "databricks"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        left, right = sources
        shared = shared_columns(left, right)
        if not shared:
            return None
        one, other = c.r.choice(shared)
        side = c.r.choice(["", "", "left ", "right ", "full "])
        a, b = c.alias(), c.alias()
        merged = {"right ": other.value, "full ": changed(one.value, other.value)}.get(side, one.value)
        draft = Draft(c)
        draft.items.append(one.sql)
        draft.cols.append(Col(one.name, "int", merged, one.quoted))
        for alias, rel, key in ((a, left, one), (b, right, other)):
            draft.keep(alias, [col for col in c.some(rel.cols, 1, 4) if col != key])
        rows = both(left.rows, right.rows, used(both(one.value, other.value), JOIN))
        sql = f"select {draft.list()} from {left.sql} as {a} {side}join {right.sql} as {b} using ({one.sql})"
        return Made(sql, tuple(draft.cols), rows)


def shared_columns(left: Rel, right: Rel) -> list[tuple[Col, Col]]:
    """Columns with numbers that both sides have under the same name."""
    return [(one, other) for one in left.ints() for other in right.ints() if (one.name, one.quoted) == (other.name, other.quoted)]


class Natural(Operator):
    inputs = 2
    dialects = frozenset({"duckdb", "snowflake", "postgres", "databricks"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        left, right = sources
        both_have = {col.name for col in left.cols} & {col.name for col in right.cols}
        shared = [pair for pair in shared_columns(left, right) if pair[0].name in both_have]
        if not shared or len(shared) < len(both_have):
            return None
        rest = [col for col in (*left.cols, *right.cols) if col.name not in both_have]
        cols = [*(one for one, _ in shared), *rest]
        looked = both(*(both(one.value, other.value) for one, other in shared))
        sql = f"select {', '.join(col.sql for col in cols)} from {left.sql} as {c.alias()} natural join {right.sql} as {c.alias()}"
        return Made(sql, tuple(cols), both(left.rows, right.rows, used(looked, JOIN)))


class SemiJoin(Operator):
    inputs = 2
    words = "semi join"
    dialects = frozenset({"duckdb", "databricks"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (left, right), a, b = sources, c.alias(), c.alias()
        condition, looked = on(c, (a, left), (b, right))
        draft = Draft(c)
        draft.keep(a, [*c.some(left.cols), c.int_of(left)])
        sql = f"select {draft.list()} from {left.sql} as {a} {self.words} {right.sql} as {b} on {condition}"
        return Made(sql, tuple(draft.cols), both(left.rows, right.rows, used(looked, JOIN)))


class AntiJoin(SemiJoin):
    words = "anti join"


class LateralJoin(Operator):
    """A subquery in FROM that looks at the relation before it."""

    inputs = 2
    dialects = frozenset({"duckdb", "postgres", "snowflake", "databricks"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (left, right), a, b, inner = sources, c.alias(), c.alias(), c.alias()
        outer, looked, summed, kept = c.int_of(left), c.int_of(right), c.int_of(right), c.int_of(left)
        query = f"select sum({inner}.{summed.sql}) as m from {right.sql} as {inner} where {inner}.{looked.sql} > {a}.{outer.sql}"
        cols = (Col("kept", "int", kept.value), Col("found", "int", used(summed.value, "AGGREGATION")))
        rows = both(left.rows, right.rows, used(both(outer.value, looked.value), FILTER))
        return Made(f"select {a}.{kept.sql} as kept, {b}.m as found from {left.sql} as {a}, lateral ({query}) as {b}", cols, rows)
