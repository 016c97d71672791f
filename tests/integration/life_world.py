"""A worker with a real queue, a commit in git, and a scripted dbt: no container and no GitHub."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.core.models.annotations import Placeholder
from app.core.models.extractions import ENDED, Extraction, Usage
from app.core.models.github import Repository
from app.core.spool import Spool
from app.github.git.local import Place, local_source
from app.pipeline.bases import BaseFinder
from app.pipeline.decoding.inline import Inline
from app.pipeline.impacts import Impacts
from app.pipeline.ports import DbtJob, PackageRequest, PackageTree, Parsed, SourceTree, TarStream
from app.pipeline.refresh import Tools
from app.pipeline.worker import Worker
from app.project.runner_images import RunnerImage
from app.store import Store, listen
from tests.patience import HANGS_S

IMAGE = RunnerImage("dbt-runner:latest", "sha256:0", "1.11.16", frozenset({"duckdb"}))
REPOSITORY = Repository(7, "octo/shop", 70, "main")
FILES = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n",
    "models/a.sql": "select 1 as id",
    "integration_tests/dbt_project.yml": "name: shop_tests\nprofile: shop\n",
    ".github/freshet.yml": "vars:\n  db_password: correct horse battery\n  host: warehouse\n",
}
MANIFEST = json.dumps(
    {
        "metadata": {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
            "dbt_version": "1.11.16",
            "project_name": "shop",
            "adapter_type": "duckdb",
        },
        "nodes": {
            "model.shop.a": {"unique_id": "model.shop.a", "resource_type": "model", "name": "a", "package_name": "shop", "config": {}}
        },
        "parent_map": {"model.shop.a": []},
    }
).encode()
LOG = "09:00  Running with dbt=1.11.16\nconnecting as correct horse battery to warehouse\n\x1b[31mtoken=abc123abc123\x1b[0m\n"
PLACEHOLDERS = (Placeholder("env_var", "DBT_SCHEMA", "placeholder", "models/a.sql", 3),)
USAGE = Usage(2.5, 1.5, 200 << 20)

Dbt = Callable[[DbtJob], Awaitable[Parsed]]
"""What happens instead of `dbt parse`."""


@dataclass
class Runner:
    """A scripted `ports.Runner`."""

    dbt: Dbt
    image: RunnerImage = field(default=IMAGE, kw_only=True)

    async def images(self) -> Sequence[RunnerImage]:
        return [self.image]

    async def parse(self, job: DbtJob, tree: TarStream, packages: PackageTree | None) -> Parsed:
        del packages
        async for _ in tree:
            pass
        return await self.dbt(job)

    async def identify(self, request: PackageRequest) -> str:
        raise NotImplementedError

    async def install(self, request: PackageRequest) -> PackageTree:
        raise NotImplementedError

    async def sweep(self) -> int:
        return 0

    async def keep_warm(self, used: Sequence[tuple[str, str, float]]) -> None:
        """Keep none."""

    async def check(self) -> str:
        return "as it is told"

    async def close(self) -> None:
        """Nothing is left."""


@dataclass
class Git:
    """`ports.Sources` over a directory; `trouble` is raised instead."""

    path: Path
    work_dir: Path
    trouble: Exception | None = None
    opened: list[Repository] = field(default_factory=list)

    @asynccontextmanager
    async def open(self, repository: Repository, sha: str, ref: str = "") -> AsyncIterator[SourceTree]:
        del ref
        self.opened.append(repository)
        if self.trouble:
            raise self.trouble
        async with (
            local_source(Place(None, self.path, sha), dict(os.environ), self.work_dir) as source,
            source.open(source.repository, sha) as tree,
        ):
            yield tree


@dataclass
class World:
    """What tests of an extraction's life have in hand."""

    store: Store
    dsn: str
    git: Git
    sha: str
    connection_id: str
    work_dir: Path
    runner: Runner
    installer: Any = None
    """A scripted `ports.Installer`, for projects with packages."""
    fetcher: Any = None
    """Another one, for commits of strangers."""
    projects: Any = None
    """A `ports.ProjectFinder`, for projects that read others."""

    async def queued(self, sha: str | None = None, branch: str = "main") -> str:
        return await self.store.extractions.enqueue(self.connection_id, branch, sha or self.sha, "push", forced=True)

    async def get(self, extraction_id: str) -> Extraction:
        found = await self.store.extractions.get(extraction_id)
        assert found is not None
        return found

    async def until(self, extraction_id: str, is_so: Callable[[Extraction], bool]) -> Extraction:
        async with asyncio.timeout(HANGS_S):
            while not is_so(found := await self.get(extraction_id)):
                await asyncio.sleep(0.02)
        return found

    async def ended(self, extraction_id: str) -> Extraction:
        return await self.until(extraction_id, lambda one: one.status in ENDED)

    async def hurry(self) -> None:
        """Let what waits for its next try wait no longer."""
        await self.store._db.execute("UPDATE extractions SET due_at = now() WHERE status = 'queued'")
        await self.store._db.execute("SELECT pg_notify('freshet_queue', '')")

    async def parsed(self, log: str = LOG) -> Parsed:
        """What a dbt that did well leaves."""
        spool = Spool(self.work_dir)
        await spool.write(MANIFEST)
        await spool.flush()
        return Parsed(spool, log, USAGE, IMAGE.name, PLACEHOLDERS)

    @asynccontextmanager
    async def working(self, name: str = "w") -> AsyncIterator[Worker]:
        """Have a worker work, and stop it as a service does."""
        tools = Tools(self.git, self.installer, self.runner, Inline(), self.fetcher, self.projects)
        worker = Worker(name, self.store, tools, Impacts(self.store, BaseFinder(self.store)), concurrency=2)
        async with listen.listening(self.dsn) as listener:
            with listener.wakeup("freshet_queue") as wakeup, listener.wakeup("freshet_cancels") as cancels:
                task = asyncio.create_task(worker.run(wakeup, cancels))
                try:
                    yield worker
                finally:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)


async def make_world(store: Store, dsn: str, directory: Path) -> World:
    """Return a world with one connection, and a dbt that does well."""
    path = directory / "repository"
    for name, text in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    sha = committed(path)
    await store.installations.update_from_push(REPOSITORY)
    connection = await store.connections.create(REPOSITORY.id, "")
    await store.connections.move_head(connection.id, sha)
    work_dir = directory / "work"
    work_dir.mkdir()

    async def well(_: DbtJob) -> Parsed:
        return await world.parsed()

    world = World(store, dsn, Git(path, work_dir), sha, connection.id, work_dir, Runner(well))
    return world


def committed(path: Path) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(path), *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message=x")
    return git("rev-parse", "HEAD")
