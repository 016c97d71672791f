"""Webhook intake beside a bare handler that does one INSERT: `python -m tests.bench.intake`.

Both are processes of their own on one durable PostgreSQL, taken in turns; what counts are the ratios. The service really queues: its
worker finds no engine, and its outbox talks to the double meanwhile.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import statistics
import sys
import tempfile
import time
import uuid
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import asyncpg
from aiohttp import web

from app.store import embedded
from tests.double import GitHubDouble
from tests.service import ROOT, clean_environment, free_port, serving

SIZES = {"10 KiB": (10 << 10, 300), "1 MiB": (1 << 20, 60)}
"""Bytes of a payload, and the number of payloads per round."""
CONCURRENCY = 50
ROUNDS = 5
REPOSITORIES = 50


def payload(size: int, number: int, installation_id: int) -> bytes:
    """A push to one of many repositories, padded to `size` bytes, as commits do in a real one."""
    repository = {
        "id": 10_000 + number % REPOSITORIES,
        "full_name": f"bench/r{number % REPOSITORIES}",
        "private": True,
        "default_branch": "main",
    }
    push = {"ref": "refs/heads/main", "before": "0" * 40, "after": f"{uuid.uuid4().int:040x}"[-40:], "repository": repository}
    body = {**push, "installation": {"id": installation_id}, "commits": [{"message": "x" * 500}] * (size // 518)}
    return json.dumps(body).encode()


async def send(session: aiohttp.ClientSession, url: str, secret: str, bodies: list[bytes]) -> tuple[float, list[float]]:
    """Send all bodies, `CONCURRENCY` at a time; return requests per second, and the latencies in seconds."""
    gate, latencies = asyncio.Semaphore(CONCURRENCY), []

    async def one(body: bytes) -> None:
        signature = hmac.digest(secret.encode(), body, "sha256").hex()
        headers = {"X-Hub-Signature-256": f"sha256={signature}", "X-GitHub-Event": "push", "X-GitHub-Delivery": str(uuid.uuid4())}
        async with gate:
            began = time.perf_counter()
            async with session.post(url, data=body, headers={**headers, "Content-Type": "application/json"}) as response:
                assert response.status == 202, await response.text()
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(one(body) for body in bodies))
    return len(bodies) / (time.perf_counter() - began), latencies


async def measure() -> None:
    """Run all rounds and print the medians."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freshet-bench-")))
        dsn = await stack.enter_async_context(embedded.serve(directory))
        github = await stack.enter_async_context(GitHubDouble())
        installation = await github.install("bench", [])
        service = await stack.enter_async_context(
            serving(github, directory / "data", DATABASE_URL=dsn, DOCKER_HOST="tcp://127.0.0.1:1", EXTRACTION_CONCURRENCY="1")
        )
        port = free_port()
        bare = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.intake", dsn, str(port), cwd=ROOT, env=dict(clean_environment())
        )
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        try:
            await asyncio.sleep(2)
            print("| payload | bare | Freshet | ratio, median (spread) | p50 | p95 |\n|---|---|---|---|---|---|")
            for name, (size, count) in SIZES.items():
                await compare(
                    session,
                    name,
                    [payload(size, number, installation.id) for number in range(count)],
                    {
                        "ours": (f"{service.url}/api/webhooks/github", github.app.webhook_secret),
                        "bare": (f"http://127.0.0.1:{port}/", "x"),
                    },
                )
        finally:
            bare.terminate()
            await bare.wait()


async def compare(session: aiohttp.ClientSession, name: str, bodies: list[bytes], targets: dict[str, tuple[str, str]]) -> None:
    """Measure one size, alternating, and print its row."""
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    latencies: list[float] = []
    for _ in range(ROUNDS):
        for target, (url, secret) in targets.items():
            rate, took = await send(session, url, secret, bodies)
            rates[target].append(rate)
            latencies += took if target == "ours" else []
    ratios = [ours / bare for ours, bare in zip(rates["ours"], rates["bare"], strict=True)]
    cuts = statistics.quantiles(latencies, n=20)
    print(
        f"| {name} | {statistics.median(rates['bare']):.0f}/s | {statistics.median(rates['ours']):.0f}/s "
        f"| {statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f}) | {cuts[9] * 1000:.0f} ms | {cuts[18] * 1000:.0f} ms |"
    )


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
    asyncio.run(bare_handler(sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 1 else measure())
