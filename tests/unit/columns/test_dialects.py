"""What differs between warehouses: clauses, names and whose columns names mean."""

from __future__ import annotations

import pytest

from tests.unit.columns.engine import analyse, edges, engine, names, stated

CLAUSES = {
    ("bigquery", "select T.ID, `A` from `p.d.t` as T"): "t.id > ID IDENTITY; t.a > A IDENTITY",
    ("bigquery", "select a as k, count(*) as n from t group by k having n > 1"): "t.a > k IDENTITY; t.a > * GROUP_BY",
    (
        "bigquery",
        "select x.* except (id, s, d) replace (b + 1 as b) from t as x",
    ): "t.a > a IDENTITY; t.b > b TRANSFORMATION; t.c > c IDENTITY",
    ("bigquery", "select id, _table_suffix as sfx from t"): "t.id > id IDENTITY",
    ("tsql", "select top 5 x = a + 1 from [db].[dbo].[t] order by c"): "t.a > x TRANSFORMATION; t.c > * SORT",
    ("sqlserver", "select q.x from t cross apply (select top 1 x from u where u.id = t.id order by z) as q"): (
        "u.x > x IDENTITY; u.id > * FILTER; t.id > * FILTER; u.z > * SORT"
    ),
    ("tsql", "with r as (select id from t union all select t.id from t join r on r.id = t.a) select * from r"): (
        "t.id > id IDENTITY; t.id > * JOIN; t.a > * JOIN"
    ),
    (
        "snowflake",
        "select decode(a, b, c, d) as x from t",
    ): "t.a > x CONDITIONAL; t.b > x CONDITIONAL; t.c > x TRANSFORMATION; t.d > x TRANSFORMATION",
    ("snowflake", "select nvl2(a, b, c) as x from t"): "t.a > x CONDITIONAL; t.b > x TRANSFORMATION; t.c > x TRANSFORMATION",
    ("snowflake", "select $1 as x, $3 + 1 as y from t"): "t.id > x IDENTITY; t.b > y TRANSFORMATION",
    ("snowflake", "select q.id from identifier('db.s.t') as q"): "t.id > id IDENTITY",
    ("snowflake", "select $1 as x from @stage/file"): "",
    ("clickhouse", "select multiIf(a = 1, b, c = 2, d, 0) as m from t"): (
        "t.a > m CONDITIONAL; t.c > m CONDITIONAL; t.b > m TRANSFORMATION; t.d > m TRANSFORMATION"
    ),
    ("clickhouse", "with q as (select x from u where y > 1) select name from raw where id in q"): (
        "raw.name > name IDENTITY; raw.id > * FILTER; u.x > * FILTER; u.y > * FILTER"
    ),
    ("duckdb", "select k from half where k in wide"): (
        "half.k > k IDENTITY; half.k > * FILTER; wide.id > * FILTER; wide.items > * FILTER; wide.payload > * FILTER"
    ),
    ("duckdb", "select id from t where a in s"): "t.id > id IDENTITY; t.a > * FILTER; t.s > * FILTER",
    ("duckdb", "select a from t limit (select max(x) from u) offset (select min(y) from u)"): (
        "t.a > a IDENTITY; u.x > * FILTER; u.y > * FILTER"
    ),
    ("snowflake", "select * ilike 'a%' from t"): "t.a > a IDENTITY",
    (
        "clickhouse",
        "with a + 1 as z select z from t final prewhere b > 1 limit 1 by c",
    ): "t.a > z TRANSFORMATION; t.b > * FILTER; t.c > * GROUP_BY",
    ("clickhouse", "with (select max(x) from u) as m, q as (select a from t where b > m) select a from q"): (
        "t.a > a IDENTITY; t.b > * FILTER; u.x > * FILTER"
    ),
    ("clickhouse", "select b as a, a + 1 as x from t"): "t.b > a IDENTITY; t.b > x TRANSFORMATION",
    ("clickhouse", "select x from t any left join u using id"): "u.x > x IDENTITY; t.id > * JOIN; u.id > * JOIN",
    ("spark", "select explode(items) as (k, v) from wide"): "wide.items > k TRANSFORMATION; wide.items > v TRANSFORMATION",
    ("databricks", "select e.v from wide, lateral explode(items) as e(v)"): "wide.items > v TRANSFORMATION; wide.items > * JOIN",
    ("postgres", "select b as a, a as x from t"): "t.b > a IDENTITY; t.a > x IDENTITY",
    ("redshift", "select a + 1 as k, k + 1 as l from t"): "t.a > k TRANSFORMATION; t.a > l TRANSFORMATION",
}


@pytest.mark.parametrize(("dialect", "sql"), CLAUSES)
def test_each_warehouse_has_clauses_of_its_own(dialect: str, sql: str) -> None:
    analysis = analyse(sql, dialect)
    assert edges(analysis) == stated(CLAUSES[dialect, sql])
    assert analysis.status == "exact"


METHODS = {
    ("sqlserver", "select ltrim(cast('<X>' + replace(a, '-', '') as xml).value('(/X)[1]', 'varchar(9)')) as x from t"): (
        "t.a > x TRANSFORMATION"
    ),
    ("tsql", "select t.s.value('(/X)[1]', 'int') as x, a.STDistance(b) as y from t where s.exist('/X') = 1"): (
        "t.s > x TRANSFORMATION; t.a > y TRANSFORMATION; t.b > y TRANSFORMATION; t.s > * FILTER"
    ),
    ("tsql", "select n.e.value('.', 'int') as x from t cross apply t.s.nodes('/a') as n(e)"): "t.s > x TRANSFORMATION; t.s > * JOIN",
    ("tsql", "select (select max(z) as m from u where u.id = t.id).query('x') as x from t"): (
        "u.z > x AGGREGATION; u.id > x FILTER; t.id > x FILTER"
    ),
    ("tsql", "select dbo.value_of(a) as x, db.dbo.f(t.b) as y from t"): "t.a > x TRANSFORMATION; t.b > y TRANSFORMATION",
    ("duckdb", "select a.upper().trim() as x, (a || t.b).lower() as y, s.list_filter(e -> e > c) as z from t"): (
        "t.a > x TRANSFORMATION; t.a > y TRANSFORMATION; t.b > y TRANSFORMATION; t.s > z TRANSFORMATION; t.c > z TRANSFORMATION"
    ),
    ("duckdb", "select name.lower() as x, main.f(id) as y from raw"): "raw.name > x TRANSFORMATION; raw.id > y TRANSFORMATION",
    ("bigquery", "select safe.parse_date('%Y', a) as x, net.host(t.b) as y from t"): "t.a > x TRANSFORMATION; t.b > y TRANSFORMATION",
}


@pytest.mark.parametrize(("dialect", "sql"), METHODS)
def test_what_a_method_is_called_on_is_part_of_its_value(dialect: str, sql: str) -> None:
    analysis = analyse(sql, dialect)
    assert edges(analysis) == stated(METHODS[dialect, sql])
    assert analysis.status == "exact"


DOUBTS = {
    ("snowflake", "select $1 as x from raw"): "`$1` means a column by its position, which is not known",
    ("snowflake", "select $1 as x from t, u"): "`$1` means a column by its position, which is not known",
    ("snowflake", "select id from identifier($name)"): "The name of a table is a variable",
    ("snowflake", "select id from table(generator(rowcount => 3))"): "Column `id` was not found in any table",
    (
        "postgres",
        "with recursive r as (select id from t union select r.id from r) cycle id set looped using path select * from r",
    ): "The clauses SEARCH and CYCLE add columns, which are not read",
}


@pytest.mark.parametrize(("dialect", "sql"), DOUBTS)
def test_what_only_the_warehouse_knows_is_approximate(dialect: str, sql: str) -> None:
    analysis = analyse(sql, dialect)
    assert (analysis.status, analysis.reason) == ("approximate", DOUBTS[dialect, sql])


NAMES = {
    ("snowflake", 'select "Mixed" from (select a as "Mixed" from t)'): "exact",
    ("snowflake", "select mixed from (select a as MIXED from t)"): "exact",
    ("snowflake", 'select "MIXED" from (select a as mixed from t)'): "exact",
    ("postgres", 'select "mixed" from (select a as MIXED from t)'): "exact",
    ("duckdb", 'select "MIXED" from (select a as mixed from t)'): "exact",
    ("bigquery", "select MIXED from (select a as mixed from t)"): "exact",
    ("clickhouse", "select mixed from (select a as mixed, b as MIXED from t)"): "exact",
    ("duckdb", 'select "odd.na""me" from (select a as "odd.na""me" from t)'): "exact",
}


@pytest.mark.parametrize(("dialect", "sql"), NAMES)
def test_names_are_the_same_as_the_warehouse_takes_them(dialect: str, sql: str) -> None:
    analysis = analyse(sql, dialect)
    assert {edge.split(" > ")[0] for edge in edges(analysis)} == {"t.a"}
    assert analysis.status == NAMES[dialect, sql]


def test_a_name_in_another_case_is_another_column_in_clickhouse() -> None:
    analysis = analyse(
        "select id, ID from t",
        "clickhouse",
    )
    assert names(analysis) == ["id", "ID"]


UNNAMED = {
    "bigquery": ["f0_", "a", "f1_"],
    "trino": ["_col0", "a", "_col2"],
    "athena": ["_col0", "a", "_col2"],
    "postgres": ["count", "a", "?column?"],
}


@pytest.mark.parametrize("dialect", UNNAMED)
def test_a_column_without_a_name_is_called_as_the_warehouse_calls_it(dialect: str) -> None:
    analysis = analyse("select count(*), a, b + 1 from t", dialect)
    assert (names(analysis), analysis.status) == (UNNAMED[dialect], "exact")


def test_a_name_that_only_the_warehouse_knows_is_said() -> None:
    analysis = analyse("select a, b + 1 from t", "snowflake")
    assert (analysis.status, analysis.reason) == ("approximate", "Column 2 has no name in the SQL: the warehouse gives it one")


@pytest.mark.parametrize("adapter", engine.DIALECTS)
def test_every_adapter_reads_a_plain_query(adapter: str) -> None:
    sql = "with q as (select t.id, sum(a) as total from t join u on t.id = u.id where x > 1 group by t.id) select id, total from q"
    analysis = analyse(sql, adapter)
    expected = "t.id > id IDENTITY; t.a > total AGGREGATION; t.id > * JOIN; u.id > * JOIN; u.x > * FILTER; t.id > * GROUP_BY"
    assert edges(analysis) == stated(expected)


def test_clauses_that_are_read_in_part_are_said() -> None:
    rows = "select * from t match_recognize (partition by a order by b measures last(c) as y pattern (p+) define p as d > 1)"
    analysis = analyse(rows, "snowflake")
    assert (analysis.status, "MATCH_RECOGNIZE" in analysis.reason) == ("approximate", True)
    assert {"t.c > y TRANSFORMATION", "t.a > * GROUP_BY", "t.b > * SORT", "t.d > * FILTER"} <= edges(analysis)
    assert "CONNECT BY" in analyse("select id from t start with a = 1 connect by prior a = b", "snowflake").reason
    assert "FOR" in analyse("select a from t for json path", "tsql").reason


def test_a_query_tells_its_own_names_without_any_tables() -> None:
    sql = "select a, t.b, c + 1 as d, count(*), x.y.z, * from nowhere"
    assert engine.output_names(sql, "bigquery") == ["a", "b", "d", "f3_", "z"]
    assert engine.output_names("select from where", "bigquery") == []


NAMED = {
    "with a + 1 as k select k from t": "t.a > k TRANSFORMATION",
    "with a + 1 as k, q as (select k as x from t) select x from q": "t.a > x TRANSFORMATION",
    "with a + 1 as k, k + b as l, q as (select l as x, b from t) select x from q": "t.a > x TRANSFORMATION; t.b > x TRANSFORMATION",
    "with q as (with a + 1 as k select k, b from t) select k from q": "t.a > k TRANSFORMATION",
    "with q as (select a, b from t), b + 1 as k select k, a from q": "t.a > a IDENTITY; t.b > k TRANSFORMATION",
    "select o from (with (select max(a) from t) as m select m - x as o from u)": "t.a > o AGGREGATION; u.x > o TRANSFORMATION",
    "select x from u where id in (with a + 1 as k select k from t)": "u.x > x IDENTITY; u.id > * FILTER; t.a > * FILTER",
}


@pytest.mark.parametrize("sql", NAMED)
def test_named_expressions_of_clickhouse_mean_the_columns_of_the_query_that_uses_them(sql: str) -> None:
    analysis = analyse(sql, "clickhouse")
    assert (edges(analysis), analysis.status) == (stated(NAMED[sql]), "exact")


def test_using_finds_a_column_that_was_quoted_in_lower_case() -> None:
    analysis = analyse('with q as (select "id", x from u) select id, a, x from t full join q using (id)', "snowflake")
    assert analysis.status == "exact"
    assert {"u.id > * JOIN", "t.id > * JOIN", "u.id > id TRANSFORMATION", "t.id > id TRANSFORMATION"} <= edges(analysis)


BY_ALIAS, BY_COLUMN = "t.b > * GROUP_BY", "t.a > * GROUP_BY"
GROUPED = {
    "bigquery": BY_ALIAS,
    "clickhouse": BY_ALIAS,
    "snowflake": BY_COLUMN,
    "duckdb": BY_COLUMN,
    "postgres": BY_COLUMN,
    "redshift": BY_COLUMN,
    "spark": BY_COLUMN,
    "databricks": BY_COLUMN,
    "trino": BY_COLUMN,
    "athena": BY_COLUMN,
    "sqlserver": BY_COLUMN,
    "fabric": BY_COLUMN,
}


@pytest.mark.parametrize("dialect", GROUPED)
def test_group_by_means_the_column_or_the_alias_of_the_same_name_as_in_the_warehouse(dialect: str) -> None:
    found = edges(analyse("select max(b) as a, c from t group by a, c", dialect))
    assert found & {BY_ALIAS, BY_COLUMN} == {GROUPED[dialect]}


@pytest.mark.parametrize(("dialect", "column"), [("bigquery", "b"), ("duckdb", "a"), ("snowflake", "a")])
def test_qualify_means_the_column_or_the_alias_of_the_same_name_as_in_the_warehouse(dialect: str, column: str) -> None:
    found = edges(analyse("select b as a from t qualify a = max(a) over ()", dialect))
    assert {edge for edge in found if "FILTER" in edge} == {f"t.{column} > * FILTER"}


@pytest.mark.parametrize(("dialect", "column"), [("postgres", "b"), ("duckdb", "b"), ("bigquery", "a")])
def test_an_expression_of_order_by_means_the_column_or_the_alias_as_in_the_warehouse(dialect: str, column: str) -> None:
    assert f"t.{column} > * SORT" in edges(analyse("select a as b from t order by lower(b) limit 1", dialect))
    assert "t.a > * SORT" in edges(analyse("select a as b from t order by b limit 1", dialect))


def test_distinct_on_means_the_alias() -> None:
    assert "t.b > * GROUP_BY" in edges(analyse("select distinct on (a) b as a, a as z from t order by a", "postgres"))


AMBIGUOUS = [
    "select t.id, x from t join u on t.id = u.id group by id, x",
    "select t.id, x from t join u on t.id = u.id group by id, x having id > 1",
    "select t.id, x from t join u on t.id = u.id qualify x = max(x) over (partition by id)",
]


@pytest.mark.parametrize("sql", AMBIGUOUS)
@pytest.mark.parametrize("dialect", ["bigquery", "snowflake"])
def test_a_name_that_several_tables_have_is_that_of_the_projection(sql: str, dialect: str) -> None:
    analysis = analyse(sql, dialect)
    assert analysis.status == "exact"
    assert not any(edge.startswith("u.id") and "JOIN" not in edge for edge in edges(analysis))


WITH_UNITS = [
    ("duckdb", "dateadd(month, 1, a)"),
    ("duckdb", "date_diff(month, 1, a)"),
    ("duckdb", "date_trunc(a, week(monday))"),
    ("duckdb", "timestampdiff(month, a, a)"),
    ("snowflake", "trunc(a, month)"),
    ("snowflake", "date_trunc(a, month)"),
    ("snowflake", "dateadd(month, 1, a)"),
    ("bigquery", "date_diff(a, current_date, isoweek)"),
    ("bigquery", "date_trunc(a, week(monday))"),
    ("bigquery", "extract(week(monday) from a)"),
    ("bigquery", "dateadd(day, 1, a)"),
    ("bigquery", "date_trunc(month, a)"),
    ("postgres", "datediff(day, a, a)"),
    ("postgres", "trunc(a, month)"),
    ("redshift", "datediff(day, a, getdate())"),
    ("databricks", "datediff(hour, a, now())"),
    ("trino", "date_diff(a, now(), day)"),
    ("sqlserver", "datediff(d, a, getdate())"),
    ("sqlserver", "date_bucket(week, 1, a)"),
    ("sqlserver", "datepart(weekday, a)"),
    ("clickhouse", "date_trunc(week, a)"),
    ("clickhouse", "age(hour, a, now())"),
]


@pytest.mark.parametrize(("dialect", "call"), WITH_UNITS)
def test_a_unit_of_time_is_no_column(dialect: str, call: str) -> None:
    analysis = analyse(f"select {call} as o from t join raw on true", dialect)  # noqa: S608
    assert (edges(analysis), analysis.status) == ({"t.a > o TRANSFORMATION"}, "exact")


def test_an_argument_that_is_lost_by_the_order_of_another_dialect_is_said() -> None:
    assert "order of another SQL dialect" in analyse("select datediff(day, a, coalesce(b, c)) as o from t", "postgres").reason


@pytest.mark.parametrize("call", ["date_trunc('month', day)", "dateadd(day, month, day)", "datediff(day, 1, day)", "date_part('dow', day)"])
def test_a_column_that_is_called_like_a_unit_of_time_is_one_where_no_unit_can_be(call: str) -> None:
    found = edges(analyse(f"select {call} as o from raw", "snowflake"))  # noqa: S608
    assert "raw.day > o TRANSFORMATION" in found
