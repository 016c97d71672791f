"""What a token may not see, no tool shows: neither in answers nor in errors, as in the API."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from app.store import Store
from tests.double import Answer
from tests.integration.access_world import CONNECTIONS, SERVICE, World
from tests.integration.mcp_world import NEW, OLD, agents, call, headers_of, post, rpc

HIDDEN = ("secret", "salaries", "everybody earns")
NODE = "model.secret.salaries"


@pytest_asyncio.fixture
async def world(store: Store) -> AsyncIterator[World]:
    async with agents(store) as made:
        yield made


def asked(where: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every tool, about a project or about none."""
    return [
        ("search_nodes", {"q": "salaries", **where}),
        ("search_nodes", {"q": "everybody earns", **where}),
        ("get_node", {"node": "salaries", **where}),
        ("get_node", {"node": "salarie", **where}),
        ("get_lineage", {"focus": "salaries", **where}),
        ("get_column_lineage", {"node": "salaries", **where}),
        ("find_path", {"node": "salaries", "depends_on": "orders", **where}),
        ("get_impact", {"base": OLD, **where}),
        ("diff_commits", {"base": OLD, "head": NEW, **where}),
        ("get_freshness", where),
    ]


@pytest.mark.parametrize("kind", ["App user", "classic", "fine-grained"])
async def test_a_token_gets_nothing_of_a_repository_that_it_may_not_read(world: World, kind: str) -> None:
    shop = world.github.state.repository("octo/shop")
    assert shop is not None
    make = {
        "App user": lambda: world.github.user_token("mona", {shop: "pull"}),
        "classic": lambda: world.github.classic_token("mona", {shop: "pull"}),
        "fine-grained": lambda: world.github.fine_grained_token("mona", {shop: "pull"}, permissions={"contents": "read"}),
    }
    token, connection_id = make[kind](), world.connections["octo/secret"]
    assert (await world.ask(token, f"{CONNECTIONS}/{connection_id}"))[0] == 404
    for where in ({"connection": "octo/secret"}, {"connection": connection_id}, {}):
        # What the caller wrote may come back.
        known = json.dumps([*where.values(), "salaries", "everybody earns"])
        for name, arguments in asked(where):
            said = json.dumps(await call(world, name, token=token, **arguments))
            assert [one for one in (*HIDDEN, connection_id, NODE) if one in said and one not in known] == [], (name, arguments, said)
            assert "octo/secret" not in said or where.get("connection") == "octo/secret", (name, arguments)
    there = await call(world, "get_lineage", token=token, connection="octo/secret", focus="x")
    absent = await call(world, "get_lineage", token=token, connection="octo/nowhere", focus="x")
    assert json.dumps(there).replace("secret", "nowhere") == json.dumps(absent), "a hidden project looks like none"
    assert there["candidates"] == ["octo/shop"]
    assert (await call(world, "get_node", token=SERVICE, connection="octo/secret", node="salaries"))["unique_id"] == NODE


async def test_a_right_that_ends_ends_here_too(world: World) -> None:
    shop = world.github.state.repository("octo/shop")
    assert shop is not None
    token = world.github.user_token("mona", {shop: "pull"})
    assert "nodes" in await call(world, "get_lineage", token=token, connection="octo/shop", focus="orders")
    world.github.state.tokens[token].roles.clear()
    world.clock[0] += 3600
    assert "error" in await call(world, "get_lineage", token=token, connection="octo/shop", focus="orders")
    del world.github.state.tokens[token]
    world.clock[0] += 3600
    message = rpc("tools/call", {"name": "get_freshness", "arguments": {}})
    assert (await post(world, message, headers_of(message, token)))[0] == 401


async def test_without_github_nothing_is_shown_and_that_is_said(world: World) -> None:
    shop = world.github.state.repository("octo/shop")
    assert shop is not None
    token = world.github.user_token("mona", {shop: "pull"})
    arguments = {"connection": world.connections["octo/shop"], "focus": "orders"}
    assert "nodes" in await call(world, "get_lineage", token=token, **arguments)
    world.clock[0] += 3600
    world.github.faults.add("GET", "/user/installations", 9, Answer(502))
    world.github.faults.add("GET", "/repos", 9, Answer(502))
    said = await call(world, "get_lineage", token=token, **arguments)
    assert (said["error"], "nodes" in said) == ("GitHub is unavailable", False)


async def test_calls_count_against_the_limit_of_the_token(store: Store) -> None:
    async with agents(store, per_minute=2) as world:
        shop = world.github.state.repository("octo/shop")
        assert shop is not None
        token = world.github.user_token("mona", {shop: "pull"})
        message = rpc("tools/call", {"name": "get_lineage", "arguments": {"focus": "orders"}})
        answers = [await post(world, message, headers_of(message, token)) for _ in range(3)]
        assert [status for status, _, _ in answers] == [200, 200, 429]
        assert "Retry-After" in answers[2][2]
        world.clock[0] += 60
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        assert (await post(world, [ping] * 3, {"Authorization": f"Bearer {token}"}))[0] == 429, "each message of a batch counts"


async def test_neither_sessions_nor_open_pages_lead_in(world: World) -> None:
    message = rpc("server/discover")
    for cookie in ("freshet_session=x", "__Host-freshet_session=x"):
        headers = {**headers_of(message, None), "Cookie": cookie, "Sec-Fetch-Site": "same-origin"}
        assert (await post(world, message, headers))[0] == 401
