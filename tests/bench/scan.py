"""`python -m tests.bench.scan`: the requests and the time for surveying an installation with very many repositories.

    python -m tests.bench.scan [--repositories N] [--concurrency N]

GitHub's double runs in a process of its own: the memory that is measured is that of the survey alone. All repositories share two
git repositories: one in 20 is a dbt project.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import resource
import time
import tracemalloc
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from app.core import log
from app.core.models.github import RepositoryState
from app.github.app.auth import AppAuth
from app.github.rest.checks import GitHubClient
from app.github.rest.http import ApiClient
from app.github.rest.inventory import Inventory
from app.project import discovery
from app.project.repository_settings import RepositorySettings
from tests.double import GitHubDouble, Repository

ONE_IN = 20
RATE_LIMIT = 1_000_000
FILES = {f"src/module_{number}.py": "" for number in range(50)}
PROJECT = {"transform/dbt_project.yml": "name: shop\n", **{f"transform/models/m{number}.sql": "select 1" for number in range(50)}}

Etags = dict[int, str | None]


@dataclass(frozen=True)
class Host:
    """The double's address, and our credentials there."""

    api_url: str
    app_id: int
    private_key_pem: str
    installation_id: int


@dataclass(frozen=True)
class Row:
    """One measured step."""

    name: str
    found: str
    requests: Counter[str]
    seconds: float
    peak_bytes: int


# -- the process of the double


def serve(repositories: int, pipe: Connection) -> None:
    """Run the double; for each message in the pipe, answer with the requests since the last one."""
    asyncio.run(_serve(repositories, pipe))


async def _serve(repositories: int, pipe: Connection) -> None:
    async with GitHubDouble(rate_limit=RATE_LIMIT) as github:
        plain = await github.create_repository("bench/r0", dict(FILES))
        dbt = await github.create_repository("bench/r1", {**FILES, **PROJECT})
        for number in range(2, repositories):
            _copy(github, f"bench/r{number}", dbt if number % ONE_IN == 1 else plain)
        installed = await github.install("bench")
        github.requests.clear()
        pipe.send(Host(github.api_url, github.app.id, github.app.private_key_pem, installed.id))
        while await asyncio.to_thread(pipe.recv):
            pipe.send(Counter(_kind(request.method, request.path, request.status) for request in github.requests))
            github.requests.clear()


def _copy(github: GitHubDouble, full_name: str, like: Repository) -> None:
    """Add a repository with the commits of another one."""
    state = github.state
    made = Repository(next(state.ids), full_name, like.private, "main", like.directory, like.created_at, like.pushed_at)
    state.repositories[made.id] = made


def _kind(method: str, path: str, status: int) -> str:
    """The kind of a request in the table. Requests for tokens do not count towards the installation's limit."""
    words = {"/access_tokens": "tokens", "/git/ref/": "refs", "/git/trees/": "trees", "/installation/repositories": "pages"}
    name = next((word for part, word in words.items() if part in path), "lookups")
    return f"{name} (304)" if status == 304 else name


# -- the process that scans


async def scan(host: Host, pipe: Connection, concurrency: int) -> list[Row]:
    """List the repositories, look into each as after an installation, then twice as the reconciler does: first new, then unchanged."""
    async with ApiClient(host.api_url) as api:
        auth = AppAuth(host.app_id, host.private_key_pem, api)
        client = GitHubClient(api, auth)
        survey = Inventory(api, auth, client)
        known: list[RepositoryState] = []
        etags: Etags = {}

        async def look(state: RepositoryState) -> int:
            now = await client.describe(state.repository)
            sha = await client.branch_head(now, now.default_branch or "")
            return _count(await client.paths(now, sha)) if sha else 0

        async def compare(state: RepositoryState) -> int:
            head = await survey.branch_head(state.repository, "main", etags.get(state.repository.id))
            if head is None or head.sha is None:
                return 0
            etags[state.repository.id] = head.etag
            return _count(await survey.paths(state.repository, head.sha))

        async def each(ask: Callable[[RepositoryState], Awaitable[int]]) -> str:
            return f"{sum(await _all(known, ask, concurrency)):,} projects"

        async def listing() -> str:
            known[:] = await survey.repositories(host.installation_id)
            return f"{len(known):,} repositories"

        rows = [await _measure("Survey.repositories", pipe, listing)]
        rows.append(await _measure("GitHub.head of each", pipe, lambda: each(look)))
        auth.forget(host.installation_id)
        rows.append(await _measure("branch_head + paths of each", pipe, lambda: each(compare)))
        rows.append(await _measure("the same, nothing changed", pipe, lambda: each(compare)))
        return rows


def _count(paths: Sequence[str]) -> int:
    return len(discovery.find_projects(paths, {}, RepositorySettings()).projects)


async def _all(states: list[RepositoryState], ask: Callable[[RepositoryState], Awaitable[int]], concurrency: int) -> list[int]:
    """Look at all of them, `concurrency` at a time, without a task for each, as the reconciler does."""
    results: list[int] = []
    waiting = iter(states)

    async def take() -> None:
        for state in waiting:
            results.append(await ask(state))  # noqa: PERF401 - the others append meanwhile

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(take())
    return results


async def _measure(name: str, pipe: Connection, work: Callable[[], Awaitable[str]]) -> Row:
    gc.collect()
    tracemalloc.reset_peak()
    before, began = tracemalloc.get_traced_memory()[0], time.perf_counter()
    found = await work()
    seconds, peak = time.perf_counter() - began, tracemalloc.get_traced_memory()[1] - before
    pipe.send(True)  # noqa: FBT003 - anything will do
    return Row(name, found, await asyncio.to_thread(pipe.recv), seconds, peak)


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| step | found | requests | of these | wall | peak memory |", "|---|---|---|---|---|---|"]
    for row in rows:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in row.requests.most_common())
        memory = f"{row.peak_bytes / 2**20:.1f} MiB"
        lines.append(f"| {row.name} | {row.found} | {row.requests.total():,} | {kinds} | {row.seconds:.1f} s | {memory} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scan", description=__doc__)
    parser.add_argument("--repositories", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=8)
    options = parser.parse_args()
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    double = spawning.Process(target=serve, args=(options.repositories, theirs), daemon=True)
    double.start()
    host = ours.recv()
    tracemalloc.start()
    try:
        rows = asyncio.run(scan(host, ours, options.concurrency))
        ours.send(False)  # noqa: FBT003 - the end
        double.join(10)
    finally:
        double.kill()
    print(table(rows))
    print(f"\nlargest resident set of the scanning process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    log.configure()
    main()
