"""`/metrics` of a real service: it counts what happens, requests cannot add labels, and it answers without the database."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from app.store import embedded
from tests.double import GitHubDouble
from tests.patience import HANGS_S
from tests.promtool import promtool
from tests.service import TOKEN, Service, serving

NO_ENGINE = "tcp://127.0.0.1:1"
PROJECT = {"dbt_project.yml": "name: tiny\nversion: '1.0'\nprofile: tiny\n", "models/a.sql": "select 1 as id"}


@dataclass
class World:
    """A service with a database that can be stopped, and without an engine: nothing here runs dbt."""

    github: GitHubDouble
    service: Service
    database: AsyncExitStack


@pytest_asyncio.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    directory = tmp_path_factory.mktemp("metrics")
    async with AsyncExitStack() as database, GitHubDouble() as github:
        dsn = await database.enter_async_context(embedded.serve(directory / "database", durable=False))
        async with serving(github, directory / "data", DATABASE_URL=dsn, DOCKER_HOST=NO_ENGINE) as service:
            yield World(github, service, database)


async def scrape(service: Service, accept: str = "") -> str:
    async with service.session.get(f"{service.url}/metrics", headers={"Accept": accept}) as response:
        assert response.status == 200
        return await response.text()


async def metrics(service: Service) -> dict[str, float]:
    """Samples by name and label values, in order of the labels' names: `freshet_extractions_total failure failed`."""
    families = text_string_to_metric_families(await scrape(service))
    samples = [sample for family in families for sample in family.samples]
    return {" ".join([sample.name, *filter(None, sample.labels.values())]): sample.value for sample in samples}


async def until(service: Service, name: str, least: float) -> dict[str, float]:
    """Wait until a sample has reached a value; returns all samples."""
    async with asyncio.timeout(HANGS_S):
        while (found := await metrics(service)).get(name, 0.0) < least:
            await asyncio.sleep(0.1)
    return found


async def test_a_push_is_counted_in_every_room(world: World) -> None:
    repository = await world.github.create_repository("octo/plain", {})
    await world.github.install("octo", [repository])
    before = await metrics(world.service)
    sha = await world.github.push(repository, {"README.md": "No project here.\n"})
    run = await world.github.wait_for_check_run(repository, sha)
    after = await until(world.service, f"freshet_delivery_to_conclusion_seconds_count {run.conclusion}", 1)

    def rose(name: str) -> float:
        return after.get(name, 0.0) - before.get(name, 0.0)

    assert rose("freshet_webhook_deliveries_total push accepted") == 1
    assert rose(f"freshet_extractions_total {run.conclusion} failed") == 1
    assert rose("freshet_extraction_wait_seconds_count") == 1
    assert rose("freshet_extraction_stage_seconds_count cloning") == 1
    assert rose("freshet_delivery_to_check_run_seconds_count") == 1
    assert rose(f"freshet_delivery_to_conclusion_seconds_count {run.conclusion}") == 1
    assert 0 < rose(f"freshet_delivery_to_conclusion_seconds_sum {run.conclusion}") < HANGS_S
    assert rose("freshet_cache_requests_total git miss") == 1
    assert rose("freshet_github_requests_total POST 201") >= 2, "a token and a check run"
    assert rose("freshet_loop_lag_seconds_count") > 0
    assert 0 < after["freshet_github_rate_limit_remaining"] < 5000
    assert after["freshet_worker_running"] == 0
    assert after["freshet_database_up"] == 1
    assert after["freshet_database_connections_limit"] > 0
    assert after["process_resident_memory_bytes"] > 1 << 20


async def test_extractions_that_wait_for_an_engine_are_a_backlog(world: World) -> None:
    repository = await world.github.create_repository("waiting/project", {})
    await world.github.install("waiting", [repository])
    await world.github.push(repository, PROJECT)
    assert (await until(world.service, "freshet_extractions_active queued", 1))["freshet_extractions_total retried"] >= 1


async def test_the_log_says_which_delivery_was_answered(world: World) -> None:
    await world.github.ping()
    sent = world.github.deliveries[-1].guid
    lines = [json.loads(line) for line in world.service.log.splitlines() if '"request"' in line]
    assert [(line["event_name"], line["status"]) for line in lines if line.get("delivery_id") == sent] == [("ping", 202)]


async def test_connections_streams_and_tasks_are_counted(world: World) -> None:
    service, repository = world.service, await world.github.create_repository("watched/project", PROJECT)
    await world.github.install("watched", [repository])
    path = f"/connections/{(await service.connection('watched/project'))['id']}"
    async with asyncio.timeout(HANGS_S):
        while not (await service.get(f"{path}/extractions"))["items"]:
            await asyncio.sleep(0.1)
    before = await metrics(service)
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/event-stream"}
    async with service.session.get(f"{service.url}/api/metadata{path}/progress", headers=headers) as response:
        assert response.content_type == "text/event-stream"
        during = await metrics(service)
    assert (before["freshet_http_streams"], during["freshet_http_streams"]) == (0, 1)
    assert during["freshet_tasks"] > before["freshet_tasks"]
    assert 2 <= during["freshet_http_connections"] < during["freshet_http_connections_limit"]


async def test_requests_cannot_add_labels(world: World) -> None:
    headers = {"X-GitHub-Event": "made-up", "X-GitHub-Delivery": "1", "X-Hub-Signature-256": "sha256=0"}
    async with world.service.session.post(f"{world.service.url}/api/webhooks/github", headers=headers, json={}) as response:
        assert response.status == 401
    async with world.service.session.get(f"{world.service.url}/made-up", params={"made": "up"}) as response:
        assert response.status == 404
    found = await metrics(world.service)
    assert found["freshet_webhook_deliveries_total other unsigned"] == 1
    assert not [name for name in found if "made-up" in name or "octo" in name or "127.0.0.1" in name]


async def test_a_stranger_cannot_write_more_into_the_log_than_an_id(world: World) -> None:
    for delivery_id in ("not an id", "x" * 5000, "a1b2-c3d4"):
        headers = {"X-GitHub-Event": "x" * 5000, "X-GitHub-Delivery": delivery_id, "X-Hub-Signature-256": "sha256=0"}
        async with world.service.session.post(f"{world.service.url}/api/webhooks/github", headers=headers, json={}) as response:
            assert response.status in {400, 401}
    assert "xxx" not in world.service.log
    assert "not an id" not in world.service.log
    assert '"delivery_id": "a1b2-c3d4"' in world.service.log


async def test_counters_that_alerts_watch_exist_before_they_count(world: World) -> None:
    found = await metrics(world.service)
    for name in (
        "freshet_verifications_total different",
        "freshet_check_run_sends_total abandoned",
        "freshet_extractions_total neutral failed",
    ):
        assert name in found


async def test_prometheus_finds_nothing_to_say_about_names_and_helps(world: World) -> None:
    assert promtool("check", "metrics", text=await scrape(world.service)) == ""


async def test_openmetrics_is_served_on_request(world: World) -> None:
    text = await scrape(world.service, "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3")
    assert text.endswith("# EOF\n")
    assert "freshet_extractions" in {family.name for family in openmetrics.text_string_to_metric_families(text)}  # type: ignore[no-untyped-call] # it has no annotations


async def test_without_the_database_only_its_metrics_are_nan(world: World) -> None:
    await world.database.aclose()
    async with asyncio.timeout(HANGS_S):
        while (found := await metrics(world.service))["freshet_database_up"] == 1:
            await asyncio.sleep(0.1)
    assert math.isnan(found["freshet_extractions_active queued"])
    assert math.isnan(found["freshet_check_runs_due"])
    assert found["freshet_webhook_deliveries_total push accepted"] >= 1
