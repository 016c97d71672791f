"""The tools for agents in a project with 10,000 nodes, over HTTP: `python -m tests.bench.agents`.

The service's routes and the client are one process, whose processor time for a call is "CPU"; p50 and p95 are until the answer is read.
Each call asks about another node, after a first one that loads the lineage. The columns are five for each node.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import orjson
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from app.core import log
from app.core.models.github import Repository
from app.lineage.nodes import Lineage, Node
from app.store import Store, embedded, migrate, pool
from app.web import keys, routes
from app.web.auth.service_tokens import ServiceCallers, ServiceTokens
from app.web.http import middleware
from app.web.mcp import budget
from tests.bench.layout import edited, project
from tests.integration.columns_world import storable
from tests.integration.lineage_reader import SHAS, save_lineage
from tests.integration.mcp_world import Heads
from tests.integration.search_world import catch_up

NODES, EDGES, CALLS = 10_000, 25_000, 200
COLUMNS = ("id", "name", "amount", "status", "created_at")
OLD, NEW = SHAS[1:3]
ACCEPT = {"Authorization": "Bearer token", "Accept": "application/json, text/event-stream"}


def content_of(name: str) -> bytes:
    named = {"unique_id": f"model.shop.{name}", "resource_type": "model", "name": name, "package_name": "shop", "materialized": "table"}
    described = {
        "original_file_path": f"models/{name}.sql",
        "description": f"One row for each {name}, with the latest state of its orders.",
    }
    return orjson.dumps({**named, **described, "tags": [], "columns": []})


def lineage_of(upstream: dict[str, list[str]]) -> Lineage:
    nodes = (
        Node(f"model.shop.{name}", "model", name, "shop", content_of(name), tuple(f"model.shop.{one}" for one in above), b"")
        for name, above in sorted(upstream.items())
    )
    return Lineage("shop", "1.11.16", "duckdb", "v12", tuple(nodes))


def lines_of(upstream: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Each column is made of that of the first parent, and rows depend on ids."""
    lines = []
    for name, above in upstream.items():
        edges = [[f"model.shop.{above[0]}", one, one, "IDENTITY", True] for one in COLUMNS] if above else []
        edges += [[f"model.shop.{one}", "id", None, "JOIN", True] for one in above]
        columns = [[one, None] for one in COLUMNS]
        lines.append({"unique_id": f"model.shop.{name}", "status": "exact", "columns": columns, "edges": edges})
    return lines


def questions(upstream: dict[str, list[str]], random: Random) -> dict[str, list[dict[str, Any]]]:
    """The arguments of the calls by tool."""
    names = random.choices([*upstream], k=CALLS)
    below = random.choices([name for name, above in upstream.items() if above], k=CALLS)
    return {
        "search_nodes": [{"q": name[:4]} for name in names],
        "get_node": [{"node": name} for name in names],
        "get_lineage": [{"focus": name} for name in names],
        "get_column_lineage": [{"node": name, "column": "amount"} for name in names],
        "find_path": [{"node": name, "depends_on": upstream[name][0]} for name in below],
        "get_impact": [{"base": OLD, "head": NEW}] * (CALLS // 10),
        "diff_commits": [{"base": OLD, "head": NEW}] * (CALLS // 10),
        "get_freshness": [{"connection": "octo/shop"}] * CALLS,
    }


async def ask(client: TestClient[web.Request, web.Application], name: str, arguments: dict[str, Any]) -> tuple[float, int]:
    """Milliseconds until the answer, and its tokens."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
    began = time.perf_counter()
    async with client.post("/mcp", data=json.dumps(message), headers=ACCEPT) as response:
        result = json.loads(await response.read())["result"]
    took = 1000 * (time.perf_counter() - began)
    assert not result["isError"], result
    return took, budget.tokens(result["content"][0]["text"].encode())


def row(name: str, calls: Sequence[tuple[float, int]], cpu_ms: float) -> str:
    times = sorted(one for one, _ in calls)
    p95, tokens = times[int(0.95 * len(times))], max(tokens for _, tokens in calls)
    return f"| `{name}` | {cpu_ms:.1f} ms | {statistics.median(times):.1f} ms | {p95:.1f} ms | {tokens:,} |"


async def measure() -> None:
    """Store two commits, call every tool, and print the table."""
    random = Random(3)  # noqa: S311 - reproducible, not secret
    upstream = project(NODES, EDGES)
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as directory:
        async with embedded.serve(Path(directory)) as dsn, pool.connect(dsn, size=8) as db:
            await migrate.migrate(db)
            store = Store(db)
            await store.installations.install(3, "octo", "Organization", "all")
            await store.installations.update_from_push(Repository(7, "octo/shop", 3, "main"))
            connection = await store.connections.create(7, "")
            await store.connections.move_head(connection.id, NEW)
            await save_lineage(store, connection.id, NEW, lineage_of(upstream))
            await db.execute("ANALYZE")
            await catch_up(store)
            for sha, one in ((OLD, edited(upstream, random)), (NEW, upstream)):
                await save_lineage(store, connection.id, sha, lineage_of(one), storable(*lines_of(one)))
            await db.execute("ANALYZE")
            web_app = web.Application(middlewares=[middleware.access_log, middleware.problems])
            web_app[keys.STORE], web_app[keys.CALLERS] = store, ServiceCallers(ServiceTokens(["token"]))
            web_app[keys.HEADS], web_app[keys.OBJECTIVE_S] = Heads(), 60.0

            async def webhook(_: web.Request) -> web.Response:
                return web.Response()

            routes.add(web_app, webhook)
            print("| tool | CPU | p50 | p95 | tokens, at most |\n|---|--:|--:|--:|--:|")
            async with TestClient(TestServer(web_app)) as client:
                for name, arguments in questions(upstream, random).items():
                    await ask(client, name, arguments[0])
                    gc.freeze()  # as the service does
                    began = time.process_time()
                    calls = [await ask(client, name, one) for one in arguments]
                    print(row(name, calls, 1000 * (time.process_time() - began) / len(calls)), flush=True)
    print(f"load {os.getloadavg()[0]:.1f}")


def main() -> None:
    """Measure."""
    argparse.ArgumentParser(prog="python -m tests.bench.agents", description=__doc__).parse_args()
    log.configure(level=logging.WARNING)
    asyncio.run(measure())


if __name__ == "__main__":
    main()
