"""`python -m tests.bench.intake`: how fast signed pushes are taken, beside a bare aiohttp handler that does one INSERT.

    python -m tests.bench.intake [--rounds N]

Both are processes of their own on the same PostgreSQL, which is durable (fsync), and get the very same requests in turns: 50 senders,
each with a repository of its own whose pushes come one after the other. What counts are the ratios of each round.

The service does all that it does: each push is queued in the place of the one before, the outbox tells GitHub's double (which shares
a process with the senders) of each, and one worker fetches commits. Only containers are none: Docker is pointed at nothing.
Before the next turn, the outbox has come to rest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import aiohttp
import asyncpg
from aiohttp import web

from app import log
from app.store import embedded
from tests.double import GitHubDouble, Repository, events, git, hookshot
from tests.service import free_port, serving

SENDERS = 50
EACH = {10 << 10: 20, 1 << 20: 2}
"""Pushes of each sender in one round, by the size of a payload in bytes."""
RATE_LIMIT = 10_000_000
POOL_SIZE = 9
"""Connections to the database, as many as the service has with EXTRACTION_CONCURRENCY=1."""
REST_S, LONGEST_REST_S = 1.0, 60.0
NOWHERE = "tcp://127.0.0.1:1"
FILES = {"dbt_project.yml": "name: shop\nprofile: shop\n", "models/a.sql": "select 1 as id"}

Requests = list[tuple[bytes, dict[str, str]]]
"""Bodies and headers of one sender."""


@dataclass(frozen=True)
class Turn:
    """How one of the two did in one round."""

    per_second: float
    p50_ms: float
    p95_ms: float


# -- the bare handler, a process of its own


def serve_bare(dsn: str, port: int) -> None:
    """Answer POST with 202 once the delivery's id is inserted."""
    asyncio.run(_serve_bare(dsn, port))


async def _serve_bare(dsn: str, port: int) -> None:
    async with asyncpg.create_pool(dsn, min_size=POOL_SIZE, max_size=POOL_SIZE) as pool:
        await pool.execute("CREATE TABLE bare (id text PRIMARY KEY)")

        async def take(request: web.Request) -> web.Response:
            await request.read()
            await pool.execute("INSERT INTO bare (id) VALUES ($1) ON CONFLICT (id) DO NOTHING", request.headers["X-GitHub-Delivery"])
            return web.json_response({"status": "accepted"}, status=202)

        bare = web.Application(client_max_size=25 << 20)
        bare.router.add_post("/", take)
        runner = web.AppRunner(bare, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


@asynccontextmanager
async def bare_serving(dsn: str) -> AsyncIterator[str]:
    """Run the bare handler until this is left, and yield its URL."""
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(target=serve_bare, args=(dsn, port), daemon=True)
    process.start()
    try:
        async with asyncio.timeout(30):
            while not await _listens(port):
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.join()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


# -- what is sent


async def install(github: GitHubDouble) -> list[Repository]:
    """Install the App on a repository for each sender; all share one git repository."""
    first = await github.create_repository("bench/r0", dict(FILES))
    state = github.state
    for number in range(1, SENDERS):
        copy = Repository(next(state.ids), f"bench/r{number}", first.private, "main", first.directory, first.created_at, first.pushed_at)
        state.repositories[copy.id] = copy
    installation = await github.install("bench")
    await rest(github)
    return state.installed(installation)


async def rest(github: GitHubDouble) -> None:
    """Wait until the service asks GitHub nothing any more."""
    async with asyncio.timeout(LONGEST_REST_S):
        seen = -1
        while seen != len(github.requests):
            seen = len(github.requests)
            await asyncio.sleep(REST_S)


def payloads(github: GitHubDouble, repository: Repository, shas: Sequence[str], size: int) -> Requests:
    """Return GitHub's requests for the pushes from each of these commits to the next."""
    installation = github.state.installation_of(repository)
    assert installation is not None
    made = []
    for before, after in pairwise(shas):
        event = events.push(github.state, installation, repository, events.Push("refs/heads/main", before, after))
        payload = {**event.payload, "commits": []}
        commit = {
            "id": after,
            "message": "Change many files",
            "modified": [f"models/staging/model_{number:04}.sql" for number in range(25)],
        }
        missing = size - len(json.dumps(payload))
        payload["commits"] = [commit] * (missing // (len(json.dumps(commit)) + 2))
        body = json.dumps(payload).encode()
        body += b" " * (size - len(body))
        made.append((body, _headers(github.app.webhook_secret, body, f"{repository.id}-{after}")))
    return made


def _headers(secret: str, body: bytes, delivery: str) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": hookshot.sign(secret, body, "sha256"),
    }


# -- the measuring


async def turn(session: aiohttp.ClientSession, url: str, senders: Sequence[Requests]) -> Turn:
    """Send everything, each sender one request after the other."""
    latencies: list[float] = []

    async def send(requests: Requests) -> None:
        for body, headers in requests:
            began = time.perf_counter()
            async with session.post(url, data=body, headers=headers) as response:
                assert response.status == 202, await response.text()
                await response.read()
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(send(requests) for requests in senders))
    wall = time.perf_counter() - began
    cuts = statistics.quantiles(latencies, n=20, method="inclusive")
    return Turn(len(latencies) / wall, statistics.median(latencies) * 1000, cuts[-1] * 1000)


async def measure(rounds: int) -> dict[int, list[tuple[Turn, Turn]]]:
    """Return the turns of each round, ours and the bare handler's, by size; the first round only warms up."""
    found: dict[int, list[tuple[Turn, Turn]]] = {size: [] for size in EACH}
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as directory:
        root = Path(directory)
        async with (
            embedded.serve(root / "database") as dsn,
            bare_serving(dsn) as bare_url,
            GitHubDouble(rate_limit=RATE_LIMIT) as github,
            serving(github, root / "data", DATABASE_URL=dsn, DOCKER_HOST=NOWHERE, EXTRACTION_CONCURRENCY="1") as service,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=SENDERS)) as session,
        ):
            repositories = await install(github)
            shas = [await git.resolve(repositories[0].directory, "refs/heads/main") or git.NO_COMMIT]
            for number in range(rounds + 1):
                for size, each in EACH.items():
                    new = [await github.push(repositories[0], {"n": f"{number} {size} {n}"}, deliver=False) for n in range(each)]
                    shas = [shas[-1], *new]
                    senders = [payloads(github, repository, shas, size) for repository in repositories]
                    await rest(github)
                    bare = await turn(session, bare_url, senders)
                    ours = await turn(session, f"{service.url}/api/webhooks/github", senders)
                    if number:
                        found[size].append((ours, bare))
    return found


def table(found: dict[int, list[tuple[Turn, Turn]]]) -> str:
    """Return medians, and the ratios of the rounds with their spread, as a Markdown table."""
    lines = ["| payload | | pushes a second | p50 | p95 |", "|---|---|---|---|---|"]
    for size, rounds in found.items():
        for name, turns in (("bare handler", [bare for _, bare in rounds]), ("Freshet", [ours for ours, _ in rounds])):
            rate, p50, p95 = (
                statistics.median(values) for values in zip(*((t.per_second, t.p50_ms, t.p95_ms) for t in turns), strict=True)
            )
            lines.append(f"| {size >> 10:,} KiB | {name} | {rate:,.0f} | {p50:.0f} ms | {p95:.0f} ms |")
        ratios = (
            [ours.per_second / bare.per_second for ours, bare in rounds],
            [ours.p50_ms / bare.p50_ms for ours, bare in rounds],
            [ours.p95_ms / bare.p95_ms for ours, bare in rounds],
        )
        cells = (f"**{statistics.median(values):.2f}×** ({min(values):.2f}–{max(values):.2f})" for values in ratios)
        lines.append(f"| | ratio, median (spread) | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.intake", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"{SENDERS} senders at once, {rounds} rounds after one to warm up", flush=True)
    print(table(asyncio.run(measure(rounds))))


if __name__ == "__main__":
    log.configure()
    main()
