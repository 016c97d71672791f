"""What the tools answer, over HTTP and with a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from app.store import Store, pool
from app.web.mcp import budget
from tests.integration.access_world import CONNECTIONS, SERVICE, World
from tests.integration.columns_world import storable
from tests.integration.mcp_world import BOARD, NEW, OLD, ORDERS, SOURCE, STAGED, agents, call, save_shop
from tests.integration.search_world import SHAS, catch_up, save
from tests.unit.test_nodes import build, resource
from tests.unit.test_run_results import artifact, result

SHOP = {"connection": "octo/shop"}


@pytest_asyncio.fixture(scope="module")
async def world(module_dsn: str) -> AsyncIterator[World]:
    async with pool.connect(module_dsn, size=4) as db, agents(Store(db)) as made:
        yield made


async def test_every_answer_says_of_which_commit_it_is_and_how_current_that_is(world: World) -> None:
    said = await call(world, "get_lineage", focus="orders", **SHOP)
    about = {"connection_id": world.connections["octo/shop"], "repository": "octo/shop", "branch": "main", "sha": NEW, "head_sha": NEW}
    assert said == {**said, **about, "state": "current", "stale": False}
    assert 0 <= said["age_seconds"] < 3600
    assert "stale_reason" not in said
    said = await call(world, "get_lineage", focus="orders", sha=OLD, **SHOP)
    assert said == {**said, "sha": OLD, "head_sha": NEW, "stale": True}
    assert said["stale_reason"] == "Another commit than the newest one of the branch was asked for"
    await world.store.connections.move_head(world.connections["octo/shop"], SHAS[7])
    said = await call(world, "get_lineage", focus="orders", **SHOP)
    assert said == {**said, "sha": NEW, "head_sha": SHAS[7], "stale": True, "stale_reason": "It has not been extracted yet"}
    await world.store.connections.move_head(world.connections["octo/shop"], NEW)


async def test_nodes_are_found_by_words(world: World) -> None:
    said = await call(world, "search_nodes", q="orders", **SHOP)
    assert {one["unique_id"] for one in said["results"]} == {SOURCE, STAGED, ORDERS}
    [project] = said["connections"]
    assert (project["repository"], project["sha"], project["stale"]) == ("octo/shop", NEW, False)
    first = await call(world, "search_nodes", q="orders", limit=1)
    assert (len(first["results"]), first["notes"] != []) == (1, True)
    second = await call(world, "search_nodes", q="orders", limit=1, cursor=first["next_cursor"])
    assert second["results"] != first["results"]


async def test_a_node_comes_with_what_is_asked_for(world: World) -> None:
    said = await call(world, "get_node", node="stg_orders", sha=OLD, **SHOP)
    assert (said["raw_code"], said["materialized"]) == ("select id amount from raw", "view")
    assert (said["upstream"], said["downstream"]) == ([SOURCE], [ORDERS])
    assert [one["name"] for one in said["columns"]] == ["id", "amount"]
    assert "compiled_code" not in said
    said = await call(world, "get_node", node=ORDERS, include=["columns", "compiled_code"], **SHOP)
    assert said["columns"] == [{"name": "id", "description": "The key"}]
    assert (said["config"], said["owner"], "raw_code" in said) == ([], "Ann", False)
    assert said["compiled_code_reason"]


async def test_lineage_comes_nearest_first_and_in_pages(world: World) -> None:
    said = await call(world, "get_lineage", focus="orders", columns=True, **SHOP)
    assert [(one["unique_id"], one["distance"]) for one in said["nodes"]] == [(ORDERS, 0), (BOARD, 1), (STAGED, 1), (SOURCE, 2)]
    assert said["nodes"][2]["columns"] == ["id"]
    assert (said["truncated"], said["next_cursor"], said["notes"]) == ({}, None, [])
    first = await call(world, "get_lineage", focus="orders", limit=2, **SHOP)
    assert (first["truncated"], len(first["notes"])) == ({"model": 1, "source": 1, "edge": 2}, 1)
    second = await call(world, "get_lineage", focus="orders", limit=2, cursor=first["next_cursor"], **SHOP)
    assert [*first["nodes"], *second["nodes"]] == [
        {name: value for name, value in one.items() if name != "columns"} for one in said["nodes"]
    ]
    assert (
        sorted([*first["edges"], *second["edges"]])
        == sorted(said["edges"])
        == sorted([[SOURCE, STAGED], [STAGED, ORDERS], [ORDERS, BOARD]])
    )
    assert (second["truncated"], second["next_cursor"]) == ({}, None)
    other = await call(world, "get_lineage", focus="stg_orders", limit=2, cursor=first["next_cursor"], **SHOP)
    assert "same arguments" in other["detail"]
    for arguments, names in (
        ({"focus": "+orders"}, {ORDERS, STAGED, SOURCE}),
        ({"focus": "orders", "direction": "downstream"}, {ORDERS, BOARD}),
        ({"focus": "orders", "depth": 1}, {ORDERS, STAGED, BOARD}),
        ({"focus": "orders", "types": ["source", "exposure"]}, {SOURCE, BOARD}),
    ):
        assert {one["unique_id"] for one in (await call(world, "get_lineage", **arguments, **SHOP))["nodes"]} == names


async def test_a_cursor_keeps_its_commit(world: World) -> None:
    first = await call(world, "get_lineage", focus="orders", limit=1, sha="main", **SHOP)
    await save(world.store, world.connections["octo/shop"], SHAS[5], build(resource("model.shop.other")))
    second = await call(world, "get_lineage", focus="orders", limit=1, sha="main", cursor=first["next_cursor"], **SHOP)
    assert (second["sha"], second["stale"]) == (NEW, True)
    await save(world.store, world.connections["octo/shop"], NEW, build(resource(ORDERS)))
    await save_shop(world)


async def test_columns_are_followed(world: World) -> None:
    said = await call(world, "get_column_lineage", node="orders", column="ID", direction="upstream", **SHOP)
    step = {"upstream": STAGED, "upstream_column": "id", "downstream": ORDERS}
    assert said["edges"] == [
        {**step, "subtype": "TRANSFORMATION", "downstream_column": "id"},
        {**step, "subtype": "FILTER"},
        {"upstream": SOURCE, "upstream_column": "id", "downstream": STAGED, "downstream_column": "id", "subtype": "IDENTITY"},
    ]
    assert {one["unique_id"]: one["status"] for one in said["nodes"]} == dict.fromkeys((ORDERS, STAGED, SOURCE), "exact")
    missing = await call(world, "get_column_lineage", node="orders", column="amont", sha=OLD, **SHOP)
    assert (missing["field"], missing["candidates"]) == ("column", ["amount"])


async def test_why_one_node_depends_on_another(world: World) -> None:
    said = await call(world, "find_path", node=BOARD, depends_on=SOURCE, columns=True, **SHOP)
    assert (said["depends"], said["edges"], said["count"], said["paths"]) == (True, 3, 1, [[SOURCE, STAGED, ORDERS, BOARD]])
    assert [one["subtype"] for one in said["columns"]] == ["IDENTITY", "TRANSFORMATION", "FILTER"]
    said = await call(world, "find_path", node=SOURCE, depends_on=BOARD, **SHOP)
    assert (said["depends"], said["reverse"], said["paths"]) == (False, True, [])


async def test_what_a_change_does(world: World) -> None:
    said = await call(world, "get_impact", base=OLD, **SHOP)
    assert (said["base"]["sha"], said["sha"], said["counts"]["breaks"]) == (OLD, NEW, {"column_removed": 1, "exposure": 1})
    assert (STAGED, "removed", ["amount"]) in [(one["unique_id"], one["class"], one.get("columns")) for one in said["changes"]]
    assert said["breaks"][0]["unique_id"] == ORDERS
    assert BOARD in {one["unique_id"] for one in said["reached"]}
    assert (await call(world, "get_impact", **SHOP))["field"] == "base"


async def test_a_node_comes_with_its_last_result(store: Store) -> None:
    async with agents(store) as world:
        path = f"{CONNECTIONS}/{world.connections['octo/shop']}/results"
        headers = {"Authorization": f"Bearer {SERVICE}", "Content-Type": "application/json"}
        async with world.client.post(path, data=artifact(result(ORDERS)), headers=headers) as response:
            assert response.status == 200, await response.text()
        said = await call(world, "get_node", node="orders", **SHOP)
        assert said["last_result"]["status"] == "success"
        assert "last_result" not in {name for one in said["config"] for name in one}


async def test_what_differs_between_two_commits(world: World) -> None:
    said = await call(world, "diff_commits", base=OLD, **SHOP)
    assert (said["base"]["sha"], said["sha"]) == (OLD, NEW)
    assert said["nodes_changed"] == [{"unique_id": STAGED, "changes": ["sql"]}]
    assert said["counts"] == {"nodes_added": 0, "nodes_removed": 0, "nodes_changed": 1, "edges_added": 0, "edges_removed": 0}
    assert NEW in (await call(world, "diff_commits", base="f" * 40, **SHOP))["candidates"]


async def test_how_current_projects_are(world: World) -> None:
    said = await call(world, "get_freshness")
    assert [(one["repository"], one["sha"], one["state"]) for one in said["connections"]] == [
        ("octo/secret", NEW, "current"),
        ("octo/shop", NEW, "current"),
    ]
    said = await call(world, "get_freshness", **SHOP)
    assert (said["current"], said["head"]["sha"], said["objective_seconds"]) == (True, NEW, 60.0)


@pytest.mark.parametrize(
    ("name", "arguments", "field", "candidate"),
    [
        ("get_lineage", {"connection": "octo/shop", "focus": "odrers"}, "focus", ORDERS),
        ("get_node", {"connection": "octo/shop", "node": "odrers"}, "node", ORDERS),
        ("find_path", {"connection": "octo/shop", "node": "orders", "depends_on": "raw.odrers"}, "depends_on", None),
        ("get_lineage", {"focus": "orders"}, "connection", "octo/shop"),
        ("get_lineage", {"connection": "octo/shopp", "focus": "orders"}, "connection", "octo/shop"),
        ("get_lineage", {"connection": "0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11", "focus": "orders"}, "connection", "octo/shop"),
        ("get_lineage", {"connection": "octo/shop", "project_dir": "elsewhere", "focus": "orders"}, "project_dir", "."),
        ("get_lineage", {"connection": "octo/shop", "focus": "orders", "sha": "no-such"}, "sha", NEW),
        ("get_lineage", {"connection": "octo/shop", "focus": "orders", "depht": 1}, "depht", None),
        ("get_lineage", {"connection": "octo/shop"}, "focus", None),
        ("get_lineage", {"connection": "octo/shop", "focus": "orders+", "depth": 1}, "focus", None),
        ("get_lineage", {"connection": "octo/shop", "focus": "orders", "limit": 0}, "limit", None),
        ("get_lineage", {"connection": "octo/shop", "focus": "orders", "cursor": "x"}, "cursor", None),
        ("search_nodes", {"q": "colour:x"}, "q", None),
        ("search_nodes", {"q": "x", "connection": "nobody/here"}, "connection", "octo/shop"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said_so_that_the_agent_can_correct_it(
    world: World, name: str, arguments: dict[str, Any], field: str, candidate: str | None
) -> None:
    said = await call(world, name, **arguments)
    assert (said["field"], said["detail"].startswith(f"`{field}`")) == (field, True)
    assert candidate is None or candidate in said["candidates"]


async def test_one_of_several_projects_of_a_repository(world: World) -> None:
    hosted = await world.create("octo/many")
    for directory in ("finance", "sales"):
        connection = await world.store.connections.create(hosted.id, directory)
        await save(world.store, connection.id, NEW, build(resource(f"model.{directory}.plan")))
    said = await call(world, "get_lineage", connection="octo/many", focus="plan")
    assert (said["field"], len(said["candidates"])) == ("project_dir", 3)
    said = await call(world, "get_lineage", connection="OCTO/Many", project_dir="./sales/", focus="plan")
    assert (said["project_dir"], said["nodes"][0]["unique_id"]) == ("sales", "model.sales.plan")


def odd(number: int) -> str:
    """The name of a node or a column: long, in several scripts, or full of signs."""
    kinds = (f"model_{number}_" + "x" * 800, f"日本語😀{number}" * 30, f'{number}"\\\n\x01{{}}[]<>&' * 30)
    return kinds[number % len(kinds)]


async def test_no_answer_is_longer_than_20000_tokens_whatever_the_project(world: World) -> None:
    nodes, columns, name, repository = 30, 200, odd, "odd/names"
    await world.create(repository)
    connection_id = world.connections[repository]
    ids = [f"model.shop.{name(number)}" for number in range(nodes)]
    text = name(0) * 10

    def described(number: int, sha: str) -> dict[str, Any]:
        """The first node has by far the most."""
        each = range(columns if number == 0 else 2)
        known = {name(one): {"name": name(one), "description": text[:1000]} for one in each}
        meta = {name(1): [text] * (50 if number == 0 else 1), "owner": text}
        code = f"{text * (40 if number == 0 else 1)} {sha}"
        return resource(ids[number], raw_code=code, description=text, tags=[name(2)] * 50, meta=meta, columns=known)

    parents = {one: [ids[0], ids[max(0, number - 1)]] for number, one in enumerate(ids) if number}
    lineages = [build(*(described(number, sha) for number in range(nodes)), parents=parents) for sha in (OLD, NEW)]

    def traced(number: int) -> dict[str, Any]:
        names = [[name(one)[:900], None] for one in range(columns if number == 0 else 2)]
        edges = [[ids[0], name(one)[:900], name(one % 2)[:900], "TRANSFORMATION", False] for one in range(20 if number else 0)]
        return {"unique_id": ids[number], "status": "approximate", "reason": text[:400], "columns": names, "edges": edges}

    lines = map(traced, range(nodes))
    await save(world.store, connection_id, OLD, lineages[0])
    await save(world.store, connection_id, NEW, lineages[1], storable(*lines))
    await catch_up(world.store)
    where, short = {"connection": repository}, ids[0]
    asked: list[tuple[str, dict[str, Any]]] = [
        ("search_nodes", {"q": "type:model", "limit": 50, **where}),
        ("get_node", {"node": short, "include": ["columns", "code", "compiled_code", "config"], **where}),
        ("get_lineage", {"focus": short, "columns": True, "limit": 300, **where}),
        ("get_column_lineage", {"node": short, "limit": 500, **where}),
        ("find_path", {"node": ids[-1], "depends_on": ids[0], "columns": True, **where}),
        ("get_impact", {"base": OLD, **where}),
        ("diff_commits", {"base": OLD, "limit": 500, **where}),
        ("get_freshness", where),
        ("get_lineage", {"focus": name(10**6), **where}),
    ]
    for tool, arguments in asked:
        said = await call(world, tool, **arguments)
        assert budget.tokens(budget.encoded(said)) <= budget.MAX_TOKENS, tool
        assert tool not in {"get_node", "get_lineage", "get_column_lineage"} or "error" in said or said["truncated"], tool
    seen: list[str] = []
    said = await call(world, "get_lineage", focus=short, limit=300, **where)
    total = len(said["nodes"]) + said["truncated"].get("model", 0)
    while True:
        seen += [one["unique_id"] for one in said["nodes"]]
        if said["next_cursor"] is None:
            break
        said = await call(world, "get_lineage", focus=short, limit=300, cursor=said["next_cursor"], **where)
    assert len(seen) == len(set(seen)) == total == nodes, "the pages are the whole"


async def test_a_right_to_nothing_is_said(store: Store) -> None:
    async with agents(store) as world:
        token = world.github.user_token("mona", {})
        said = await call(world, "get_lineage", token=token, focus="orders")
        assert said["detail"] == "You can see no dbt project that Freshet follows."
        hosted = await world.create("octo/own")
        await save(store, world.connections["octo/own"], NEW, build(resource(ORDERS)))
        mine = world.github.user_token("lisa", {hosted: "pull"})
        assert (await call(world, "get_lineage", token=mine, focus="orders"))["repository"] == "octo/own", "the only one"
