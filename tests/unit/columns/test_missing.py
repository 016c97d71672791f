"""Columns that a query names and that nothing which it reads has."""

from __future__ import annotations

import pytest

from tests.unit.columns.engine import analyse

MISSING = {
    "select id, gone from t": ["gone"],
    'select "Gone" from t': ["Gone"],
    "select x.Gone, x.gone_too.part from t as x": ["Gone", "gone_too"],
    "select id from t where gone > 0 and also_gone = gone": ["gone", "also_gone"],
    "with q as (select id from t) select q.id, q.a from q": ["a"],
    "select t.id from t join u using (id, gone)": ["gone"],
    "select id, (select max(gone) from u where u.id = t.id) as m from t": ["gone"],
    "select raw.x, t.gone from raw join t on raw.id = t.id": ["gone"],
    "select * exclude (gone) from t": ["gone"],
    "select * replace (1 as gone) from t": ["gone"],
    "select row_number() over (partition by gone order by a) as n from t": ["gone"],
    "select gone from (select * exclude (gone) from raw)": ["gone"],
    "select gone from (select * rename (gone as here) from raw)": ["gone"],
    "select id from t where exists (select 1 from u where u.id = t.gone)": ["gone"],
    "select id, (select max(x) from u where u.id = t.gone) as m from t": ["gone"],
    "select id from t order by a, gone desc": ["gone"],
    "select id from t order by lower(t.gone)": ["gone"],
    "with q as (select id from t order by gone) select id from q": ["gone"],
    "select id from t union all select id from u order by a": ["a"],
    "select id from t order by (select max(gone) from u)": ["gone"],
    "select range from range(10) order by id": ["id"],
}
THERE = [
    "select id, a from t",
    "select gone from raw",
    "select gone from t join raw on t.id = raw.id",
    "select gone from elsewhere.not_in_the_graph",
    "select id from t where current_date > a",
    "select rowid, id from t",
    "select * exclude (gone) from raw",
    "select payload.gone, items[0].gone from wide",
    "select e.gone from wide, unnest(items) as e",
    "select list_transform(s, element -> element + 1) as l from t",
    "select a as k, k + 1 as l from t",
    "select gone",
    "select gone, here from (select * replace (gone + 1 as gone) rename (there as here) from raw)",
    "select id from wide as payload where exists (select 1 from wide where payload.part = 1)",
    "select gone from t pivot (sum(a) for b in (1 as gone))",
    "select id as gone from t order by gone, a, t.b, t, 1",
    "select id from t order by all",
    "select id from t order by rowid, random(), b + a desc nulls last",
    "select b, count(*) as n from t group by b order by count(*), n, max(a), b",
    "select id from raw order by gone, raw.gone_too",
    "select id from t union all select id from u order by id, 1",
    "(select id from t) order by a",
    "(select id from t) order by a limit 1",
    "select range from range(10)",
    "select r.range, s.generate_series from range(1, 9, 2) as r cross join generate_series(1, 3) as s",
]


@pytest.mark.parametrize("sql", MISSING)
def test_a_column_that_no_table_has_is_missing(sql: str) -> None:
    assert list(analyse(sql).missing) == MISSING[sql]


@pytest.mark.parametrize("sql", THERE)
def test_what_a_table_may_have_is_not_missing(sql: str) -> None:
    assert analyse(sql).missing == ()


@pytest.mark.parametrize("dialect", ["spark", "databricks"])
def test_the_column_of_a_range_of_spark_is_its_id(dialect: str) -> None:
    assert analyse("select id from range(10)", dialect).missing == ()


@pytest.mark.parametrize(
    ("sql", "dialect"),
    [
        ("select id from t order by (select null) offset 0 rows", "tsql"),
        ("select id from t order by newid()", "tsql"),
        ("select id from t order by $1", "snowflake"),
        ("select id, a as k from t order by k + 1", "snowflake"),
        ("select id from t order by a with fill from 1 to 9", "clickhouse"),
        ("select id from t order by tuple()", "clickhouse"),
        ("select id, items from wide order by payload.part", "bigquery"),
        ("select as struct id from t order by a", "bigquery"),
        ("select id from t order by rand()", "bigquery"),
        ('select id from t order by ctid, a collate "C" using >', "postgres"),
        ("select id from t order by rownum", "snowflake"),
        ("select id from t sort by a", "spark"),
    ],
)
def test_orders_of_other_warehouses_miss_nothing(sql: str, dialect: str) -> None:
    assert analyse(sql, dialect).missing == ()


def test_an_order_that_decides_about_nothing_says_nothing_else() -> None:
    sql = "select k, raw.id from raw, half where k = 1"
    found, without = analyse(sql + " order by x"), analyse(sql)
    assert (found.status, found.edges, found.rows) == (without.status, without.edges, without.rows)


def test_a_star_of_clickhouse_may_leave_out_what_is_not_there() -> None:
    assert analyse("select * except (gone) from t", "clickhouse").missing == ()


@pytest.mark.parametrize(("dialect", "missing"), [("duckdb", ()), ("snowflake", ("gone",))])
def test_duckdb_may_rename_what_is_not_there(dialect: str, missing: tuple[str, ...]) -> None:
    assert analyse("select * rename (gone as here) from t", dialect).missing == missing


UNEVEN = {
    "select id, a from t union all select id from u": ["id", "a"],
    "select id from t union all select id, x as k, y from u union all select id from t": ["id", "k", "y"],
    "select id from t except select id, x from u": ["id"],
    "with q (k, l) as (select id from t) select k from q": ["k"],
    "select s.k from (select id from t) as s (k, l)": ["k"],
}
EVEN = [
    "select id from t union all select id from u",
    "select id, a from t union all by name select id from u",
    "select * from raw union all select id from u",
    "select s.k from (select id, a from t) as s (k)",
    "select k, l from unnest([1], [2]) as s (k, l)",
    "select s.k, s.l from raw as s (k, l)",
]


@pytest.mark.parametrize("sql", UNEVEN)
def test_columns_that_meet_by_position_have_to_be_as_many(sql: str) -> None:
    found = analyse(sql)
    assert (found.uneven, found.status, [column.name for column in found.columns]) == (True, "approximate", UNEVEN[sql])


@pytest.mark.parametrize("sql", EVEN)
def test_columns_that_are_as_many_or_not_known(sql: str) -> None:
    assert not analyse(sql).uneven


def test_sql_that_is_read_only_in_part_misses_nothing() -> None:
    found = analyse("select id, gone from t where and a > 0")
    assert (found.status, found.missing) == ("approximate", ())


@pytest.mark.growth
def test_each_missing_column_is_there_once_and_not_without_end() -> None:
    columns = ", ".join(f"gone_{number}, gone_{number}" for number in range(1500))
    assert list(analyse(f"from t select {columns}").missing) == [f"gone_{number}" for number in range(1000)]
