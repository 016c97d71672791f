"""What the columns and the rows of a SELECT depend on."""

from __future__ import annotations

import pytest

from tests.unit.columns.engine import analyse, edges, names, stated

VALUES = {
    "select id, a + b as ab from t": "t.id > id IDENTITY; t.a > ab TRANSFORMATION; t.b > ab TRANSFORMATION",
    "select (a) as x from t": "t.a > x IDENTITY",
    "select a::int as a from t": "t.a > a TRANSFORMATION",
    "select sum(a) as s, count(*) as n from t": "t.a > s AGGREGATION",
    "select a + sum(a) over () as s from t": "t.a > s AGGREGATION",
    "select case when a > 0 then b else c end as v from t": "t.a > v CONDITIONAL; t.b > v TRANSFORMATION; t.c > v TRANSFORMATION",
    "select case a when b then c end as v from t": "t.a > v CONDITIONAL; t.b > v CONDITIONAL; t.c > v TRANSFORMATION",
    "select if(a > 1, b, c) as v from t": "t.a > v CONDITIONAL; t.b > v TRANSFORMATION; t.c > v TRANSFORMATION",
    "select coalesce(a, b) as v from t": "t.a > v TRANSFORMATION; t.b > v TRANSFORMATION",
    "select nullif(a, b) as v from t": "t.a > v TRANSFORMATION; t.b > v CONDITIONAL",
    "select case when a > 0 then a end as v from t": "t.a > v CONDITIONAL; t.a > v TRANSFORMATION",
    "select sum(a) filter (where b > 0) as s from t": "t.a > s AGGREGATION; t.b > s CONDITIONAL",
    "select list(a order by b) as l from t": "t.a > l AGGREGATION; t.b > l SORT",
    "select listagg(a, ',') within group (order by b) as l from t": "t.a > l AGGREGATION; t.b > l SORT",
    "select percentile_cont(0.5) within group (order by a) as m from t": "t.a > m AGGREGATION",
    "select [x + a for x in s if x > b] as l from t": "t.s > l TRANSFORMATION; t.a > l TRANSFORMATION; t.b > l CONDITIONAL",
    "select list_transform(s, lambda x: x + a) as l from t": "t.s > l TRANSFORMATION; t.a > l TRANSFORMATION",
    "select (select max(x) from u where u.id = t.id) as m from t": "u.x > m AGGREGATION; u.id > m FILTER; t.id > m FILTER",
    "select a, exists (select 1 from u where u.x = t.b) as e from t": "t.a > a IDENTITY; u.x > e FILTER; t.b > e FILTER",
    "select t from t": "; ".join(f"t.{column} > t TRANSFORMATION" for column in "id a b c d s".split()),  # noqa: SIM905
}
WINDOWS = {
    "select row_number() over (partition by a order by b) as n from t": "t.a > n WINDOW; t.b > n WINDOW",
    "select sum(a) over (partition by b) as s from t": "t.a > s AGGREGATION; t.b > s WINDOW",
    "select lag(a) over (order by b) as l from t": "t.a > l TRANSFORMATION; t.b > l WINDOW",
    "select sum(a) over w as s from t window w as (partition by b)": "t.a > s AGGREGATION; t.b > s WINDOW",
    "select sum(a) over (w order by c) as s from t window w as (partition by b)": "t.a > s AGGREGATION; t.b > s WINDOW; t.c > s WINDOW",
    "select a from t qualify row_number() over (partition by b order by c) = 1": "t.a > a IDENTITY; t.b > * FILTER; t.c > * FILTER",
}
ROWS = {
    "select sum(a) as total from t where b > 0 group by c": "t.a > total AGGREGATION; t.b > * FILTER; t.c > * GROUP_BY",
    "select a from t where exists (select 1 from u where u.x = t.b)": "t.a > a IDENTITY; u.x > * FILTER; t.b > * FILTER",
    "select a from t where (a, b) in (select x, y from u)": (
        "t.a > a IDENTITY; t.a > * FILTER; t.b > * FILTER; u.x > * FILTER; u.y > * FILTER"
    ),
    "select b % 3 as g, max(a) as m from t group by 1": "t.b > g TRANSFORMATION; t.a > m AGGREGATION; t.b > * GROUP_BY",
    "select b as g, max(a) as m from t group by all": "t.b > g IDENTITY; t.a > m AGGREGATION; t.b > * GROUP_BY",
    "select a, count(*) as n from t group by cube (a, b)": "t.a > a IDENTITY; t.a > * GROUP_BY; t.b > * GROUP_BY",
    "select max(a) as m from t group by grouping sets ((b), (c), ())": "t.a > m AGGREGATION; t.b > * GROUP_BY; t.c > * GROUP_BY",
    "select b as g from t group by g having max(a) > 1": "t.b > g IDENTITY; t.b > * GROUP_BY; t.a > * FILTER",
    "select a from t order by b": "t.a > a IDENTITY",
    "select a from t order by b limit 5": "t.a > a IDENTITY; t.b > * SORT",
    "select a, b from t order by 2 limit 5": "t.a > a IDENTITY; t.b > b IDENTITY; t.b > * SORT",
    "select a as b from t order by b limit 5": "t.a > b IDENTITY; t.a > * SORT",
    "select distinct a from t": "t.a > a IDENTITY; t.a > * GROUP_BY",
    "select distinct on (a) b from t order by c": "t.b > b IDENTITY; t.a > * GROUP_BY; t.c > * SORT",
    "select x from (select a as x from t where b > 1) order by x": "t.a > x IDENTITY; t.b > * FILTER",
    "select id from t tablesample 10%": "t.id > id IDENTITY",
}
ALIASES = {
    "select a + 1 as k, k * 2 as k2 from t": "t.a > k TRANSFORMATION; t.a > k2 TRANSFORMATION",
    "select b as a, a as x from t": "t.b > a IDENTITY; t.a > x IDENTITY",
    "select a as k from t where k > 1": "t.a > k IDENTITY; t.a > * FILTER",
    "with q as (select a as b, b as a from t) select a, b from q": "t.b > a IDENTITY; t.a > b IDENTITY",
}


@pytest.mark.parametrize(("sql", "expected"), [*VALUES.items(), *WINDOWS.items(), *ROWS.items(), *ALIASES.items()])
def test_columns_and_rows_depend_on_what_the_sql_says(sql: str, expected: str) -> None:
    analysis = analyse(sql)
    assert edges(analysis) == stated(expected)
    assert (analysis.status, analysis.reason, analysis.open) == ("exact", None, False)


def test_types_are_known_where_the_sql_states_them_and_pass_unchanged_columns() -> None:
    inner = "select a::decimal(10, 2) as x, count(*) as n, a > 1 as p, b from t group by all"
    sql = f"with q as ({inner}) select x as y, n, p, b, x + 1 as z from q"  # noqa: S608
    assert [column.type for column in analyse(sql).columns] == ["decimal(10, 2)", "bigint", "boolean", None, None]


def test_a_column_that_no_table_has_is_named_in_the_reason() -> None:
    analysis = analyse("select a, nope, t.never from t")
    assert analysis.status == "approximate"
    assert analysis.reason == "Column `nope` was not found in `t`; column `t.never` was not found in `t`"
    assert names(analysis) == ["a", "nope", "never"]
    assert edges(analysis) == {"t.a > a IDENTITY"}


def test_names_that_every_table_has_are_no_columns_of_ours() -> None:
    assert edges(analyse("select rowid as r, current_date as d, a from t")) == {"t.a > a IDENTITY"}


def test_only_the_last_of_several_statements_is_read() -> None:
    analysis = analyse("create temp table x as select b from t; select a from t")
    assert (analysis.status, edges(analysis)) == ("approximate", {"t.a > a IDENTITY"})
    assert "2 statements" in analysis.reason


def test_two_columns_of_one_name_are_said() -> None:
    analysis = analyse("select a, b as a from t")
    assert (analysis.status, names(analysis)) == ("approximate", ["a"])
    assert "`a`" in analysis.reason


@pytest.mark.parametrize(
    "sql",
    [
        "select id from t order /* a, 'b */ by a limit 1",
        "select id, -- one\n sum(a) as a from t group -- two\n by id",
        "select id, row_number() over (partition /* x */ by a order by b) as n from t",
    ],
)
@pytest.mark.parametrize("dialect", ["duckdb", "snowflake", "bigquery", "sqlserver"])
def test_a_comment_may_stand_within_a_keyword_of_two_words(sql: str, dialect: str) -> None:
    assert analyse(sql, dialect).status == "exact"
