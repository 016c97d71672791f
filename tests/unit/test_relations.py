"""Names of tables are real or null, and owners are those whom the project names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.core.models.warehouse import GivenName, WarehouseNames
from app.lineage import manifest, nodes
from app.lineage.owners import CodeOwners
from tests.unit.test_nodes import document, resource

NAMES = WarehouseNames(GivenName("analytics", "profile"), GivenName("prod", "profile"))
ORDERS = "model.shop.orders"


def contents(*of: dict[str, Any], names: WarehouseNames = NAMES, **more: Any) -> dict[str, dict[str, Any]]:
    found = nodes.build(manifest.decode(document(*of, **more)), names)
    return {node.unique_id: json.loads(node.content) for node in found.nodes}


def content(names: WarehouseNames = NAMES, **fields: Any) -> dict[str, Any]:
    return contents(resource(ORDERS, **fields), names=names)[ORDERS]


@pytest.mark.parametrize(
    ("database", "schema", "relation_name", "source"),
    [
        ("analytics", "prod", '"analytics"."prod"."orders"', "profile"),
        ("analytics", "prod_marts", "analytics.prod_marts.orders", "profile"),
        ("ANALYTICS", "MARTS", "ANALYTICS.MARTS.ORDERS", "profile"),
        ("raw", "marts_prod", "raw.marts_prod.orders", "profile"),
        ("raw", "production", "raw.production.orders", "project"),
        (None, "prod", "`prod`.`orders`", "profile"),
        ("raw", "crm", "raw.crm.orders", "project"),
        ("freshetunknown_database", "crm", '"freshetunknown_database"."crm"."orders"', "placeholder"),
        ("analytics", "FRESHETUNKNOWN_SCHEMA_MARTS", "analytics.FRESHETUNKNOWN_SCHEMA_MARTS.orders", "placeholder"),
        ("analytics", "prod", "analytics.prod.freshetunknownteamorders", "placeholder"),
        ("analytics", "prod", None, None),
    ],
)
def test_a_name_says_where_it_comes_from(database: str | None, schema: str, relation_name: str | None, source: str | None) -> None:
    found = content(database=database, schema=schema, relation_name=relation_name)
    assert (found["relation_name"], found["relation_name_source"]) == (None if source == "placeholder" else relation_name, source)


def test_settings_count_before_the_profile() -> None:
    names = WarehouseNames(GivenName("analytics", "settings"), GivenName("prod", "profile"))
    assert content(names, database="analytics", schema="prod", relation_name="analytics.prod.orders")["relation_name_source"] == "settings"
    assert content(names, database="raw", schema="prod", relation_name="raw.prod.orders")["relation_name_source"] == "profile"


def test_no_field_has_a_value_that_was_made_of_a_placeholder() -> None:
    columns = {"id": {"name": "id", "description": "In freshetunknown_raw_db."}}
    meta = {"owner": "freshetunknown_team", "list": ["freshetunknown_x", 1], "ok": "yes"}
    found = content(description="From freshetunknown_raw_db of freshetunknown_x.", tags=["freshetunknown_env"], meta=meta, columns=columns)
    assert found["description"] == "From … of …."
    assert found["columns"][0]["description"] == "In …."
    assert (found["tags"], found["owner"]) == (["…"], None)
    assert found["meta"] == {"owner": None, "list": [None, 1], "ok": "yes"}
    exposure = resource("exposure.shop.board", type="dashboard", url="https://freshetunknown_host/1", label="Board")
    board = contents(exposures={"exposure.shop.board": exposure})["exposure.shop.board"]
    assert (board["type"], board["url"], board["label"]) == ("dashboard", None, "Board")


def test_a_node_has_version_access_group_and_meta() -> None:
    found = content(version=2, access="public", group="finance", meta={"sla": "08:00"})
    assert {key: found[key] for key in ("version", "access", "group", "meta", "owner")} == {
        "version": 2,
        "access": "public",
        "group": "finance",
        "meta": {"sla": "08:00"},
        "owner": None,
    }
    assert {found[key] for key in ("type", "url", "label")} == {None}
    assert content(meta={"long": "x" * (17 << 10)})["meta"] is None


@pytest.mark.parametrize(
    ("fields", "owner"),
    [
        ({"meta": {"owner": "Ann"}, "group": "finance"}, "Ann"),
        ({"meta": {"owner": {"name": "Ann", "email": "ann@example.com"}}}, "Ann"),
        ({"meta": {"owner": ["Ann", "Bo"]}}, "Ann, Bo"),
        ({"meta": {"owner": 1}, "group": "finance"}, "fin@example.com"),
        ({"group": "finance"}, "fin@example.com"),
        ({"group": "elsewhere"}, None),
        ({"owner": {"name": "Own"}, "group": "finance"}, "Own"),
        ({"meta": {"owner": "Ann"}, "owner": {"name": "Own"}}, "Ann"),
        ({}, None),
    ],
)
def test_a_node_is_owned_by_whom_it_names_else_by_its_group(fields: dict[str, Any], owner: str | None) -> None:
    groups = {
        "group.shop.finance": {"name": "finance", "package_name": "shop", "owner": {"email": "fin@example.com"}},
        "group.other.elsewhere": {"name": "elsewhere", "package_name": "other", "owner": {"name": "Other"}},
    }
    assert contents(resource(ORDERS, **fields), groups=groups)[ORDERS]["owner"] == owner


@pytest.mark.parametrize(
    ("project_dir", "path", "fields", "owner"),
    [
        ("", "models/a.sql", {}, "@acme/models"),
        ("transform", "models/a.sql", {}, "@acme/transform"),
        ("transform", "models/finance/a.sql", {}, None),
        ("transform", "../shared/a.sql", {}, "@acme/shared"),
        ("transform", "../../models/a.sql", {}, None),
        ("", "", {}, None),
        ("", "models/a.sql", {"meta": {"owner": "Ann"}}, "Ann"),
        ("", "models/a.sql", {"group": "finance"}, "Finance"),
        ("", "models/a.sql", {"group": "nobody"}, "@acme/models"),
        ("", "models/a.sql", {"package_name": "other"}, None),
    ],
)
def test_a_node_that_names_no_owner_has_that_of_its_file(project_dir: str, path: str, fields: dict[str, Any], owner: str | None) -> None:
    text = b"/models/ @acme/models\n/transform/ @acme/transform\n/transform/models/finance/\nshared/ @acme/shared\n"
    groups = {
        "group.shop.finance": {"name": "finance", "package_name": "shop", "owner": {"name": "Finance"}},
        "group.shop.nobody": {"name": "nobody", "package_name": "shop", "owner": {}},
    }
    of = document(resource(ORDERS, **{"original_file_path": path, **fields}), groups=groups)
    (node,) = nodes.build(manifest.decode(of), NAMES, CodeOwners(text, project_dir)).nodes
    assert json.loads(node.content)["owner"] == owner
