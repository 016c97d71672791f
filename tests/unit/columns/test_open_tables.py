"""Tables whose columns are not all known: what is asked of them, whose a column is, and how demands are carried to sources."""

from __future__ import annotations

import pytest

from tests.unit.columns.engine import TABLES, Tables, analyse, edges, engine, names, stated, table

CERTAIN = {
    "select x from raw": "raw.x > x IDENTITY",
    "with q as (select * from raw) select x from q": "raw.x > x IDENTITY",
    "select a, x from t join raw on t.id = raw.id": "t.a > a IDENTITY; raw.x > x IDENTITY; t.id > * JOIN; raw.id > * JOIN",
    "select x, raw.x as y from raw join half on raw.id = half.id": (
        "raw.x > x IDENTITY; raw.x > y IDENTITY; raw.id > * JOIN; half.id > * JOIN"
    ),
    "select k from raw join half on raw.id = half.id": "half.k > k IDENTITY; raw.id > * JOIN; half.id > * JOIN",
    "select a from t where id in (select id from raw where kind = 'x')": (
        "t.a > a IDENTITY; t.id > * FILTER; raw.id > * FILTER; raw.kind > * FILTER"
    ),
    "with q as (select * exclude (x) from raw) select y from q": "raw.y > y IDENTITY",
    "with q as (select *, a as x from raw join t on true) select x, y from q": "t.a > x IDENTITY; raw.y > y IDENTITY",
    "with q as (select * from raw union all select * from raw) select y from q": "raw.y > y IDENTITY",
    "select raw.x as b, b + 1 as c from raw": "raw.x > b IDENTITY; raw.x > c TRANSFORMATION",
    "select lower(x) as x, upper(x) as u from raw": "raw.x > x TRANSFORMATION; raw.x > u TRANSFORMATION",
}
UNCERTAIN = {
    "select x from raw join half on true": ("raw.x > x IDENTITY?; half.x > x IDENTITY?", "`x` may belong to `raw` or `half`"),
    "select a from t where exists (select 1 from raw where x = b)": (
        "t.a > a IDENTITY; raw.x > * FILTER; raw.b > * FILTER?; t.b > * FILTER?",
        "`b` in a subquery",
    ),
    "with q as (select * from raw union all select * from half) select y from q": (
        "raw.y > y IDENTITY?; half.y > y IDENTITY?",
        "by position",
    ),
}


@pytest.mark.parametrize("sql", CERTAIN)
def test_an_unknown_column_is_that_of_the_only_table_that_may_have_it(sql: str) -> None:
    analysis = analyse(sql)
    assert edges(analysis) == stated(CERTAIN[sql])
    assert analysis.status == "exact"


@pytest.mark.parametrize("sql", UNCERTAIN)
def test_a_column_of_one_of_several_tables_is_uncertain_and_said(sql: str) -> None:
    analysis = analyse(sql)
    expected, reason = UNCERTAIN[sql]
    assert edges(analysis) == stated(expected)
    assert analysis.status == "approximate"
    assert reason in analysis.reason


def test_a_star_over_an_open_table_is_open_and_lists_what_is_known() -> None:
    analysis = analyse("select *, k + 1 as next from half")
    assert (names(analysis), analysis.open, analysis.ordered) == (["k", "next"], True, False)
    assert "not all columns of `half` are known" in analysis.reason


def test_a_star_behind_which_some_columns_are_taken_out_does_not_provide_them() -> None:
    analysis = analyse("select * exclude (x) from raw")
    assert analysis.rest == ((engine.Star("raw", ("x",)),),)


WHOLE = [
    "select distinct * from half",
    "select k from (select distinct * from half)",
    "select distinct half.*, a from half join t on true",
    "select * from half group by all",
    "select * from half union select * from half",
    "select * from half intersect select * from half",
    "select * from half except select * from half",
]


@pytest.mark.parametrize("sql", WHOLE)
def test_rows_that_depend_on_unknown_columns_are_not_exact(sql: str) -> None:
    analysis = analyse(sql)
    assert analysis.status == "approximate"
    assert "compares all columns" in analysis.reason


def test_a_position_behind_an_open_star_is_not_guessed() -> None:
    assert "Position 3" in analyse("select *, k as a from half order by 3 limit 1").reason


def test_demands_are_told() -> None:
    assert analyse("select k, x, y from half").demands == {"half": ("x", "y")}


def project(**models: str) -> tuple[dict[str, object], object]:
    """Analyse models in order over the open source `raw`, and carry what they ask of it."""
    known = {"raw": table("raw", open=True, ordered=False)}
    analyses = {}
    for name, sql in models.items():
        found = analyses[name] = engine.analyse(sql, "duckdb", Tables(*known.values()))
        known[name] = engine.Table(name, found.columns, open=found.open, ordered=found.ordered)
    carried = engine.carry_demand(analyses, {"raw": known["raw"]}, "duckdb")
    return carried.analyses, carried.tables["raw"]


def test_a_demand_is_carried_through_stars_to_the_source() -> None:
    analyses, source = project(base="select * from raw", middle="select * from base", top="select amount from middle")
    assert edges(analyses["base"]) == {"raw.amount > amount IDENTITY"}
    assert edges(analyses["middle"]) == {"base.amount > amount IDENTITY"}
    assert edges(analyses["top"]) == {"middle.amount > amount IDENTITY"}
    assert names(source) == ["amount"]


def test_a_demand_ends_where_the_column_is_made() -> None:
    analyses, source = project(base="select *, price * 2 as amount from raw", top="select amount from base")
    assert edges(analyses["base"]) == {"raw.price > amount TRANSFORMATION"}
    assert names(source) == ["price"]


def test_a_carried_column_of_one_of_two_tables_is_uncertain() -> None:
    known = Tables(table("raw", open=True), table("half", "k", open=True))
    base = engine.analyse("select * from raw join half on raw.id = half.id", "duckdb", known)
    top = engine.analyse("select x from base", "duckdb", Tables(table("base", "k", open=True)))
    carried = engine.carry_demand({"base": base, "top": top}, {}, "duckdb")
    assert {"raw.x > x IDENTITY?", "half.x > x IDENTITY?"} <= edges(carried.analyses["base"])


def test_a_demand_that_differs_in_case_is_the_known_column() -> None:
    analyses, _ = project(base="select Amount, * from raw", top="select AMOUNT from base")
    assert names(analyses["base"]) == ["Amount"]
    assert edges(analyses["top"]) == {"base.Amount > AMOUNT IDENTITY"}


def test_a_column_that_a_model_s_star_leaves_out_is_not_asked_of_it() -> None:
    known = Tables(table("m", open=True)._replace(lacks=("b",)))
    found = engine.analyse("select z, b from m", "duckdb", known)
    assert (edges(found), found.status, found.demands) == ({"m.z > z IDENTITY"}, "approximate", {"m": ("z",)})
    assert found.reason == "Column `b` was not found in `m`"
    assert engine.analyse("select * from m", "duckdb", known).rest == ((engine.Star("m", ("b",)),),)


SHOWN = {
    "select x from raw": {"raw": ("x",)},
    "select r.x from raw as r join half on true": {"raw": ("x",)},
    "select x from raw join half on true": {},
    "with q as (select * from raw union all select * from half) select y from q": {},
    "select x from raw, unnest(raw.items)": {"raw": ("items",)},
    "select a from t where exists (select 1 from raw where b = a)": {},
    "select (select max(y) from half where half.id = raw.id) as m from raw": {"half": ("id",), "raw": ("id",)},
    "select (select max(y) from half) as m from t": {"half": ("y",)},
    "select (select max(b) from half) as m from t": {},
}


@pytest.mark.parametrize("sql", SHOWN)
def test_only_a_reference_that_can_mean_nothing_else_shows_that_a_table_has_a_column(sql: str) -> None:
    assert analyse(sql).shown == SHOWN[sql]


def decided(sql: str, *proof: tuple[str, str], dialect: str = "duckdb") -> tuple[str, set[str]]:
    analysis = engine.analyse(sql, dialect, TABLES, frozenset(proof))
    return analysis.status, edges(analysis)


def test_what_another_query_shows_decides_whose_a_column_is() -> None:
    sql = "select x from raw join half on true"
    assert decided(sql, ("half", "x")) == ("exact", {"half.x > x IDENTITY"})
    assert decided(sql, ("half", "y"))[0] == decided(sql, ("half", "x"), ("raw", "x"))[0] == "approximate"
    behind_star = "with q as (select * from raw join half on true) select x from q"
    assert decided(behind_star, ("half", "x")) == ("exact", {"half.x > x IDENTITY"})


def test_in_clickhouse_a_column_of_the_right_table_may_be_one_of_the_left_one() -> None:
    sql = "select x from raw join half on true"
    assert decided(sql, ("half", "x"), dialect="clickhouse")[0] == "approximate"
    assert decided(sql, ("raw", "x"), ("half", "x"), dialect="clickhouse") == ("exact", {"raw.x > x IDENTITY"})


MADE = {
    (
        "snowflake",
        "select value, x from raw, lateral flatten(input => raw.items) as f",
    ): "raw.items > value TRANSFORMATION; raw.x > x IDENTITY",
    ("snowflake", "select f.value, x from raw, table(flatten(raw.items)) as f"): "raw.items > value TRANSFORMATION; raw.x > x IDENTITY",
    (
        "snowflake",
        "select value, x from raw, lateral split_to_table(raw.items, ',')",
    ): "raw.items > value TRANSFORMATION; raw.x > x IDENTITY",
    ("tsql", "select value, x from raw cross apply openjson(raw.items)"): "raw.items > value TRANSFORMATION; raw.x > x IDENTITY",
    ("tsql", "select y, x from raw cross apply openjson(raw.items) with (y int '$.v')"): "raw.items > y TRANSFORMATION; raw.x > x IDENTITY",
    ("tsql", "select value, x from raw cross apply string_split(raw.items, ',')"): "raw.items > value TRANSFORMATION; raw.x > x IDENTITY",
    ("postgres", "select key, x from raw, json_each(raw.items)"): "raw.items > key TRANSFORMATION; raw.x > x IDENTITY",
    ("postgres", "select e, x from raw, jsonb_array_elements(raw.items) as e"): "raw.items > e TRANSFORMATION; raw.x > x IDENTITY",
    ("postgres", "select n, x from raw, generate_series(1, raw.items) as n"): "raw.items > n TRANSFORMATION; raw.x > x IDENTITY",
    ("bigquery", "select n, x from raw, unnest(generate_array(1, raw.items)) as n"): "raw.items > n TRANSFORMATION; raw.x > x IDENTITY",
    ("trino", "select e, x from raw cross join unnest(raw.items) as u (e)"): "raw.items > e TRANSFORMATION; raw.x > x IDENTITY",
}


@pytest.mark.parametrize(("dialect", "sql"), MADE)
def test_a_column_of_a_function_is_none_of_an_open_table(dialect: str, sql: str) -> None:
    analysis = analyse(sql, dialect)
    assert edges(analysis) == stated(MADE[dialect, sql] + "; raw.items > * JOIN")
    assert analysis.status == "exact"


def test_a_column_may_be_a_field_of_an_array_s_elements_unless_the_table_is_shown_to_have_it() -> None:
    sql = "select x, i.y from raw, unnest(items) as i"
    analysis = analyse(sql, "bigquery")
    assert {"raw.x > x IDENTITY?", "raw.items > x TRANSFORMATION?", "raw.items > y TRANSFORMATION"} <= edges(analysis)
    assert "`raw` or to the elements of an array" in analysis.reason
    status, found = decided(sql, ("raw", "x"), dialect="bigquery")
    assert (status, {edge for edge in found if " > x " in edge}) == ("exact", {"raw.x > x IDENTITY"})


def test_columns_that_a_star_replaces_or_renames_come_from_the_open_table() -> None:
    found = analyse("select * replace (id + 1 as id) rename (day as date) from raw")
    assert [column.name for column in found.columns] == ["id", "date"]
    assert edges(found) == {"raw.id > id TRANSFORMATION", "raw.day > date IDENTITY"}
    assert found.open
