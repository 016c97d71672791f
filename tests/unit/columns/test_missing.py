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
]


@pytest.mark.parametrize("sql", MISSING)
def test_a_column_that_no_table_has_is_missing(sql: str) -> None:
    assert list(analyse(sql).missing) == MISSING[sql]


@pytest.mark.parametrize("sql", THERE)
def test_what_a_table_may_have_is_not_missing(sql: str) -> None:
    assert analyse(sql).missing == ()


def test_a_star_of_clickhouse_may_leave_out_what_is_not_there() -> None:
    assert analyse("select * except (gone) from t", "clickhouse").missing == ()


@pytest.mark.parametrize(("dialect", "missing"), [("duckdb", ()), ("snowflake", ("gone",))])
def test_duckdb_may_rename_what_is_not_there(dialect: str, missing: tuple[str, ...]) -> None:
    assert analyse("select * rename (gone as here) from t", dialect).missing == missing


def test_sql_that_is_read_only_in_part_misses_nothing() -> None:
    found = analyse("select id, gone from t where and a > 0")
    assert (found.status, found.missing) == ("approximate", ())


def test_each_missing_column_is_there_once_and_not_without_end() -> None:
    columns = ", ".join(f"gone_{number}, gone_{number}" for number in range(1500))
    assert list(analyse(f"from t select {columns}").missing) == [f"gone_{number}" for number in range(1000)]
