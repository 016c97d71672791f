"""The check run outbox against the GitHub double: after every fault, GitHub has one check run with the final state."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from app.core.models import extractions
from app.core.models import github as jobs
from app.core.models.origins import Origin
from app.github.app import auth
from app.github.app.auth import AppAuth
from app.github.rest.checks import GitHubClient
from app.github.rest.http import ApiClient
from app.pipeline import check_runs, leases, loop
from app.pipeline.check_runs import LinkTargets
from app.store import Store, listen
from app.store.pool import Database
from tests.double import Answer, Delay, GitHubDouble, LostAnswer, Repository, Reset
from tests.patience import HANGS_S

URL = "https://freshet.example"
RUNS = r"/repos/.*/check-runs"


@pytest_asyncio.fixture
async def github() -> AsyncIterator[GitHubDouble]:
    async with GitHubDouble() as double:
        yield double
        assert double.violations == []


@pytest_asyncio.fixture
async def client(github: GitHubDouble) -> AsyncIterator[GitHubClient]:
    async with ApiClient(github.api_url, total_s=HANGS_S) as api:
        yield GitHubClient(api, AppAuth(github.app.id, github.app.private_key_pem, api))


@pytest_asyncio.fixture
async def repository(github: GitHubDouble) -> Repository:
    found = await github.create_repository("octo/shop", {"a": "b"})
    await github.install("octo", [found])
    return found


async def queued(store: Store, github: GitHubDouble, repository: Repository) -> tuple[str, str]:
    """Queue an extraction of a new commit; its id, and the commit."""
    sha = await github.push(repository, {"a": str(len(github.requests))})
    [installation] = github.state.installations.values()
    ours = jobs.Repository(repository.id, repository.full_name, installation.id, "main")
    await store.installations.update_from_push(ours)
    connections = await store.connections.for_repository(repository.id)
    connection = connections[0] if connections else await store.connections.create(repository.id, "")
    return await store.extractions.enqueue(connection.id, "main", sha, "push"), sha


async def finished(store: Store) -> None:
    await end(store, await claimed(store))


async def claimed(store: Store) -> extractions.Extraction:
    running = await store.extractions.claim("w", timedelta(minutes=1))
    assert running is not None
    return running


async def end(store: Store, running: extractions.Extraction) -> None:
    await store.extractions.finish(
        running.id, "w", "failed", [], problem=extractions.Problem("It broke", "Because.", path="models/a.sql", line=2)
    )


@asynccontextmanager
async def publishing(dsn: str, store: Store, client: GitHubClient) -> AsyncIterator[None]:
    async with listen.listening(dsn) as listener:
        with listener.wakeup("freshet_checks") as wakeup:
            task = asyncio.create_task(check_runs.run(store, client, wakeup, LinkTargets(URL)))
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
async def test_every_fault_ends_in_one_check_run_with_the_final_state(
    dsn: str, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository, method: str, fault: str
) -> None:
    if response := FAULTS[fault]:
        github.faults.add(method, RUNS, 1, response)
    async with publishing(dsn, store, client):
        extraction_id, sha = await queued(store, github, repository)
        await github.wait_for_check_run(repository, sha, status="queued")
        await finished(store)
        run = await github.wait_for_check_run(repository, sha)
    assert len(github.check_runs(repository, sha)) == 1
    assert (run.external_id, run.conclusion, run.title) == (extraction_id, "failure", "It broke")
    assert run.details_url == f"{URL}/extractions/{extraction_id}"


async def test_a_token_that_github_does_not_know_for_a_while_delays_the_check_run_and_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch, dsn: str, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    monkeypatch.setattr(auth, "NEW_TOKEN_PAUSES_S", (0.0,))
    monkeypatch.setattr(auth, "NEW_TOKEN_RETRY_S", 0.1)
    github.faults.add("POST", RUNS, 7, Answer(401, '{"message": "Bad credentials"}'))
    async with publishing(dsn, store, client):
        _, sha = await queued(store, github, repository)
        run = await github.wait_for_check_run(repository, sha, status="queued")
    assert run.title == "Queued"
    assert len([one for one in github.requests if one.path.endswith("/access_tokens")]) == 1
    assert await store._db.value("SELECT max(attempts) FROM check_runs") == 0, "waiting is no attempt"


async def test_a_publisher_whose_lease_ends_sends_nothing(
    store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    await queued(store, github, repository)
    due = await store.check_runs.claim(leases.CHECK_RUN_LEASE)
    assert due is not None
    requests = len(github.requests)
    await check_runs.publish(store, client, due, asyncio.get_running_loop().time() - 1, LinkTargets(URL))
    assert len(github.requests) == requests
    assert await store.check_runs.seconds_until_due() is not None, "it is sent later"


async def test_annotations_are_not_appended_twice_after_a_lost_response(
    dsn: str, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    async with publishing(dsn, store, client):
        _, sha = await queued(store, github, repository)
        await github.wait_for_check_run(repository, sha, status="queued")
        github.faults.add("PATCH", RUNS, 2, LostAnswer())
        await finished(store)
        async with asyncio.timeout(HANGS_S):
            while await store.check_runs.seconds_until_due() is not None:
                await asyncio.sleep(0.05)
    [run] = github.check_runs(repository, sha)
    assert (run.conclusion, len(run.annotations)) == ("failure", 1)


async def drained(db: Database, store: Store, client: GitHubClient) -> None:
    """Send everything that differs on GitHub, without the pauses in between."""
    await db.execute("UPDATE check_runs SET due_at = now()")
    while (due := await store.check_runs.claim(leases.CHECK_RUN_LEASE)) is not None:
        await check_runs.publish(store, client, due, asyncio.get_running_loop().time() + HANGS_S, LinkTargets(URL))


async def test_however_slow_an_extraction_is_its_check_run_takes_three_requests(
    db: Database, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    await queued(store, github, repository)
    await drained(db, store, client)
    running = await store.extractions.claim("w", timedelta(minutes=1))
    assert running is not None
    await drained(db, store, client)
    stages: list[extractions.StageTime] = []
    for stage in extractions.STAGES:
        stages.append(extractions.StageTime(stage, datetime.now(UTC)))
        await store.extractions.enter_stage(running.id, "w", stage, stages)
        await drained(db, store, client)
    await store.extractions.finish(running.id, "w", "failed", stages, problem=extractions.Problem("It broke", "Because."))
    await drained(db, store, client)
    sent = [(request.method, request.json["status"]) for request in github.requests if "/check-runs" in request.path]  # type: ignore[index]
    assert sent == [("POST", "queued"), ("PATCH", "in_progress"), ("PATCH", "completed")]


async def test_a_completed_check_run_is_corrected_without_repeating_annotations(
    db: Database, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    _, sha = await queued(store, github, repository)
    await finished(store)
    await drained(db, store, client)
    for number, lost in enumerate([True, False]):
        remark = f'{{"level": "warning", "title": "Also {number}", "message": "Look", "path": "models/b.sql", "line": 1}}'
        await db.execute(
            "UPDATE extractions SET problem = jsonb_set(problem::jsonb, '{remarks}', (problem->'remarks')::jsonb || $1::jsonb)",
            f"[{remark}]",
        )
        if lost:
            github.faults.add("PATCH", RUNS, 1, LostAnswer())
        await db.execute("UPDATE check_runs SET revision = revision + 1")
        for _ in range(2):
            await drained(db, store, client)
    [run] = github.check_runs(repository, sha)
    assert sorted(one["title"] for one in run.annotations) == ["Also 0", "Also 1", "It broke"]
    asked = [request for request in github.requests if request.method == "GET" and "/check-runs/" in request.path]
    assert len(asked) == 1, "only after an answer was lost"


async def test_annotations_that_an_earlier_release_sent_are_not_repeated(
    db: Database, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    _, sha = await queued(store, github, repository)
    await finished(store)
    await drained(db, store, client)
    await db.execute("UPDATE check_runs SET annotations = NULL, completed = true, revision = revision + 1")
    await drained(db, store, client)
    [run] = github.check_runs(repository, sha)
    assert len(run.annotations) == 1


async def test_a_wakeup_publishes_a_new_extraction_immediately(
    monkeypatch: pytest.MonkeyPatch, dsn: str, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    monkeypatch.setattr(loop, "IDLE_S", 3600.0)
    async with publishing(dsn, store, client):
        _, sha = await queued(store, github, repository)
        await github.wait_for_check_run(repository, sha, status="queued")


async def test_a_crash_while_creating_does_not_create_a_second_check_run(
    dsn: str, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    extraction_id, sha = await queued(store, github, repository)
    due = await store.check_runs.claim(leases.CHECK_RUN_LEASE)
    assert due is not None
    assert await store.check_runs.mark_in_doubt(due, creates=True)
    [installation] = github.state.installations.values()
    ours = jobs.Repository(repository.id, repository.full_name, installation.id, "main")
    await client.create_check_run(ours, {"name": "dbt lineage", "head_sha": sha, "external_id": extraction_id, "status": "queued"})
    await store.check_runs.postpone(due, timedelta(0))
    async with publishing(dsn, store, client):
        await finished(store)
        run = await github.wait_for_check_run(repository, sha)
    assert run.conclusion == "failure"
    assert len(github.check_runs(repository, sha)) == 1


@pytest.mark.parametrize("how", ["uninstalled", "suspended", "deleted"])
async def test_check_runs_of_inaccessible_repositories_are_abandoned_and_others_continue(
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
    await store.installations.update_from_push(jobs.Repository(other.id, other.full_name, second.id, "main"))
    connection = await store.connections.create(other.id, "")
    sha = await github.push(other, {"a": "c"})
    await store.extractions.enqueue(connection.id, "main", sha, "push")
    async with publishing(dsn, store, client):
        await github.wait_for_check_run(other, sha, status="queued")
        async with asyncio.timeout(HANGS_S):
            while await store.check_runs.seconds_until_due() is not None:
                await asyncio.sleep(0.05)
    assert github.check_runs(repository) == []


@pytest.mark.parametrize("how", ["removed", "uninstalled", "missing from a list"])
async def test_the_check_run_of_a_repository_that_was_gone_and_is_back_ends(
    dsn: str, db: Database, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository, how: str
) -> None:
    _, sha = await queued(store, github, repository)
    [installation] = github.state.installations.values()
    listed = jobs.InstallationState(installation.id, "octo", "Organization", suspended=False, repository_selection="selected")
    async with publishing(dsn, store, client):
        await github.wait_for_check_run(repository, sha, status="queued")
        running = await claimed(store)
        match how:
            case "removed":
                await store.installations.remove_repositories(installation.id, [repository.id])
            case "uninstalled":
                await github.uninstall(installation)
                await store.installations.uninstall(installation.id)
            case _:
                await store.installations.sync([], datetime.now(UTC) + timedelta(minutes=1))
        await end(store, running)
        async with asyncio.timeout(HANGS_S):
            while not await db.value("SELECT count(*) FROM check_runs WHERE abandoned IS NOT NULL"):
                await asyncio.sleep(0.01)
        if how == "uninstalled":
            installation = await github.install("octo", [repository])
            await store.installations.install(installation.id, "octo", "Organization", "selected")
        if how == "missing from a list":
            await store.installations.sync([listed], datetime.now(UTC))
        else:
            await store.installations.add_repository(jobs.Repository(repository.id, "octo/shop", installation.id, "main"))
        run = await github.wait_for_check_run(repository, sha)
    assert (run.conclusion, len(github.check_runs(repository, sha))) == ("failure", 1)


async def test_a_result_that_arrives_during_an_update_is_sent_immediately(
    store: Store, github: GitHubDouble, repository: Repository
) -> None:
    await queued(store, github, repository)
    due = await store.check_runs.claim(leases.CHECK_RUN_LEASE)
    assert due is not None
    await finished(store)
    await store.check_runs.mark_sent(due, leases.CHECK_RUN_PAUSE)
    assert await store.check_runs.claim(leases.CHECK_RUN_LEASE) is not None


async def test_the_update_of_a_stopped_process_is_sent_soon_by_the_next_one(
    dsn: str, db: Database, store: Store, client: GitHubClient, github: GitHubDouble, repository: Repository
) -> None:
    github.faults.add("POST", "/access_tokens", 1, Delay(8))
    _, sha = await queued(store, github, repository)
    async with publishing(dsn, store, client):
        while not await db.value("SELECT count(*) FROM check_runs WHERE lease_until IS NOT NULL"):
            await asyncio.sleep(0.01)
    assert await db.value("SELECT lease_until < now() + interval '4 seconds' FROM check_runs"), "much sooner than after a crash"
    async with asyncio.timeout(HANGS_S), publishing(dsn, store, client):
        while not github.check_runs(repository, sha):
            await asyncio.sleep(0.05)


async def test_the_time_of_a_delivery_is_counted_once_though_its_check_run_is_corrected_later(
    store: Store, db: Database, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    [installation] = github.state.installations.values()
    ours = jobs.Repository(repository.id, repository.full_name, installation.id, "main")
    await store.installations.update_from_push(ours)
    connection = await store.connections.create(repository.id, "")
    sha = await github.push(repository, {"a": "1"})
    origin = Origin("d1", time.monotonic() - 90)
    await store.caused_by(origin).extractions.enqueue(connection.id, "main", sha, "push")
    names = ("freshet_delivery_to_check_run_seconds", "freshet_delivery_to_conclusion_seconds")

    def counted() -> list[tuple[float, float]]:
        labels: tuple[dict[str, str], ...] = ({}, {"conclusion": "failure"})
        return [
            (REGISTRY.get_sample_value(f"{name}_count", label) or 0, REGISTRY.get_sample_value(f"{name}_sum", label) or 0)
            for name, label in zip(names, labels, strict=True)
        ]

    async def send() -> list[tuple[int, int]]:
        before = counted()
        await db.execute("UPDATE check_runs SET due_at = now()")
        due = await store.check_runs.claim(leases.CHECK_RUN_LEASE)
        assert due is not None
        assert due.delivery_id == "d1"
        await check_runs.publish(store, client, due, asyncio.get_running_loop().time() + HANGS_S, LinkTargets(URL))
        return [(round(new[0] - old[0]), round((new[1] - old[1]) / 90)) for old, new in zip(before, counted(), strict=True)]

    assert await send() == [(1, 1), (0, 0)], "it was created, ninety seconds after the delivery"
    await finished(store)
    assert await send() == [(0, 0), (1, 1)], "it has a conclusion"
    await db.execute("UPDATE check_runs SET revision = revision + 1")
    assert await send() == [(0, 0), (0, 0)], "it was corrected"
