"""Creating, changing and removing connections, with real pushes to two branches. GitHub and the engine are doubles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.double import GitHubDouble, Repository
from tests.engine import EngineDouble
from tests.patience import HANGS_S
from tests.service import TOKEN, Service, serving

TINY = {
    "shop/dbt_project.yml": "name: tiny\nversion: '1.0'\nprofile: tiny\n",
    "shop/models/a.sql": "select 1 as id",
    "shop/models/b.sql": "select * from {{ ref('a') }}",
}
ENDLESS = "{% for i in range(100000) %}{% for j in range(100000) %}{% set x = i %}{% endfor %}{% endfor %} select 1"
FRESH_S = 6.0
"""After this, GitHub is asked again."""


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
        assert "signature=" not in running.log


async def ask(service: Service, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
    """Ask the API; the status is asserted."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with service.session.request(method, f"{service.url}/api/metadata{path}", json=body, headers=headers) as response:
        text = await response.text()
        assert response.status == status, f"{method} {path}: {response.status} {text}"
        return await response.json() if text else None


async def until(condition: Callable[[], Any]) -> Any:
    """Wait until a condition (a coroutine function) holds and return its value."""
    async with asyncio.timeout(HANGS_S):
        while not (value := await condition()):
            await asyncio.sleep(0.1)
    return value


async def at(service: Service, connection_id: str, sha: str) -> Any:
    """Wait until a connection's lineage is of a commit."""

    async def arrived() -> Any:
        shown = await ask(service, "GET", f"/connections/{connection_id}")
        return shown if shown["lineage_sha"] == sha else None

    return await until(arrived)


async def names(service: Service, connection_id: str) -> set[str]:
    lineage = await service.get(f"/connections/{connection_id}/lineage")
    return {node["name"] for node in lineage["nodes"]}


async def ended(github: GitHubDouble, repository: Repository, sha: str) -> Any:
    return await github.wait_for_check_run(repository, sha)


async def test_a_project_followed_on_two_branches(github: GitHubDouble, service: Service) -> None:
    repository = await github.create_repository("octo/shop", TINY)
    await github.install("octo", [repository])
    main = await service.connection("octo/shop")
    base = (await until(lambda: _lineage(service, main["id"])))["lineage_sha"]

    dev = await github.push(repository, {"shop/models/dev.sql": "select * from {{ ref('b') }}"}, branch="dev")
    assert (await ended(github, repository, dev)).conclusion == "success"
    second = await ask(service, "POST", "/connections", {"repository": "octo/shop", "project_dir": "shop", "branch": "dev"}, status=201)
    assert (await at(service, second["id"], dev))["project_name"] == "tiny"
    assert (await names(service, second["id"]), await names(service, main["id"])) == ({"a", "b", "dev"}, {"a", "b"})

    dev = await github.push(repository, {"shop/models/more.sql": "select 2 as id"}, branch="dev")
    run = await ended(github, repository, dev)
    assert (run.name, run.conclusion) == ("dbt lineage", "success"), "two connections are still one project"
    assert len(github.check_runs(repository, dev)) == 1, "one commit, one project, one branch: one check run"
    assert "more" in await names(service, second["id"])
    assert (await ask(service, "GET", f"/connections/{main['id']}"))["lineage_sha"] == base

    changed = await ask(service, "PATCH", f"/connections/{second['id']}", {"branch": None}, status=409)
    assert changed["connection_id"] == main["id"]
    await ask(service, "DELETE", f"/connections/{main['id']}", status=204)
    changed = await ask(service, "PATCH", f"/connections/{second['id']}", {"branch": None})
    assert (changed["branch"], changed["stale"], changed["lineage_sha"]) == ("main", True, dev)
    await at(service, second["id"], base)
    assert await names(service, second["id"]) == {"a", "b"}

    await ask(service, "DELETE", f"/connections/{second['id']}", status=204)
    silent = await github.push(repository, {"shop/models/a.sql": "select 3 as id"})
    await asyncio.sleep(1)
    assert github.check_runs(repository, silent) == [], "it is no longer followed"
    back = await ask(service, "POST", "/connections", {"repository": "octo/shop", "project_dir": "shop"}, status=201)
    assert (await at(service, back["id"], silent))["stale"] is False
    assert (await ended(github, repository, silent)).conclusion == "success"


async def _lineage(service: Service, connection_id: str) -> Any:
    shown = await ask(service, "GET", f"/connections/{connection_id}")
    return shown if shown["lineage_sha"] else None


async def test_removing_a_connection_stops_its_extraction(github: GitHubDouble, service: Service) -> None:
    repository = await github.create_repository("octo/busy", TINY)
    await github.install("octo", [repository])
    connection = await service.connection("octo/busy")
    await until(lambda: _lineage(service, connection["id"]))
    sha = await github.push(repository, {"shop/models/a.sql": ENDLESS})
    await github.wait_for_check_run(repository, sha, status="in_progress")
    await ask(service, "DELETE", f"/connections/{connection['id']}", status=204)
    run = await github.wait_for_check_run(repository, sha)
    assert run.conclusion == "cancelled"
    assert (await service.get("/extractions/active"))["items"] == []


async def test_statistics_freshness_and_badge_of_real_extractions(github: GitHubDouble, service: Service) -> None:
    repository = await github.create_repository("octo/shop", TINY)
    await github.install("octo", [repository])
    connection = await service.connection("octo/shop")
    await until(lambda: _lineage(service, connection["id"]))
    sha = await github.push(repository, {"shop/models/c.sql": "select * from {{ ref('a') }}"})
    assert (await ended(github, repository, sha)).conclusion == "success"
    stats = await ask(service, "GET", f"/connections/{connection['id']}/stats")
    assert stats["resources"] == {
        "sha": sha,
        "extracted_at": stats["resources"]["extracted_at"],
        "by_type": {"model": 3},
        "nodes": 3,
        "edges": 2,
    }
    assert stats["extractions"]["by_status"] == {"succeeded": 2}
    stages = {stage["stage"]: stage for stage in stats["stages"]}
    assert {"cloning", "parsing", "storing"} <= stages.keys()
    assert stages["parsing"]["p95"] >= stages["parsing"]["p50"] > 0
    assert stats["cpu_seconds"]["sum"] >= stats["cpu_seconds"]["last"] > 0
    assert stats["peak_memory_bytes"]["max"] >= stats["peak_memory_bytes"]["last"] > 1 << 20

    fresh = await ask(service, "GET", f"/connections/{connection['id']}/freshness")
    assert (fresh["head"]["sha"], fresh["current"], fresh["lag_seconds"]) == (sha, True, 0)
    assert [(one["days"], one["met"], one["share"]) for one in fresh["objectives"]] == [(7, 2, 1.0), (30, 2, 1.0)]

    badge = await ask(service, "GET", f"/connections/{connection['id']}/badge")
    async with service.session.get(badge["url"]) as response:
        assert (response.status, f"fresh {sha[:7]}" in await response.text()) == (200, True)

    lost = await github.push(repository, {"shop/models/d.sql": "select 4 as id"}, deliver=False)
    await asyncio.sleep(FRESH_S)
    fresh = await ask(service, "GET", f"/connections/{connection['id']}/freshness")
    assert (fresh["head"]["sha"], fresh["current"]) == (lost, False)
    await at(service, connection["id"], lost)
