"""Reading a lineage of 10,000 nodes and 25,000 edges, compared with the bare SQL for it: `python -m tests.bench.reading`.

The service's own routes over its own store answer in a process of their own (`python -m tests.bench.reading DSN`), which asks its database
for other things all the while and notes how late its event loop is. The bare SQL runs here, over one connection of asyncpg.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import cycle
from pathlib import Path
from random import Random

import aiohttp
import asyncpg
import orjson
from aiohttp import web

from app.core import log
from app.core.models.github import Repository
from app.lineage.nodes import Lineage, Node
from app.store import Store, embedded, migrate, pool
from app.store.lineage_cache import LineageCache
from app.web import keys, routes
from app.web.auth.service_tokens import ServiceCallers, ServiceTokens
from app.web.http import middleware
from tests.service import ROOT, TOKEN, clean_environment

NODES, EDGES = 10_000, 25_000
ROUNDS, FOCUSES, READERS = 9, 50, 200
LOOK_S = 0.002
SHA = "1" * 40
KINDS = ("test",) * 56 + ("model",) * 34 + ("source",) * 6 + ("exposure",) * 3 + ("seed",)
REACH = 800  # an upstream node is among that number of preceding nodes

WHOLE = """
SELECT n.unique_id, n.content, n.upstream
FROM lineages l, unnest(l.node_ids) WITH ORDINALITY AS member (id, position) JOIN nodes n ON n.id = member.id
WHERE l.connection_id = $1 ORDER BY member.position"""
BARE_EDGES = """
CREATE TABLE bare_edges AS SELECT e.upstream, n.unique_id AS downstream FROM nodes n, unnest(n.upstream) AS e (upstream);
CREATE INDEX ON bare_edges (upstream, downstream);
CREATE INDEX ON bare_edges (downstream, upstream);
ANALYZE"""
DEPTH_3 = """
WITH RECURSIVE up (id, depth) AS (
  SELECT $1::text, 0 UNION SELECT e.upstream, depth + 1 FROM up JOIN bare_edges e ON e.downstream = up.id WHERE depth < 3),
down (id, depth) AS (
  SELECT $1::text, 0 UNION SELECT e.downstream, depth + 1 FROM down JOIN bare_edges e ON e.upstream = down.id WHERE depth < 3)
SELECT id FROM up UNION SELECT id FROM down"""
UNBOUNDED = """
WITH RECURSIVE up (id) AS (SELECT $1::text UNION SELECT e.upstream FROM up JOIN bare_edges e ON e.downstream = up.id),
down (id) AS (SELECT $1::text UNION SELECT e.downstream FROM down JOIN bare_edges e ON e.upstream = down.id)
SELECT id FROM up UNION SELECT id FROM down"""


@dataclass
class Reader:
    """Reads from the service, and from the database directly."""

    session: aiohttp.ClientSession
    url: str
    bare: asyncpg.Connection[asyncpg.Record]
    connection_id: str
    etag: str = field(default="", init=False)

    async def lineage(self, **params: str) -> bytes:
        url = f"{self.url}/api/metadata/connections/{self.connection_id}/lineage"
        async with self.session.get(url, params=params) as response:
            body = await response.read()
            assert response.status == 200, body
            self.etag = self.etag or response.headers["ETag"]
        return body

    async def unchanged(self) -> None:
        url = f"{self.url}/api/metadata/connections/{self.connection_id}/lineage"
        async with self.session.get(url, headers={"If-None-Match": self.etag}) as response:
            assert response.status == 304

    async def whole_bare(self) -> bytes:
        rows = await self.bare.fetch(WHOLE, self.connection_id)
        nodes = [orjson.Fragment(row["content"]) for row in rows]
        edges = [{"upstream": upstream, "downstream": row["unique_id"]} for row in rows for upstream in row["upstream"]]
        return orjson.dumps({"nodes": nodes, "edges": edges})

    async def tell(self, path: str) -> dict[str, float]:
        async with self.session.post(self.url + path) as response:
            told: dict[str, float] = await response.json()
            return told


def lineage(seed: int = 1) -> Lineage:
    """Layers of models with columns and tests, as in public projects. The same seed gives the same lineage."""
    random = Random(seed)  # noqa: S311 - reproducible, not secret
    kinds = ["source" if number < NODES // 50 else random.choice(KINDS) for number in range(NODES)]
    ids = [f"{kind}.analytics.{kind}_customer_orders_{number:05d}" for number, kind in enumerate(kinds)]
    flow = [number for number, kind in enumerate(kinds) if kind in ("model", "source", "seed")]
    above: dict[int, set[int]] = {number: set() for number, kind in enumerate(kinds) if kind in ("model", "test", "exposure")}
    several = [number for number in above if kinds[number] != "test"]
    turns = [*above, *(random.choice(several) for _ in range(4 * EDGES))]
    missing = EDGES
    for number in turns:
        last = bisect_left(flow, number)
        upstream = flow[random.randrange(max(0, last - REACH), last)]
        if missing and upstream not in above[number]:
            above[number].add(upstream)
            missing -= 1
    nodes = [node(random, unique_id, tuple(sorted(ids[up] for up in above.get(number, ())))) for number, unique_id in enumerate(ids)]
    return Lineage("analytics", "1.11.16", "snowflake", "v12", tuple(sorted(nodes, key=lambda one: one.unique_id)))


def node(random: Random, unique_id: str, upstream: tuple[str, ...]) -> Node:
    kind, package, name = unique_id.split(".")
    columns = random.randrange(4, 13) if kind in ("model", "source", "seed") else 0
    names = {"unique_id": unique_id, "resource_type": kind, "name": name, "package_name": package}
    places = {"original_file_path": f"models/marts/{name}.sql", "relation_name": f'"analytics"."prod"."{name}"', "materialized": "table"}
    description = "What stands in it, in a sentence or two, as people write them in their schema files."[: random.randrange(84)]
    column = {"data_type": "varchar", "description": "What the column says."}
    content = {
        **names,
        **places,
        "description": description,
        "tags": [random.choice(("nightly", "finance", "core"))],
        "columns": [{"name": f"column_{number}", **column} for number in range(columns)],
    }
    return Node(unique_id, kind, name, package, orjson.dumps(content), upstream, b"")


async def save(store: Store, what: Lineage) -> str:
    """Store a lineage the way the service does, and return the connection's id."""
    await store.installations.update_from_push(Repository(7, "octo/shop", 3, "main"))
    connection = await store.connections.create(7, "")
    await store.extractions.enqueue(connection.id, "main", SHA, "push")
    extraction = await store.extractions.claim("bench", timedelta(minutes=5))
    assert extraction is not None
    async with store.transaction() as tx:
        await tx.lineages.save(extraction, what, b"input")
        await tx.extractions.finish(extraction.id, "bench", "succeeded", [])
    return connection.id


async def serve(dsn: str) -> None:
    """Serve the real routes; `POST /forget` empties the cache of lineages, `POST /lag` returns the event loop's lag since the last call.

    Once that was asked, there is other work.
    """
    log.configure()
    worst = [0.0]
    busy: list[asyncio.Task[None]] = []

    async def forget(_: web.Request) -> web.Response:
        store.lineage_cache = LineageCache(db)
        return web.json_response({})

    async def lag(_: web.Request) -> web.Response:
        if not busy:
            busy.extend(map(asyncio.create_task, (late(), other_work())))
        worst_s, worst[0] = worst[0], 0.0
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return web.json_response({"worst_s": worst_s, "peak_mib": int(peak[1]) / 1024 if peak else 0})

    async def late() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(LOOK_S)
            worst[0] = max(worst[0], time.perf_counter() - began - LOOK_S)

    async def other_work() -> None:
        while True:
            await store.extractions.active(after=None, limit=50)
            await asyncio.sleep(0.005)

    async with pool.connect(dsn) as db:
        store = Store(db)
        web_app = web.Application(middlewares=[middleware.access_log, middleware.problems])
        web_app[keys.STORE] = store
        web_app[keys.CALLERS] = ServiceCallers(ServiceTokens([TOKEN]))
        routes.add(web_app, forget)
        web_app.add_routes([web.post("/forget", forget), web.post("/lag", lag)])
        runner = web.AppRunner(web_app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()


@asynccontextmanager
async def reading() -> AsyncIterator[tuple[Reader, list[str]]]:
    """Yield a client for a stored lineage, and its unique_ids."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freshet-bench-")))
        dsn = await stack.enter_async_context(embedded.serve(directory))
        db = await stack.enter_async_context(pool.connect(dsn, size=2))
        await migrate.migrate(db)
        what = lineage()
        connection_id = await save(Store(db), what)
        bare = await asyncpg.connect(dsn)
        stack.push_async_callback(bare.close)
        await bare.execute(BARE_EDGES)
        argv = (sys.executable, "-m", "tests.bench.reading", dsn)
        output = stack.enter_context((directory / "log").open("wb"))
        service = await asyncio.create_subprocess_exec(
            *argv, cwd=ROOT, env=dict(clean_environment()), stdout=asyncio.subprocess.PIPE, stderr=output
        )
        stack.callback(service.terminate)
        assert service.stdout is not None
        port = int(await service.stdout.readline())
        client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers={"Authorization": f"Bearer {TOKEN}"})
        session = await stack.enter_async_context(client)
        yield Reader(session, f"http://127.0.0.1:{port}", bare, connection_id), [one.unique_id for one in what.nodes]


async def took_ms(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return 1000 * (time.perf_counter() - began)


async def one_by_one(reader: Reader, focuses: Sequence[str]) -> None:
    """Measure one reader at a time, alternating with the bare SQL, and print the table."""
    found: dict[str, list[float]] = {}

    async def note(name: str, work: Callable[[], Awaitable[object]]) -> None:
        found.setdefault(name, []).append(await took_ms(work))

    for _ in range(ROUNDS):
        await note("bare", reader.whole_bare)
        await reader.tell("/forget")
        await note("cold", reader.lineage)
        await note("warm", reader.lineage)
        await note("304", reader.unchanged)
    for name, depth, statement in (("depth 3", {"depth": "3"}, DEPTH_3), ("unbounded", {}, UNBOUNDED)):
        for focus in focuses:
            await note(f"bare {name}", partial(reader.bare.fetch, statement, focus))
            await note(name, partial(reader.lineage, focus=focus, **depth))
    print("| asked | bare SQL, p50 | p95 | Freshet, p50 | p95 | ratio of p50 | of p95 |\n|---|---|---|---|---|---|---|")
    print(row("whole, nothing in memory", found["bare"], found["cold"]))
    print(row("whole, in memory", found["bare"], found["warm"]))
    print(row("whole, `If-None-Match`: 304", found["bare"], found["304"]))
    print(row(f"focus at depth 3, {len(focuses)} nodes", found["bare depth 3"], found["depth 3"]))
    print(row(f"focus unbounded, {len(focuses)} nodes", found["bare unbounded"], found["unbounded"]))


async def all_at_once(reader: Reader, focuses: Sequence[str]) -> None:
    """Measure many concurrent readers, and the event loop that serves them, and print the table."""
    others = cycle(focuses)
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "whole, nothing in memory": reader.lineage,
        "whole, in memory": reader.lineage,
        "focus unbounded, each another node": lambda: reader.lineage(focus=next(others)),
        "focus at depth 3, each another node": lambda: reader.lineage(focus=next(others), depth="3"),
        "304": reader.unchanged,
    }
    await reader.tell("/forget")
    print(f"\n| {READERS} readers at once | answers/s | p50 | p95 | longest | loop late by, at most | peak memory |\n|{'---|' * 7}")
    for name, work in asked.items():
        await reader.tell("/lag")
        began = time.perf_counter()
        times = await asyncio.gather(*(took_ms(work) for _ in range(READERS)))
        rate = READERS / (time.perf_counter() - began)
        (p50, p95), told = cuts(times), await reader.tell("/lag")
        print(
            f"| {name} | {rate:.0f} | {p50:.0f} ms | {p95:.0f} ms | {max(times):.0f} ms "
            f"| {1000 * told['worst_s']:.0f} ms | {told['peak_mib']:.0f} MiB |"
        )


def row(name: str, bare: Sequence[float], ours: Sequence[float]) -> str:
    (bare50, bare95), (ours50, ours95) = cuts(bare), cuts(ours)
    times = " | ".join(f"{value:.1f} ms" for value in (bare50, bare95, ours50, ours95))
    return f"| {name} | {times} | {ours50 / bare50:.2f} | {ours95 / bare95:.2f} |"


def cuts(values: Sequence[float]) -> tuple[float, float]:
    """p50 and p95."""
    found = statistics.quantiles(values, n=20, method="inclusive")
    return found[9], found[18]


async def measure() -> None:
    async with reading() as (reader, unique_ids):
        print(f"{len(await reader.lineage()) / 1e6:.1f} MB\n")
        focuses = Random(2).sample(unique_ids, FOCUSES)  # noqa: S311 - likewise
        await one_by_one(reader, focuses)
        await all_at_once(reader, focuses)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]) if len(sys.argv) > 1 else measure())
