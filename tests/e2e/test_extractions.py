"""Logs, cancel and retry, and stopping a service with many open streams. Only GitHub is a double."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp
import pytest_asyncio

from tests.double import GitHubDouble, Repository
from tests.patience import HANGS_S
from tests.service import TOKEN, Service, serving

HEADERS = {"Authorization": f"Bearer {TOKEN}"}
ENDLESS = "{% for i in range(100000) %}{% for j in range(100000) %}{% set x = i %}{% endfor %}{% endfor %} select 1"
TINY = {
    "dbt_project.yml": "name: tiny\nversion: '1.0'\nprofile: tiny\n",
    "models/a.sql": "{{ log('the password=hunter2hunter2 of ' ~ env_var('WHO'), info=true) }} select 1 as id",
    "models/b.sql": "select * from {{ ref('a') }}",
}
VIEWERS = 50


@pytest_asyncio.fixture(scope="module")
async def github() -> AsyncIterator[GitHubDouble]:
    async with GitHubDouble() as double:
        yield double
        assert double.violations == []


@pytest_asyncio.fixture(scope="module")
async def service(github: GitHubDouble, tmp_path_factory: Any, module_dsn: str) -> AsyncIterator[Service]:
    async with serving(github, tmp_path_factory.mktemp("data"), DATABASE_URL=module_dsn, FRESHET_WARM_CONTAINERS="0") as running:
        yield running
        await running.stop()
        assert '"level": "error"' not in running.log
        assert "Traceback" not in running.log
        assert "hunter2" not in running.log


async def installed(github: GitHubDouble, name: str) -> Repository:
    repository = await github.create_repository(f"{name}-team/{name}", {})
    await github.install(f"{name}-team", [repository])
    return repository


async def text(service: Service, path: str) -> str:
    async with service.session.get(f"{service.url}/api/metadata{path}", headers=HEADERS) as response:
        assert response.status == 200
        return await response.text()


async def test_log_and_facts_of_a_success_and_of_a_failure(github: GitHubDouble, service: Service) -> None:
    repository = await installed(github, "logged")
    run = await github.wait_for_check_run(repository, await github.push(repository, TINY))
    assert run.conclusion == "success", run.summary
    log = await text(service, f"/extractions/{run.external_id}/logs")
    assert "Running with dbt=" in log
    assert "the password=*** of" in log
    assert "\x1b" not in log
    good = await service.get(f"/extractions/{run.external_id}")
    assert [one["outcome"] for one in good["tries"]] == ["succeeded"]
    assert good["cost"]["fetched_bytes"] > 100
    assert good["cost"]["manifest_bytes"] > 10_000
    assert good["cost"]["cpu_seconds"] > 0
    assert good["cost"]["peak_memory_bytes"] > 10 << 20
    assert good["settings"]["adapter_type"]
    assert [one["name"] for one in good["placeholders"]] == ["WHO"]

    broken = {"models/b.sql": "select * from {{ ref('nothing') }}"}
    run = await github.wait_for_check_run(repository, await github.push(repository, broken))
    assert run.conclusion == "failure", run.summary
    log = await text(service, f"/extractions/{run.external_id}/logs")
    assert "Running with dbt=" in log
    failed = await service.get(f"/extractions/{run.external_id}")
    assert failed["result"] is None
    assert failed["tries"][0]["title"] == failed["error"]["title"]
    assert failed["settings"] == good["settings"]
    assert failed["cost"]["cpu_seconds"] > 0
    assert failed["cost"]["manifest_bytes"] is None

    again = await service.post(f"/extractions/{run.external_id}/retry")
    assert (again["sha"], again["trigger"]) == (run.head_sha, "api")
    history = await service.get(f"/connections/{again['connection_id']}/extractions", sha=run.head_sha)
    assert [one["id"] for one in history["items"]] == [again["id"], run.external_id]


async def test_cancelling_stops_the_container(github: GitHubDouble, service: Service, docker: aiodocker.Docker) -> None:
    repository = await installed(github, "endless")
    sha = await github.push(repository, {**TINY, "models/a.sql": ENDLESS})
    await github.wait_for_check_run(repository, sha, status="in_progress")
    connection = await service.connection("endless-team/endless")
    async with asyncio.timeout(HANGS_S):
        while (running := await service.get(f"/connections/{connection['id']}/progress"))["stage"] != "parsing":
            await asyncio.sleep(0.1)
        while not await containers(docker, running["id"]):
            await asyncio.sleep(0.1)
        while "Running with dbt=" not in (log := await text(service, f"/extractions/{running['id']}/logs")):
            await asyncio.sleep(0.1)
    assert log.endswith("\n"), "only complete lines are shown"
    assert (await service.post(f"/extractions/{running['id']}/cancel"))["status"] == "cancelled"
    run = await github.wait_for_check_run(repository, sha)
    assert (run.conclusion, run.title) == ("cancelled", "Cancelled")
    async with asyncio.timeout(HANGS_S):
        while await containers(docker, running["id"]):
            await asyncio.sleep(0.1)
    await service.post(f"/extractions/{running['id']}/cancel")
    assert "Running with dbt=" in await text(service, f"/extractions/{running['id']}/logs"), "what dbt said stays"
    shown = await service.get(f"/connections/{connection['id']}")
    assert (shown["lineage_sha"], shown["stale_reason"]) == (None, "Its extraction was cancelled")
    good = await github.wait_for_check_run(repository, await github.push(repository, TINY))
    assert good.conclusion == "success", "the next extraction works as usual"
    problem = await service.post(f"/extractions/{good.external_id}/cancel", status=409)
    assert "succeeded" in problem["detail"]


async def containers(docker: aiodocker.Docker, extraction_id: str) -> list[Any]:
    """Containers of an extraction; a warm one is renamed when it gets its job."""
    found = await docker.containers.list(all=True, filters={"label": ["io.freshet.app=freshet"]})
    return [one for one in found if any(extraction_id in name for name in one["Names"])]


async def test_open_streams_do_not_delay_the_stop(github: GitHubDouble, tmp_path: Path, dsn: str) -> None:
    repository = await installed(github, "watched")
    async with serving(github, tmp_path, DATABASE_URL=dsn, DOCKER_HOST="tcp://127.0.0.1:1") as service:
        sha = await github.push(repository, TINY)
        await github.wait_for_check_run(repository, sha, status="queued")
        connection = await service.connection("watched-team/watched")
        path = f"{service.url}/api/metadata/connections/{connection['id']}/progress"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            begun = [asyncio.Event() for _ in range(VIEWERS)]

            async def look(began: asyncio.Event) -> bytes:
                async with session.get(path, headers={**HEADERS, "Accept": "text/event-stream"}) as response:
                    began.set()
                    return await response.read()

            crowd = [asyncio.create_task(look(one)) for one in begun]
            await asyncio.wait_for(asyncio.gather(*(one.wait() for one in begun)), HANGS_S)
            assert await service.stop() == 0
            # A stream that still ran when the time for open requests was over would have been cut, and reading it would raise.
            streams = await asyncio.gather(*crowd)
    assert all(b"event: progress" in stream for stream in streams)
    assert "Traceback" not in service.log
