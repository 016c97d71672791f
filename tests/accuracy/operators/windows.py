"""Operators with window functions."""

from __future__ import annotations

from tests.accuracy.building import Choices, Draft, Made, Operator, Rel
from tests.accuracy.truth import AGGREGATION, NOTHING, TRANSFORMATION, WINDOW, Value, both, used


class Windowed(Operator):
    """Some columns, and one function over a window."""

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, draft = c.alias(), Draft(c)
        draft.keep(alias, [*c.some(source.cols, 1, 4), c.int_of(source)])
        by, order, of = c.int_of(source), c.int_of(source), c.int_of(source)
        partition, sort = f"partition by {alias}.{by.sql}", f"order by {alias}.{order.sql}"
        around = used(both(by.value, order.value), WINDOW)
        clause = self.compute(c, f"{alias}.{of.sql}", (partition, sort), (of.value, around), draft)
        return Made(f"select {draft.list()} from {source.sql} as {alias}{clause}", tuple(draft.cols), source.rows)

    def compute(self, c: Choices, of: str, window: tuple[str, str], values: tuple[Value, Value], draft: Draft) -> str:
        """Add the function; return a WINDOW clause, if there is one."""
        raise NotImplementedError


class Ranking(Windowed):
    def compute(self, c: Choices, of: str, window: tuple[str, str], values: tuple[Value, Value], draft: Draft) -> str:
        function = c.r.choice(["row_number", "rank", "dense_rank"])
        draft.add(f"{function}() over ({window[0]} {window[1]})", "int", both(NOTHING, values[1]))
        return ""


class RunningTotal(Windowed):
    def compute(self, c: Choices, of: str, window: tuple[str, str], values: tuple[Value, Value], draft: Draft) -> str:
        frame = c.r.choice(["", " rows between 1 preceding and current row", " rows between unbounded preceding and 1 following"])
        function = c.r.choice(["sum", "min", "max", "avg"])
        draft.add(f"{function}({of}) over ({window[0]} {window[1]}{frame})", "int", both(used(values[0], AGGREGATION), values[1]))
        return ""


class Neighbour(Windowed):
    def compute(self, c: Choices, of: str, window: tuple[str, str], values: tuple[Value, Value], draft: Draft) -> str:
        function = c.r.choice(["lag({})", "lead({}, 1)", "first_value({})"]).format(of)
        draft.add(f"{function} over ({window[0]} {window[1]})", "int", both(used(values[0], TRANSFORMATION), values[1]))
        return ""


class NamedWindow(Windowed):
    dialects = frozenset({"duckdb", "postgres", "bigquery", "databricks"})

    def compute(self, c: Choices, of: str, window: tuple[str, str], values: tuple[Value, Value], draft: Draft) -> str:
        draft.add(f"sum({of}) over win", "int", both(used(values[0], AGGREGATION), values[1]))
        draft.add("row_number() over win", "int", values[1])
        return f" window win as ({window[0]} {window[1]})"


class WindowArithmetic(Windowed):
    def compute(self, c: Choices, of: str, window: tuple[str, str], values: tuple[Value, Value], draft: Draft) -> str:
        value = both(used(values[0], AGGREGATION), values[1])
        draft.add(f"{of} - coalesce(avg({of}) over ({window[0]} {window[1]}), 0)", "int", value)
        return ""
