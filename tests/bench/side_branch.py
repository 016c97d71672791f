"""`python -m tests.bench.side_branch [--models N] [--pushes N]`: how soon after its graph a push to a side branch has its check run.

One SQL file of a generated project changes with each push, and the service has a warm container. From the graph on, columns are traced,
both are stored, and the commit is compared with its merge base.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg

from app.store import embedded
from tests.bench import generate
from tests.bench.__main__ import TIMEOUT_S, Bench
from tests.double import GitHubDouble
from tests.service import serving

TIMES = (
    "SELECT extract(epoch FROM lineage_at)::float8 AS graph_at, stages FROM extractions "
    "WHERE sha = $1 AND status = 'succeeded' ORDER BY number LIMIT 1"
)


async def measure(models: int, pushes: int) -> None:
    """Push, and print the seconds of each push."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freshet-bench-")))
        dsn = await stack.enter_async_context(embedded.serve(directory))
        github = await stack.enter_async_context(GitHubDouble(rate_limit=1_000_000))
        await github.install("bench")
        service = await stack.enter_async_context(serving(github, directory / "data", DATABASE_URL=dsn))
        bench, files = Bench(github, service, dsn, directory / "naive"), generate.generate(models)
        repository = await github.create_repository("bench/shop", {}, private=False)
        await bench.push(repository, files)
        database = await asyncpg.connect(dsn)
        stack.push_async_callback(database.close)
        found = []
        for _ in range(pushes):
            await bench.rest()
            asked, changed = len(github.requests), generate.edit(files, "sql")
            files |= changed
            sha = await github.push(repository, dict(changed), branch="side")
            await github.wait_for_check_run(repository, sha, timeout_s=TIMEOUT_S)
            seen_at = time.time()
            row = await database.fetchrow(TIMES, sha)
            assert row is not None
            stages = {one["stage"]: one for one in json.loads(row["stages"])}
            whole_s = seen_at - row["graph_at"]
            requests = sum("/repos/" in one.path for one in github.requests[asked:])
            found.append(whole_s)
            print(f"  check run {whole_s:.2f} s after the graph, {requests} requests, stages {', '.join(stages)}", flush=True)
        print(f"{models:,} models: median {statistics.median(found):.2f} s ({min(found):.2f}–{max(found):.2f})")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.side_branch", description=__doc__)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--pushes", type=int, default=7)
    options = parser.parse_args()
    asyncio.run(measure(options.models, options.pushes))


if __name__ == "__main__":
    main()
