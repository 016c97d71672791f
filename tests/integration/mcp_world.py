"""The endpoint for agents beside a GitHub double, and projects to ask about."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import httpx2
from aiohttp import web
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from app.pipeline.branch_heads import BranchHeads, ObservedHead
from app.store import Store
from app.web import keys
from tests.integration.access_world import SERVICE, World, running
from tests.integration.columns_world import storable
from tests.integration.search_world import SHAS, catch_up, save
from tests.patience import HANGS_S
from tests.unit.test_nodes import build, resource

META = "io.modelcontextprotocol/"
STATELESS, INITIALIZED = "2026-07-28", "2025-11-25"
SOURCE, STAGED, ORDERS, BOARD = "source.shop.raw.orders", "model.shop.stg_orders", "model.shop.orders", "exposure.shop.board"
TOOLS = ("search_nodes", "get_node", "get_lineage", "get_column_lineage", "find_path", "get_impact", "diff_commits", "get_freshness")
PUBLIC_URL = "https://freshet.example.com"
OLD, NEW = SHAS[1], SHAS[2]


class Heads(BranchHeads):
    """Branches without a GitHub: each ends at the newest commit."""

    def __init__(self) -> None:
        pass

    async def get(self, repository: Any, branch: str) -> ObservedHead:  # noqa: ARG002
        return ObservedHead(NEW, datetime.now(UTC))


def rpc(method: str, params: Mapping[str, Any] | None = None, *, version: str = STATELESS, id_: Any = 1) -> dict[str, Any]:
    """A request of the newer era."""
    meta = {f"{META}protocolVersion": version, f"{META}clientCapabilities": {}, f"{META}clientInfo": {"name": "test", "version": "1"}}
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": {**(params or {}), "_meta": meta}}


def headers_of(message: Mapping[str, Any], token: str | None = SERVICE) -> dict[str, str]:
    """What a client sends beside it."""
    found = {"MCP-Protocol-Version": message["params"]["_meta"][f"{META}protocolVersion"], "Mcp-Method": message["method"]}
    found |= {"Mcp-Name": message["params"]["name"]} if "name" in message["params"] else {}
    return found | ({} if token is None else {"Authorization": f"Bearer {token}"})


async def post(world: World, content: Any, headers: Mapping[str, str], path: str = "/mcp") -> tuple[int, Any, Mapping[str, str]]:
    """The status, the body and the headers of an answer."""
    data = content if isinstance(content, bytes | BytesIO) else json.dumps(content).encode()
    async with world.client.post(path, data=data, headers={"Content-Type": "application/json", **headers}) as response:
        text = await response.text()
        return response.status, json.loads(text) if text else None, response.headers


async def call(world: World, name: str, *, token: str = SERVICE, **arguments: Any) -> dict[str, Any]:
    """The answer of a tool; of an error, what its text says."""
    message = rpc("tools/call", {"name": name, "arguments": arguments})
    status, body, _ = await post(world, message, headers_of(message, token))
    assert status == 200, body
    result = body["result"]
    said: dict[str, Any] = json.loads(result["content"][0]["text"])
    assert result["isError"] == ("error" in said)
    assert result["isError"] or result["structuredContent"] == said
    return said


@asynccontextmanager
async def connected(world: World, *, token: str = SERVICE, mode: str = "auto") -> AsyncIterator[Client]:
    """The official client."""
    url, headers = str(world.client.make_url("/mcp")), {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=HANGS_S) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


@asynccontextmanager
async def agents(store: Store, **more: Any) -> AsyncIterator[World]:
    """`octo/shop` with two commits and columns, and the private `octo/secret`, whose model nobody else knows."""

    def prepare(web_app: web.Application) -> None:
        web_app[keys.HEADS], web_app[keys.OBJECTIVE_S], web_app[keys.PUBLIC_URL] = Heads(), 60.0, PUBLIC_URL

    async with running(store, prepare=prepare, **more) as world:
        for name in ("octo/shop", "octo/secret"):
            await world.create(name)
        await save_shop(world)
        hidden = build(resource("model.secret.salaries", description="What everybody earns"), resource(ORDERS))
        await save(store, world.connections["octo/secret"], NEW, hidden)
        await catch_up(store)
        yield world


async def save_shop(world: World) -> None:
    """Two commits: the second one drops a column that a dashboard's model reads."""
    for sha, columns in ((OLD, ("id", "amount")), (NEW, ("id",))):
        code = " ".join(("select", *columns, "from raw"))
        described = {"columns": {"id": {"name": "id", "description": "The key"}}, "meta": {"owner": "Ann"}}
        lineage = build(
            resource(STAGED, raw_code=code, description="Orders as they come", config={"materialized": "view"}),
            resource(ORDERS, raw_code="select id, amount from stg_orders", **described),
            parents={STAGED: [SOURCE], ORDERS: [STAGED], BOARD: [ORDERS]},
            sources={SOURCE: resource(SOURCE, source_name="raw")},
            exposures={BOARD: resource(BOARD, type="dashboard")},
        )
        lines = [
            (SOURCE, ("id", "amount"), []),
            (STAGED, columns, [[SOURCE, one, one, "IDENTITY", True] for one in columns]),
            (ORDERS, columns, [*([STAGED, one, one, "TRANSFORMATION", True] for one in columns), [STAGED, "id", None, "FILTER", True]]),
        ]
        made = [
            {"unique_id": one, "status": "exact", "columns": [[name, None] for name in names], "edges": edges}
            for one, names, edges in lines
        ]
        found = storable(*made)
        await save(world.store, world.connections["octo/shop"], sha, lineage, found)
