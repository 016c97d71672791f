"""The columns of nodes, and their tests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.lineage.nodes import Lineage
from tests.lineages import difference
from tests.unit.test_nodes import CUSTOMERS, ORDERS, build, resource

RAW, OTHER_RAW = "source.shop.raw.orders", "source.shop.raw.customers"


def generic(name: str, at: str | None, column: str | None, **more: Any) -> dict[str, Any]:
    """A generic test as dbt writes it."""
    unique_id = f"test.shop.{name}_{column}".replace('"', "")
    return resource(unique_id, attached_node=at, column_name=column, test_metadata={"name": name, "kwargs": {}, "namespace": None}, **more)


def columns(of: Lineage, unique_id: str = ORDERS) -> dict[str, list[str]]:
    """The names of the columns, and of the tests of each."""
    content = json.loads(next(node.content for node in of.nodes if node.unique_id == unique_id))
    return {column["name"]: [test["name"] for test in column["tests"]] for column in content["columns"]}


def test_a_column_has_its_yaml_properties_and_tests() -> None:
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
def test_column_names_match_in_any_case_unless_quoted(yaml: list[str], test: str, expected: dict[str, list[str]]) -> None:
    orders = resource(ORDERS, columns={name: {"name": name} for name in yaml})
    assert columns(build(orders, generic("not_null", ORDERS, test))) == expected


def test_tests_of_an_undocumented_column_share_one_column() -> None:
    found = build(resource(ORDERS), generic("not_null", ORDERS, "id"), generic("unique", ORDERS, "ID"))
    assert columns(found) == {"id": ["not_null", "unique"]}


@pytest.mark.parametrize("kind", ["model", "source", "seed", "snapshot"])
def test_every_relation_has_column_tests(kind: str) -> None:
    unique_id = f"{kind}.shop.raw.orders"
    sources = {unique_id: resource(unique_id)} if kind == "source" else {}
    nodes = [] if sources else [resource(unique_id)]
    assert columns(build(*nodes, generic("not_null", unique_id, "id"), sources=sources), unique_id) == {"id": ["not_null"]}


BY_REF, BY_SOURCE = "{{ get_where_subquery(ref('shop', 'orders', version='2')) }}", "{{ get_where_subquery(source('raw', 'orders')) }}"
INFERRED = {
    # parents in the order of dbt, what the test is called with, `file_key_name`, and the node that the test is declared on
    "the only parent": ([ORDERS], None, None, ORDERS),
    "not the model of its other argument": ([CUSTOMERS, ORDERS], BY_REF, None, ORDERS),
    "a source table, not the other one": ([OTHER_RAW, RAW], BY_SOURCE, "sources.raw", RAW),
    "a source table, not the model of the same name": ([ORDERS, RAW], BY_SOURCE, "sources.raw", RAW),
    "a model, not the source table of the same name": ([ORDERS, RAW], "ref('orders')", None, ORDERS),
    "the node of `file_key_name`": ([CUSTOMERS, ORDERS], None, "models.orders", ORDERS),
    "ambiguous": ([CUSTOMERS, ORDERS], None, None, None),
    "no relation": (["exposure.shop.board"], None, None, None),
}


@pytest.mark.parametrize("case", INFERRED)
def test_the_node_of_a_test_is_inferred_without_attached_node(case: str) -> None:
    parents, model, file_key_name, expected = INFERRED[case]
    test = generic("relationships", None, "id", file_key_name=file_key_name)
    if model:
        test["test_metadata"]["kwargs"] = {"model": model, "to": "ref('customers')", "column_name": "id"}
    sources = {one: resource(one, name=one.split(".")[-1]) for one in (RAW, OTHER_RAW)}
    found = build(resource(ORDERS), resource(CUSTOMERS), test, parents={test["unique_id"]: parents}, sources=sources)
    at = [node.unique_id for node in found.nodes if json.loads(node.content)["columns"]]
    assert at == ([expected] if expected else [])


def test_adding_a_test_changes_its_node() -> None:
    before, after = build(resource(ORDERS)), build(resource(ORDERS), generic("not_null", ORDERS, "id"))
    assert difference(before, after).nodes_changed == (ORDERS,)
