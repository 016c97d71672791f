"""The Model Context Protocol at `/mcp`: both eras, and what the protocol refuses."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from app.store import Store, pool
from app.web.mcp import budget
from app.web.mcp.tools import described
from tests.integration.access_world import SERVICE, World
from tests.integration.mcp_world import (
    INITIALIZED,
    META,
    NEW,
    OLD,
    ORDERS,
    PUBLIC_URL,
    SOURCE,
    STAGED,
    TOOLS,
    agents,
    connected,
    headers_of,
    post,
    rpc,
)

ARGUMENTS: dict[str, dict[str, Any]] = {
    "search_nodes": {"q": "orders"},
    "get_node": {"connection": "octo/shop", "node": "orders", "include": ["columns", "code", "compiled_code", "config"]},
    "get_lineage": {"connection": "octo/shop", "focus": "orders", "columns": True},
    "get_column_lineage": {"connection": "octo/shop", "node": "orders", "column": "id"},
    "find_path": {"connection": "octo/shop", "node": "board", "depends_on": SOURCE, "columns": True},
    "get_impact": {"connection": "octo/shop", "base": OLD},
    "diff_commits": {"connection": "octo/shop", "base": OLD, "head": NEW},
    "get_freshness": {"connection": "octo/shop"},
}


@pytest_asyncio.fixture(scope="module")
async def world(module_dsn: str) -> AsyncIterator[World]:
    async with pool.connect(module_dsn, size=4) as db, agents(Store(db)) as made:
        yield made


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_official_client_calls_every_tool(world: World, mode: str) -> None:
    async with connected(world, mode=mode) as client:
        listed = (await client.list_tools()).tools
        assert tuple(one.name for one in listed) == TOOLS
        assert all(one.annotations and one.annotations.read_only_hint and one.output_schema for one in listed)
        for name, arguments in ARGUMENTS.items():
            # The client checks the answer against the schema.
            result = await client.call_tool(name, arguments)
            assert not result.is_error, (name, result.content)
            assert json.loads(result.content[0].text) == result.structured_content  # type: ignore[union-attr]
            said = json.dumps(result.structured_content)
            assert all(part in said for part in ('"sha"', '"branch"', '"age_seconds"', '"stale"', '"truncated"')), name
        result = await client.call_tool("get_node", {"connection": "octo/shop", "node": "odrers"})
        assert result.is_error
        assert ORDERS in result.content[0].text  # type: ignore[union-attr]


async def test_a_client_of_2025_11_25_begins_with_initialize(world: World) -> None:
    token = {"Authorization": f"Bearer {SERVICE}", "Accept": "application/json, text/event-stream"}
    first = {"protocolVersion": INITIALIZED, "capabilities": {}, "clientInfo": {"name": "old", "version": "1"}}
    status, body, headers = await post(world, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": first}, token)
    assert (status, body["id"], body["result"]["protocolVersion"]) == (200, 0, INITIALIZED)
    assert body["result"]["capabilities"] == {"tools": {}}
    assert "Mcp-Session-Id" not in headers
    token["MCP-Protocol-Version"] = INITIALIZED
    assert (await post(world, {"jsonrpc": "2.0", "method": "notifications/initialized"}, token))[:2] == (202, None)
    assert (await post(world, {"jsonrpc": "2.0", "id": "p", "method": "ping"}, token))[:2] == (
        200,
        {"jsonrpc": "2.0", "id": "p", "result": {}},
    )
    _, body, _ = await post(world, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, token)
    assert [one["name"] for one in body["result"]["tools"]] == [*TOOLS]
    assert body["result"].keys() == {"tools"}
    message = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "get_lineage", "arguments": ARGUMENTS["get_lineage"]}}
    _, body, _ = await post(world, message, token)
    assert body["result"]["structuredContent"]["nodes"][0]["unique_id"] == ORDERS
    status, body, _ = await post(world, {"jsonrpc": "2.0", "id": 3, "method": "resources/list"}, token)
    assert (status, body["error"]["code"]) == (200, -32601)
    for asked, agreed in (("2024-11-05", "2024-11-05"), ("2026-07-28", INITIALIZED), ("1900-01-01", INITIALIZED), (None, INITIALIZED)):
        _, body, _ = await post(world, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": asked}}, token)
        assert body["result"]["protocolVersion"] == agreed


async def test_a_stateless_request_needs_nothing_before_it(world: World) -> None:
    message = rpc("server/discover")
    status, body, _ = await post(world, message, headers_of(message))
    result = body["result"]
    assert (status, result["resultType"], result["supportedVersions"][:2]) == (200, "complete", ["2026-07-28", INITIALIZED])
    assert result["_meta"][f"{META}serverInfo"]["name"] == "freshet"
    message = rpc("tools/list")
    result = (await post(world, message, headers_of(message)))[1]["result"]
    assert (result["ttlMs"], result["cacheScope"], result["tools"]) == (3_600_000, "public", described())
    assert budget.cost(described()) < budget.MAX_TOKENS


def changed(message: dict[str, Any], **of_meta: Any) -> dict[str, Any]:
    meta = {f"{META}{name}": value for name, value in of_meta.items()}
    return {**message, "params": {**message["params"], "_meta": {**message["params"]["_meta"], **meta}}}


CALL = rpc("tools/call", {"name": "get_lineage", "arguments": {}})


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"{", {}, 400, -32700),
        (b"\xff", {}, 400, -32700),
        (b"[" * 5000, {}, 400, -32700),
        ([], {}, 400, -32600),
        ("ping", {}, 400, -32600),
        ({"jsonrpc": "1.0", "id": 1, "method": "ping"}, {}, 400, -32600),
        ({"jsonrpc": "2.0", "id": 1, "result": {}}, {}, 400, -32600),
        ({"jsonrpc": "2.0", "id": None, "method": "ping"}, {}, 400, -32600),
        ({"jsonrpc": "2.0", "id": True, "method": "ping"}, {}, 400, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}, {}, 200, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"MCP-Protocol-Version": "1900-01-01"}, 400, -32022),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"MCP-Protocol-Version": "2026-07-28"}, 400, -32602),
        ([{"jsonrpc": "2.0", "id": 1, "method": "ping"}], {"MCP-Protocol-Version": INITIALIZED}, 400, -32600),
        ([{"jsonrpc": "2.0", "id": 1, "method": "ping"}] * 21, {}, 400, -32600),
        (rpc("ping"), headers_of(rpc("ping")), 404, -32601),
        (rpc("tools/list", {"cursor": "x"}), headers_of(rpc("tools/list")), 400, -32602),
        (rpc("tools/list"), {}, 400, -32020),
        (rpc("tools/list"), {**headers_of(rpc("tools/list")), "Mcp-Method": "tools/call"}, 400, -32020),
        (rpc("tools/list"), {**headers_of(rpc("tools/list")), "MCP-Protocol-Version": INITIALIZED}, 400, -32020),
        (rpc("tools/list", version="2027-01-01"), headers_of(rpc("tools/list", version="2027-01-01")), 400, -32022),
        (changed(rpc("tools/list"), clientCapabilities=None), headers_of(rpc("tools/list")), 400, -32602),
        (CALL, {**headers_of(CALL), "Mcp-Name": "get_node"}, 400, -32020),
        (CALL, {**headers_of(CALL), "Mcp-Name": "=?base64?!?="}, 400, -32020),
        (rpc("tools/call", {"name": "drop"}), {**headers_of(CALL), "Mcp-Name": "drop"}, 400, -32602),
        (rpc("tools/call", {"name": "get_node", "arguments": 1}), {**headers_of(CALL), "Mcp-Name": "get_node"}, 400, -32602),
    ],
    ids=str,
)  # fmt: skip
async def test_what_is_no_message_is_refused(world: World, content: Any, headers: dict[str, str], status: int, code: int) -> None:
    found, body, _ = await post(world, content, {"Authorization": f"Bearer {SERVICE}", **headers})
    assert (found, body["error"]["code"]) == (status, code)
    assert body.get("id") == (1 if isinstance(content, dict) and content.get("id") == 1 and content["id"] is not True else None)


async def test_names_in_headers_may_be_encoded(world: World) -> None:
    headers = {**headers_of(CALL), "Mcp-Name": "=?base64?Z2V0X2xpbmVhZ2U=?="}
    assert (await post(world, CALL, headers))[0] == 200


async def test_a_client_of_2025_03_26_may_send_a_batch(world: World) -> None:
    batch = [{"jsonrpc": "2.0", "id": one, "method": method} for one, method in ((1, "ping"), (2, "nothing"))]
    batch.append({"jsonrpc": "2.0", "method": "notifications/initialized"})
    status, body, _ = await post(world, batch, {"Authorization": f"Bearer {SERVICE}"})
    assert (status, [one["id"] for one in body], "error" in body[1]) == (200, [1, 2], True)
    assert (await post(world, batch[2:], {"Authorization": f"Bearer {SERVICE}"}))[:2] == (202, None)


async def test_other_methods_sites_and_sizes_are_refused(world: World) -> None:
    for method in ("GET", "DELETE", "PUT"):
        async with world.client.request(method, "/mcp", headers={"Authorization": f"Bearer {SERVICE}"}) as response:
            assert (response.status, response.headers["Allow"]) == (405, "POST")
    message = rpc("server/discover")
    for origin, status in (("https://evil.example.com", 403), ("null", 403), (PUBLIC_URL, 200)):
        assert (await post(world, message, {**headers_of(message), "Origin": origin}))[0] == status
    assert (await post(world, io.BytesIO(b" " * (2 << 20)), headers_of(message)))[0] == 413


async def test_who_has_no_token_learns_how_to_get_one(world: World) -> None:
    message = rpc("server/discover")
    place = f'resource_metadata="{PUBLIC_URL}/.well-known/oauth-protected-resource/mcp"'
    status, body, headers = await post(world, message, headers_of(message, None))
    assert (status, body["title"], headers["WWW-Authenticate"]) == (401, "Token required", f"Bearer {place}")
    status, _, headers = await post(world, message, headers_of(message, "wrong"))
    assert (status, headers["WWW-Authenticate"]) == (401, f'Bearer error="invalid_token", {place}')
    async with world.client.get("/.well-known/oauth-protected-resource/mcp") as response:
        assert (await response.json())["resource"] == f"{PUBLIC_URL}/mcp"


def test_the_schemas_are_plain() -> None:
    text = json.dumps([one["inputSchema"] for one in described()])
    assert "anyOf" not in text
    assert "title" not in text
    assert all(one["inputSchema"]["additionalProperties"] is False for one in described())
    assert STAGED not in text
