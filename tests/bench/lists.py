"""`python -m tests.bench.lists [--connections N]`: how long the list of repositories takes for somebody who sees N of them.

And how long everybody else waits for the event loop meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import tempfile
import time
from pathlib import Path

from app.core import metrics
from app.store import Store, embedded, migrate, pool
from tests.integration.page_world import SERVICE, running

PATHS = ("/", "/?q=repository-49", "/?sort=state", "/?state=failed&page=50")
TIMES = 20
REPOSITORIES = (
    "INSERT INTO repositories (id, full_name, installation_id, default_branch, private) "
    "SELECT 100000 + n, 'octo/repository-' || n, installation_id, 'main', false FROM repositories, generate_series(1, $1) n"
)
CONNECTIONS = (
    "INSERT INTO connections (repository_id, project_dir, head_sha) "
    "SELECT 100000 + n, '', lpad(n::text, 40, '0') FROM generate_series(1, $1) n"
)
EXTRACTIONS = (
    "INSERT INTO extractions (connection_id, branch, sha, status, trigger) "
    "SELECT id, 'main', head_sha, 'failed', 'push' FROM connections WHERE head_sha IS NOT NULL"
)


async def measure(connections: int) -> None:
    """Open the list in several orders, and print the milliseconds."""
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as directory:
        async with embedded.serve(Path(directory)) as dsn, pool.connect(dsn, size=8) as db:
            await migrate.migrate(db)
            async with running(Store(db), dsn) as world:
                await db.execute(REPOSITORIES, connections)
                await db.execute(CONNECTIONS, connections)
                await db.execute(EXTRACTIONS)
                await db.execute("ANALYZE")
                browser = await world.browser()
                gc.freeze()  # as the service does
                watch = asyncio.create_task(metrics.watch_loop())
                for path in PATHS:
                    times = []
                    metrics.LONGEST_LAG.take()
                    for _ in range(TIMES):
                        began = time.perf_counter()
                        page = await browser.open(path, Authorization=f"Bearer {SERVICE}")
                        times.append(1000 * (time.perf_counter() - began))
                        assert page.status == 200, page.text
                    lag_ms = 1000 * metrics.LONGEST_LAG.take()
                    took = f"median {statistics.median(times):.0f} ms, most {max(times):.0f} ms"
                    print(f"{connections:,} connections, {path}: {took}; the event loop was late by at most {lag_ms:.0f} ms")
                watch.cancel()


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.lists", description=__doc__)
    parser.add_argument("--connections", type=int, default=5000)
    asyncio.run(measure(parser.parse_args().connections))


if __name__ == "__main__":
    main()
