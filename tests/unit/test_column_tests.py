"""Columns, and the tests at them, as they stand in the nodes of a lineage."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.lineage import Lineage
from tests.lineages import difference
from tests.unit.test_lineage import CUSTOMERS, ORDERS, build, resource

RAW, OTHER_RAW = "source.shop.raw.orders", "source.shop.raw.customers"


def generic(name: str, at: str | None, column: str | None, **more: Any) -> dict[str, Any]:
    """A generic test as dbt writes it."""
    unique_id = f"test.shop.{name}_{column}".replace('"', "")
    return resource(unique_id, attached_node=at, column_name=column, test_metadata={"name": name, "kwargs": {}, "namespace": None}, **more)


def columns(of: Lineage, unique_id: str = ORDERS) -> dict[str, list[str]]:
    """The names of the columns, and of the tests at each."""
    content = json.loads(next(node.content for node in of.nodes if node.unique_id == unique_id))
    return {column["name"]: [test["name"] for test in column["tests"]] for column in content["columns"]}


def test_a_column_says_what_the_yaml_file_says_and_which_tests_stand_at_it() -> None:
    orders = resource(ORDERS, columns={"id": {"name": "id", "data_type": "integer", "description": "The key.", "meta": {}}})
    found = build(orders, generic("unique", ORDERS, "id"), generic("not_null", ORDERS, "id"), generic("row_count", ORDERS, None))
    content = json.loads(found.nodes[0].content)
    assert content["columns"] == [
        {
            "name": "id",
            "data_type": "integer",
            "description": "The key.",
            "tests": [
                {"unique_id": "test.shop.not_null_id", "name": "not_null"},
                {"unique_id": "test.shop.unique_id", "name": "unique"},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("yaml", "test", "expected"),
    [
        (["id"], "id", {"id": ["not_null"]}),
        (["ID"], "id", {"ID": ["not_null"]}),
        (["id", "ID"], "ID", {"id": [], "ID": ["not_null"]}),
        (["id", "ID"], "Id", {"id": ["not_null"], "ID": []}),
        (["id"], '"id"', {"id": ["not_null"]}),
        (["id"], "`id`", {"id": ["not_null"]}),
        (["ID"], "[id]", {"ID": [], "id": ["not_null"]}),
        ([], "id", {"id": ["not_null"]}),
        ([], '"', {'"': ["not_null"]}),
    ],
)
def test_names_are_the_same_unless_quotes_say_otherwise(yaml: list[str], test: str, expected: dict[str, list[str]]) -> None:
    orders = resource(ORDERS, columns={name: {"name": name} for name in yaml})
    assert columns(build(orders, generic("not_null", ORDERS, test))) == expected


def test_several_tests_of_a_column_that_no_file_names_stand_at_one() -> None:
    found = build(resource(ORDERS), generic("not_null", ORDERS, "id"), generic("unique", ORDERS, "ID"))
    assert columns(found) == {"id": ["not_null", "unique"]}


@pytest.mark.parametrize("kind", ["model", "source", "seed", "snapshot"])
def test_whatever_has_columns_has_tests_at_them(kind: str) -> None:
    unique_id = f"{kind}.shop.raw.orders"
    sources = {unique_id: resource(unique_id)} if kind == "source" else {}
    nodes = [] if sources else [resource(unique_id)]
    assert columns(build(*nodes, generic("not_null", unique_id, "id"), sources=sources), unique_id) == {"id": ["not_null"]}


BY_REF, BY_SOURCE = "{{ get_where_subquery(ref('shop', 'orders', version='2')) }}", "{{ get_where_subquery(source('raw', 'orders')) }}"
UNTOLD = {
    # parents in the order of dbt, what the test is called with, `file_key_name`, and what the test was written at
    "the only one": ([ORDERS], None, None, ORDERS),
    "not what it refers to": ([CUSTOMERS, ORDERS], BY_REF, None, ORDERS),
    "a table, not the other one": ([OTHER_RAW, RAW], BY_SOURCE, "sources.raw", RAW),
    "a table, not the model of its name": ([ORDERS, RAW], BY_SOURCE, "sources.raw", RAW),
    "a model, not the table of its name": ([ORDERS, RAW], "ref('orders')", None, ORDERS),
    "what the file is about": ([CUSTOMERS, ORDERS], None, "models.orders", ORDERS),
    "nobody can tell": ([CUSTOMERS, ORDERS], None, None, None),
    "nothing that has columns": (["exposure.shop.board"], None, None, None),
}


@pytest.mark.parametrize("case", UNTOLD)
def test_what_a_test_was_written_at_is_found_where_dbt_does_not_tell(case: str) -> None:
    parents, model, file_key_name, expected = UNTOLD[case]
    test = generic("relationships", None, "id", file_key_name=file_key_name)
    if model:
        test["test_metadata"]["kwargs"] = {"model": model, "to": "ref('customers')", "column_name": "id"}
    sources = {one: resource(one, name=one.split(".")[-1]) for one in (RAW, OTHER_RAW)}
    found = build(resource(ORDERS), resource(CUSTOMERS), test, parents={test["unique_id"]: parents}, sources=sources)
    at = [node.unique_id for node in found.nodes if json.loads(node.content)["columns"]]
    assert at == ([expected] if expected else [])


def test_a_test_that_is_added_changes_what_it_was_written_at() -> None:
    before, after = build(resource(ORDERS)), build(resource(ORDERS), generic("not_null", ORDERS, "id"))
    assert difference(before, after).nodes_changed == (ORDERS,)
