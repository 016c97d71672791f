"""The reconciler's view of GitHub, over real HTTP: every response of the double is validated with GitHub's schema."""

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

from app.core.errors import GitHubUnavailableError, GoneError, NotConfiguredError, SuspendedError
from app.core.models.github import BranchHead, InstallationState, Repository
from app.github.app import auth as app_auth
from app.github.app.auth import AppAuth
from app.github.rest import project_search
from app.github.rest.checks import GitHubClient
from app.github.rest.http import ApiClient
from app.github.rest.inventory import Inventory
from app.project import discovery
from app.project.repository_settings import RepositorySettings
from tests.double import Answer, GitHubDouble, Installation, schema
from tests.double import Repository as Hosted
from tests.patience import HANGS_S

FILES = {"dbt_project.yml": b"name: shop\n", "models/orders.sql": b"select 1\n"}
JSON = {"Content-Type": "application/json"}


@dataclass
class World:
    """A GitHub with its own clock, the App installed on one account, and the inventory under test."""

    github: GitHubDouble
    api: ApiClient
    auth: AppAuth
    installation: Installation
    client: GitHubClient = field(init=False)
    inventory: Inventory = field(init=False)

    def __post_init__(self) -> None:
        self.client = GitHubClient(self.api, self.auth)
        self.inventory = Inventory(self.api, self.auth, self.client)

    def ours(self, hosted: Hosted) -> Repository:
        return Repository(hosted.id, hosted.full_name, self.installation.id, hosted.default_branch, hosted.private)

    async def create(self, files: dict[str, bytes] | None = None, name: str = "octo/shop") -> tuple[Hosted, Repository]:
        hosted = await self.github.create_repository(name, FILES if files is None else files)
        return hosted, self.ours(hosted)

    def register(self, count: int) -> None:
        """Add repositories without content."""
        state = self.github.state
        for number in range(count):
            hosted = Hosted(next(state.ids), f"octo/r{number}", True, "main", state.root, state.now())  # noqa: FBT003
            state.repositories[hosted.id] = hosted

    def asked(self, method: str, part: str) -> list[Any]:
        return [request for request in self.github.requests if request.method == method and part in request.path]


@asynccontextmanager
async def make_world(**options: Any) -> AsyncIterator[World]:
    github = GitHubDouble(**options)

    def clock() -> float:
        return github.state.clock().timestamp()

    async with github, ApiClient(github.api_url, total_s=HANGS_S, clock=clock) as api:
        auth = AppAuth(github.app.id, github.app.private_key_pem, api, clock=clock)
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


async def test_installations_include_suspended_ones(world: World) -> None:
    hosted, _ = await world.create(name="solo/shop")
    solo = await world.github.install("solo", [hosted], account_type="User")
    await world.github.suspend(world.installation)
    assert await world.inventory.installations() == [
        InstallationState(world.installation.id, "octo", "Organization", suspended=True, repository_selection="all"),
        InstallationState(solo.id, "solo", "User", suspended=False, repository_selection="selected"),
    ]


async def test_all_pages_of_installations(world: World) -> None:
    ids = [world.installation.id, *[(await world.github.install(f"account-{number}")).id for number in range(104)]]
    assert [installed.id for installed in await world.inventory.installations()] == ids
    assert [request.query["per_page"] for request in world.asked("GET", "/app/installations")] == ["100", "100"]


async def test_an_enterprise_and_a_deleted_account(world: World) -> None:
    kinds: list[dict[str, Any] | None] = [{"id": 1, "slug": "big-co", "name": "Big Co"}, None]
    listed = [{"id": 7, "target_type": "Enterprise", "repository_selection": "all", "account": kind} for kind in kinds]
    world.github.faults.add("GET", "/app/installations", 1, Answer(200, json.dumps(listed), JSON))
    assert [installed.account for installed in await world.inventory.installations()] == ["big-co", ""]
    world.github.requests.clear()


async def test_all_pages_of_repositories(world: World) -> None:
    world.register(250)
    found = await world.inventory.repositories(world.installation.id)
    assert [state.repository.full_name for state in found] == [f"octo/r{number}" for number in range(250)]
    assert len(world.asked("GET", "/installation/repositories")) == 3


async def test_repositories_have_their_current_state(world: World) -> None:
    hosted, repository = await world.create()
    hosted.archived = True
    [state] = await world.inventory.repositories(world.installation.id)
    assert (state.repository, state.archived, state.pushed_at) == (repository, True, hosted.pushed_at)
    assert state.pushed_at is not None
    assert state.pushed_at.tzinfo is not None


async def test_the_list_is_requested_with_a_token_that_can_only_read(world: World) -> None:
    await world.create()
    await world.inventory.repositories(world.installation.id)
    await world.inventory.repositories(world.installation.id)
    assert [request.json for request in world.asked("POST", "/access_tokens")] == [{"permissions": {"contents": "read"}}]


async def test_an_inaccessible_installation(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    monkeypatch.setattr(app_auth, "WORKING_TOKEN_S", 0.0)
    await world.inventory.repositories(world.installation.id)
    await world.github.suspend(world.installation)
    with pytest.raises(SuspendedError):
        await world.inventory.repositories(world.installation.id)
    await world.github.uninstall(world.installation)
    with pytest.raises(GoneError, match=f"getting a token for installation {world.installation.id}"):
        await world.inventory.repositories(world.installation.id)
    world.auth.configure(None, None)
    with pytest.raises(NotConfiguredError):
        await world.inventory.installations()


async def test_a_list_that_changes_while_it_is_read_is_read_again(world: World) -> None:
    """When a repository is removed, others move from the second page to the first: they must not be missed."""
    world.register(3)
    link = {"Link": f'<{world.github.api_url}/installation/repositories?page=1&per_page=100>; rel="next"'}
    first = Answer(200, '{"total_count": 4, "repository_selection": "all", "repositories": []}', {**JSON, **link})
    world.github.faults.add("GET", "/installation/repositories", 1, first)
    assert len(await world.inventory.repositories(world.installation.id)) == 3
    assert len(world.asked("GET", "/installation/repositories")) == 3


async def test_a_list_that_always_changes(world: World) -> None:
    link = {"Link": f'<{world.github.api_url}/installation/repositories?page=2>; rel="next"'}
    for count, more in [(4, link), (5, {})] * 3:
        body = json.dumps({"total_count": count, "repository_selection": "all", "repositories": []})
        world.github.faults.add("GET", "/installation/repositories", 1, Answer(200, body, {**JSON, **more}))
    with pytest.raises(GitHubUnavailableError, match="changed each time"):
        await world.inventory.repositories(world.installation.id)


# -- heads and files


async def test_an_unchanged_branch_does_not_count_against_the_rate_limit(world: World) -> None:
    hosted, repository = await world.create()
    first = await world.inventory.branch_head(repository, "main", None)
    assert first is not None
    assert first.etag
    used = sum(world.github.state.requests_used.values())
    assert await world.inventory.branch_head(repository, "main", first.etag) is None
    assert sum(world.github.state.requests_used.values()) == used
    sha = await world.github.push(hosted, {"a.sql": b"select 2"})
    moved = await world.inventory.branch_head(repository, "main", first.etag)
    assert moved is not None
    assert (moved.sha, moved.etag != first.etag) == (sha, True)


async def test_missing_branches(world: World) -> None:
    hosted, repository = await world.create()
    assert await world.inventory.branch_head(repository, "no-such", 'W/"1"') == BranchHead(None, None)
    _, empty = await world.create({}, "octo/empty")
    assert await world.inventory.branch_head(empty, "main", None) == BranchHead(None, None)
    await world.github.delete_repository(hosted)
    with pytest.raises(GoneError):
        await world.inventory.branch_head(repository, "main", None)


async def test_an_unexpected_304_is_an_error(world: World) -> None:
    _, repository = await world.create()
    world.github.faults.add("GET", "/git/ref/", 1, Answer(304))
    with pytest.raises(Exception, match="304"):
        await world.inventory.branch_head(repository, "main", None)


async def test_only_paths_of_projects(world: World) -> None:
    _, repository = await world.create({**FILES, "deep/down/dbt_project.yml": b"", "my_dbt_project.yml": b""})
    sha = await world.client.branch_head(repository, "main") or ""
    assert len(await world.client.paths(repository, sha)) == 4
    assert await world.inventory.paths(repository, sha) == ["dbt_project.yml", "deep/down/dbt_project.yml"]
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
    return list(discovery.find_projects(paths, {}, RepositorySettings()).projects)


async def test_a_truncated_list_is_walked() -> None:
    async with make_world(tree_limit=12) as small:
        _, repository = await small.create(BIG)
        sha = await small.client.branch_head(repository, "main") or ""
        paths = await small.client.paths(repository, sha)
        assert found(paths) == ["small", "warehouse", "warehouse/core/finance/eu"]
        assert await small.inventory.paths(repository, sha) == paths
        trees = small.asked("GET", "/git/trees/")
        listed = {entry["path"]: entry["sha"] for tree in trees for entry in tree.response_json["tree"]}
        asked = {tree.path.rpartition("/")[2] for tree in trees}
        assert listed["core"] in asked
        assert asked.isdisjoint({listed["node_modules"], listed["Node_Modules"]})
        assert len(trees) == 2 * 20


async def test_a_walk_that_is_too_long_returns_a_partial_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_search, "MAX_TREES", 2)
    async with make_world(tree_limit=12) as small:
        _, repository = await small.create(BIG)
        sha = await small.client.branch_head(repository, "main") or ""
        assert found(await small.inventory.paths(repository, sha)) == ["small", "warehouse"]


async def test_a_walk_stops_at_the_first_error() -> None:
    async with make_world(tree_limit=12) as small:
        _, repository = await small.create(BIG)
        sha = await small.client.branch_head(repository, "main")
        small.github.faults.add("GET", "/git/trees/[0-9a-f]+$", 9, Answer(502))
        with pytest.raises(GitHubUnavailableError, match="listing the files of octo/shop at"):
            await small.inventory.paths(repository, sha or "")


# -- deliveries


class Receiver:
    """A webhook endpoint that can fail, and a clock."""

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


async def test_failed_deliveries_are_listed_and_redelivered() -> None:
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
        failed = await world.inventory.failed_deliveries(since)
        assert [(one.event, one.guid) for one in failed] == [("push", receiver.received[0]), ("check_suite", receiver.received[1])]
        for one in failed:
            await world.inventory.redeliver(one.id)
            await world.github.settle()
        assert receiver.received[-2:] == receiver.received[:2]
        assert await world.inventory.failed_deliveries(since) == []


async def test_a_delivery_that_failed_twice_is_listed_once() -> None:
    async with receiving() as (world, receiver):
        since = world.github.state.now()
        receiver.status = 500
        hosted, _ = await world.create()
        await world.github.ping()
        [first, *_] = failed = await world.inventory.failed_deliveries(since)
        assert {one.event for one in failed} == {"repository", "installation_repositories", "push", "check_suite"}
        receiver.tick(seconds=5)
        again = await world.github.redeliver(first.id)
        newest = (await world.inventory.failed_deliveries(since))[-1]
        assert (newest.id, newest.guid, newest.delivered_at) == (again.id, first.guid, first.delivered_at + timedelta(seconds=5))
        assert len(await world.inventory.failed_deliveries(since)) == len(failed)
        await world.github.delete_repository(hosted)


async def test_a_pending_attempt_is_not_a_failure() -> None:
    async with receiving() as (world, receiver):
        receiver.status = 500
        await world.create()
        for delivery in world.github.deliveries:
            delivery.status, delivery.status_code = "pending", 0
        assert await world.inventory.failed_deliveries(receiver.now - timedelta(hours=1)) == []


async def test_deliveries_are_read_back_to_the_given_time() -> None:
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
        assert [one.event for one in await world.inventory.failed_deliveries(since)] == ["push"]
        assert len(world.asked("GET", "/app/hook/deliveries")) == 3
        assert len(await world.inventory.failed_deliveries(since - timedelta(hours=2))) == 3


async def test_a_delivery_that_github_has_deleted(world: World) -> None:
    with pytest.raises(GoneError, match="requesting the redelivery of 7"):
        await world.inventory.redeliver(7)


# -- rate limits


async def test_the_last_requests_are_reserved_for_check_runs() -> None:
    async with make_world(rate_limit=1000) as world:
        _, repository = await world.create()
        head = await world.inventory.branch_head(repository, "main", None)
        assert head is not None
        world.github.state.requests_used[f"installation ID {world.installation.id}"] = 950
        calls = [
            world.inventory.repositories(world.installation.id),
            world.inventory.branch_head(repository, "main", head.etag),
            world.inventory.paths(repository, head.sha or ""),
            world.client.branch_head(repository, "main"),
        ]
        for call in calls:
            with pytest.raises(GitHubUnavailableError, match="reserved for check runs") as error:
                await call
            assert error.value.retry_after_s is not None
            assert 1 <= error.value.retry_after_s <= 3600
        assert await world.client.create_check_run(repository, {"name": "dbt lineage", "head_sha": head.sha or ""})


async def test_an_exhausted_rate_limit_says_until_when() -> None:
    async with make_world(rate_limit=1000) as world:
        world.github.state.requests_used[f"installation ID {world.installation.id}"] = 2000
        with pytest.raises(GitHubUnavailableError, match="rate limit exceeded") as error:
            await world.inventory.repositories(world.installation.id)
        assert error.value.retry_after_s is not None
        assert len(world.asked("GET", "/installation/repositories")) == 1
