"""What the reconciler asks of a GitHub with state, over real HTTP: every answer of it is compared with GitHub's schema."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.errors import GitHubUnavailableError, GoneError, NotConfiguredError, SuspendedError
from app.github import listing
from app.github.api import ApiClient
from app.github.auth import AppAuth
from app.github.client import GitHubClient
from app.github.survey import Survey
from app.inference import discovery
from app.jobs import Repository
from app.ports import BranchHead, InstallationState
from app.settings import Settings
from tests.double import Answer, GitHubDouble, Installation, schema
from tests.double import Repository as Hosted

FILES = {"dbt_project.yml": b"name: shop\n", "models/orders.sql": b"select 1\n"}
JSON = {"Content-Type": "application/json"}


@dataclass
class World:
    """A GitHub with a clock of its own, the App on one account of it, and our survey."""

    github: GitHubDouble
    api: ApiClient
    auth: AppAuth
    installation: Installation
    client: GitHubClient = field(init=False)
    survey: Survey = field(init=False)

    def __post_init__(self) -> None:
        self.client = GitHubClient(self.api, self.auth)
        self.survey = Survey(self.api, self.auth, self.client)

    def ours(self, hosted: Hosted) -> Repository:
        return Repository(hosted.id, hosted.full_name, self.installation.id, hosted.default_branch, hosted.private)

    async def create(self, files: dict[str, bytes] | None = None, name: str = "octo/shop") -> tuple[Hosted, Repository]:
        hosted = await self.github.create_repository(name, FILES if files is None else files)
        return hosted, self.ours(hosted)

    def register(self, count: int) -> None:
        """Add repositories that nobody looks into."""
        state = self.github.state
        for number in range(count):
            hosted = Hosted(next(state.ids), f"octo/r{number}", True, "main", state.root, state.now())  # noqa: FBT003
            state.repositories[hosted.id] = hosted

    def asked(self, method: str, part: str) -> list[Any]:
        return [request for request in self.github.requests if request.method == method and part in request.path]


@asynccontextmanager
async def make_world(**options: Any) -> AsyncIterator[World]:
    async with GitHubDouble(**options) as github, ApiClient(github.api_url, total_s=5.0) as api:
        auth = AppAuth(github.app.id, github.app.private_key_pem, api, clock=lambda: github.state.clock().timestamp())
        yield World(github, api, auth, await github.install("octo"))
        assert github.violations == []
        problems = [
            problem
            for request in github.requests
            for problem in schema.validate_response(
                request.method, request.path.removeprefix("/api/v3"), request.status, request.response_json
            )
        ]
        assert problems == []


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with make_world() as made:
        yield made


# -- installations and repositories


async def test_installations_with_those_that_are_suspended(world: World) -> None:
    hosted, _ = await world.create(name="solo/shop")
    solo = await world.github.install("solo", [hosted], account_type="User")
    await world.github.suspend(world.installation)
    assert await world.survey.installations() == [
        InstallationState(world.installation.id, "octo", "Organization", suspended=True, repository_selection="all"),
        InstallationState(solo.id, "solo", "User", suspended=False, repository_selection="selected"),
    ]


async def test_all_pages_of_installations(world: World) -> None:
    ids = [world.installation.id, *[(await world.github.install(f"account-{number}")).id for number in range(104)]]
    assert [installed.id for installed in await world.survey.installations()] == ids
    assert [request.query["per_page"] for request in world.asked("GET", "/app/installations")] == ["100", "100"]


async def test_an_enterprise_and_a_deleted_account(world: World) -> None:
    kinds: list[dict[str, Any] | None] = [{"id": 1, "slug": "big-co", "name": "Big Co"}, None]
    listed = [{"id": 7, "target_type": "Enterprise", "repository_selection": "all", "account": kind} for kind in kinds]
    world.github.faults.add("GET", "/app/installations", 1, Answer(200, json.dumps(listed), JSON))
    assert [installed.account for installed in await world.survey.installations()] == ["big-co", ""]
    world.github.requests.clear()


async def test_all_pages_of_repositories(world: World) -> None:
    world.register(250)
    found = await world.survey.repositories(world.installation.id)
    assert [state.repository.full_name for state in found] == [f"octo/r{number}" for number in range(250)]
    assert len(world.asked("GET", "/installation/repositories")) == 3


async def test_repositories_as_they_are_now(world: World) -> None:
    hosted, repository = await world.create()
    hosted.archived = True
    [state] = await world.survey.repositories(world.installation.id)
    assert (state.repository, state.archived, state.pushed_at) == (repository, True, hosted.pushed_at)
    assert state.pushed_at is not None
    assert state.pushed_at.tzinfo is not None


async def test_the_list_is_asked_for_with_a_token_that_can_do_nothing_else(world: World) -> None:
    await world.create()
    await world.survey.repositories(world.installation.id)
    await world.survey.repositories(world.installation.id)
    assert [request.json for request in world.asked("POST", "/access_tokens")] == [{"permissions": {"metadata": "read"}}]


async def test_an_installation_that_may_not_be_asked(world: World) -> None:
    await world.survey.repositories(world.installation.id)
    await world.github.suspend(world.installation)
    with pytest.raises(SuspendedError):
        await world.survey.repositories(world.installation.id)
    await world.github.uninstall(world.installation)
    with pytest.raises(GoneError, match=f"getting a token for installation {world.installation.id}"):
        await world.survey.repositories(world.installation.id)
    world.auth.configure(None, None)
    with pytest.raises(NotConfiguredError):
        await world.survey.installations()


async def test_a_list_that_changes_while_it_is_read_is_read_again(world: World) -> None:
    """A repository that goes makes others slip from the second page to the first: they must not be taken for gone."""
    world.register(3)
    link = {"Link": f'<{world.github.api_url}/installation/repositories?page=1&per_page=100>; rel="next"'}
    first = Answer(200, '{"total_count": 4, "repository_selection": "all", "repositories": []}', {**JSON, **link})
    world.github.faults.add("GET", "/installation/repositories", 1, first)
    assert len(await world.survey.repositories(world.installation.id)) == 3
    assert len(world.asked("GET", "/installation/repositories")) == 3


async def test_a_list_that_never_stays(world: World) -> None:
    link = {"Link": f'<{world.github.api_url}/installation/repositories?page=2>; rel="next"'}
    for count, more in [(4, link), (5, {})] * 3:
        body = json.dumps({"total_count": count, "repository_selection": "all", "repositories": []})
        world.github.faults.add("GET", "/installation/repositories", 1, Answer(200, body, {**JSON, **more}))
    with pytest.raises(GitHubUnavailableError, match="changed each time"):
        await world.survey.repositories(world.installation.id)


# -- heads and files


async def test_a_branch_is_asked_for_again_for_nothing(world: World) -> None:
    hosted, repository = await world.create()
    first = await world.survey.branch_head(repository, "main", None)
    assert first is not None
    assert first.etag
    used = sum(world.github.state.requests_used.values())
    assert await world.survey.branch_head(repository, "main", first.etag) is None
    assert sum(world.github.state.requests_used.values()) == used
    sha = await world.github.push(hosted, {"a.sql": b"select 2"})
    moved = await world.survey.branch_head(repository, "main", first.etag)
    assert moved is not None
    assert (moved.sha, moved.etag != first.etag) == (sha, True)


async def test_branches_that_are_not_there(world: World) -> None:
    hosted, repository = await world.create()
    assert await world.survey.branch_head(repository, "no-such", 'W/"1"') == BranchHead(None, None)
    _, empty = await world.create({}, "octo/empty")
    assert await world.survey.branch_head(empty, "main", None) == BranchHead(None, None)
    await world.github.delete_repository(hosted)
    with pytest.raises(GoneError):
        await world.survey.branch_head(repository, "main", None)


async def test_a_304_that_nobody_asked_for_is_an_error(world: World) -> None:
    _, repository = await world.create()
    world.github.faults.add("GET", "/git/ref/", 1, Answer(304))
    with pytest.raises(Exception, match="304"):
        await world.survey.branch_head(repository, "main", None)


async def test_paths_of_projects_only(world: World) -> None:
    _, repository = await world.create({**FILES, "deep/down/dbt_project.yml": b"", "my_dbt_project.yml": b""})
    sha = await world.client.branch_head(repository, "main") or ""
    assert len(await world.client.paths(repository, sha)) == 4
    assert await world.survey.paths(repository, sha) == ["dbt_project.yml", "deep/down/dbt_project.yml"]
    assert len(world.asked("GET", "/git/trees/")) == 2


BIG = {
    **{f"warehouse/models/m{number}.sql": b"" for number in range(30)},
    **{f"warehouse/core/d{number}/x.sql": b"" for number in range(9)},
    **{f"archive/a{number}.sql": b"" for number in range(12)},
    "warehouse/core/finance/eu/dbt_project.yml": b"",
    "small/dbt_project.yml": b"",
    "warehouse/dbt_project.yml": b"",
    "node_modules/some/package/dbt_project.yml": b"",
    "warehouse/Node_Modules/other/dbt_project.yml": b"",
    "README.md": b"",
}


def found(paths: Sequence[str]) -> list[str]:
    return list(discovery.projects(paths, {}, Settings()).projects)


async def test_a_truncated_listing_is_walked() -> None:
    async with make_world(tree_limit=12) as small:
        _, repository = await small.create(BIG)
        sha = await small.client.branch_head(repository, "main") or ""
        paths = await small.client.paths(repository, sha)
        assert found(paths) == ["small", "warehouse", "warehouse/core/finance/eu"]
        assert await small.survey.paths(repository, sha) == paths
        trees = small.asked("GET", "/git/trees/")
        listed = {entry["path"]: entry["sha"] for tree in trees for entry in tree.response_json["tree"]}
        asked = {tree.path.rpartition("/")[2] for tree in trees}
        assert listed["core"] in asked
        assert asked.isdisjoint({listed["node_modules"], listed["Node_Modules"]})
        assert len(trees) == 2 * 20


async def test_a_walk_that_is_too_long_returns_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_TREES", 2)
    async with make_world(tree_limit=12) as small:
        _, repository = await small.create(BIG)
        sha = await small.client.branch_head(repository, "main") or ""
        assert found(await small.survey.paths(repository, sha)) == ["small", "warehouse"]


async def test_a_walk_stops_where_github_does() -> None:
    async with make_world(tree_limit=12) as small:
        _, repository = await small.create(BIG)
        sha = await small.client.branch_head(repository, "main")
        small.github.faults.add("GET", "/git/trees/[0-9a-f]+$", 9, Answer(502))
        with pytest.raises(GitHubUnavailableError, match="listing the files of octo/shop at"):
            await small.survey.paths(repository, sha or "")


# -- deliveries


class Receiver:
    """A webhook endpoint that can be out of order, and a clock."""

    def __init__(self) -> None:
        self.status = 202
        self.received: list[str] = []
        self.now = datetime.now(UTC)

    async def handle(self, request: web.BaseRequest) -> web.Response:
        self.received.append(request.headers["X-GitHub-Delivery"])
        return web.Response(status=self.status)

    def tick(self, **by: float) -> None:
        self.now += timedelta(**by)


@asynccontextmanager
async def receiving() -> AsyncIterator[tuple[World, Receiver]]:
    receiver, application = Receiver(), web.Application()
    application.router.add_post("/", receiver.handle)
    async with TestServer(application) as server, make_world(clock=lambda: receiver.now) as world:
        world.github.app.webhook_url = str(server.make_url("/"))
        yield world, receiver


async def test_what_was_not_taken_is_listed_and_delivered_again() -> None:
    async with receiving() as (world, receiver):
        since = world.github.state.now()
        hosted, _ = await world.create()
        receiver.received.clear()
        receiver.status = 503
        receiver.tick(seconds=1)
        await world.github.push(hosted, {"a.sql": b""})
        receiver.status = 202
        receiver.tick(seconds=1)
        await world.github.push(hosted, {"b.sql": b""})
        failed = await world.survey.failed_deliveries(since)
        assert [(one.event, one.guid) for one in failed] == [("push", receiver.received[0]), ("check_suite", receiver.received[1])]
        for one in failed:
            await world.survey.redeliver(one.id)
            await world.github.settle()
        assert receiver.received[-2:] == receiver.received[:2]
        assert await world.survey.failed_deliveries(since) == []


async def test_a_delivery_that_fails_again_is_listed_once_by_its_newest_attempt() -> None:
    async with receiving() as (world, receiver):
        since = world.github.state.now()
        receiver.status = 500
        hosted, _ = await world.create()
        await world.github.ping()
        [first, *_] = failed = await world.survey.failed_deliveries(since)
        assert {one.event for one in failed} == {"repository", "installation_repositories", "push", "check_suite"}
        receiver.tick(seconds=5)
        again = await world.github.redeliver(first.id)
        newest = (await world.survey.failed_deliveries(since))[-1]
        assert (newest.id, newest.guid, newest.delivered_at) == (again.id, first.guid, first.delivered_at + timedelta(seconds=5))
        assert len(await world.survey.failed_deliveries(since)) == len(failed)
        await world.github.delete_repository(hosted)


async def test_an_attempt_under_way_is_waited_for() -> None:
    async with receiving() as (world, receiver):
        receiver.status = 500
        await world.create()
        for delivery in world.github.deliveries:
            delivery.status, delivery.status_code = "pending", 0
        assert await world.survey.failed_deliveries(receiver.now - timedelta(hours=1)) == []


async def test_pages_of_deliveries_are_read_back_to_then_and_no_further() -> None:
    async with receiving() as (world, receiver):
        hosted, _ = await world.create()
        receiver.status = 500
        await world.github.push(hosted, {"old.sql": b""})
        receiver.tick(hours=1)
        since = world.github.state.now()
        await world.github.push(hosted, {"new.sql": b""})
        receiver.status = 202
        template = world.github.deliveries[-1]
        for _ in range(250):
            await world.github.redeliver(template.id)
        world.github.requests.clear()
        assert [one.event for one in await world.survey.failed_deliveries(since)] == ["push"]
        assert len(world.asked("GET", "/app/hook/deliveries")) == 3
        assert len(await world.survey.failed_deliveries(since - timedelta(hours=2))) == 3


async def test_a_delivery_that_github_has_forgotten(world: World) -> None:
    with pytest.raises(GoneError, match="asking for delivery 7 again"):
        await world.survey.redeliver(7)


# -- rate limits


async def test_the_last_requests_are_kept_for_check_runs() -> None:
    async with make_world(rate_limit=1000) as world:
        _, repository = await world.create()
        head = await world.survey.branch_head(repository, "main", None)
        assert head is not None
        world.github.state.requests_used[f"installation ID {world.installation.id}"] = 950
        calls = [
            world.survey.repositories(world.installation.id),
            world.survey.branch_head(repository, "main", head.etag),
            world.survey.paths(repository, head.sha or ""),
            world.client.branch_head(repository, "main"),
        ]
        for call in calls:
            with pytest.raises(GitHubUnavailableError, match="kept for check runs") as error:
                await call
            assert error.value.retry_after_s is not None
            assert 1 <= error.value.retry_after_s <= 3600
        assert await world.client.create_check_run(repository, {"name": "dbt lineage", "head_sha": head.sha or ""})


async def test_a_limit_that_is_used_up_says_until_when() -> None:
    async with make_world(rate_limit=1000) as world:
        world.github.state.requests_used[f"installation ID {world.installation.id}"] = 2000
        with pytest.raises(GitHubUnavailableError, match="rate limit exceeded") as error:
            await world.survey.repositories(world.installation.id)
        assert error.value.retry_after_s is not None
        assert len(world.asked("GET", "/installation/repositories")) == 1
