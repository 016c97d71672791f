"""Check runs on GitHub that the database does not know: after a restored backup, or because a request arrived after its time limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast

import pytest
import pytest_asyncio

from app.core.models import github as jobs
from app.core.models.extractions import Problem
from app.github.app.auth import AppAuth
from app.github.rest.checks import GitHubClient
from app.github.rest.http import ApiClient
from app.github.rest.inventory import Inventory
from app.pipeline import check_runs, leases
from app.pipeline.check_runs import LinkTargets
from app.pipeline.reconciler import Reconciler, RetentionPolicy
from app.store import Store
from app.store.pool import Database
from tests.double import GitHubDouble, LostAnswer, Repository, Reset
from tests.patience import HANGS_S

LOST_ID = "11111111-1111-4111-8111-111111111111"
CREATES = r"/check-runs$"


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


def ours(github: GitHubDouble, repository: Repository) -> jobs.Repository:
    [installation] = github.state.installations.values()
    return jobs.Repository(repository.id, repository.full_name, installation.id, "main")


async def queued(store: Store, github: GitHubDouble, repository: Repository, sha: str, trigger: str) -> str:
    await store.installations.update_from_push(ours(github, repository))
    known = await store.connections.for_repository(repository.id)
    connection = known[0] if known else await store.connections.create(repository.id, "")
    return await store.extractions.enqueue(connection.id, "main", sha, trigger)


async def began(github: GitHubDouble, client: GitHubClient, repository: Repository, sha: str, name: str = "dbt lineage") -> int:
    """A check run that a lost service began."""
    body = {"name": name, "head_sha": sha, "external_id": LOST_ID, "status": "in_progress"}
    return await client.create_check_run(ours(github, repository), body)


async def sent(db: Database, store: Store, client: GitHubClient) -> None:
    """Send everything that differs on GitHub, without the pauses in between."""
    await db.execute("UPDATE check_runs SET due_at = now()")
    while (due := await store.check_runs.claim(leases.CHECK_RUN_LEASE)) is not None:
        await check_runs.publish(store, client, due, asyncio.get_running_loop().time() + HANGS_S, LinkTargets("https://freshet.example"))
        await db.execute("UPDATE check_runs SET due_at = now() WHERE doubled_at IS NULL")


async def failed(store: Store) -> None:
    running = await store.extractions.claim("w", timedelta(minutes=1))
    assert running is not None
    await store.extractions.finish(running.id, "w", "failed", [], problem=Problem("It broke", "Because.", path="models/a.sql", line=2))


def lists(github: GitHubDouble) -> int:
    return len([one for one in github.requests if one.method == "GET" and one.path.endswith("/check-runs")])


async def test_a_check_run_that_a_lost_service_began_is_taken_over(
    db: Database, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    sha = await github.push(repository, {"a": "c"})
    lost = await began(github, client, repository, sha)
    extraction_id = await queued(store, github, repository, sha, "reconcile")
    await sent(db, store, client)
    await failed(store)
    await sent(db, store, client)
    [run] = github.check_runs(repository, sha)
    assert (run.id, run.external_id, run.conclusion, len(run.annotations)) == (lost, extraction_id, "failure", 1)
    assert run.details_url == f"https://freshet.example/extractions/{extraction_id}"


async def test_what_was_queued_long_ago_and_has_no_check_run_is_looked_for(
    db: Database, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    """The backup has the extraction, but was made before its check run was created."""
    sha = await github.push(repository, {"a": "c"})
    lost = await began(github, client, repository, sha)
    await queued(store, github, repository, sha, "push")
    await db.execute("UPDATE extractions SET created_at = now() - interval '1 hour'")
    await sent(db, store, client)
    assert [run.id for run in github.check_runs(repository, sha)] == [lost]


async def test_several_that_a_lost_service_began_all_end_alike(
    db: Database, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    sha = await github.push(repository, {"a": "c"})
    for _ in range(2):
        await began(github, client, repository, sha)
    await queued(store, github, repository, sha, "reconcile")
    await failed(store)
    await sent(db, store, client)
    await db.execute("UPDATE check_runs SET doubled_at = doubled_at - interval '1 hour', due_at = now()")
    await sent(db, store, client)
    assert [run.conclusion for run in github.check_runs(repository, sha)] == ["failure", "failure"]


@pytest.mark.parametrize("whose", ["another App's", "another connection's", "another name's", "ended"])
async def test_check_runs_of_others_are_left_alone(
    db: Database, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository, whose: str
) -> None:
    sha = await github.push(repository, {"a": "c"})
    number = await began(github, client, repository, sha, "dbt lineage" if whose != "another name's" else "dbt lineage (b)")
    other = github.state.check_runs[number]
    await queued(store, github, repository, sha, "reconcile")
    if whose == "another App's":
        other.app_id = 99
    elif whose == "another connection's":
        second = await store.connections.create(repository.id, "", branch="main")
        await store.extractions.enqueue(second.id, "main", sha, "push")
        await db.execute(
            "UPDATE check_runs SET github_id = $1, sent = revision WHERE number = (SELECT max(number) FROM check_runs)", number
        )
    elif whose == "ended":
        await client.update_check_run(ours(github, repository), number, {"status": "completed", "conclusion": "success"})
    before = list(other.history)
    await sent(db, store, client)
    assert (other.external_id, other.history) == (LOST_ID, before)
    assert len(github.check_runs(repository, sha)) == 2


async def test_github_is_asked_only_where_a_check_run_may_be_unknown(
    db: Database, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    sha = await github.push(repository, {"a": "c"})
    await queued(store, github, repository, sha, "push")
    await sent(db, store, client)
    await failed(store)
    await sent(db, store, client)
    assert lists(github) == 0


async def test_a_check_run_that_arrives_after_the_retry_ends_like_the_other(
    db: Database, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    """The first request is kept by the network, and arrives after the second one was answered."""
    sha = await github.push(repository, {"a": "c"})
    extraction_id = await queued(store, github, repository, sha, "push")
    github.faults.add("POST", CREATES, 1, Reset())
    await sent(db, store, client)
    [ours_run] = github.check_runs(repository, sha)
    body = {"name": "dbt lineage", "head_sha": sha, "external_id": extraction_id, "status": "queued"}
    late = await client.create_check_run(ours(github, repository), body)

    await failed(store)
    await sent(db, store, client)
    assert (ours_run.conclusion, github.state.check_runs[late].conclusion) == ("failure", None), "it may come even later"
    due_s = await store.check_runs.seconds_until_due()
    assert due_s is not None
    assert 0 < due_s <= leases.CHECK_RUN_STRAYS.total_seconds()
    await db.execute("UPDATE check_runs SET doubled_at = doubled_at - interval '1 hour', due_at = now()")
    await sent(db, store, client)
    runs = github.check_runs(repository, sha)
    assert [(run.conclusion, run.title, len(run.annotations)) for run in runs] == [("failure", "It broke", 1)] * 2
    assert await store.check_runs.seconds_until_due() is None


async def test_a_request_that_arrived_without_an_answer_is_found_and_nothing_is_doubled(
    db: Database, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    sha = await github.push(repository, {"a": "c"})
    await queued(store, github, repository, sha, "push")
    github.faults.add("POST", CREATES, 1, LostAnswer())
    await sent(db, store, client)
    await failed(store)
    await sent(db, store, client)
    assert [run.conclusion for run in github.check_runs(repository, sha)] == ["failure"]
    assert await store.check_runs.seconds_until_due() is None
    assert lists(github) == 1


async def test_the_check_run_of_a_request_that_is_on_its_way_is_not_taken_over(
    db: Database, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    """Two connections may have check runs of the same name: one that has no answer yet will find its own."""
    sha = await github.push(repository, {"a": "c"})
    await queued(store, github, repository, sha, "reconcile")
    second = await store.connections.create(repository.id, "", branch="main")
    theirs = await store.extractions.enqueue(second.id, "main", sha, "push")
    body = {"name": "dbt lineage", "head_sha": sha, "external_id": theirs, "status": "queued"}
    number = await client.create_check_run(ours(github, repository), body)
    await db.execute("UPDATE check_runs SET in_doubt = true, created_as = extraction_id WHERE extraction_id = $1::uuid", theirs)
    await sent(db, store, client)
    assert github.state.check_runs[number].external_id == theirs
    assert len(github.check_runs(repository, sha)) == 2


async def test_check_runs_of_commits_that_a_newer_head_replaced_end_too(
    db: Database, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    """The backup has the first commit; then a service that is lost began the second and ended the third, and missed the fourth."""
    first, began_one, ended_one, head = [await github.push(repository, {"a": str(number)}) for number in range(4)]
    await queued(store, github, repository, first, "push")
    [connection] = await store.connections.for_repository(repository.id)
    await store.connections.move_head(connection.id, first)
    lost = await began(github, client, repository, began_one)
    ended = await began(github, client, repository, ended_one)
    await client.update_check_run(ours(github, repository), ended, {"status": "completed", "conclusion": "success"})

    async with ApiClient(github.api_url, total_s=HANGS_S) as api:
        auth = AppAuth(github.app.id, github.app.private_key_pem, api)
        inventory = Inventory(api, auth, client)
        days = timedelta(days=3)
        reconciler = Reconciler(store, client, inventory, cast("Any", None), RetentionPolicy(days, days, None))
        await db.execute("UPDATE repositories SET look_at = now()")
        assert await reconciler._next_look()
        asked = lists(github)
        await db.execute("UPDATE repositories SET look_at = now()")
        assert await reconciler._next_look()
        assert (asked, lists(github)) == (2, 2), "once, of the two commits in between"
    await sent(db, store, client)
    assert [(run.id, run.conclusion) for run in github.check_runs(repository, began_one)] == [(lost, "skipped")]
    assert [(run.id, run.conclusion) for run in github.check_runs(repository, ended_one)] == [(ended, "success")]
    assert [run.status for run in github.check_runs(repository, head)] == ["queued"]
