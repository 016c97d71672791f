"""Webhook intake beside a bare handler that does one INSERT: `python -m tests.bench.intake [--load N]`.

Both are processes of their own on one durable PostgreSQL, taken in turns; what counts are the ratios. Every delivery is queued: its
repository is one of GitHub's, its branch is new. The service runs one extraction that never ends, so that nothing else is measured; its
outbox talks to the double meanwhile, at its pace.

With `--load`, N deliveries of side branches are sent instead, one in fifty of them twice, while the service extracts them with a dbt in
miniature.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from aiohttp import web

from app.store import embedded
from tests.double import GitHubDouble, Repository
from tests.service import ROOT, Service, clean_environment, free_port, serving

SIZES = {"10 KiB": (10 << 10, 600), "1 MiB": (1 << 20, 120)}
"""Bytes of a payload, and the number of payloads per round."""
CONCURRENCY = 50
ROUNDS = 7
REPOSITORIES = 50
TWICE = 50
"""One in so many deliveries is sent twice."""
FILES = {
    "dbt_project.yml": "name: shop\nprofile: shop\n",
    "profiles.yml": "shop: {target: dev, outputs: {dev: {type: duckdb}}}\n",
    "models/orders.sql": "select 1 as id\n",
}
SETTLE_S = 120.0


@dataclass(frozen=True)
class Signed:
    """A delivery, ready to be sent."""

    body: bytes
    signature: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass
class World:
    """GitHub's double with the repositories, and a database."""

    github: GitHubDouble
    dsn: str
    repositories: list[Repository]
    installation_id: int
    directory: Path
    stack: AsyncExitStack
    session: aiohttp.ClientSession

    def payload(self, size: int, number: int, *, branch: str | None = None, after: str | None = None) -> Signed:
        """The first push of a branch of one of many repositories, padded to `size` bytes, as commits do in a real one."""
        repository = self.repositories[number % len(self.repositories)]
        push = {
            "ref": f"refs/heads/{branch or f'push-{uuid.uuid4()}'}",
            "before": "0" * 40,
            "after": after or f"{uuid.uuid4().int:040x}"[-40:],
            "repository": {"id": repository.id, "full_name": repository.full_name, "private": True, "default_branch": "main"},
        }
        text = {**push, "installation": {"id": self.installation_id}, "commits": [{"message": "x" * 500}] * (size // 518)}
        body = json.dumps(text).encode()
        return Signed(body, hmac.digest(self.github.app.webhook_secret.encode(), body, "sha256").hex())

    def service(self, concurrency: int, **settings: Any) -> AbstractAsyncContextManager[Service]:
        """The service, with a dbt in miniature."""
        settings |= {"DATABASE_URL": self.dsn, "EXTRACTION_CONCURRENCY": str(concurrency)}
        return serving(self.github, self.directory / "data", module="tests.bench.stubbed", **settings)

    async def settled(self) -> None:
        """Wait until the service has looked at all repositories, and queued and tried what it found."""
        connection = await asyncpg.connect(self.dsn)
        try:
            async with asyncio.timeout(SETTLE_S):
                while await connection.fetchval("SELECT count(*) FROM repositories WHERE looked_at IS NOT NULL") < len(self.repositories):
                    await asyncio.sleep(0.5)
        finally:
            await connection.close()
        await asyncio.sleep(2)


async def begin(stack: AsyncExitStack, repositories: int) -> World:
    """Start PostgreSQL and the double."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freshet-bench-")))
    return await begin_with(stack, repositories, await stack.enter_async_context(embedded.serve(directory)), directory)


async def begin_with(stack: AsyncExitStack, repositories: int, dsn: str, directory: Path) -> World:
    """Start the double."""
    github = await stack.enter_async_context(GitHubDouble())
    known = [await github.create_repository(f"bench/r{number}", FILES) for number in range(repositories)]
    installation = await github.install("bench", known)
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
    return World(github, dsn, known, installation.id, directory, stack, session)


async def send(session: aiohttp.ClientSession, url: str, signed: Sequence[Signed]) -> tuple[float, list[float]]:
    """Send all, `CONCURRENCY` at a time; return requests per second, and the latencies in seconds."""
    gate, latencies = asyncio.Semaphore(CONCURRENCY), []

    async def one(delivery: Signed) -> None:
        headers = {
            "X-Hub-Signature-256": f"sha256={delivery.signature}",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": delivery.id,
            "Content-Type": "application/json",
        }
        async with gate:
            began = time.perf_counter()
            async with session.post(url, data=delivery.body, headers=headers) as response:
                assert response.status == 202, await response.text()
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(one(delivery) for delivery in signed))
    return len(signed) / (time.perf_counter() - began), latencies


async def measure() -> None:
    """Run all rounds and print the medians."""
    async with AsyncExitStack() as stack:
        world = await begin(stack, REPOSITORIES)
        service = await stack.enter_async_context(world.service(1, BENCH_STUCK="1"))
        port = free_port()
        bare = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.intake", "--bare", world.dsn, str(port), cwd=ROOT, env=dict(clean_environment())
        )
        try:
            await world.settled()
            print("| payload | bare | Freshet | ratio, median (spread) | p50 | p95 |\n|---|---|---|---|---|---|")
            for name, (size, count) in SIZES.items():
                await compare(world, name, size, count, {"ours": f"{service.url}/api/webhooks/github", "bare": f"http://127.0.0.1:{port}/"})
            print(f"\nqueued: {await queued(world.dsn)} of {ROUNDS * sum(count for _, count in SIZES.values())}")
        finally:
            bare.terminate()
            await bare.wait()


async def compare(world: World, name: str, size: int, count: int, urls: dict[str, str]) -> None:
    """Measure one size, alternating, and print its row."""
    rates: dict[str, list[float]] = {target: [] for target in urls}
    latencies: list[float] = []
    for number in range(ROUNDS):
        for target in sorted(urls, reverse=number % 2 == 1):
            rate, took = await send(world.session, urls[target], [world.payload(size, one) for one in range(count)])
            rates[target].append(rate)
            latencies += took if target == "ours" else []
    ratios = [ours / bare for ours, bare in zip(rates["ours"], rates["bare"], strict=True)]
    cuts = statistics.quantiles(latencies, n=20)
    print(
        f"| {name} | {statistics.median(rates['bare']):.0f}/s | {statistics.median(rates['ours']):.0f}/s "
        f"| {statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f}) | {cuts[9] * 1000:.0f} ms | {cuts[18] * 1000:.0f} ms |"
    )


async def queued(dsn: str, branch: str = "push-%") -> int:
    """How many extractions pushes have queued, whatever became of them."""
    connection = await asyncpg.connect(dsn)
    try:
        counted: int = await connection.fetchval("SELECT count(*) FROM extractions WHERE trigger = 'push' AND branch LIKE $1", branch)
        return counted
    finally:
        await connection.close()


async def branches(dsn: str, name: str) -> int:
    """How many branches have an extraction."""
    connection = await asyncpg.connect(dsn)
    try:
        counted: int = await connection.fetchval("SELECT count(DISTINCT branch) FROM extractions WHERE branch LIKE $1", name)
        return counted
    finally:
        await connection.close()


@dataclass(frozen=True)
class Load:
    """What came of a crowd of deliveries."""

    rate: float
    """Answers per second."""
    latencies: Sequence[float]
    """Of each answer, in seconds; all are 202."""
    extracted: int
    """Extractions that ended meanwhile."""
    queued: int
    branches: int
    """That are queued; each was pushed to once."""
    log: str

    def times(self) -> str:
        """The latencies for people."""
        cuts = statistics.quantiles(self.latencies, n=100)
        return f"p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms, longest {max(self.latencies) * 1000:.0f} ms"


async def load(count: int) -> Load:
    """Send deliveries while extractions run."""
    async with AsyncExitStack() as stack:
        world = await begin(stack, 10)
        service = await stack.enter_async_context(world.service(2))
        ended_before = await ended(world.dsn)
        rate, latencies = await crowd(world, service, count)
        extracted = await ended(world.dsn) - ended_before
        return Load(rate, latencies, extracted, await queued(world.dsn, "load-%"), await branches(world.dsn, "load-%"), service.log)


async def print_load(count: int) -> None:
    """Print the latencies, and whether each was queued once."""
    found = await load(count)
    print(f"{len(found.latencies)} deliveries, {CONCURRENCY} at once: {found.rate:.0f}/s, while {found.extracted} extractions ended")
    print(f"{found.times()}\nqueued: {found.queued} of {count}")


async def crowd(world: World, service: Service, count: int) -> tuple[float, list[float]]:
    """Send deliveries of `count` new branches, some twice, in any order, once the service has looked at all repositories."""
    await world.settled()
    shas = [await world.github.push(one, {"models/orders.sql": "select 2 as id\n"}, deliver=False) for one in world.repositories]
    signed = [world.payload(10 << 10, one, branch=f"load-{one}", after=shas[one % len(shas)]) for one in range(count)]
    sent = sorted([*signed, *signed[::TWICE]], key=lambda one: one.id)
    return await send(world.session, f"{service.url}/api/webhooks/github", sent)


async def ended(dsn: str) -> int:
    """How many extractions have succeeded."""
    connection = await asyncpg.connect(dsn)
    try:
        counted: int = await connection.fetchval("SELECT count(*) FROM extractions WHERE status = 'succeeded'")
        return counted
    finally:
        await connection.close()


async def bare_handler(dsn: str, port: int) -> None:
    """Serve a handler that reads the body and makes one INSERT durable."""
    pool = await asyncpg.create_pool(dsn, max_size=10)
    await pool.execute("CREATE TABLE IF NOT EXISTS bare (id text PRIMARY KEY)")

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        await pool.execute("INSERT INTO bare (id) VALUES ($1)", request.headers["X-GitHub-Delivery"])
        return web.Response(status=202)

    web_app = web.Application(client_max_size=32 << 20)
    web_app.router.add_post("/", handle)
    runner = web.AppRunner(web_app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--load", type=int)
    parser.add_argument("--bare", nargs=2, metavar=("DSN", "PORT"))
    options = parser.parse_args()
    if options.bare:
        asyncio.run(bare_handler(options.bare[0], int(options.bare[1])))
    else:
        asyncio.run(print_load(options.load) if options.load else measure())
