"""dbt's way to name nodes. Expected values are what `dbt ls --select` prints for such a project."""

from __future__ import annotations

import json

import pytest

from app.lineage import node_selectors
from app.lineage.graph import Graph, GraphNode
from app.lineage.node_selectors import NodeReference, SelectorError, parse

EDGES = {
    "seed.shop.countries": (),
    "source.shop.erp.orders": (),
    "model.shop.stg_orders": ("source.shop.erp.orders",),
    "model.shop.stg_customers": ("seed.shop.countries",),
    "model.shop.orders": ("model.shop.stg_orders", "model.shop.stg_customers"),
    "model.shop.orders_by_day.v1": ("model.shop.orders",),
    "model.shop.orders_by_day.v2": ("model.shop.orders",),
    "model.other.orders_archive": (),
    "test.shop.unique_orders": ("model.shop.orders",),
    "exposure.shop.board": ("model.shop.orders_by_day.v2",),
}
FOLDERS = {"stg_orders": "staging", "stg_customers": "staging"}


def node(unique_id: str) -> GraphNode:
    resource_type, package, *rest = unique_id.split(".")
    name = rest[1] if resource_type == "source" else rest[0]
    content = {
        "original_file_path": f"models/{FOLDERS.get(name, 'marts')}/{name}.sql",
        "materialized": "view" if name in FOLDERS else "table",
        "tags": ["daily", "finance"] if name == "orders" and resource_type == "model" else [],
    }
    return GraphNode(unique_id, resource_type, name, package, json.dumps(content).encode())


GRAPH = Graph([node(unique_id) for unique_id in EDGES], list(EDGES.values()))
STAGING = ["model.shop.stg_orders", "model.shop.stg_customers"]
VERSIONS = ["model.shop.orders_by_day.v1", "model.shop.orders_by_day.v2"]
DOWNSTREAM = [*VERSIONS, "test.shop.unique_orders", "exposure.shop.board"]


def selected(selection: str) -> list[str]:
    return [GRAPH.nodes[number].unique_id for number in sorted(node_selectors.select(GRAPH, selection))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("orders", NodeReference("orders")),
        ("+orders", NodeReference("orders", upstream=None)),
        ("orders+", NodeReference("orders", downstream=None)),
        ("2+orders+1", NodeReference("orders", 2, 1)),
        ("+orders+", NodeReference("orders", None, None)),
        ("@orders", NodeReference("orders", parents_of_children=True)),
        ("a+b", NodeReference("a+b")),
        ("1+tag:daily", NodeReference("tag:daily", upstream=1)),
    ],
)
def test_graph_operators_are_split_from_the_node(text: str, expected: NodeReference) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["", "+", "++", "@", "@+orders", "9999999+orders", "orders+9999999"])
def test_what_names_nothing_is_an_error_that_quotes_it(text: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse(text)
    assert str(caught.value).startswith(f"`{text}`")


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ("orders", ["model.shop.orders"]),
        ("model.shop.orders", ["model.shop.orders"]),
        ("shop.orders", ["model.shop.orders"]),
        ("source.shop.erp.orders", ["source.shop.erp.orders"]),
        ("source:erp", ["source.shop.erp.orders"]),
        ("source:erp.orders", ["source.shop.erp.orders"]),
        ("source:shop.erp.orders", ["source.shop.erp.orders"]),
        ("exposure:board", ["exposure.shop.board"]),
        ("board", ["exposure.shop.board"]),
        ("orders_by_day", VERSIONS),
        ("orders_by_day.v2", ["model.shop.orders_by_day.v2"]),
        ("1+orders", [*STAGING, "model.shop.orders"]),
        ("orders+", ["model.shop.orders", *DOWNSTREAM]),
        ("orders_by_day.v2+", ["model.shop.orders_by_day.v2", "exposure.shop.board"]),
        ("@stg_orders", [name for name in EDGES if name != "model.other.orders_archive"]),
        ("tag:daily", ["model.shop.orders"]),
        ("tag:da*", ["model.shop.orders"]),
        ("path:models/staging", STAGING),
        ("models/staging/", STAGING),
        ("file:orders_archive.sql", ["model.other.orders_archive"]),
        ("package:other", ["model.other.orders_archive"]),
        ("resource_type:test", ["test.shop.unique_orders"]),
        ("config.materialized:view", ["seed.shop.countries", *STAGING][1:]),
        ("stg_*", STAGING),
        ("stg_orders orders", ["model.shop.stg_orders", "model.shop.orders"]),
        ("+exposure:board,path:models/staging", STAGING),
    ],
)
def test_a_selection_means_what_it_means_in_dbt(selection: str, expected: list[str]) -> None:
    assert selected(selection) == expected


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        ("order", "`order` matches no node"),
        ("orders tag:weekly", "`tag:weekly` matches no node"),
        ("state:modified", "`state:`"),
        (" ", "1 to 100 selectors"),
        ("a " * 101, "1 to 100 selectors"),
    ],
)
def test_a_selection_that_matches_nothing_says_which_part(selection: str, words: str) -> None:
    with pytest.raises(SelectorError) as caught:
        node_selectors.select(GRAPH, selection)
    assert words in str(caught.value)


def test_similar_nodes_are_suggested() -> None:
    with pytest.raises(SelectorError) as caught:
        node_selectors.select(GRAPH, "stg_order")
    assert caught.value.candidates[0] == "model.shop.stg_orders"
