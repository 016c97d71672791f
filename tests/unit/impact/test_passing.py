"""Models that are put between two others, or taken away, and hand everything on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.impact.sides import Node, broken, changed, compare, model, other, reached, source


def named(node: Node) -> Node:
    """A node whose table has a name."""
    return node.but(content={"relation_name": f'"db"."prod"."{node.name}"'})


RAW = source("raw", "id", "amount")
STG = named(model("stg", "id", "amount", reads=["raw"]))
PASS = named(model("between", "*stg", code='select * from "db"."prod"."stg"'))
SQL = 'with X as (select * from "db"."prod"."X") select X.id, sum(amount) as total from X group by 1'


def orders(of: str, code: str = SQL, **more: Any) -> Node:
    return model("orders", f"id = {of}.id", f"total = sum({of}.amount)", rows=f"group {of}.id", code=code.replace("X", of), **more)


BELOW = other("exposure", "board", "orders")
DIRECT = RAW, STG, orders("stg"), BELOW


@pytest.mark.parametrize("kind", ["table", "view", "materialized_view"])
def test_a_model_that_hands_everything_on_changes_nothing_below(kind: str) -> None:
    through = RAW, STG, PASS.but(materialized=kind), orders("between"), BELOW
    put, taken = compare(DIRECT, through), compare(through, DIRECT)
    assert (changed(put), changed(put, inherited=True), reached(put), broken(put)) == ({"between: added"}, set(), {}, set())
    assert (changed(taken), changed(taken, inherited=True), reached(taken), broken(taken)) == ({"between: removed"}, set(), {}, set())


def test_tables_of_unknown_schemas_are_known_by_their_names() -> None:
    """Their SQL is stored without the schema."""
    sql = 'with x as (select * from "X") select x.id, sum(amount) as total from x group by 1'
    stg, between = (one.but(content={}, code='select * from "X"'.replace("X", one.reads[0])) for one in (STG, PASS))
    base = RAW, stg, orders("stg", sql)
    assert changed(compare(base, (RAW, stg, between, orders("between", sql)))) == {"between: added"}
    for other_sql in (sql.replace("x.id", "x.X"), sql.replace("group", "join crm.X on true group")):
        found = compare((RAW, stg, orders("stg", other_sql)), (RAW, stg, between, orders("between", other_sql)))
        assert "orders: rows" in changed(found)


def test_several_of_them_after_each_other() -> None:
    second = named(model("second", "*between", code='select * from "db"."prod"."between"'))
    assert changed(compare(DIRECT, (RAW, STG, PASS, second, orders("second"), BELOW))) == {"between: added", "second: added"}


def test_some_references_may_stay() -> None:
    sql = 'select stg.id, sum(b.amount) as total from "db"."prod"."stg" as stg join "db"."prod"."X" as b using (id)'
    before, after = (orders(of, sql.replace("X", of), reads=["stg"]) for of in ("stg", "between"))
    after = after.but(columns=("id = stg.id", "total = sum(between.amount)"), rows="group stg.id")
    assert changed(compare((RAW, STG, before), (RAW, STG, PASS, after))) == {"between: added"}


LISTED = model("between", "id = stg.id", "amount = stg.amount", rows="limit 10", code='select * from "db"."prod"."stg" limit 10')
NO_PASS = {
    "rows of its own": named(LISTED),
    "an incremental model": PASS.but(materialized="incremental"),
    "an ephemeral model": PASS.but(materialized="ephemeral"),
    "a materialisation of somebody": PASS.but(materialized="special"),
    "a hook": PASS.but(definition={"config": {"post-hook": [{"sql": "delete from {{ this }}"}]}}),
    "columns that are not known": PASS.but(status="approximate"),
}


@pytest.mark.parametrize("name", NO_PASS)
def test_a_model_that_does_more_is_a_change(name: str) -> None:
    found = compare(DIRECT, (RAW, STG, NO_PASS[name], orders("between"), BELOW))
    assert changed(found) == {"between: added", "orders: logic id,total", "orders: rows"}
    assert reached(found)["board"].startswith("rows")


OTHER_SQL = {
    "another expression": SQL.replace("sum(amount)", "sum(amount + 1)"),
    "a condition": SQL.replace("group by", "where X.id > 1 group by"),
    "another table": SQL.replace("prod", "test"),
    "a name that means two things": SQL.replace("from X group", "from between group").replace("with X", "with stg"),
}


@pytest.mark.parametrize("name", OTHER_SQL)
def test_what_changes_beside_it_is_a_change(name: str) -> None:
    found = compare(DIRECT, (RAW, STG, PASS, orders("between", OTHER_SQL[name]), BELOW))
    assert changed(found) >= {"between: added", "orders: logic id,total"}


def test_a_model_that_reads_another_one_now_is_a_change() -> None:
    """Without any column, the tables alone say what is read."""
    twin = named(model("twin", "id", "amount = raw.amount * 2", reads=["raw"]))
    count = 'select count(*) as n from "db"."prod"."X"'
    before, after = (model("n", "n = 1", rows=f"of {of}", reads=[of], code=count.replace("X", of)) for of in ("twin", "between"))
    assert changed(compare((RAW, STG, twin, before), (RAW, STG, twin, PASS, after))) >= {"between: added", "n: rows"}
