"""Tables, joins, stars, CTEs and set operations: which columns there are, and where they come from."""

from __future__ import annotations

import pytest

from tests.unit.columns.engine import analyse, edges, names, stated

JOINS = {
    "select a from t join u using (id)": "t.a > a IDENTITY; t.id > * JOIN; u.id > * JOIN",
    "select id from t left join u using (id)": "t.id > id IDENTITY; t.id > * JOIN; u.id > * JOIN",
    "select id from t right join u using (id)": "u.id > id IDENTITY; t.id > * JOIN; u.id > * JOIN",
    "select id from t full join u using (id)": "t.id > id TRANSFORMATION; u.id > id TRANSFORMATION; t.id > * JOIN; u.id > * JOIN",
    "select u.id from t left join u using (id)": "u.id > id IDENTITY; t.id > * JOIN; u.id > * JOIN",
    "select a, x from t natural join u": "t.a > a IDENTITY; u.x > x IDENTITY; t.id > * JOIN; u.id > * JOIN",
    "select a, x from t, u where t.id = y": "t.a > a IDENTITY; u.x > x IDENTITY; t.id > * FILTER; u.y > * FILTER",
    "select a from t semi join u on t.id = u.x": "t.a > a IDENTITY; t.id > * JOIN; u.x > * JOIN",
    "select a from t anti join u using (id)": "t.a > a IDENTITY; t.id > * JOIN; u.id > * JOIN",
    "select x from t asof join u on t.id = u.id and t.b >= u.y": (
        "u.x > x IDENTITY; t.id > * JOIN; t.b > * JOIN; u.id > * JOIN; u.y > * JOIN"
    ),
    "select p.a, q.b from t as p join t as q on p.id = q.c": "t.a > a IDENTITY; t.b > b IDENTITY; t.id > * JOIN; t.c > * JOIN",
    "select l.m from t, lateral (select max(x) as m from u where u.id = t.id) as l": (
        "u.x > m AGGREGATION; u.id > * FILTER; t.id > * FILTER"
    ),
    "select q.x from (t join u using (id)) as q": "u.x > x IDENTITY; t.id > * JOIN; u.id > * JOIN",
    "select v.k from (values (1, 2)) as v(k, j)": "",
    "select g.i, a from t, generate_series(1, 3) as g(i)": "t.a > a IDENTITY",
    "select e from wide, unnest(items) as q(e)": "wide.items > e TRANSFORMATION; wide.items > * JOIN",
    "select e from t, unnest([a, b]) as q(e)": "t.a > e TRANSFORMATION; t.b > e TRANSFORMATION",
}
CTES = {
    "with q as (select * from t where a > 0) select b from q": "t.b > b IDENTITY; t.a > * FILTER",
    "with t as (select x as a from u) select a from t": "u.x > a IDENTITY",
    "with t as (select a from t) select a from t": "t.a > a IDENTITY",
    "with q(k) as (select a from t) select k from q": "t.a > k IDENTITY",
    "select a from (with q as (select a from t) select a from q)": "t.a > a IDENTITY",
    "with q as (with r as (select a as z from t) select z from r) select z from q": "t.a > z IDENTITY",
    "with unused as (select b from t where c > 1) select a from t": "t.a > a IDENTITY",
    "with recursive r as (select id, a from t union all select t.id, r.a from t join r on t.b = r.id) select * from r": (
        "t.id > id IDENTITY; t.a > a IDENTITY; t.id > * JOIN; t.b > * JOIN"
    ),
    # A value moves by one column in each round.
    "with recursive r(p, q, o) as (select a, 0, 0 from t union all select 0, p, q from r) select o from r": "t.a > o IDENTITY",
    "with a1 as (select * from __dbt__cte__tmp) select v from a1": "__dbt__cte__tmp.v > v IDENTITY",
    "with __dbt__cte__tmp as (select 1 as id, 2 as v) select v from __dbt__cte__tmp": "__dbt__cte__tmp.v > v IDENTITY",
}
SET_OPERATIONS = {
    "select a as v from t union all select x from u": "t.a > v IDENTITY; u.x > v IDENTITY",
    "select a, b from t union all select y, x from u": "t.a > a IDENTITY; u.y > a IDENTITY; t.b > b IDENTITY; u.x > b IDENTITY",
    "select a as v from t union select x from u": "t.a > v IDENTITY; u.x > v IDENTITY; t.a > * GROUP_BY; u.x > * GROUP_BY",
    "select a, b from t union all by name select x as b, y as a from u": (
        "t.a > a IDENTITY; u.y > a IDENTITY; t.b > b IDENTITY; u.x > b IDENTITY"
    ),
    "select a from t except select x from u": "t.a > a IDENTITY; t.a > * FILTER; u.x > * FILTER",
    "select a from t intersect select x from u": "t.a > a IDENTITY; t.a > * FILTER; u.x > * FILTER",
    "select a from t union all select x from u order by 1 limit 3": "t.a > a IDENTITY; u.x > a IDENTITY; t.a > * SORT; u.x > * SORT",
    "select a as v from t union all select a + 1 from t": "t.a > v TRANSFORMATION",
}


@pytest.mark.parametrize(("sql", "expected"), [*JOINS.items(), *CTES.items(), *SET_OPERATIONS.items()])
def test_columns_come_through_joins_ctes_and_set_operations(sql: str, expected: str) -> None:
    analysis = analyse(sql)
    assert edges(analysis) == stated(expected)
    assert (analysis.status, analysis.reason) == ("exact", None)


STARS = {
    "select * exclude (a, b) from t": "id c d s",
    "select * replace (a + b as c) from t": "id a b c d s",
    "select * rename (a as aa) from t": "id aa b c d s",
    "select t.*, x as a2 from t join u on true": "id a b c d s a2",
    "select * from t join u using (id)": "id a b c d s x y z",
    "select u.* from t join u using (id)": "id x y z",
    "select columns('^[ab]$') from t": "a b",
    "select columns(['c', 'a']) from t": "a c",
    "select min(columns(* exclude (id, s))) from t": "a b c d",
    "from t": "id a b c d s",
    "from u select x": "x",
    "select * from (values (1, 2))": "col0 col1",
}


@pytest.mark.parametrize("sql", STARS)
def test_a_star_is_all_columns_in_order(sql: str) -> None:
    analysis = analyse(sql)
    assert names(analysis) == STARS[sql].split()
    assert (analysis.status, analysis.ordered) == ("exact", True)


def test_a_replaced_column_keeps_its_place_and_changes_its_source() -> None:
    assert "t.b > a TRANSFORMATION" in edges(analyse("select * replace (b + 1 as a) from t"))
    assert "t.a > a IDENTITY" not in edges(analyse("select * replace (b + 1 as a) from t"))


def test_a_function_of_matched_columns_is_applied_to_each() -> None:
    assert edges(analyse("select max(columns('^[ab]$')) from t")) == {"t.a > a AGGREGATION", "t.b > b AGGREGATION"}


def test_tables_that_the_graph_does_not_have_are_listed_and_make_no_edges() -> None:
    analysis = analyse("select o.name, a from t join other.place.orders as o on o.id = t.id")
    assert analysis.hard_coded == ("other.place.orders",)
    assert edges(analysis) == {"t.a > a IDENTITY", "t.id > * JOIN"}
    assert analysis.status == "exact"


def test_tables_that_are_read_are_told() -> None:
    assert set(analyse("select 1 from t where exists (select 1 from u)").used) == {"t", "u"}


def test_a_function_that_may_read_anything_makes_the_analysis_approximate() -> None:
    analysis = analyse("select k from my_reports(1) as r", "postgres")
    assert (analysis.status, analysis.reason) == (
        "approximate",
        "The table function `my_reports` may read tables that the SQL does not name",
    )


def test_branches_of_different_width_are_told() -> None:
    assert analyse("select a, b from t union all select x from u").status == "approximate"
