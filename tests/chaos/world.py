"""A world to break: a PostgreSQL of its own, processes of the service, the double of GitHub, and what was pushed there."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests import scratch
from tests.chaos import database
from tests.double import GitHubDouble, Installation, Repository
from tests.double.state import Clock, system_clock
from tests.service import Service, free_port, serving

MARK = "CHAOS_WORLD"
"""In the environment of every process of a world."""
PROJECT = {"dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n", "models/a.sql": "select 1 as id"}
MINIATURE = {"CHAOS_DBT": "miniature", "DOCKER_HOST": "tcp://127.0.0.1:1"}


@dataclass
class World:
    """`models`: the names of the models at each commit; `heads`: the newest commit of each repository."""

    name: str
    directory: Path
    random: Random
    database: database.Server
    github: GitHubDouble
    stack: AsyncExitStack
    variables: dict[str, str]
    ports: list[int] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    repositories: list[Repository] = field(default_factory=list)
    installation: Installation | None = None
    models: dict[str, frozenset[str]] = field(default_factory=dict)
    heads: dict[int, str] = field(default_factory=dict)
    settles_s: float = 90.0
    """How long it may take until nothing is left to do, of waits that are a tenth of the product's."""
    known: set[str] = field(default_factory=set)
    """Violations that were found already."""

    async def start(self, place: int = 0, **variables: str) -> Service:
        """Start the process of a place, which has a port and a directory of its own, and wait until it is ready."""
        while len(self.ports) <= place:
            self.ports.append(free_port())
        webhook = self.github.app.webhook_url
        own = self.directory / f"service{place}"
        (own / "tmp").mkdir(parents=True, exist_ok=True)
        settings: dict[str, Any] = {
            "DATABASE_URL": self.database.dsn,
            "TMPDIR": str(own / "tmp"),
            MARK: self.name,
            **self.variables,
            **variables,
        }
        running = await self.stack.enter_async_context(
            serving(self.github, own, port=self.ports[place], module="tests.chaos.served", **settings)
        )
        if webhook is not None:
            self.github.app.webhook_url = webhook
        self.services = [one for one in self.services if one.process.returncode is None] + [running]
        return running

    async def kill(self, service: Service) -> None:
        """SIGKILL."""
        with suppress(ProcessLookupError):
            service.process.kill()
        await service.process.wait()
        self.services = [one for one in self.services if one is not service]

    async def stop(self) -> None:
        """Stop every process as an operator does."""
        for service in self.services:
            await service.stop()
        self.services = []

    async def repository(self, name: str, *, deliver: bool = True) -> Repository:
        """Another repository, installed with the others."""
        found = await self.github.create_repository(f"octo/{name}", {})
        self.repositories.append(found)
        await self.push(found, deliver=deliver)
        return found

    async def push(self, repository: Repository, *, deliver: bool = True, **more: str) -> str:
        """Push one more model; the commit."""
        before = self.models.get(self.heads.get(repository.id, ""), frozenset())
        model = f"m{len(before)}_{secrets.token_hex(3)}"
        files = {**({} if before else PROJECT), f"models/{model}.sql": f"select * from {{{{ ref('a') }}}} -- {len(before)}", **more}
        sha = await self.github.push(repository, files, deliver=deliver)
        self.models[sha] = (before or frozenset({"a"})) | {model}
        self.heads[repository.id] = sha
        return sha

    async def extractions(self, status: str) -> int:
        return int(await self.database.value("SELECT count(*) FROM extractions WHERE status = $1", status))


def processes(world: World) -> dict[int, str]:
    """The commands of all processes of a world, but for its PostgreSQL."""
    found, mark = {}, f"{MARK}={world.name}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


@asynccontextmanager
async def opened(
    seed: int, variables: Mapping[str, str], *, disk_mib: int | None = None, clock: Clock = system_clock
) -> AsyncIterator[World]:
    """A world without a process of the service yet. `variables` are those of each process."""
    scratch.use()
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        directory = Path(name)
        (directory / "database").mkdir()
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(database.serving(directory / "database", disk_mib=disk_mib))
            github = await stack.enter_async_context(GitHubDouble(clock=clock))
            world = World(secrets.token_hex(6), directory, Random(seed), server, github, stack, dict(variables))
            try:
                yield world
            finally:
                for pid in processes(world):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


async def until(condition: Callable[[], Awaitable[object]], seconds: float) -> bool:
    """Wait until a coroutine function returns a true value; False if it did not in time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(0.05)
            return True
    return False
