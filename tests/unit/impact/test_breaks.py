"""What breaks, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.impact.sides import Node, broken, changed, compare, generic, is_silent, model, other, project, snapshot, source

RAW = source("raw", "id", "amount", "status")
STG = model("stg", "id", "amount", "status", reads=["raw"])
ORDERS = model("orders", "id = stg.id", "total = sum(stg.amount)")
LOST = model("stg", "id", "status", reads=["raw"])
RENAMED = model("stg", "id", "sum = raw.amount", "status", reads=["raw"])
BASE = (RAW, STG, ORDERS)


def breaks(*more: Node, base: tuple[Node, ...] = (RAW, STG), head: tuple[Node, ...] = (RAW, LOST)) -> set[str]:
    """The breaks of nodes that stay the same while `stg` loses its column `amount`."""
    return broken(compare((*base, *more), (*head, *more)))


def test_sql_that_reads_a_removed_column() -> None:
    found = compare(BASE, (RAW, LOST, ORDERS.but(missing=("amount",))))
    assert broken(found) == {"orders: column_removed stg.amount"}
    assert found.breaks[0].reason == "`orders` reads `amount` of `stg`, which no longer has it."


def test_sql_that_misses_a_column_is_not_exact_and_breaks_for_sure() -> None:
    found = compare(BASE, (RAW, LOST, ORDERS.but(missing=("amount",), status="approximate")))
    assert broken(found) == {"orders: column_removed stg.amount"}


def test_sql_that_reads_a_renamed_column() -> None:
    found = compare(BASE, (RAW, RENAMED, ORDERS.but(missing=("amount",))))
    assert broken(found) == {"orders: column_renamed stg.amount"}
    assert found.breaks[0].reason == "`orders` reads `amount` of `stg`, where it is now named `sum`."


def test_what_was_missed_before_is_not_to_blame() -> None:
    base, head = ORDERS.but(missing=("amount",)), ORDERS.but(missing=("amount",), code="other")
    assert broken(compare((RAW, LOST, base), (RAW, LOST, head))) == set()


def test_a_column_that_never_was() -> None:
    found = compare(BASE, (RAW, STG, ORDERS.but(missing=("amuont",), columns=(*ORDERS.columns, "x = stg.amuont"))))
    assert broken(found) == {"orders: column_missing amuont?"}
    found = compare(BASE, (*BASE, model("new", "x = stg.amount").but(missing=("amuont",))))
    assert broken(found) == {"new: column_missing amuont?"}


def test_the_cause_is_where_the_column_was_lost() -> None:
    star, last = model("star", "*stg"), model("last", "a = star.amount")
    found = compare((*BASE[:2], star, last), (RAW, LOST, star, last.but(missing=("amount",))))
    assert broken(found) == {"last: column_removed stg.amount"}
    assert found.breaks[0].reason == "`last` reads `amount` of `star`, which had it from `stg`, which no longer has it."


def test_below_a_model_that_breaks_nothing_is_sure_since_its_table_stays() -> None:
    star, last, over = model("star", "*stg"), model("last", "a = star.amount"), model("over", "*star")
    broken_ones = [one.but(missing=("amount",), status="approximate") for one in (star, last)]
    found = compare((*BASE[:2], star, last, over), (RAW, LOST, *broken_ones, over))
    assert broken(found) == {"star: column_removed stg.amount", "last: column_removed stg.amount?"}
    assert {(one.unique_id, one.certain) for one in found.changes} >= {("model.shop.stg", True), ("model.shop.over", False)}


def test_without_digests_the_same_sql_still_reads_what_it_read() -> None:
    old = [node.but(digests=None) for node in (STG, ORDERS, LOST)]
    found = compare((RAW, old[0], old[1]), (RAW, old[2], old[1].but(status="approximate")))
    assert broken(found) == {"orders: column_removed stg.amount?"}


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (generic("not_null", "stg", "amount"), "not_null_stg_amount: test stg.amount"),
        (generic("not_null", "stg", '"amount"'), 'not_null_stg_"amount": test stg.amount'),
        (generic("unique_combination_of_columns", "stg", combination_of_columns=["id", "amount"]), ": test stg.amount"),
        (generic("relationships", "other", "id", "stg", to="ref('stg')", field="amount"), "relationships_other_id: test stg.amount"),
        (generic("expression_is_true", "stg", expression="amount > 0"), ": test stg.amount?"),
        (other("test", "t", "stg", **generic("not_null", "stg", "id").definition, config={"where": "amount > 0"}), "t: test stg.amount?"),
        (other("test", "single", "stg", raw_code="select * from {{ ref('stg') }} where Amount < 0"), "single: test stg.amount?"),
        (other("analysis", "look", "stg", raw_code="select amount from {{ ref('stg') }}"), "look: column_removed stg.amount?"),
    ],
)
def test_tests_that_name_the_column(test: Node, words: str) -> None:
    found = breaks(model("other", "id = raw.id"), test)
    assert len(found) == 1
    assert found.pop().endswith(words)


@pytest.mark.parametrize(
    "test",
    [
        generic("not_null", "stg", "id"),
        generic("accepted_values", "stg", "status", values=["amount"]),
        other("test", "single", "stg", raw_code="select 'amount' from {{ ref('stg') }} -- amount"),
        other("test", "both", "stg", "other", raw_code="select o.amount from {{ ref('stg') }} s, {{ ref('other') }} o"),
        generic("relationships", "stg", "id", "other", to="ref('other')", field="amount"),
    ],
    ids=["another column", "a value", "a text and a comment", "a column of another table", "a field of another table"],
)
def test_tests_that_do_not_name_it(test: Node) -> None:
    assert breaks(model("other", "id = raw.id", "amount = raw.amount"), test) == set()


def test_a_test_that_goes_with_its_column() -> None:
    assert broken(compare((*BASE[:2], generic("not_null", "stg", "amount")), (RAW, LOST))) == set()


def unit_test(given: Any = None, expect: Any = None, name: str = "ref('stg')") -> Node:
    return other(
        "unit_test",
        "unit",
        "mart",
        model="mart",
        given=[{"input": name, "format": "dict", "rows": given or []}],
        expect={"rows": expect or []},
    )


MART = model("mart", "id = stg.id", "n = count(stg.id)")


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (unit_test([{"id": 1, "AMOUNT": 2}]), {"unit: unit_test stg.amount"}),
        (unit_test("select 1 as id, 2 as amount"), {"unit: unit_test stg.amount?"}),
        (unit_test([{"id": 1, "amount": 2}], name="ref('shop', 'stg')"), {"unit: unit_test stg.amount"}),
        (unit_test([{"id": 1, "amount": 2}], name="ref('other')"), set()),
        (unit_test([{"id": 1}]), set()),
        (unit_test(expect=[{"amount": 1}]), set()),
    ],
)
def test_rows_that_a_unit_test_gives(test: Node, words: set[str]) -> None:
    assert breaks(MART, test) == words


def test_rows_that_a_unit_test_expects() -> None:
    head = model("mart", "id = stg.id", reads=["stg"])
    found = compare((RAW, STG, MART, unit_test(expect=[{"id": 1, "n": 1}])), (RAW, STG, head, unit_test(expect=[{"id": 1, "n": 1}])))
    assert broken(found) == {"unit: unit_test mart.n"}
    assert found.breaks[0].reason == "The unit test `unit` expects rows with `n` of `mart`, which no longer has it."


def test_an_exposure_may_read_it() -> None:
    found = compare((*BASE, other("exposure", "board", "stg")), (RAW, LOST, ORDERS, other("exposure", "board", "stg")))
    assert "board: exposure stg.amount?" in broken(found)


def test_an_exposure_of_a_model_that_breaks_keeps_its_old_data() -> None:
    board = other("exposure", "board", "orders")
    found = compare((*BASE, board), (RAW, LOST, ORDERS.but(missing=("amount",)), board))
    assert broken(found) == {"orders: column_removed stg.amount", "board: exposure stg.amount?"}
    assert found.breaks[1].reason == "`board` depends on `orders`, which breaks."


def test_a_model_that_is_no_longer_public() -> None:
    base, head = (ORDERS.but(content={"access": access}, definition={"access": access}) for access in ("public", "protected"))
    assert broken(compare((RAW, STG, base), (RAW, STG, head))) == {"orders: access orders?"}


SEMANTIC = other(
    "semantic_model",
    "sm",
    "stg",
    entities=[{"name": "order", "expr": "id"}],
    measures=[{"name": "amount"}, {"name": "net", "expr": "amount * 2"}, {"name": "n", "expr": "id"}],
    dimensions=[{"name": "status"}],
)


def metric(name: str, measure: str | None = None, *reads: str, **more: Any) -> Node:
    return other("metric", name, *(reads or ("sm",)), type_params={"measure": {"name": measure} if measure else None}, **more)


def test_the_semantic_layer() -> None:
    more = (
        SEMANTIC,
        metric("revenue", "amount"),
        metric("net", "net"),
        metric("n", "n"),
        metric("share", None, "revenue"),
        other("saved_query", "weekly", "share", query_params={"metrics": ["share"]}),
    )
    assert breaks(*more) == {
        "sm: semantic_model stg.amount",
        "revenue: metric stg.amount",
        "net: metric stg.amount?",
        "share: metric stg.amount",
        "weekly: saved_query stg.amount",
    }


def test_a_dimension_in_a_filter() -> None:
    gone = model("stg", "id", "amount", reads=["raw"])
    filtered = metric("n", "n", filter={"where_filters": [{"where_sql_template": "{{ Dimension('order__status') }} = 'paid'"}]})
    query = other("saved_query", "weekly", "m", query_params={"metrics": ["m"], "group_by": ["Dimension('order__status')"]})
    found = breaks(SEMANTIC, filtered, metric("m", "n"), query, head=(RAW, gone))
    assert found == {"sm: semantic_model stg.status", "n: metric stg.status", "weekly: saved_query stg.status"}


TIMED = other(
    "semantic_model",
    "sales",
    "stg",
    defaults={"agg_time_dimension": "day"},
    entities=[{"name": "sale", "type": "primary", "expr": "id"}, {"name": "customer", "type": "foreign", "expr": "customer_id"}],
    measures=[
        {"name": "amount"},
        {"name": "sent", "expr": "id", "agg_time_dimension": "sent_on"},
        {"name": "stock", "expr": "id", "agg_time_dimension": "sent_on", "non_additive_dimension": {"name": "day"}},
    ],
    dimensions=[{"name": "day", "type": "time", "expr": "ordered_at"}, {"name": "sent_on", "type": "time"}],
)
PEOPLE = other(
    "semantic_model",
    "people",
    "crm",
    entities=[{"name": "customer", "type": "primary", "expr": "id"}],
    dimensions=[{"name": "country"}, {"name": "joined", "type": "time"}],
    measures=[{"name": "people", "expr": "1"}],
)
CRM = model("crm", "id", "country", "joined", reads=["raw"])
WIDE = model("stg", "id", "amount", "ordered_at", "sent_on", "customer_id", reads=["raw"])
TEMPLATE = "{{ %s }} = 'x'"


def filtered(text: str) -> dict[str, Any]:
    return {"where_filters": [{"where_sql_template": TEMPLATE % text}]}


def semantic(base: Sequence[Node], head: Sequence[Node], *nodes: Node) -> set[str]:
    """What breaks of the semantic layer, other than the semantic models."""
    return {one for one in broken(compare((RAW, *base, *nodes), (RAW, *head, *nodes))) if ": semantic_model" not in one}


def sale(name: str, measure: str, **more: Any) -> Node:
    return metric(name, measure, "sales", **more)


def test_a_metric_whose_time_dimension_has_lost_its_column() -> None:
    gone = WIDE.but(columns=("id", "amount", "sent_on", "customer_id"))
    more = (TIMED, sale("revenue", "amount"), sale("sent", "sent"), sale("stock", "stock"), metric("share", None, "revenue"))
    assert semantic([WIDE], [gone], *more) == {
        "revenue: metric stg.ordered_at",
        "stock: metric stg.ordered_at",
        "share: metric stg.ordered_at",
    }
    direct = {"semantic_model": "sales", "agg": "sum", "expr": "amount", "agg_time_dimension": "day"}
    assert semantic([WIDE], [gone], TIMED, other("metric", "sum", "sales", type_params={"metric_aggregation_params": direct})) == {
        "sum: metric stg.ordered_at"
    }
    lost = WIDE.but(columns=("id", "ordered_at", "sent_on", "customer_id"))
    summed = other("metric", "sum", "sales", type_params={"metric_aggregation_params": direct})
    assert semantic([WIDE], [lost], TIMED, summed) == {"sum: metric stg.amount"}


def test_a_dimension_of_another_semantic_model() -> None:
    by_country = sale("n", "amount", filter=filtered("Dimension('customer__country')"))
    by_way = sale("far", "amount", filter=filtered("TimeDimension('sale__customer__joined__month', 'month')"))
    unlike = sale("unlike", "amount", filter=filtered("Dimension('sale__country')"))
    query = other("saved_query", "weekly", "revenue", query_params={"metrics": ["revenue"], "group_by": ["Dimension('customer__country')"]})
    more = (TIMED, PEOPLE, sale("revenue", "amount"), by_country, by_way, unlike, query)
    lost = CRM.but(columns=("id", "joined"))
    assert semantic([WIDE, CRM], [WIDE, lost], *more) == {"n: metric crm.country", "weekly: saved_query crm.country"}
    assert semantic([WIDE, CRM], [WIDE, CRM.but(columns=("id", "country"))], *more) == {"far: metric crm.joined"}
    again = other(
        "semantic_model", "people_too", "raw", entities=[{"name": "customer", "type": "unique"}], dimensions=[{"name": "country"}]
    )
    assert semantic([WIDE, CRM], [WIDE, lost], *more, again) == set()


@pytest.mark.parametrize(("base", "column"), [("crm", "id"), ("stg", "customer_id")])
def test_an_entity_that_no_longer_leads_to_another_semantic_model(base: str, column: str) -> None:
    heads = [node.but(columns=tuple(one for one in node.columns if one != column or node.name != base)) for node in (WIDE, CRM)]
    by_country = sale("n", "amount", filter=filtered("Dimension('customer__country')"))
    own = metric("own", "people", "people", filter=filtered("Dimension('customer__country')"))
    assert semantic([WIDE, CRM], heads, TIMED, PEOPLE, sale("revenue", "amount"), by_country, own) == {f"n: metric {base}.{column}"}


def test_a_dimension_that_no_semantic_model_has_any_more() -> None:
    by_country = sale("n", "amount", filter=filtered("Dimension('customer__country')"))
    above = metric("above", None, "n")
    unknown = sale("unknown", "amount", filter=filtered("Dimension('customer__continent')"))
    where = filtered("Metric('n', group_by=['customer'])")
    query = other("saved_query", "weekly", "revenue", query_params={"metrics": ["revenue"], "where": where})
    nodes = (RAW, WIDE, CRM, TIMED, sale("revenue", "amount"), by_country, above, unknown, query)
    renamed = PEOPLE.but(definition={**PEOPLE.definition, "dimensions": [{"name": "land", "expr": "country"}, {"name": "joined"}]})
    expected = {f"{one} people" for one in ("n: metric", "above: metric", "weekly: saved_query")}
    for head in ((renamed,), ()):
        found = compare((*nodes, PEOPLE), (*nodes, *head))
        assert broken(found) == expected
        reason = "The metric `n` needs `customer__country`, which the semantic model `people` no longer has."
        assert reason in {one.reason for one in found.breaks}
    foreign = PEOPLE.but(definition={**PEOPLE.definition, "entities": [{"name": "customer", "type": "foreign"}]})
    assert broken(compare((*nodes, PEOPLE), (*nodes, foreign))) == expected
    assert broken(compare((*nodes, PEOPLE), (*nodes, PEOPLE.but(name="persons")))) == set()


def test_an_entity_that_a_metric_can_no_longer_be_joined_by() -> None:
    by_country = sale("n", "amount", filter=filtered("Dimension('customer__country')"))
    by_way = sale("far", "amount", filter=filtered("Dimension('sale__customer__country')"))
    nodes = (RAW, WIDE, CRM, PEOPLE, by_country, by_way)
    head = TIMED.but(definition={**TIMED.definition, "entities": TIMED.definition["entities"][:1]})
    found = compare((*nodes, TIMED), (*nodes, head))
    assert [one.reason for one in found.breaks] == ["The metric `n` needs `customer`, which the semantic model `sales` no longer has."]


def test_a_name_of_many_semantic_models_is_that_of_the_metrics_own() -> None:
    others = [PEOPLE.but(name=f"copy_{number}", reads=("raw",)) for number in range(30)]
    own = metric("own", "people", "people", filter=filtered("Dimension('country')"))
    lost = CRM.but(columns=("id", "joined"))
    assert semantic([CRM], [lost], *others, PEOPLE, own) == {"own: metric crm.country"}
    assert semantic([CRM], [lost], *others, PEOPLE.but(name="z"), metric("own", None, "other", filter=own.definition["filter"])) == set()


def test_what_a_conversion_needs() -> None:
    params = {
        "base_measure": {"name": "people"},
        "conversion_measure": {"name": "sent"},
        "entity": "customer",
        "constant_properties": [{"base_property": "country", "conversion_property": "sale"}],
    }
    measures = [{"name": "people"}, {"name": "sent"}]
    rate = other("metric", "rate", "sales", "people", type_params={"conversion_type_params": params, "input_measures": measures})
    for column in ("country", "id"):
        head = CRM.but(columns=tuple(one for one in CRM.columns if one != column))
        assert semantic([WIDE, CRM], [WIDE, head], TIMED, PEOPLE, rate) == {f"rate: metric crm.{column}"}, column


def contracted(columns: tuple[str, ...], yaml: dict[str, str | None], **more: Any) -> Node:
    return model("mart", *columns, yaml=yaml, definition={"contract": {"enforced": True}, **more})


KEPT = contracted(("id: integer = stg.id", "n = stg.amount"), {"id": "integer", "n": None})


def contract(head: Node, base: Node = KEPT) -> set[str]:
    return {text for text in broken(compare((RAW, STG, base), (RAW, STG, head))) if "contract" in text}


def test_sql_that_does_not_keep_the_contract() -> None:
    head = contracted(("id: integer = stg.id", "m = stg.status"), {"id": "integer", "n": None})
    found = compare((RAW, STG, KEPT), (RAW, STG, head))
    assert [one.reason for one in found.breaks] == [
        "The SQL of `mart` makes `m`, which its contract does not have.",
        "The contract of `mart` has `n`, which its SQL does not make.",
    ]
    assert all(one.certain for one in found.breaks)


def test_a_contract_that_asks_for_more_than_the_same_sql_makes() -> None:
    assert contract(KEPT.but(yaml={"id": "integer", "n": None, "more": None})) == {"mart: contract mart.more"}


def test_a_contract_that_did_not_hold_before_is_not_to_blame() -> None:
    base = KEPT.but(yaml={"id": "integer"})
    assert contract(base.but(code="other"), base) == set()


def test_a_cast_against_the_contract() -> None:
    head = contracted(("id: text = stg.id", "n = stg.amount"), {"id": "integer", "n": None})
    assert contract(head) == {"mart: contract mart.id?"}
    head = contracted(("id: int = stg.id", "n = stg.amount"), {"id": "integer", "n": None})
    assert contract(head) == set()


def test_promises_that_are_taken_back() -> None:
    assert contract(KEPT.but(definition={"contract": {"enforced": False}})) == {"mart: contract mart?"}
    versioned = KEPT.but(definition={**KEPT.definition, "version": 2})
    fewer = versioned.but(columns=("id: integer = stg.id",), reads=("stg",), yaml={"id": "integer"})
    assert contract(fewer, versioned) == {"mart: contract mart.n"}
    retyped = versioned.but(yaml={"id": "bigint", "n": None})
    assert "mart: contract mart.id" in contract(retyped, versioned)


def test_a_key_of_the_configuration_that_is_gone() -> None:
    base = snapshot("snap", "*stg", definition={"config": {"check_cols": ["amount"], "unique_key": "id"}})
    found = compare((RAW, STG, base), (RAW, LOST, base))
    assert broken(found) == {"snap: column_removed stg.amount"}
    assert found.breaks[0].reason == "`check_cols` of `snap` is `amount`, which is no longer a column of it."


@pytest.mark.parametrize(
    ("mode", "head", "breaks"),
    [
        ("fail", ("id", "amount"), True),
        ("fail", ("id", "status", "amount", "twice = raw.amount * 2"), True),
        ("ignore", ("id", "amount"), True),
        ("ignore", ("id", "status", "amount", "twice = raw.amount * 2"), False),
        ("append_new_columns", ("id", "amount"), False),
        ("sync_all_columns", ("id", "amount"), False),
    ],
)
def test_the_table_of_an_incremental_model(mode: str, head: tuple[str, ...], breaks: bool) -> None:  # noqa: FBT001
    more: dict[str, Any] = {"materialized": "incremental", "definition": {"config": {"on_schema_change": mode}}}
    base = model("inc", "id", "status", "amount", reads=["raw"], **more)
    found = broken(compare((RAW, base), (RAW, model("inc", *head, reads=["raw"], **more))))
    assert found == ({"inc: schema_change inc?"} if breaks else set())


def test_a_table_that_is_read_by_its_name() -> None:
    reader = model("reader", "id = raw.id", hard_coded=("prod.stg",))
    found = compare((RAW, STG, model("reader", "id = raw.id")), (RAW, reader))
    assert broken(found) == {"reader: node_removed stg?"}
    assert broken(compare((RAW, STG, reader), (RAW, reader))) == set(), "it was unknown before"


def test_a_public_model_that_is_removed() -> None:
    assert broken(compare((RAW, STG.but(content={"access": "public"})), (RAW,))) == {"stg: node_removed stg?"}


def test_a_broken_model_is_certain_only_where_its_sql_is_known() -> None:
    vague = ORDERS.but(status="approximate")
    found = compare((RAW, STG, vague), (RAW, LOST, vague.but(missing=("amount",))))
    assert broken(found) == {"orders: column_removed stg.amount?"}


def test_without_columns_nothing_is_said_of_them() -> None:
    found = compare(project(*BASE, columns=False), project(RAW, LOST, ORDERS, columns=False))
    assert changed(found) == {"stg: logic?"}
    assert found.breaks == ()


def test_json_that_is_nested_deeper_than_anyone_writes_it() -> None:
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    base, head = other("metric", "revenue", type=deep), other("metric", "revenue", type=[deep])
    assert changed(compare((base,), (head,))) == {"revenue: logic"}
    assert is_silent(compare((base,), (base,)))


def test_a_union_whose_sides_no_longer_match_breaks() -> None:
    def side(*columns: str, uneven: bool = False) -> tuple[Node, ...]:
        union = model("both", "id = stg.id + raw.id", "amount = stg.amount + raw.amount", reads=["stg"], uneven=uneven)
        union = union.but(status="approximate" if uneven else "exact", definition={"config": {"unique_key": "amount"}})
        below = model("last", "amount = both.amount"), other("exposure", "board", "last")
        return RAW, model("stg", *columns, reads=["raw"]), union, *below

    base = side("id", "amount")
    found = compare(base, side("id", uneven=True))
    assert broken(found) == {"both: column_count stg.amount"}
    assert [one.reason for one in found.breaks] == [
        "`both` puts columns together by position, and their numbers do not match any more: `stg` no longer has `amount`."
    ]
    assert changed(found) == {"stg: removed amount"}
    assert changed(found, inherited=True) == set()
    assert {one.unique_id: one.by for one in found.reached} == dict.fromkeys(
        ("model.shop.both", "model.shop.last", "exposure.shop.board"), "rows"
    )
    found = compare(base, side("id", "amount", "status", uneven=True))
    assert broken(found) == {"both: column_count stg.status"}
    assert broken(compare(side("id", uneven=True), side("id", "amount", uneven=True))) == set()


def test_a_union_that_is_written_without_matching_sides_is_possible() -> None:
    base = model("both", "id = stg.id", reads=["stg"])
    assert broken(compare((RAW, STG, base), (RAW, STG, base.but(columns=("id = stg.id", "x = stg.amount"), uneven=True)))) == {
        "both: column_count both?"
    }
