"""The life of an installation: discovery, downtime, renames, suspension, re-runs, removal. GitHub and the engine are doubles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest_asyncio

from tests.double import GitHubDouble, Repository
from tests.engine import EngineDouble
from tests.patience import HANGS_S
from tests.service import Service, free_port, serving

TINY = {
    "dbt_project.yml": "name: tiny\nversion: '1.0'\nprofile: tiny\n",
    "models/a.sql": "select 1 as id",
    "models/b.sql": "select * from {{ ref('a') }}",
}


def below(directory: str, files: dict[str, str] = TINY, **more: str) -> dict[str, str]:
    return {f"{directory}/{path}": text for path, text in {**files, **more}.items()}


@pytest_asyncio.fixture
async def github() -> AsyncIterator[GitHubDouble]:
    async with GitHubDouble() as double:
        yield double
        assert double.violations == []


@pytest_asyncio.fixture
async def service(github: GitHubDouble, engine: EngineDouble, tmp_path: Path, dsn: str) -> AsyncIterator[Service]:
    async with serving(github, tmp_path, DATABASE_URL=dsn, DOCKER_HOST=engine.url, FRESHET_WARM_CONTAINERS="0") as running:
        yield running
        await running.stop()
        assert '"level": "error"' not in running.log
        assert "Traceback" not in running.log


async def until(condition: Callable[..., Any], *args: Any) -> Any:
    """Wait until a coroutine function returns a true value; that value."""
    async with asyncio.timeout(HANGS_S):
        while not (value := await condition(*args)):
            await asyncio.sleep(0.1)
    return value


async def sql(dsn: str, statement: str, *args: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch(statement, *args))
    finally:
        await connection.close()


async def ended(github: GitHubDouble, repository: Repository, sha: str, name: str = "dbt lineage") -> Any:
    return await github.wait_for_check_run(repository, sha, name=name)


async def test_a_monorepo_has_a_check_run_per_project_and_only_changed_projects_run(github: GitHubDouble, service: Service) -> None:
    files = {**below("sales"), **below("ops"), **below("common", {"dbt_project.yml": "name: common\nversion: '1.0'\n"})}
    files["sales/packages.yml"] = "packages:\n  - local: ../common\n"
    repository = await github.create_repository("octo/mono", files)
    sha = await github.push(repository, {"README.md": "x"}, deliver=False)
    await github.install("octo", [repository])
    for directory in ("sales", "ops"):
        assert (await ended(github, repository, sha, f"dbt lineage ({directory})")).conclusion == "success"
    found = (await service.get("/connections", repository="octo/mono"))["items"]
    assert sorted(one["project_dir"] for one in found) == ["ops", "sales"], "a local package is not a project of its own"

    second = await github.push(repository, {"sales/models/c.sql": "select * from {{ ref('b') }}"})
    sales, ops = [await ended(github, repository, second, f"dbt lineage ({directory})") for directory in ("sales", "ops")]
    assert "`c` is new" in (sales.summary or "")
    assert (ops.conclusion, "dbt did not run" in (ops.summary or "")) == ("success", True)
    for one in (await service.get("/connections", repository="octo/mono"))["items"]:
        lineage = await service.get(f"/connections/{one['id']}/lineage")
        assert (lineage["sha"], lineage["stale"], len(lineage["nodes"])) == (second, False, 3 if one["project_dir"] == "sales" else 2)

    third = await github.push(repository, {"common/macros/m.sql": "{% macro m() %}{% endmacro %}"})
    sales, ops = [await ended(github, repository, third, f"dbt lineage ({directory})") for directory in ("sales", "ops")]
    assert "dbt did not run" not in (sales.summary or ""), "a local package was changed"
    assert "dbt did not run" in (ops.summary or "")


async def test_connections_follow_projects_that_appear_move_and_disappear(github: GitHubDouble, service: Service) -> None:
    repository = await github.create_repository("octo/moving", {"README.md": "x"})
    await github.install("octo", [repository])
    sha = await github.push(repository, below("one"))
    assert (await ended(github, repository, sha)).conclusion == "success"
    first = await service.connection("octo/moving")

    sha = await github.push(repository, below("two"))
    assert (await ended(github, repository, sha, "dbt lineage (two)")).conclusion == "success"
    found = (await service.get("/connections", repository="octo/moving"))["items"]
    assert sorted(one["project_dir"] for one in found) == ["one", "two"]

    sha = await github.push(repository, {**dict.fromkeys(below("one")), **below("uno")})
    assert (await ended(github, repository, sha, "dbt lineage (uno)")).conclusion == "success"
    moved = await service.get(f"/connections/{first['id']}")
    assert (moved["project_dir"], moved["lineage_sha"]) == ("uno", sha), "its history moved with it"

    sha = await github.push(repository, dict.fromkeys(below("two")))
    gone = await ended(github, repository, sha, "dbt lineage (two)")
    assert (gone.conclusion, gone.title) == ("skipped", "The dbt project was removed")
    assert (await ended(github, repository, sha)).conclusion == "success"
    found = (await service.get("/connections", repository="octo/moving"))["items"]
    assert [one["project_dir"] for one in found] == ["uno"]


async def test_after_a_downtime_everything_becomes_current_automatically(
    github: GitHubDouble, engine: EngineDouble, tmp_path: Path, dsn: str
) -> None:
    ours: dict[str, Any] = {"DATABASE_URL": dsn, "DOCKER_HOST": engine.url, "FRESHET_WARM_CONTAINERS": "0"}
    repositories = [await github.create_repository(f"octo/missed{number}", TINY) for number in range(4)]
    port = free_port()
    async with serving(github, tmp_path, port=port, **ours):
        await github.install("octo", repositories)
        for repository in repositories:
            run = await until(_completed, github, repository)
            assert run.conclusion == "success"
    lost = {}
    for number in range(3):
        for repository in repositories:
            lost[repository.id] = await github.push(repository, {"models/a.sql": f"select {number} as lost"})
    side = await github.push(repositories[0], {"models/side.sql": "select 1"}, branch="side")
    async with serving(github, tmp_path, port=port, **ours, FRESHET_RUNNING_PER_INSTALLATION="2") as service:
        for repository in repositories:
            # Redeliveries may arrive in another order: a commit can look superseded until GitHub is asked for the head.
            await until(_successful, github, repository, lost[repository.id])
            connection = await service.connection(repository.full_name)
            current = await until(_current, service, connection["id"], lost[repository.id])
            assert current["stale"] is False
        assert (await ended(github, repositories[0], side)).conclusion == "success", "only a redelivery reports a side branch"
        assert (await service.get("/extractions/active"))["items"] == []
    for repository in repositories:
        assert all(run.status == "completed" for run in github.check_runs(repository)), "no check run stays open"


async def _completed(github: GitHubDouble, repository: Repository) -> Any:
    return next((run for run in github.check_runs(repository) if run.status == "completed"), None)


async def _successful(github: GitHubDouble, repository: Repository, sha: str) -> bool:
    return any(run.conclusion == "success" for run in github.check_runs(repository, sha))


async def _current(service: Service, connection_id: str, sha: str) -> Any:
    found = await service.get(f"/connections/{connection_id}")
    return found if found["lineage_sha"] == sha else None


async def test_a_rename_a_new_default_branch_and_a_deletion(github: GitHubDouble, service: Service) -> None:
    repository = await github.create_repository("octo/before", TINY)
    await github.install("octo", [repository])
    await until(_completed, github, repository)
    connection = await service.connection("octo/before")
    await github.rename_repository(repository, "after")
    assert (await service.connection("octo/after"))["id"] == connection["id"]
    sha = await github.push(repository, {"models/c.sql": "select 1"})
    assert (await ended(github, repository, sha)).conclusion == "success"

    await github.create_branch(repository, "trunk", sha, deliver=False)
    head = await github.push(repository, {"models/d.sql": "select 1"}, branch="trunk", deliver=False)
    await github.set_default_branch(repository, "trunk")
    assert (await ended(github, repository, head)).conclusion == "success"
    moved = await until(_current, service, connection["id"], head)
    assert moved["branch"] == "trunk"

    await github.delete_repository(repository)
    await until(_gone, service, "octo/after")


async def _gone(service: Service, name: str) -> bool:
    return not (await service.get("/connections", repository=name))["items"]


async def test_a_suspended_installation_resumes(github: GitHubDouble, service: Service, dsn: str) -> None:
    repository = await github.create_repository("octo/paused", TINY)
    installation = await github.install("octo", [repository])
    await until(_completed, github, repository)
    await github.suspend(installation)
    await until(sql, dsn, "SELECT 1 FROM installations WHERE suspended_at IS NOT NULL")
    await asyncio.sleep(1)  # GitHub says in whole seconds when a repository was pushed to last
    sha = await github.push(repository, {"models/c.sql": "select 1"})
    requests = len(github.requests)
    await asyncio.sleep(1)
    assert len(github.requests) - requests < 10, "it stops instead of retrying"
    await github.unsuspend(installation)
    assert (await ended(github, repository, sha)).conclusion == "success"


async def test_a_rerun_on_github_creates_an_extraction_and_a_check_run(github: GitHubDouble, service: Service) -> None:
    repository = await github.create_repository("octo/again", TINY)
    await github.install("octo", [repository])
    run = await until(_completed, github, repository)
    await github.rerequest(run)
    runs = await until(_two, github, repository)
    assert [one.conclusion for one in runs] == ["success", "success"]
    assert runs[0].external_id != runs[1].external_id
    assert "dbt did not run" not in (runs[1].summary or ""), "it was requested explicitly"


async def _two(github: GitHubDouble, repository: Repository) -> Any:
    runs = [run for run in github.check_runs(repository) if run.status == "completed"]
    return runs if len(runs) == 2 else None


async def test_uninstalled_data_is_deleted_after_the_grace_period(
    github: GitHubDouble, engine: EngineDouble, tmp_path: Path, dsn: str
) -> None:
    repository = await github.create_repository("octo/leaving", TINY)
    ours: dict[str, Any] = {"DATABASE_URL": dsn, "DOCKER_HOST": engine.url, "FRESHET_WARM_CONTAINERS": "0"}
    async with serving(github, tmp_path, **ours, FRESHET_GRACE_DAYS="0") as service:
        installation = await github.install("octo", [repository])
        await until(_completed, github, repository)
        mirror = tmp_path / "work" / "git" / f"{repository.id}.git"
        assert mirror.exists()
        await github.uninstall(installation)
        await until(_gone, service, "octo/leaving")
        await sql(dsn, "UPDATE chores SET due_at = now() WHERE name = 'purge'")
        await until(_empty, dsn)
        assert not mirror.exists()


async def _empty(dsn: str) -> bool:
    tables = ("installations", "repositories", "connections", "extractions", "lineages", "nodes", "check_runs")
    return not any([await sql(dsn, f"SELECT 1 FROM {table} LIMIT 1") for table in tables])  # noqa: S608 - our own names
