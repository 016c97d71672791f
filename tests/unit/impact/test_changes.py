"""The classes of change, from two small projects."""

from __future__ import annotations

import re

import pytest

from tests.unit.impact.sides import Node, changed, compare, is_silent, model, other, project, seed, snapshot, source

RAW = source("raw", "id", "amount", "status")
STG = model("stg", "id", "amount", "status", reads=["raw"])
ORDERS = model("orders", "id = stg.id", "total = sum(stg.amount)", rows="where stg.status")
BASE = (RAW, STG, ORDERS)


def test_equal_sides_say_nothing() -> None:
    assert is_silent(compare(BASE, BASE))


@pytest.mark.parametrize(
    "node",
    [
        STG.but(code="select id,\n  amount, status from raw -- what it is", raw="another form"),
        STG.but(content={"description": "Orders.", "tags": ["nightly"], "meta": {"owner": "Ann"}}),
        STG.but(yaml={"id": "integer"}),
        STG.but(definition={"config": {"tags": ["x"], "meta": {}}, "docs_blocks": ["doc.shop.x"]}),
    ],
    ids=["format", "description", "documented column", "tags"],
)
def test_what_is_no_change_of_data_says_nothing(node: object) -> None:
    assert is_silent(compare(BASE, (RAW, node, ORDERS)))  # type: ignore[arg-type]


def test_a_column_is_removed() -> None:
    found = compare(BASE, (RAW, model("stg", "id", "status", reads=["raw"]), ORDERS))
    assert changed(found) == {"stg: removed amount"}
    assert found.changes[0].reason == "`amount` is no longer a column of `stg`."
    assert found.counts["columns"] == {"removed": 1}


@pytest.mark.parametrize("side", ["base", "head"])
def test_a_column_is_certainly_removed_only_where_both_sides_are_exact(side: str) -> None:
    vague, exact = {"status": "approximate"}, {"status": "exact"}
    head = model("stg", "id", "status", reads=["raw"]).but(**(vague if side == "head" else exact))
    assert changed(compare((RAW, STG.but(**(vague if side == "base" else exact)), ORDERS), (RAW, head, ORDERS))) == {"stg: removed amount?"}


def test_a_column_is_added() -> None:
    found = compare(BASE, (RAW, STG, ORDERS.but(columns=(*ORDERS.columns, "n = count(stg.id)"))))
    assert changed(found) == {"orders: added n"}
    assert found.reached == ()


def test_a_column_is_renamed() -> None:
    found = compare(BASE, (RAW, STG, model("orders", "id = stg.id", "revenue = sum(stg.amount)", rows="where stg.status")))
    assert changed(found) == {"orders: renamed total→revenue"}


def test_of_columns_with_the_same_expression_those_in_the_same_place_are_one() -> None:
    base = model("orders", "a = stg.id", "b = stg.id", reads=["stg"])
    head = model("orders", "c = stg.id", "b = stg.id", "d = stg.id", reads=["stg"])
    assert changed(compare((RAW, STG, base), (RAW, STG, head))) == {"orders: renamed a→c", "orders: added d"}


def test_a_column_that_gives_its_name_to_another_one_is_no_rename() -> None:
    base = model("orders", "a = stg.id", "b = stg.amount")
    head = model("orders", "a = stg.amount")
    assert changed(compare((RAW, STG, base), (RAW, STG, head))) == {"orders: logic a", "orders: removed b"}


def test_a_column_is_retyped() -> None:
    base, head = (model("stg", "id", f"amount: {kind} = raw.amount", "status", reads=["raw"]) for kind in ("integer", "numeric"))
    assert changed(compare((RAW, base, ORDERS), (RAW, head, ORDERS))) == {"stg: retyped amount"}
    same = model("stg", "id", "amount: INT = raw.amount", "status", reads=["raw"])
    assert is_silent(compare((RAW, base, ORDERS), (RAW, same, ORDERS))), "two spellings of one type"


def test_a_cast_that_is_new_is_possibly_another_type() -> None:
    head = model("stg", "id", "amount: numeric = raw.amount", "status", reads=["raw"])
    assert changed(compare(BASE, (RAW, head, ORDERS))) == {"stg: retyped amount?"}


def test_the_logic_of_a_column() -> None:
    head = model("orders", "id = stg.id", "total = max(stg.amount)", rows="where stg.status")
    assert changed(compare(BASE, (RAW, STG, head))) == {"orders: logic total"}


def test_which_rows_there_are() -> None:
    assert changed(compare(BASE, (RAW, STG, ORDERS.but(rows="where stg.status or stg.amount")))) == {"orders: rows"}


def test_imprecise_digests_that_differ_are_possible_changes() -> None:
    base, head = ORDERS.but(digests="~"), model("orders", "id = stg.id", "total = max(stg.amount)", rows="where stg.status", digests="~")
    assert changed(compare((RAW, STG, base), (RAW, STG, head))) == {"orders: logic total?"}


def test_what_is_rendered_in_part_is_possible_only() -> None:
    head = model("stg", "id", "status", reads=["raw"], rendered="without_execute")
    assert changed(compare(BASE, (RAW, head, ORDERS))) == {"stg: removed amount?"}


def test_columns_in_another_order() -> None:
    head = model("orders", "total = sum(stg.amount)", "id = stg.id", rows="where stg.status")
    assert changed(compare(BASE, (RAW, STG, head))) == {"orders: moved"}


def test_a_table_elsewhere() -> None:
    found = compare(BASE, (RAW, STG, ORDERS.but(definition={"alias": "orders_v2"})))
    assert changed(found) == {"orders: moved"}
    assert found.reached == ()
    assert found.changes[0].reason == "`orders` is now `db.prod.orders_v2` instead of `db.prod.orders`."


def test_a_name_that_is_not_known_is_no_move() -> None:
    assert is_silent(compare(BASE, (RAW, STG, ORDERS.but(definition={"database": None}))))


def test_nodes_come_and_go() -> None:
    found = compare((RAW, STG, ORDERS), (RAW, STG, model("customers", "id = stg.id")))
    assert changed(found) == {"orders: removed", "customers: added"}


def test_a_model_under_another_name() -> None:
    mart = model("mart", "total = orders.total")
    sales = ORDERS.but(name="sales")
    found = compare((*BASE, mart), (RAW, STG, sales, model("mart", "total = sales.total")))
    assert changed(found) == {"sales: moved"}
    assert found.breaks == ()


def test_a_model_under_another_name_with_its_table() -> None:
    sales = ORDERS.but(name="sales", definition={"alias": "orders"})
    found = compare(BASE, (RAW, STG, sales))
    assert changed(found) == {"sales: none"}


def test_a_star_passes_changes_on() -> None:
    star = model("mid", "*stg")
    head = model("stg", "id", "sum_amount = raw.amount", "new = raw.status", reads=["raw"])
    found = compare((RAW, STG, star), (RAW, head, star))
    assert changed(found) == {"stg: renamed amount→sum_amount", "stg: removed status", "stg: added new"} or changed(found) == {
        "stg: renamed amount→sum_amount,status→new"
    }
    assert changed(found, inherited=True)
    assert set(found.counts["columns"]) == {one.change_class for one in found.changes if not one.inherited}


def test_open_tables_may_have_what_they_do_not_list() -> None:
    base = model("stg", "*raw", open=True)
    fewer = source("raw", "id", "amount")
    assert is_silent(compare((RAW, base), (fewer, base))), "nobody asks for the column any more"


def test_an_expression_that_an_open_table_loses_is_possibly_removed() -> None:
    base = model("stg", "id", "twice = raw.amount + raw.amount", reads=["raw"], open=True)
    head = model("stg", "id", reads=["raw"], open=True)
    assert changed(compare((RAW, base), (RAW, head))) == {"stg: removed twice?"}


def test_a_macro_names_the_models_whose_sql_it_changed() -> None:
    others = [model(f"m{number}", "id = stg.id", raw="{{ cents() }}") for number in range(3)]
    head = [others[0], model("m1", "id = stg.id + stg.amount", raw="{{ cents() }}"), others[2]]
    assert changed(compare((*BASE, *others), (*BASE, *head))) == {"m1: logic id"}


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"materialized": "table"}, {"materialized": "incremental"}, {"orders: rows?"}),
        ({"materialized": "view"}, {"materialized": "table"}, {"orders: none"}),
        ({"materialized": "ephemeral"}, {"materialized": "table"}, {"orders: moved"}),
    ],
)
def test_materialisations(before: dict[str, str], after: dict[str, str], words: set[str]) -> None:
    assert changed(compare((RAW, STG, ORDERS.but(**before)), (RAW, STG, ORDERS.but(**after)))) == words


def test_the_sql_of_an_ephemeral_model_is_not_that_of_its_reader() -> None:
    lost = model("stg", "id", "status", reads=["raw"])
    code = "with __dbt__cte__stg as (\n{}\n), o as (select 1) {} from __dbt__cte__stg"
    base = ORDERS.but(code=code.format("select (id), amount, ')' from raw", "select 1"), digests="~")
    for body, own, words in (
        ("select id from raw", "select 1", set()),
        ("select id from raw)), (select 1", "select 1", {"orders: logic total?"}),
        ("select id from raw", "select 2", {"orders: logic total?"}),
    ):
        head = ORDERS.but(code=code.format(body, own), missing=("amount",), columns=("id = stg.id", "total = sum(2)"), digests="~")
        assert {one for one in changed(compare((RAW, STG, base), (RAW, lost, head))) if "orders" in one} == words, (body, own)


@pytest.mark.parametrize("key", ["unique_key", "incremental_strategy", "on_schema_change"])
def test_how_an_incremental_model_is_built(key: str) -> None:
    base = ORDERS.but(materialized="incremental", definition={"config": {key: "a"}})
    found = compare((RAW, STG, base), (RAW, STG, base.but(definition={"config": {key: "b"}})))
    assert changed(found) == {"orders: rows?"}
    assert f"`{key}` of `orders` is now `b` instead of `a`" in found.changes[0].reason


@pytest.mark.parametrize("key", ["unique_key", "check_cols", "strategy"])
def test_how_a_snapshot_is_built(key: str) -> None:
    base = snapshot("snap", "*stg", definition={"config": {key: "id"}})
    assert changed(compare((RAW, STG, base), (RAW, STG, base.but(definition={"config": {key: "amount"}})))) == {"snap: rows?"}


@pytest.mark.parametrize(
    "definition",
    [
        {"access": "private"},
        {"group": "finance"},
        {"contract": {"enforced": True}},
        {"latest_version": 2},
        {"deprecation_date": "2027-01-01"},
        {"columns": {"id": {"constraints": [{"type": "not_null"}]}}},
    ],
)
def test_promises(definition: dict[str, object]) -> None:
    yaml: dict[str, str | None] = {"id": None, "total": None}
    found = compare((RAW, STG, ORDERS.but(yaml=yaml)), (RAW, STG, ORDERS.but(yaml=yaml, definition=definition)))
    assert changed(found) == {"orders: none"}
    assert found.reached == ()


def test_another_type_in_an_enforced_contract_is_a_change_of_the_model_itself() -> None:
    enforced: dict[str, object] = {"contract": {"enforced": True}}
    sides = [ORDERS.but(yaml={"id": kind, "total": None}, definition=enforced) for kind in ("integer", "text")]
    found = compare((RAW, STG, sides[0]), (RAW, STG, sides[1]))
    assert changed(found) == {"orders: retyped id"}
    assert not any(one.inherited for one in found.changes)
    assert found.counts["columns"] == {"retyped": 1}


def test_a_seed() -> None:
    rates = seed("rates", "id", "rate")
    assert changed(compare((rates,), (seed("rates", "id", "rate", checksum="2"),))) == {"rates: rows"}
    known = rates.but(rows="content")
    assert is_silent(compare((known,), (known.but(definition={"checksum": {"checksum": "of CRLF"}}),)))
    assert changed(compare((known,), (known.but(rows="other content"),))) == {"rates: rows"}, "too big for dbt's checksum"
    assert changed(compare((rates,), (known.but(definition={"checksum": {"checksum": "2"}}),))) == {"rates: rows"}, "no digest before"
    assert is_silent(compare((rates,), (known,)))
    assert changed(compare((rates,), (seed("rates", "id", "price"),))) == {"rates: removed rate", "rates: added price"}
    described = rates.but(content={"description": "What they are."})
    assert is_silent(compare((rates,), (described,)))
    without_digests = [seed("rates", *columns, checksum="-".join(columns), digests=None) for columns in (("id", "rate"), ("id",))]
    found = compare(without_digests[:1], without_digests[1:])
    assert changed(found) == {"rates: rows", "rates: removed rate"}, "the file is its own, so nothing is inherited"


def test_a_source_that_is_another_table() -> None:
    found = compare(BASE, (RAW.but(definition={"identifier": "orders_2"}), STG, ORDERS))
    assert changed(found) == {"raw: moved", "raw: rows?"}


def test_a_source_under_another_name_is_the_same_table() -> None:
    table = {"database": "db", "schema": "erp", "identifier": "orders"}
    old, new = (source(name, "id", "amount", "status", definition=table) for name in ("raw", "erp"))
    above = [model("stg", "id", "amount", "status", reads=[one.name], code="select * from erp.orders") for one in (old, new)]
    found = compare((old, above[0], ORDERS), (new, above[1], ORDERS))
    assert changed(found) == {"erp: none"}
    assert (found.reached, found.breaks) == ((), ())


def test_a_model_has_another_name_where_its_source_has_one_too() -> None:
    table = {"database": "db", "schema": "erp", "identifier": "orders"}
    old, new = (source(f"{name}.orders", "id", definition=table) for name in ("raw", "erp"))
    stg = model("stg", "id", reads=["raw.orders"], raw="from {{ source('raw', 'orders') }}", code="from erp.orders")
    base = model("base", "id", reads=["erp.orders"], raw="from {{ source('erp', 'orders') }}", code="from erp.orders")
    found = compare((old, stg), (new, base))
    assert changed(found) == {"orders: none", "base: moved"}
    assert {one.reason for one in found.changes} == {
        "The source `raw.orders` is now named `erp.orders`, with the same table.",
        "The model `stg` is now named `base`.",
    }


def test_a_source_under_another_name_is_another_one_where_its_schema_is_not_known() -> None:
    old, new = (source(name, "id", definition={"schema": None, "identifier": "orders"}) for name in ("raw", "erp"))
    assert changed(compare((old,), (new,))) == {"raw: removed", "erp: added"}


def test_python_is_compared_as_text() -> None:
    code = "def model(dbt, session):\n    return dbt.ref('stg')  # all\n"
    base = model("py", reads=["stg"], status="unknown", raw=code, definition={"language": "python"})
    assert is_silent(compare((*BASE, base), (*BASE, base.but(raw=f"# A comment.\n\n{code}"))))
    assert changed(compare((*BASE, base), (*BASE, base.but(raw=code.replace("ref", "source"))))) == {"py: logic?"}
    assert changed(compare((*BASE, base), (*BASE, base.but(raw=code.replace("    return", "        return"))))) == {"py: logic?"}


@pytest.mark.parametrize("columns", [True, False])
def test_without_digests_the_text_is_compared(columns: bool) -> None:  # noqa: FBT001
    def side(code: str) -> object:
        return project(RAW, STG.but(digests=None, code=code, raw=code), ORDERS, columns=columns)

    base = side("select id, amount from raw")
    assert is_silent(compare(base, side("SELECT id, -- the key\n  amount\nFROM raw")))  # type: ignore[arg-type]
    found = compare(base, side("select id, amount + 1 from raw"))  # type: ignore[arg-type]
    assert changed(found) == {"stg: logic?"}
    assert found.without_columns == (() if columns else ("base", "head"))


def test_times_of_a_run_are_no_change() -> None:
    def side(day: int, raw: str) -> tuple[object, ...]:
        code = "select id, '2026-11-DAY 09:00:00' as loaded from raw".replace("DAY", f"{day:02}")
        return RAW, model("stg", "id", f"loaded = '2026-11-{day:02}'", reads=["raw"], code=code, raw=raw)

    assert is_silent(compare(side(1, "{{ run_started_at }}"), side(2, "{{ run_started_at }}")))  # type: ignore[arg-type]
    assert changed(compare(side(1, "{{ stamp() }}"), side(2, "{{ stamp() }}"))) == {"stg: logic loaded?"}  # type: ignore[arg-type]


STAMP = "select id, '{{ run_started_at }}' as loaded from raw"
SINCE = "select id, '{{ run_started_at }}' as loaded from raw where day > '2026-01-01'"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (STAMP, STAMP.replace("from", "-- when it ran\n{# dbt #}  from"), set()),
        (STAMP, STAMP.replace("run_started_at", "invocation_id"), {"stg: logic loaded?"}),
        (SINCE, SINCE.replace("2026-01-01", "2026-01-02"), {"stg: logic loaded?", "stg: rows"}),
        (STAMP, "-- {{ since(1) }}\n" + STAMP, {"stg: logic loaded?"}),
        (STAMP.replace("run_started_at", "stamp()"), "-- stamped\n" + STAMP.replace("run_started_at", "stamp()"), {"stg: logic loaded?"}),
    ],
    ids=["a comment", "another variable", "another date", "Jinja in a comment", "a comment beside a macro"],
)
def test_a_comment_beside_a_time_of_the_run_is_no_change(before: str, after: str, expected: set[str]) -> None:
    def side(day: int, raw: str) -> tuple[Node, ...]:
        rows = raw.partition("where")[2]
        code = re.sub(r"{#.*?#}|{{.*?}}", lambda found: f"2026-11-{day:02}" if found[0].startswith("{{") else "", raw)
        return RAW, model("stg", "id", f"loaded = '2026-11-{day:02}'", reads=["raw"], rows=rows, code=code, raw=raw)

    assert changed(compare(side(1, before), side(2, after))) == expected


def test_a_column_of_another_table_names_it() -> None:
    versions = [model(name, "id = raw.id") for name in ("v1", "v2")]
    found = compare((RAW, *versions, model("mart", "id = v1.id")), (RAW, *versions, model("mart", "id = v2.id")))
    assert [one.reason for one in found.changes] == ["`id` of `mart` is computed in another way, from `v2` instead of `v1`."]


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("incremental", {"config": {}}, {"config": {"lookback": 1, "on_schema_change": "ignore"}}),
        ("table", {"access": None}, {"access": "protected"}),
        ("table", {"constraints": [{"type": "unique"}]}, {"constraints": [{"type": "unique", "warn_unenforced": True, "to": None}]}),
    ],
)
def test_what_newer_versions_of_dbt_write_is_no_change(kind: str, before: dict[str, object], after: dict[str, object]) -> None:
    sides = [(RAW, STG, ORDERS.but(materialized=kind, definition=definition)) for definition in (before, after)]
    assert is_silent(compare(*sides))
    base, head = (
        other("metric", "revenue", type_params={"window": None, "metrics": []}),
        other("metric", "revenue", type_params={"expr": ""}),
    )
    assert is_silent(compare((base,), (head,)))


INCREMENTAL = (
    """select id from raw {% if is_incremental() %} where at > (select max(at) from {{ this }}) {% else %} where 1 = 1 {% endif %}"""
)


@pytest.mark.parametrize(
    ("raw", "is_change"),
    [
        (INCREMENTAL.replace("at >", "at >="), True),
        (INCREMENTAL.replace("where at", "\n  -- only new ones\n  WHERE at"), False),
        (INCREMENTAL.replace("1 = 1", "2 = 2"), False),
        (INCREMENTAL.replace("if is_inc", "if not is_inc").replace("2 = 2", "1 = 1"), True),
        ("select id from raw", True),
    ],
    ids=["a filter", "its form", "the other branch", "the condition", "none any more"],
)
def test_code_for_incremental_runs_is_never_compiled_and_counts(raw: str, *, is_change: bool) -> None:
    base = model("inc", "id = raw.id", materialized="incremental", raw=INCREMENTAL)
    found = compare((RAW, base), (RAW, base.but(raw=raw)))
    assert changed(found) == ({"inc: rows?"} if is_change else set())


def test_what_only_follows_a_new_name_is_no_change() -> None:
    head = model("stg", "id", "sum = raw.amount", "status", reads=["raw"])
    base_snap = snapshot("snap", "*stg", definition={"config": {"check_cols": ["amount"], "unique_key": "id"}})
    head_snap = base_snap.but(definition={"config": {"check_cols": ["sum"], "unique_key": "id"}})
    base_model = other("semantic_model", "sm", "stg", measures=[{"name": "amount"}, {"name": "net", "expr": "amount * 2"}])
    head_model = other("semantic_model", "sm", "stg", measures=[{"name": "amount", "expr": "sum"}, {"name": "net", "expr": "sum*2"}])
    found = compare((RAW, STG, base_snap, base_model), (RAW, head, head_snap, head_model))
    assert changed(found) == {"stg: renamed amount→sum"}
    assert changed(found, inherited=True) == {"snap: renamed amount→sum"}
    assert found.breaks == ()


def test_a_column_that_a_union_passes_on_under_another_name() -> None:
    both, new = (
        model("both", "id = stg.id + star.id", "amount = stg.amount + star.amount"),
        model("stg", "id", "sum = raw.amount", reads=["raw"]),
    )
    star = model("star", "*stg")
    union = both.but(columns=("*stg",), reads=("stg", "star"))
    found = compare((RAW, model("stg", "id", "amount", reads=["raw"]), star, union), (RAW, new, star, union))
    assert changed(found, inherited=True) == {"star: renamed amount→sum", "both: renamed amount→sum"}


def test_an_alias_is_known_where_its_schema_is_not() -> None:
    base, head = (ORDERS.but(definition={"database": None, "schema": None, "alias": alias}) for alias in ("orders", "orders_v2"))
    assert changed(compare((RAW, STG, base), (RAW, STG, head))) == {"orders: moved"}


def test_a_column_without_a_source_may_be_a_time_of_the_run() -> None:
    raw = "select id, amount, '{{ run_started_at }}' as loaded from raw"
    base = model("stg", "id", "amount", "loaded = '2026-11-01'", reads=["raw"], raw=raw)
    head = model("stg", "id", "amount = raw.amount * 2", "loaded = '2026-11-02'", reads=["raw"], raw=raw + " -- twice")
    assert changed(compare((RAW, base), (RAW, head))) == {"stg: logic amount", "stg: logic loaded?"}


def test_several_reasons_of_one_class_are_one_entry() -> None:
    base = ORDERS.but(materialized="incremental", definition={"config": {"unique_key": "a", "incremental_strategy": "merge"}})
    head = base.but(definition={"config": {"unique_key": "b", "incremental_strategy": "append"}}, rows="where stg.amount")
    [found] = compare((RAW, STG, base), (RAW, STG, head)).changes
    assert (found.change_class, found.certain) == ("rows", True)
    assert found.reason.count(".") == 3


def test_a_chain_of_models_under_other_names() -> None:
    def side(prefix: str) -> tuple[Node, ...]:
        first = model(f"{prefix}_one", "id = raw.id", raw="select id from {{ source('raw') }}")
        second = model(
            f"{prefix}_two", f"id = sum({prefix}_one.id)", raw="select id from {{ ref('PREFIX_one') }}".replace("PREFIX", prefix)
        )
        return RAW, first, second, model("last", f"id = {prefix}_two.id")

    found = compare(side("stg"), side("staging"))
    assert changed(found) == {"staging_one: moved", "staging_two: moved"}


def by_macro(name: str, columns: tuple[str, ...], *own: str) -> Node:
    """A model whose code is `select {{ star(ref('stg')) }}`, and `own`."""
    return model(name, *columns, *own, reads=["stg"], raw=f"select {{{{ star(ref('stg')) }}}} {' '.join(own)}")


@pytest.mark.parametrize(
    ("head", "own"),
    [
        (("id", "sum = raw.amount", "status"), "renamed amount→sum"),
        (("id", "status"), "removed amount"),
        (("id", "amount", "status", "more"), "added more"),
    ],
)
def test_what_a_macro_hands_on_is_inherited(head: tuple[str, ...], own: str) -> None:
    """As `dbt_utils.star`, which writes other names into the SQL of its readers."""
    names = [one.partition(" ")[0] for one in head]
    base = (RAW, STG, by_macro("star", ("id", "amount", "status")))
    after = (RAW, model("stg", *head, reads=["raw"]), by_macro("star", tuple(names)))
    found = compare(base, after)
    assert changed(found) == {f"stg: {own}"}
    assert changed(found, inherited=True) == {f"star: {own}"}
    assert found.counts["columns"] == {own.split(maxsplit=1)[0]: 1}
    assert "star" in next(one.reason for one in found.changes if one.inherited)


def test_of_what_a_macro_hands_on_the_own_column_is_apart() -> None:
    base, head = by_macro("star", ("id", "amount", "status"), "n = 1"), by_macro("star", ("id", "status"), "m = 2")
    found = compare((RAW, STG, base), (RAW, model("stg", "id", "status", reads=["raw"]), head.but(raw=base.raw)))
    assert changed(found) == {"stg: removed amount", "star: removed n", "star: added m"}
    assert changed(found, inherited=True) == {"star: removed amount"}


def test_a_column_that_the_code_itself_no_longer_selects_is_not_inherited() -> None:
    base, head = (by_macro("star", columns) for columns in (("id", "amount", "status"), ("id", "status")))
    found = compare((RAW, STG, base), (RAW, model("stg", "id", "status", reads=["raw"]), head.but(raw="select id, status")))
    assert changed(found) == {"stg: removed amount", "star: removed amount"}
