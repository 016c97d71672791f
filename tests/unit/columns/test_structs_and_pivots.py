"""Fields of structs, elements of arrays, PIVOT and UNPIVOT."""

from __future__ import annotations

import pytest

from tests.unit.columns.engine import analyse, edges, names, stated

STRUCTS = {
    ("duckdb", "select st.p + 1 as p, st.q from (select {'p': a, 'q': b} as st from t)"): "t.a > p TRANSFORMATION; t.b > q IDENTITY",
    ("duckdb", "select st['p'] as p from (select struct_pack(p := a, q := b) as st from t)"): "t.a > p IDENTITY",
    ("duckdb", "select r.st.q from (select * from (select {'p': a, 'q': b} as st from t)) as r"): "t.b > q IDENTITY",
    ("duckdb", "select o.i.k from (select {'i': {'k': a, 'l': b}} as o from t)"): "t.a > k IDENTITY",
    ("duckdb", "select st.* from (select {'p': a, 'q': b} as st from t)"): "t.a > p IDENTITY; t.b > q IDENTITY",
    ("bigquery", "select s.p from (select struct(a as p, b as q) as s from t)"): "t.a > p IDENTITY",
    ("bigquery", "select payload.deep.er as x from wide"): "wide.payload > x TRANSFORMATION",
    ("bigquery", "select i.p from (select array_agg(struct(a as p, b as q)) as l from t), unnest(l) as i"): "t.a > p AGGREGATION",
    ("bigquery", "select array_agg(t order by t.c limit 1)[offset(0)].b as last from t"): "t.b > last AGGREGATION; t.c > last SORT",
    (
        "bigquery",
        "select i.price, o from wide, unnest(items) as i with offset as o",
    ): "wide.items > price TRANSFORMATION; wide.items > * JOIN",
    (
        "bigquery",
        "select w.id, i.price from wide as w, w.items as i",
    ): "wide.id > id IDENTITY; wide.items > price TRANSFORMATION; wide.items > * JOIN",
    ("bigquery", "select k from unnest([struct(1 as k, 'x' as n), struct(2, 'y')])"): "",
    ("snowflake", "select payload:a.b::string as k, f.value:x as x from wide, lateral flatten(input => items) as f"): (
        "wide.payload > k TRANSFORMATION; wide.items > x TRANSFORMATION; wide.items > * JOIN"
    ),
    (
        "redshift",
        "select w.id, i.price from wide as w, w.items as i",
    ): "wide.id > id IDENTITY; wide.items > price TRANSFORMATION; wide.items > * JOIN",
    ("spark", "select id, e from wide lateral view outer explode(items) as e"): (
        "wide.id > id IDENTITY; wide.items > e TRANSFORMATION; wide.items > * JOIN"
    ),
    (
        "trino",
        "select k, n from wide cross join unnest(items) with ordinality as u(k, n)",
    ): "wide.items > k TRANSFORMATION; wide.items > * JOIN",
    ("clickhouse", "select i from wide array join items as i"): "wide.items > i TRANSFORMATION; wide.items > * JOIN",
    ("postgres", "select payload->'a'->>'b' as k from wide"): "wide.payload > k TRANSFORMATION",
}
PIVOTS = {
    "select * from (select a, b, c from t) pivot (sum(c) for b in (1, 2))": (
        "t.a > a IDENTITY; t.a > * GROUP_BY; t.c > 1 AGGREGATION; t.b > 1 CONDITIONAL; t.c > 2 AGGREGATION; t.b > 2 CONDITIONAL"
    ),
    "select * from (select a, b, c from t) pivot (sum(c) as s, max(a) as m for b in (1))": (
        "t.c > 1_s AGGREGATION; t.b > 1_s CONDITIONAL; t.a > 1_m AGGREGATION; t.b > 1_m CONDITIONAL"
    ),
    "pivot t on a in (1) using sum(c) group by d": "t.d > d IDENTITY; t.d > * GROUP_BY; t.c > 1 AGGREGATION; t.a > 1 CONDITIONAL",
    "select * from (select id, a, b from t) unpivot (v for n in (a, b))": (
        "t.id > id IDENTITY; t.a > v TRANSFORMATION; t.b > v TRANSFORMATION; t.a > * FILTER; t.b > * FILTER"
    ),
    "select * from (select id, a, b from t) unpivot include nulls (v for n in (a, b))": (
        "t.id > id IDENTITY; t.a > v TRANSFORMATION; t.b > v TRANSFORMATION"
    ),
    "unpivot (select id, a from t) on a into name n value v": "t.id > id IDENTITY; t.a > v TRANSFORMATION; t.a > * FILTER",
}


@pytest.mark.parametrize(("dialect", "sql"), STRUCTS)
def test_a_field_comes_from_what_it_was_made_of(dialect: str, sql: str) -> None:
    analysis = analyse(sql, dialect)
    assert edges(analysis) == stated(STRUCTS[dialect, sql])
    assert analysis.status == "exact"


@pytest.mark.parametrize("sql", PIVOTS)
def test_pivots_aggregate_one_column_and_choose_by_another(sql: str) -> None:
    analysis = analyse(sql)
    assert edges(analysis) == stated(PIVOTS[sql])
    assert analysis.status == "exact"


def test_a_pivot_over_values_that_only_the_data_has_is_open() -> None:
    analysis = analyse("select * from (pivot t on a using sum(c) group by d)")
    assert (analysis.status, analysis.open, names(analysis)) == ("approximate", True, ["d"])
    assert "depend on the data" in analysis.reason


def test_several_columns_are_unpivoted_at_once() -> None:
    analysis = analyse("select * from t unpivot ((v, w) for n in ((a, b), (c, d)))", "bigquery")
    assert names(analysis) == ["id", "s", "n", "v", "w"]
    assert {edge for edge in edges(analysis) if "> v" in edge} == {"t.a > v TRANSFORMATION", "t.c > v TRANSFORMATION"}
