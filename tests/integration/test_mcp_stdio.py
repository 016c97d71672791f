"""`freshet mcp`: the tools over standard input and output, in a process of its own, beside the real endpoint."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest_asyncio
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from app.store import Store, pool
from tests.integration.access_world import SERVICE, World
from tests.integration.mcp_world import INITIALIZED, ORDERS, TOOLS, agents, rpc
from tests.patience import HANGS_S

ROOT = Path(__file__).parents[2]


@pytest_asyncio.fixture(scope="module")
async def world(module_dsn: str) -> AsyncIterator[World]:
    async with pool.connect(module_dsn, size=4) as db, agents(Store(db)) as made:
        yield made


def environment(world: World, **more: str) -> dict[str, str]:
    url = str(world.client.make_url("/")).rstrip("/")
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "FRESHET_MCP_URL": url, "FRESHET_MCP_TOKEN": SERVICE, **more}


@asynccontextmanager
async def started(directory: Path, env: Mapping[str, str], *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "app", "mcp", *options)
    process = await asyncio.create_subprocess_exec(*command, cwd=directory, env=env, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def said(process: asyncio.subprocess.Process, *lines: Any) -> list[Any]:
    """The answers to lines of input, in the order of their ids, once the process has ended."""
    content = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    async with asyncio.timeout(HANGS_S):
        output, _ = await process.communicate(content)
    return sorted((json.loads(line) for line in output.splitlines()), key=lambda one: str(one.get("id")))


async def test_the_official_client_starts_it(world: World, tmp_path: Path) -> None:
    program = StdioServerParameters(command=sys.executable, args=["-m", "app", "mcp"], env=environment(world), cwd=tmp_path)
    async with Client(stdio_client(program)) as client:
        assert tuple(one.name for one in (await client.list_tools()).tools) == TOOLS
        result = await client.call_tool("get_lineage", {"connection": "octo/shop", "focus": "orders"})
        assert result.structured_content is not None
        assert result.structured_content["nodes"][0]["unique_id"] == ORDERS
    assert list(tmp_path.iterdir()) == [], "it leaves nothing in the directory where it was started"


async def test_messages_are_passed_on_in_both_eras(world: World, tmp_path: Path) -> None:
    async with started(tmp_path, environment(world)) as process:
        first = {"protocolVersion": INITIALIZED, "capabilities": {}, "clientInfo": {"name": "old", "version": "1"}}
        answers = await said(
            process,
            {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": first},
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            b"",
            rpc("tools/call", {"name": "no/such\n😀", "arguments": {}}, id_=1),
            rpc("server/discover", id_=2),
            b"{",
        )
        assert [one.get("id") for one in answers] == [0, 1, 2, None]
        assert answers[0]["result"]["protocolVersion"] == INITIALIZED
        assert (answers[1]["error"]["code"], answers[2]["result"]["resultType"]) == (-32602, "complete")
        assert answers[3]["error"]["code"] == -32700
        assert process.returncode == 0


async def test_what_the_service_refuses_is_an_answer_too(world: World, tmp_path: Path) -> None:
    async with started(tmp_path, environment(world, FRESHET_MCP_TOKEN="wrong")) as process:
        [answer] = await said(process, rpc("server/discover"))
        assert (answer["id"], "Unknown token" in answer["error"]["message"]) == (1, True)
    async with started(tmp_path, environment(world), "--url", "http://127.0.0.1:1") as process:
        [answer] = await said(process, rpc("server/discover"))
        assert "did not answer" in answer["error"]["message"]
    async with started(tmp_path, environment(world)) as process:
        [answer] = await said(process, b"x" * (2 << 20))
        assert (answer["error"]["code"], process.returncode) == (-32600, 1)


async def test_without_a_token_it_says_which_variable_is_missing(world: World, tmp_path: Path) -> None:
    found = environment(world)
    del found["FRESHET_MCP_TOKEN"]
    async with started(tmp_path, found) as process:
        async with asyncio.timeout(HANGS_S):
            output, errors = await process.communicate(b"")
        assert (output, process.returncode, b"FRESHET_MCP_TOKEN" in errors) == (b"", 2, True)
