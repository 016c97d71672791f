from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import ManifestError
from app.lineage import nodes as lineage
from app.lineage.nodes import ChangeSummary, Lineage
from tests.lineages import difference


def resource(unique_id: str, **more: Any) -> dict[str, Any]:
    kind, package, *_, name = unique_id.split(".")
    return {"unique_id": unique_id, "resource_type": kind, "name": name, "package_name": package, "original_file_path": "", **more}


def document(*nodes: dict[str, Any], parents: dict[str, list[str]] | None = None, **more: Any) -> bytes:
    metadata = {
        "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
        "dbt_version": "1.11.16",
        "project_name": "shop",
        "adapter_type": "duckdb",
    }
    return json.dumps({"metadata": metadata, "nodes": {n["unique_id"]: n for n in nodes}, "parent_map": parents or {}, **more}).encode()


def build(*nodes: dict[str, Any], parents: dict[str, list[str]] | None = None, **more: Any) -> Lineage:
    return lineage.read_manifest(document(*nodes, parents=parents, **more), "octo/shop at 1a2b3c4", "dbt-runner:latest")


ORDERS, CUSTOMERS = "model.shop.orders", "model.shop.customers"


def test_names_up_to_the_limit_are_read() -> None:
    for name in ("n" * 889, "ü" * 444):
        [node] = build(resource(f"model.shop.{name}")).nodes
        assert node.name == name


def test_nodes_are_all_resources_but_macros_and_edges_match_the_parent_map() -> None:
    found = build(
        resource(ORDERS, config={"materialized": "table"}),
        resource(CUSTOMERS),
        parents={ORDERS: [CUSTOMERS, "source.shop.raw.orders", "macro.shop.cents", CUSTOMERS], CUSTOMERS: []},
        sources={"source.shop.raw.orders": resource("source.shop.raw.orders")},
        exposures={"exposure.shop.board": resource("exposure.shop.board")},
        macros={"macro.shop.cents": resource("macro.shop.cents")},
    )
    assert found.counts() == {"model": 2, "source": 1, "exposure": 1}
    edges = {(upstream, node.unique_id) for node in found.nodes for upstream in node.upstream}
    assert edges == {(CUSTOMERS, ORDERS), ("source.shop.raw.orders", ORDERS)}
    assert (found.dbt_version, found.adapter_type, found.manifest_schema, found.project_name) == ("1.11.16", "duckdb", "v12", "shop")
    content = json.loads(next(node.content for node in found.nodes if node.unique_id == ORDERS))
    assert content["materialized"] == "table"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b"[]", "not a manifest"),
        (b'{"metadata": {}}', "nodes"),
        (b'{"nodes": 3}', "nodes"),
        (b"\xff\xfe", "not JSON"),
        (b'{"metadata": {}, "parent_map": {}, "nodes": {"model.a.b": {"name": 3}}}', r"nodes\[...\]"),
        (document(resource(f"model.shop.{'n' * 890}")), "…` has 901 bytes, and a name"),
        (document(resource(f"model.shop.{'ü' * 445}")), "has 901 bytes"),
        (document(resource("model.shop.orders", config=[1])), "config` of `model.shop.orders"),
        (document(resource("model.shop.orders", raw_code=1)), "raw_code` of `model.shop.orders"),
        (document(resource("model.shop.orders", raw_code="QQQ")).replace(b"QQQ", b"\xff"), "raw_code` of `model.shop.orders"),
    ],
)
def test_an_invalid_manifest_is_rejected_with_a_reason(content: bytes, words: str) -> None:
    with pytest.raises(ManifestError, match=words) as caught:
        lineage.read_manifest(content, "octo/shop at 1a2b3c4", "dbt-runner:latest")
    assert "octo/shop at 1a2b3c4" in caught.value.user_text


@pytest.mark.parametrize(
    "change",
    [
        {"description": "new"},
        {"raw_code": "select 2"},
        {"config": {"materialized": "view"}},
        {"columns": {"id": {"name": "id", "data_type": "int"}}},
        {"tags": ["nightly"]},
    ],
)
def test_any_change_of_a_node_changes_its_hash(change: dict[str, Any]) -> None:
    before, after = build(resource(ORDERS)), build(resource(ORDERS, **change))
    assert difference(before, after) == ChangeSummary(nodes_changed=(ORDERS,))


def test_a_change_summary_lists_nodes_and_edges() -> None:
    before = build(resource(ORDERS), resource(CUSTOMERS), parents={ORDERS: [CUSTOMERS]})
    after = build(resource(ORDERS), resource("seed.shop.raw"), parents={ORDERS: ["seed.shop.raw"]})
    change = difference(before, after)
    assert (change.nodes_added, change.nodes_removed, change.nodes_changed) == (("seed.shop.raw",), (CUSTOMERS,), (ORDERS,))
    assert (change.edges_added, change.edges_removed) == ((("seed.shop.raw", ORDERS),), ((CUSTOMERS, ORDERS),))
    assert not difference(after, after)


@given(st.text())
def test_any_text_can_be_stored(text: str) -> None:
    node = build(resource(ORDERS, description=text, tags=[text])).nodes[0]
    assert b"\\u0000" not in node.content.replace(b"\\\\", b"")
    assert json.loads(node.content)["description"] == text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def test_huge_numbers_in_a_configuration_are_hashed() -> None:
    one, other = (build(resource(ORDERS, config={"meta": {"id": 10**power}})) for power in (30, 31))
    assert difference(one, other).nodes_changed == (ORDERS,)
