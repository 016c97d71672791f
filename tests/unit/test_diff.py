"""What changed in a node, and between two lineages."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lineage.diff import ChangedNode, ColumnChanges, Diff, Edge, NodeVersion, compare_versions
from tests.unit.test_nodes import CUSTOMERS, ORDERS, build, resource

NOT_NULL = {"unique_id": "test.shop.not_null_id", "name": "not_null"}
BEFORE = {
    "unique_id": ORDERS,
    "resource_type": "model",
    "name": "orders",
    "package_name": "shop",
    "original_file_path": "models/orders.sql",
    "relation_name": '"db"."main"."orders"',
    "materialized": "view",
    "description": "Orders.",
    "tags": ["nightly"],
    "columns": [{"name": "id", "data_type": "int", "description": "", "tests": []}, {"name": "at", "data_type": None, "description": ""}],
}


def version(
    content: dict[str, Any], *, upstream: tuple[str, ...] = (), sql: bytes | None = b"s", config: bytes | None = b"c"
) -> NodeVersion:
    return NodeVersion(content["unique_id"], orjson.dumps(content), upstream, sql, config)


def column(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "data_type": None, "description": "", "tests": []} | more


@pytest.mark.parametrize(
    ("after", "changes"),
    [
        (version(BEFORE, sql=b"new"), ["sql"]),
        (version(BEFORE, config=b"new"), ["configuration"]),
        (version({**BEFORE, "materialized": "table"}, config=b"new"), ["configuration"]),
        (version({**BEFORE, "description": ""}), ["description"]),
        (version(BEFORE, upstream=(CUSTOMERS,)), ["edges"]),
        (version({**BEFORE, "columns": []}, sql=b"new", upstream=(CUSTOMERS,)), ["sql", "columns", "edges"]),
        (version({**BEFORE, "relation_name": '"db"."prod"."orders"'}), ["other"]),
        (version({**BEFORE, "original_file_path": "models/new.sql"}), ["other"]),
        (version({**BEFORE, "columns": list(reversed(BEFORE["columns"]))}), ["other"]),
        (version(BEFORE), ["other"]),
    ],
)
def test_the_kinds_of_changes_are_listed(after: NodeVersion, changes: list[str]) -> None:
    assert compare_versions(version(BEFORE), after).changes == changes


@pytest.mark.parametrize(
    ("after", "changes"),
    [
        (version(BEFORE, sql=b"new"), ["other"]),
        (version({**BEFORE, "description": ""}), ["description", "other"]),
        (version({**BEFORE, "tags": []}, config=b"new"), ["configuration", "other"]),
    ],
)
def test_without_stored_hashes_the_change_is_other(after: NodeVersion, changes: list[str]) -> None:
    old = version(BEFORE, sql=None, config=None)
    assert compare_versions(old, after).changes == changes
    assert compare_versions(after, old).changes == changes


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([column("id")], [column("id"), column("at")], ColumnChanges(["at"], [], [])),
        ([column("id")], [column("ID")], ColumnChanges(["ID"], ["id"], [])),
        ([column("id")], [column("id", data_type="int")], ColumnChanges([], [], ["id"])),
        ([column("id")], [column("id", tests=[NOT_NULL])], ColumnChanges([], [], ["id"])),
        ([{"name": "id", "data_type": None, "description": ""}], [column("id", tests=[NOT_NULL])], None),
        ([column("id"), column("at")], [column("at"), column("id")], None),
    ],
)
def test_changed_columns_are_listed(old: list[Any], new: list[Any], expected: ColumnChanges | None) -> None:
    found = compare_versions(version({**BEFORE, "columns": old}), version({**BEFORE, "columns": new}))
    assert found.columns == expected
    assert expected is None or msgspec.to_builtins(found.columns).keys() == {"added", "removed", "changed"}
    assert ("columns" in found.changes) == (expected is not None)


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        ({"raw_code": "select 2"}, ["sql"]),
        ({"config": {"materialized": "view", "meta": {"owner": "b"}}}, ["configuration"]),
        ({"config": {"meta": {"owner": "a"}, "materialized": "table"}}, ["configuration"]),
        ({"description": "new"}, ["description"]),
        ({"columns": {"id": {"name": "id", "data_type": "bigint"}}}, ["columns"]),
        ({"tags": ["nightly"]}, ["configuration"]),
        ({"checksum": {"name": "sha256", "checksum": "of a seed"}}, ["other"]),
    ],
)
def test_changes_in_a_manifest_are_told_apart(change: dict[str, Any], changes: list[str]) -> None:
    own = {"raw_code": "select 1", "config": {"materialized": "view", "meta": {"owner": "a"}}, "columns": {"id": {"name": "id"}}}
    old, new = (build(resource(ORDERS, **given)).nodes[0] for given in (own, own | change))
    assert old.hash != new.hash
    versions = (NodeVersion(node.unique_id, node.content, node.upstream, node.sql_hash, node.config_hash) for node in (old, new))
    assert compare_versions(*versions).changes == changes


names = st.sampled_from("abcde")
lineages = st.dictionaries(names, st.tuples(st.integers(0, 1), st.frozensets(names)), max_size=5)


@given(lineages, lineages)
def test_differences_are_those_of_the_sets_of_nodes_and_edges(base: dict[str, Any], head: dict[str, Any]) -> None:
    def side(of: dict[str, Any], name: str) -> NodeVersion | None:
        if name not in of:
            return None
        sql, upstream = of[name]
        return version({**BEFORE, "unique_id": name}, sql=bytes([sql]), upstream=tuple(sorted(upstream)))

    def edges(of: dict[str, Any]) -> set[Edge]:
        return {Edge(up, down) for down, (_, upstream) in of.items() for up in upstream}

    found = Diff()
    found.add((side(base, name), side(head, name)) for name in sorted({*base, *head}) if base.get(name) != head.get(name))
    found.sort()
    assert [node.unique_id for node in found.nodes_added] == sorted(head.keys() - base.keys())
    assert [node.unique_id for node in found.nodes_removed] == sorted(base.keys() - head.keys())
    assert [node.unique_id for node in found.nodes_changed] == sorted(n for n in base.keys() & head.keys() if base[n] != head[n])
    assert found.edges_added == sorted(edges(head) - edges(base))
    assert found.edges_removed == sorted(edges(base) - edges(head))
    assert all(node.changes for node in found.nodes_changed)
    assert found.counts()["edges_removed"] == len(found.edges_removed)


def test_a_changed_node_has_its_new_name() -> None:
    found = msgspec.to_builtins(compare_versions(version(BEFORE), version({**BEFORE, "name": "bookings"})))
    assert list(found) == [*ChangedNode.__struct_fields__]
    assert (found["name"], found["changes"], found["columns"]) == ("bookings", ["other"], None)
