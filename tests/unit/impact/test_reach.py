"""Which nodes a change reaches, by which route, and in which order they are listed."""

from __future__ import annotations

from tests.unit.impact.sides import changed, compare, generic, is_silent, model, other, reached, snapshot, source

RAW = source("raw", "id", "amount", "status")
STG = model("stg", "id", "amount", "status", reads=["raw"])
ORDERS = model("orders", "id = stg.id", "total = sum(stg.amount)", rows="where stg.status")
CUSTOMERS = model("customers", "id = orders.id")
SPENT = model("spent", "spent = orders.total")
BOARD = other("exposure", "board", "spent", owner="Ann")
BASE = (RAW, STG, ORDERS, CUSTOMERS, SPENT, BOARD)


def other_amount(**more: object) -> tuple[object, ...]:
    return (RAW, model("stg", "id", "amount = raw.amount * 2", "status", reads=["raw"]).but(**more), *BASE[2:])


def test_only_those_that_read_the_column() -> None:
    found = compare(BASE, other_amount())  # type: ignore[arg-type]
    assert changed(found) == {"stg: logic amount"}
    assert reached(found) == {"board": "model 3", "spent": "column 2: spent", "orders": "column 1: total"}
    assert [one.unique_id for one in found.reached] == ["exposure.shop.board", "model.shop.spent", "model.shop.orders"]
    assert found.counts["reached"] == {"model": 2, "exposure": 1}
    assert found.counts["by"] == {"column": 2, "model": 1}
    assert found.counts["owners"] == {"Ann": 1}


def test_a_column_that_decides_rows_reaches_everything_below() -> None:
    head = model("stg", "id", "amount", "status = raw.status || 'x'", reads=["raw"])
    assert reached(compare(BASE, (RAW, head, *BASE[2:]))) == {
        "board": "rows 3",
        "customers": "rows 2",
        "spent": "rows 2",
        "orders": "rows 1",
    }


def test_what_reads_another_table_than_before_is_one_edge_away() -> None:
    head = model("stg", "id", "amount", "status", reads=["other"], code=STG.text)
    found = compare((RAW, STG.but(code=STG.text)), (source("other", "id", "amount", "status"), head))
    assert reached(found) == {"stg": "column 1: amount,id,status"}


def test_rows_reach_everything_below() -> None:
    head = STG.but(rows="where raw.amount > 0")
    assert set(reached(compare(BASE, (RAW, head, *BASE[2:]))).values()) == {"rows 1", "rows 2", "rows 3"}


def test_an_added_column_reaches_nobody_but_those_that_select_everything() -> None:
    star = model("star", "*stg")
    head = model("stg", "id", "amount", "status", "new = raw.id + 1", reads=["raw"])
    found = compare((*BASE, star), (RAW, head, *BASE[2:], star))
    assert changed(found) == {"stg: added new"}
    assert changed(found, inherited=True) == {"star: added new"}
    assert reached(found) == {"star": "column 1: new"}


def test_a_removed_column_is_followed_through_those_that_select_everything() -> None:
    star, last = model("star", "*stg"), model("last", "twice = star.amount")
    head = model("stg", "id", "status", reads=["raw"])
    orders = model("orders", "id = stg.id", rows="where stg.status")
    spent = model("spent", "n = count(orders.id)")
    base = (*BASE, star, last)
    found = compare(base, (RAW, head, orders, CUSTOMERS, spent, BOARD, star, last.but(missing=("amount",))))
    assert changed(found, inherited=True) == {"star: removed amount"}
    assert reached(found)["star"] == "column 1: amount"
    assert reached(found)["last"] == "rows 2", "it is not built"
    assert "customers" not in reached(found), "its column is still there"


def test_columns_that_are_not_exact_are_reached_by_model() -> None:
    vague = model("vague", "id = stg.id", status="approximate")
    below = model("below", "id = vague.id")
    found = compare((*BASE, vague, below), (*other_amount(), vague, below))  # type: ignore[arg-type]
    assert {"vague": "model 1", "below": "model 2"}.items() <= reached(found).items()


def test_uncertain_code_reaches_all_dependents() -> None:
    python = model("py", reads=["stg"], status="unknown", raw="a")
    below = model("below", "id = py.id")
    found = compare((*BASE, python, below), (*BASE, python.but(raw="b"), below))
    assert reached(found) == {"below": "model 1"}


def test_a_node_with_changes_of_its_own_is_not_listed_again() -> None:
    orders = model("orders", "id = stg.id", "total = max(stg.amount)", rows="where stg.status")
    found = compare(BASE, (*other_amount()[:2], orders, *BASE[3:]))  # type: ignore[arg-type]
    assert changed(found) == {"stg: logic amount", "orders: logic total"}
    assert reached(found) == {"spent": "column 1: spent", "board": "model 2"}


def test_a_change_of_names_only_reaches_nobody_that_follows_it() -> None:
    head = model("stg", "id", "sum = raw.amount", "status", reads=["raw"])
    orders = model("orders", "id = stg.id", "total = sum(stg.sum)", rows="where stg.status")
    found = compare(BASE, (RAW, head, orders, *BASE[3:]))
    assert changed(found) == {"stg: renamed amount→sum"}
    assert reached(found) == {}
    assert found.breaks == ()


def test_a_rename_that_is_followed_to_the_end() -> None:
    head = model("stg", "id", "sum = raw.amount", "status", reads=["raw"])
    mart, new_mart = model("mart", "amount = stg.amount"), model("mart", "sum = stg.sum")
    last, new_last = model("last", "a = mart.amount"), model("last", "a = mart.sum")
    found = compare((RAW, STG, mart, last), (RAW, head, new_mart, new_last))
    assert changed(found) == {"stg: renamed amount→sum", "mart: renamed amount→sum"}
    assert (found.reached, found.breaks) == ((), ())


def test_a_rename_that_ends_in_an_alias() -> None:
    head = model("stg", "id", "sum = raw.amount", "status", reads=["raw"])
    mart = model("mart", "amount = stg.amount", "id = stg.id")
    found = compare((RAW, STG, mart), (RAW, head, model("mart", "amount = stg.sum", "id = stg.id", code="select another text")))
    assert changed(found) == {"stg: renamed amount→sum"}


def test_tests_are_counted_not_listed() -> None:
    found = compare((*BASE, generic("unique", "spent", "spent")), (*other_amount(), generic("unique", "spent", "spent")))  # type: ignore[arg-type]
    assert found.counts["reached"] == {"model": 2, "test": 1, "exposure": 1}
    assert not [one for one in found.reached if one.resource_type == "test"]


def test_the_semantic_layer_comes_after_exposures() -> None:
    more = (other("semantic_model", "sm", "spent"), other("metric", "revenue", "sm"), other("saved_query", "weekly", "revenue"))
    found = compare((*BASE, *more), (*other_amount(), *more))  # type: ignore[arg-type]
    kinds = [one.resource_type for one in found.reached]
    assert kinds == ["exposure", "semantic_model", "metric", "saved_query", "model", "model"]


def test_a_metric_with_another_definition_reaches_what_is_made_of_it() -> None:
    revenue, weekly = other("metric", "revenue", type="simple"), other("saved_query", "weekly", "revenue")
    found = compare((revenue, weekly), (other("metric", "revenue", type="ratio", label="R"), weekly))
    assert changed(found) == {"revenue: logic"}
    assert reached(found) == {"weekly": "model 1"}
    assert is_silent(compare((revenue,), (other("metric", "revenue", type="simple", label="New words"),)))


def test_a_snapshot_is_reached_as_a_model_is() -> None:
    snap = snapshot("snap", "*stg")
    found = compare((*BASE, snap), (*other_amount(), snap))  # type: ignore[arg-type]
    assert reached(found)["snap"] == "column 1: amount"


def test_a_new_node_is_not_reached() -> None:
    assert "new" not in reached(compare(BASE, (*other_amount(), model("new", "id = stg.amount"))))  # type: ignore[arg-type]
