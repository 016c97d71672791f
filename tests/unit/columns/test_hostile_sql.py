"""SQL that is broken, hostile or huge: an answer with a reason, soon."""

from __future__ import annotations

import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.columns.engine import TABLES, Tables, analyse, edges, engine, names, stated, table

UNKNOWN = {
    "": "The SQL is empty",
    "-- nothing": "The SQL is empty",
    "select from where (((": "The SQL could not be parsed: Expected table name (line 1, column 17)",
    "select 'never closed": "The SQL could not be parsed: a quotation mark or a comment is not closed",
    "select {{ ref('a') }} {% if x %}": "The SQL could not be parsed",
    "drop table t": "The SQL has no query",
    "\0\0": "The SQL",
    "select " + "(" * 20_000 + "a" + ")" * 20_000: "The SQL is nested too deeply",
}


@pytest.mark.parametrize("sql", UNKNOWN, ids=range(len(UNKNOWN)))
def test_sql_that_cannot_be_read_is_unknown_with_a_reason(sql: str) -> None:
    analysis = analyse(sql)
    assert (analysis.status, analysis.columns, analysis.edges) == ("unknown", (), ())
    assert analysis.reason.startswith(UNKNOWN[sql])


OTHER = "select cast(json_query(replace(s, '''', '\"'), 'lax $.a' omit quotes) as decimal(38, 4)) as d, a from t"
HOLES = {
    "select a, , as n, max(b) as c from t group by a": "t.a > a IDENTITY?; t.b > c AGGREGATION?; t.a > * GROUP_BY?",
    "select a, as n, b from t": "t.a > a IDENTITY?; t.b > b IDENTITY?",
    "select a, case else 'unknown' end as f from t": "t.a > a IDENTITY?",
    "with x as (), y as (select b from t) select y.b from y": "t.b > b IDENTITY?",
    "select a from t where": "t.a > a IDENTITY?",
}


def test_sql_of_another_dialect_is_read_as_such_and_uncertain() -> None:
    analysis = analyse(OTHER, "duckdb")
    assert (analysis.status, analysis.open) == ("approximate", False)
    assert edges(analysis) == {"t.s > d TRANSFORMATION?", "t.a > a IDENTITY?"}
    assert analysis.reason.startswith("The SQL could not be parsed: Expecting ) (line 1, column ")
    assert analysis.reason.endswith("; it was read as trino")


@pytest.mark.parametrize("sql", HOLES)
@pytest.mark.parametrize("dialect", ["snowflake", "bigquery"])
def test_sql_with_holes_is_read_around_them_and_uncertain(sql: str, dialect: str) -> None:
    analysis = analyse(sql, dialect)
    assert (analysis.status, analysis.open, edges(analysis)) == ("approximate", True, stated(HOLES[sql]))
    assert "this part is left out" in analysis.reason


@pytest.mark.parametrize("sql", [OTHER, *HOLES])
def test_strictly_read_sql_that_is_none_is_unknown(sql: str) -> None:
    assert engine.analyse(sql, "duckdb", TABLES, strict=True).status == "unknown"


@pytest.mark.parametrize("sql", ["select a b c d from t", "select a from t where a = 1) and b in (select 1", "a b c"])
def test_sql_of_which_the_rest_would_be_lost_stays_unknown(sql: str) -> None:
    assert analyse(sql, "snowflake").status == "unknown"


@pytest.mark.growth
def test_reading_around_a_hole_in_a_long_text_costs_little_more_than_to_find_it() -> None:
    columns = ", ".join(f"case when a > {number} then coalesce(b, c) else d end as c{number}" for number in range(1000))
    sql = f"select {columns} from t where a = = 3"  # noqa: S608
    analysis = engine.analyse(sql, "bigquery", TABLES, strict=False)
    assert (analysis.status, len(analysis.columns)) == ("approximate", 1000)

    def least_s(*, strict: bool) -> float:
        seconds = []
        for _ in range(3):
            before = time.process_time()
            engine.analyse(sql, "bigquery", TABLES, strict=strict)
            seconds.append(time.process_time() - before)
        return min(seconds)

    assert least_s(strict=False) < 20 * least_s(strict=True)


def test_an_adapter_without_a_dialect_is_said() -> None:
    assert analyse("select 1", "nosuch").reason == "Freshet does not know the SQL of the adapter `nosuch`"


def test_a_byte_order_mark_is_no_fault() -> None:
    assert names(analyse("\ufeffselect a from t")) == ["a"]


TOKENS = "select from where group by order union all join on using with as ( ) , * . a b t u q 1 'x' = + case when then end over".split()  # noqa: SIM905


def test_a_table_without_a_name_is_said_to_be_missing() -> None:
    analysis = analyse("select group from .", "athena")
    assert (analysis.status, "the name of a table is missing" in (analysis.reason or "")) == ("approximate", True)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=25), st.sampled_from(sorted(engine.DIALECTS)))
def test_any_sequence_of_words_gets_an_answer(words: list[str], adapter: str) -> None:
    analysis = analyse("select " + " ".join(words), adapter)
    assert analysis.status in ("exact", "approximate", "unknown")
    assert "report it" not in (analysis.reason or "")


WIDE = Tables(table("m", " ".join(f"c{number}" for number in range(300))), table("raw", open=True))
EVERY = ", ".join(f"c{number}" for number in range(300))


def chain(step: str, start: str = "select * from m", length: int = 300) -> str:
    ctes = [f"q0 as ({start})"] + [f"q{number} as ({step.format(number - 1, number)})" for number in range(1, length)]
    return f"with {', '.join(ctes)} select * from q{length - 1}"  # noqa: S608


HUGE = {
    "300 CTEs of 300 columns": chain("select * from q{0} where c1 > 0"),
    "300 CTEs that add a column": chain("select a.* replace (a.c1 + 1 as c1), b.c2 as n{1} from q{0} as a join m as b on a.c1 = b.c1"),
    "300 CTEs over an open table": chain("select a.*, b.x{1} as n{1} from q{0} as a join q{0} as b on a.k = b.k", "select * from raw"),
    "500 branches": " union all ".join(["select * from m"] * 500),
    "queries nested 200 deep": "select c1 from (" * 200 + "select c1 from m" + ") as x" * 200,
    "CTEs nested 150 deep": "with a as (" * 150 + "select c1 from m" + ") select c1 from a" * 150,
    "subqueries nested 150 deep": "select (" * 150 + "select max(c1) from m" + ") as x from m" * 150,
    "5,000 conditions": "select c1 from m where " + " or ".join(f"c2 = {number}" for number in range(5000)),  # noqa: S608
    "3,000 expressions": f"select {', '.join(f'c1 + {number} as d{number}' for number in range(3000))} from m",  # noqa: S608
    "200 joins": "select m.c1 from m" + "".join(f" join m as m{number} on m{number}.c1 = m.c1" for number in range(200)),  # noqa: S608
}


@pytest.mark.growth
@pytest.mark.parametrize("name", HUGE)
def test_huge_sql_is_read_in_a_short_time(name: str) -> None:
    since = time.process_time()
    analysis = analyse(HUGE[name], tables=WIDE)
    assert analysis.status == "exact"
    assert time.process_time() - since < 10, "less than one on a machine that does nothing else"


def test_the_limit_of_recursion_stays_as_it_is() -> None:
    before = sys.getrecursionlimit()
    analyse(HUGE["queries nested 200 deep"], tables=WIDE)
    assert sys.getrecursionlimit() == before


def test_a_long_list_of_reasons_is_cut() -> None:
    analysis = analyse("select " + ", ".join(f"{'long' * 30}{number}" for number in range(100)) + " from t")  # noqa: S608
    assert len(analysis.reason) <= 500
