"""A world under load: PostgreSQL, the double of GitHub with repositories, and the service, by default with a dbt in miniature."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from app.store import embedded
from tests import scratch
from tests.double import GitHubDouble, Repository
from tests.patience import HANGS_S
from tests.service import Service, serving

STUBBED = "tests.bench.stubbed"
NO_ENGINE = "tcp://127.0.0.1:1"
FILES = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n",
    "profiles.yml": "shop: {target: dev, outputs: {dev: {type: duckdb}}}\n",
    "models/orders.sql": "select 1 as id\n",
}
ACTIVE = """
SELECT string_agg(count || ' ' || what, ', ') FROM (
    SELECT status::text AS what, count(*) FROM extractions WHERE status IN ('queued', 'running') GROUP BY 1
    UNION ALL SELECT 'check runs to send', count(*) FROM check_runs WHERE sent < revision AND abandoned IS NULL
    UNION ALL SELECT 'lineages to index', count(*) FROM search_updates
) AS active WHERE count > 0
"""
UNSEEN = (
    "SELECT count(*) FROM repositories r JOIN installations i ON i.id = r.installation_id "
    "WHERE r.looked_at IS NULL OR r.look_at IS NOT NULL OR i.survey_at IS NOT NULL"
)
CLIENTS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"


@dataclass
class World:
    """`directory`: the data directory of the service."""

    github: GitHubDouble
    service: Service
    repositories: list[Repository]
    directory: Path
    database: asyncpg.Connection
    pushes: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def gate(self) -> Path:
        """While this file is there, extractions end."""
        return gate_of(self.directory)

    async def value(self, statement: str, *args: object) -> Any:
        async with self.lock:
            return await self.database.fetchval(statement, *args)

    async def push(self, repository: Repository) -> str:
        """Change a model; the commit."""
        self.pushes += 1
        return await self.github.push(repository, {"models/orders.sql": f"select {self.pushes} as id\n"})

    async def push_to_all(self) -> dict[int, str]:
        """Change a model in each repository; the commits by repository."""
        return {one.id: await self.push(one) for one in self.repositories}

    async def seen(self) -> None:
        """Wait until the service has looked at all repositories."""
        async with asyncio.timeout(HANGS_S):
            while await self.value(UNSEEN):
                await asyncio.sleep(0.05)

    async def settled(self) -> None:
        """Wait until nothing is queued, running or to be sent."""
        deadline = time.monotonic() + HANGS_S
        while left := await self.value(ACTIVE):
            assert time.monotonic() < deadline, left
            await asyncio.sleep(0.05)

    async def connections(self) -> dict[int, str]:
        """The id of the connection of each repository."""
        return {one.id: (await self.service.connection(one.full_name))["id"] for one in self.repositories}


def gate_of(directory: Path) -> Path:
    return directory / "gate"


@asynccontextmanager
async def opened(repositories: int, *, module: str = STUBBED, **variables: str) -> AsyncIterator[World]:
    """A world whose service has extracted every repository once.

    Each repository has an installation of its own: GitHub lets one of them create a few hundred check runs an hour.
    """
    scratch.use()
    with tempfile.TemporaryDirectory(prefix="freshet-load-") as name:
        async with AsyncExitStack() as stack:
            directory = Path(name) / "data"
            (directory / "tmp").mkdir(parents=True)
            gate_of(directory).touch()
            dsn = await stack.enter_async_context(embedded.serve(Path(name) / "database"))
            github = await stack.enter_async_context(GitHubDouble())
            known = [await github.create_repository(f"octo{number}/shop", FILES) for number in range(repositories)]
            for one in known:
                await github.install(one.owner, [one])
            settings: dict[str, Any] = {
                "DATABASE_URL": dsn,
                "TMPDIR": str(directory / "tmp"),
                "EXTRACTION_CONCURRENCY": "2",
                **({"BENCH_GATE": str(gate_of(directory)), "DOCKER_HOST": NO_ENGINE} if module == STUBBED else {}),
                **variables,
            }
            service = await stack.enter_async_context(serving(github, directory, module=module, **settings))
            database = await asyncpg.connect(dsn)
            stack.push_async_callback(database.close)
            world = World(github, service, known, directory, database)
            for one in known:
                await service.connection(one.full_name)
            await world.seen()
            await world.settled()
            yield world
