"""The outbox against GitHub's double: whatever goes wrong on the way, GitHub ends up with one check run that says how it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import pytest_asyncio

from app import jobs, outbox
from app.github.api import ApiClient
from app.github.auth import AppAuth
from app.github.client import GitHubClient
from app.store import Store, wake
from app.store.pool import Database
from tests.double import Answer, Delay, GitHubDouble, LostAnswer, Repository, Reset

URL = "https://freshet.example"
RUNS = r"/repos/.*/check-runs"


@pytest_asyncio.fixture
async def github() -> AsyncIterator[GitHubDouble]:
    async with GitHubDouble() as double:
        yield double
        assert double.violations == []


@pytest_asyncio.fixture
async def client(github: GitHubDouble) -> AsyncIterator[GitHubClient]:
    async with ApiClient(github.api_url, total_s=5) as api:
        yield GitHubClient(api, AppAuth(github.app.id, github.app.private_key_pem, api))


@pytest_asyncio.fixture
async def repository(github: GitHubDouble) -> Repository:
    found = await github.create_repository("octo/shop", {"a": "b"})
    await github.install("octo", [found])
    return found


async def queued(store: Store, github: GitHubDouble, repository: Repository) -> tuple[str, str]:
    """Queue an extraction of a new commit and return its id and the commit."""
    sha = await github.push(repository, {"a": str(len(github.requests))})
    [installation] = github.state.installations.values()
    ours = jobs.Repository(repository.id, repository.full_name, installation.id, "main")
    await store.installations.see(ours)
    connections = await store.connections.of_repository(repository.id)
    connection = connections[0] if connections else await store.connections.create(repository.id, "")
    return await store.extractions.enqueue(connection.id, "main", sha, "push"), sha


async def finished(store: Store) -> None:
    running = await store.extractions.claim("w", timedelta(minutes=1))
    assert running is not None
    await store.extractions.finish(running.id, "w", "failed", [], problem=jobs.Problem("It broke", "Because.", path="models/a.sql", line=2))


@asynccontextmanager
async def publishing(dsn: str, store: Store, client: GitHubClient) -> AsyncIterator[None]:
    async with wake.listening(dsn) as waker:
        with waker.bell("freshet_checks") as bell:
            task = asyncio.create_task(outbox.run(store, client, bell, URL))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


FAULTS = {
    "nothing": None,
    "a server error": Answer(500, '{"message": "Server Error"}'),
    "a bad gateway in HTML": Answer(502, "<html>Bad Gateway</html>", {"Content-Type": "text/html"}),
    "an answer that was lost": LostAnswer(),
    "a reset": Reset(),
    "a rate limit": Answer(429, '{"message": "slow down"}', {"Retry-After": "1"}),
    "a secondary limit": Answer(403, '{"message": "You have exceeded a secondary rate limit."}', {"Retry-After": "1"}),
    "a commit not there yet": Answer(422, '{"message": "No commit found for SHA: 123"}'),
    "a token not known yet": Answer(401, '{"message": "Bad credentials"}'),
}


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_one_check_run_that_says_how_it_is(
    dsn: str, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository, method: str, fault: str
) -> None:
    if response := FAULTS[fault]:
        github.faults.add(method, RUNS, 1, response)
    async with publishing(dsn, store, client):
        extraction_id, sha = await queued(store, github, repository)
        await github.wait_for_check_run(repository, sha, status="queued", timeout_s=10)
        await finished(store)
        run = await github.wait_for_check_run(repository, sha, timeout_s=15)
    assert len(github.check_runs(repository, sha)) == 1
    assert (run.external_id, run.conclusion, run.title) == (extraction_id, "failure", "It broke")
    assert run.details_url == f"{URL}/extractions/{extraction_id}"


async def test_annotations_are_not_appended_twice_when_an_answer_was_lost(
    dsn: str, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    async with publishing(dsn, store, client):
        _, sha = await queued(store, github, repository)
        await github.wait_for_check_run(repository, sha, status="queued", timeout_s=10)
        github.faults.add("PATCH", RUNS, 2, LostAnswer())
        await finished(store)
        async with asyncio.timeout(15):
            while await store.check_runs.next_due_s() is not None:
                await asyncio.sleep(0.05)
    [run] = github.check_runs(repository, sha)
    assert (run.conclusion, len(run.annotations)) == ("failure", 1)


async def test_queued_within_a_second(dsn: str, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository) -> None:
    async with publishing(dsn, store, client):
        _, sha = await queued(store, github, repository)
        await github.wait_for_check_run(repository, sha, status="queued", timeout_s=1)


async def test_a_publisher_that_died_over_a_creation_does_not_make_a_second_one(
    dsn: str, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    extraction_id, sha = await queued(store, github, repository)
    due = await store.check_runs.claim()
    assert due is not None
    await store.check_runs.doubt(extraction_id)
    [installation] = github.state.installations.values()
    ours = jobs.Repository(repository.id, repository.full_name, installation.id, "main")
    await client.create_check_run(ours, {"name": "dbt lineage", "head_sha": sha, "external_id": extraction_id, "status": "queued"})
    await store.check_runs.postpone(extraction_id, timedelta(0))
    async with publishing(dsn, store, client):
        await finished(store)
        run = await github.wait_for_check_run(repository, sha, timeout_s=10)
    assert run.conclusion == "failure"
    assert len(github.check_runs(repository, sha)) == 1


@pytest.mark.parametrize("how", ["uninstalled", "suspended", "deleted"])
async def test_what_is_gone_is_given_up_and_does_not_stop_the_others(
    dsn: str, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository, how: str
) -> None:
    other = await github.create_repository("acme/other", {"a": "b"})
    await queued(store, github, repository)
    [installation] = github.state.installations.values()
    match how:
        case "uninstalled":
            await github.uninstall(installation)
        case "suspended":
            await github.suspend(installation)
        case _:
            await github.delete_repository(repository)
    second = await github.install("acme", [other])
    await store.installations.see(jobs.Repository(other.id, other.full_name, second.id, "main"))
    connection = await store.connections.create(other.id, "")
    sha = await github.push(other, {"a": "c"})
    await store.extractions.enqueue(connection.id, "main", sha, "push")
    async with publishing(dsn, store, client):
        await github.wait_for_check_run(other, sha, status="queued", timeout_s=10)
        async with asyncio.timeout(10):
            while await store.check_runs.next_due_s() is not None:
                await asyncio.sleep(0.05)
    assert github.check_runs(repository) == []


async def test_an_end_that_came_while_github_was_told_of_the_queue_is_told_at_once(
    store: Store, github: GitHubDouble, repository: Repository
) -> None:
    extraction_id, _ = await queued(store, github, repository)
    due = await store.check_runs.claim()
    assert due is not None
    await finished(store)
    await store.check_runs.sent(extraction_id, due.revision)
    assert await store.check_runs.claim() is not None


async def test_what_a_process_was_about_to_tell_when_it_stopped_is_told_by_the_next_one_soon(
    dsn: str, db: Database, store: Store, client: GitHubClient, github: GitHubDouble, repository: Repository
) -> None:
    github.faults.add("POST", "/access_tokens", 1, Delay(20))
    _, sha = await queued(store, github, repository)
    async with publishing(dsn, store, client):
        while not await db.value("SELECT count(*) FROM check_runs WHERE lease_until IS NOT NULL"):
            await asyncio.sleep(0.01)
    async with asyncio.timeout(30), publishing(dsn, store, client):
        while not github.check_runs(repository, sha):
            await asyncio.sleep(0.05)
