"""The REST client against the stateful double of GitHub, over real HTTP."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.core.errors import (
    ConfigurationError,
    FreshetError,
    GitHubUnavailableError,
    GoneError,
    NotConfiguredError,
    NotYetError,
    RejectedError,
    SuspendedError,
)
from app.core.models.github import MergeBase, Repository
from app.github.app import auth
from app.github.app.auth import FETCH, REPORT, AppAuth
from app.github.rest.checks import GitHubClient
from app.github.rest.http import ApiClient
from tests.double import Answer, Delay, GitHubDouble, Installation, LostAnswer, Reset
from tests.double import Repository as Hosted
from tests.patience import HANGS_S

FILES = {"dbt_project.yml": b"name: shop\n", "models/orders.sql": b"select 1\n"}
HTML = "<html><body>Unicorn!</body></html>"


@dataclass(frozen=True)
class Seen:
    """A repository and the newest commit of its default branch."""

    repository: Repository
    sha: str | None
    paths: list[str]


class World:
    """A GitHub, the App installed on one account, and our client."""

    def __init__(self, github: GitHubDouble, api: ApiClient, auth: AppAuth, installation: Installation) -> None:
        self.github = github
        self.auth = auth
        self.api = api
        self.client = GitHubClient(api, auth)
        self.installation = installation

    def ours(self, hosted: Hosted) -> Repository:
        return Repository(hosted.id, hosted.full_name, self.installation.id)

    async def create(self, files: dict[str, bytes] | None = None, name: str = "octo/shop") -> tuple[Hosted, Repository]:
        hosted = await self.github.create_repository(name, FILES if files is None else files)
        return hosted, self.ours(hosted)

    async def sha(self, repository: Repository) -> str:
        sha = (await self.look(repository)).sha
        assert sha is not None
        return sha

    async def look(self, repository: Repository) -> Seen:
        now = await self.client.describe(repository)
        assert now.default_branch is not None
        sha = await self.client.branch_head(now, now.default_branch)
        return Seen(now, sha, await self.client.paths(now, sha) if sha else [])

    def asked(self, method: str, end: str) -> list[Any]:
        return [request for request in self.github.requests if request.method == method and request.path.endswith(end)]


@asynccontextmanager
async def make_world(**options: Any) -> AsyncIterator[World]:
    async with GitHubDouble(**options) as github, ApiClient(github.api_url, total_s=HANGS_S) as api:
        app_auth = AppAuth(github.app.id, github.app.private_key_pem, api)
        yield World(github, api, app_auth, await github.install("octo"))
        assert github.violations == []


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with make_world() as made:
        yield made


def body_of(sha: str, **changes: Any) -> dict[str, Any]:
    return {"name": "dbt lineage", "head_sha": sha, "external_id": "x1", "status": "queued", "started_at": None, **changes}


@pytest.mark.parametrize("api_prefix", ["", "/api/v3"])
@pytest.mark.parametrize("token_form", ["short", "long"])
async def test_head_with_both_forms_of_tokens(api_prefix: str, token_form: Literal["short", "long"]) -> None:
    async with make_world(api_prefix=api_prefix, token_form=token_form) as world:
        _, repository = await world.create()
        head = await world.look(repository)
        assert head.repository == replace(repository, default_branch="main", private=True)
        assert sorted(head.paths) == sorted(FILES)
        assert head.sha == await world.client.branch_head(repository, "main")


async def test_requests_have_the_headers_that_github_requires(world: World) -> None:
    _, repository = await world.create()
    await world.look(repository)
    for request in world.github.requests:
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert headers["accept"] == "application/vnd.github+json"
        assert headers["x-github-api-version"] == "2022-11-28"
        assert headers["user-agent"] == "freshet"


async def test_tokens_are_limited_and_created_once(world: World) -> None:
    _, repository = await world.create()
    await asyncio.gather(*(world.look(repository) for _ in range(5)))
    await world.client.create_check_run(repository, body_of(await world.sha(repository)))
    await world.client.full_name(repository)
    made = [request.json for request in world.asked("POST", "/access_tokens")]
    assert made == [
        {"permissions": {"contents": "read"}},
        {"permissions": {"checks": "write"}},
    ]


async def test_an_empty_repository_has_no_commit(world: World) -> None:
    _, repository = await world.create({})
    head = await world.look(repository)
    assert (head.sha, list(head.paths)) == (None, [])
    assert await world.client.branch_head(repository, "main") is None


async def test_branch_heads(world: World) -> None:
    hosted, repository = await world.create()
    sha = await world.github.push(hosted, {"a.sql": b"select 2"}, branch="feature/ünï#1%2F&+")
    assert await world.client.branch_head(repository, "feature/ünï#1%2F&+") == sha
    assert await world.client.branch_head(repository, "feature") is None
    assert await world.client.branch_head(repository, "no-such") is None


async def test_where_a_branch_left_another(world: World) -> None:
    hosted, repository = await world.create()
    name = "release/ünï#1%2F&+"
    root = await world.sha(repository)
    await world.github.create_branch(hosted, name, root)
    side = [await world.github.push(hosted, {"a.sql": f"select {number}".encode()}, branch="side") for number in range(3)]
    for number in range(2):
        await world.github.push(hosted, {"b.sql": f"select {number}".encode()}, branch=name)
    assert await world.client.compare(repository, name, side[-1]) == MergeBase(root, 2)
    assert await world.client.compare(repository, side[1], side[2]) == MergeBase(side[1], 0)
    assert await world.client.compare(repository, side[2], side[1]) == MergeBase(side[1], 1)
    orphan = await world.github.push(hosted, {"c.sql": b""}, branch="orphan", parents=())
    assert await world.client.compare(repository, "main", orphan) == MergeBase(None)
    assert await world.client.compare(repository, "deleted", side[0]) is None
    assert await world.client.compare(repository, "main", "1" * 40) is None
    assert all(len(request.response_json["commits"]) <= 1 for request in world.asked("GET", side[-1]))


async def test_commits_before_a_commit(world: World) -> None:
    hosted, repository = await world.create()
    shas = [await world.sha(repository)]
    shas += [await world.github.push(hosted, {"a.sql": f"select {number}".encode()}) for number in range(4)]
    assert await world.client.ancestors(repository, shas[-2]) == shas[-2::-1]
    with pytest.raises(GoneError):
        await world.client.ancestors(repository, "1" * 40)


async def test_a_comparison_in_a_repository_that_is_gone_raises(world: World) -> None:
    hosted, repository = await world.create()
    sha = await world.sha(repository)
    await world.github.delete_repository(hosted)
    with pytest.raises(GoneError):
        await world.client.compare(repository, "main", sha)


async def test_paths_of_a_truncated_tree() -> None:
    async with make_world(tree_limit=2) as world:
        _, repository = await world.create({f"models/m{n}.sql": b"" for n in range(9)})
        assert len((await world.look(repository)).paths) < 9


async def test_a_check_run_from_creation_to_completion(world: World) -> None:
    hosted, repository = await world.create()
    sha = await world.sha(repository)
    assert await world.client.find_check_run(repository, sha, "x1") is None
    run_id = await world.client.create_check_run(repository, body_of(sha))
    assert await world.client.find_check_run(repository, sha, "x1") == run_id
    await world.client.update_check_run(repository, run_id, {"status": "completed", "conclusion": "success", "details_url": None})
    [run] = world.github.check_runs(hosted)
    assert (run.status, run.conclusion, run.external_id) == ("completed", "success", "x1")


async def test_a_check_run_is_found_on_a_later_page(world: World) -> None:
    _, repository = await world.create()
    sha = await world.sha(repository)
    ids = [await world.client.create_check_run(repository, body_of(sha, external_id=f"x{n}")) for n in range(103)]
    assert await world.client.find_check_run(repository, sha, "x0") == ids[0]
    assert await world.client.find_check_run(repository, sha, "x102") == ids[102]
    assert await world.client.find_check_run(repository, sha, "x103") is None


async def test_after_a_lost_response_the_check_run_is_found_and_not_sent_again(world: World) -> None:
    hosted, repository = await world.create()
    sha = await world.sha(repository)
    world.github.faults.add("POST", "/check-runs$", 1, LostAnswer())
    with pytest.raises(GitHubUnavailableError):
        await world.client.create_check_run(repository, body_of(sha))
    [run] = world.github.check_runs(hosted)
    assert await world.client.find_check_run(repository, sha, "x1") == run.id


async def test_a_commit_that_is_not_visible_yet_is_retried_later(world: World) -> None:
    _, repository = await world.create()
    with pytest.raises(GitHubUnavailableError) as error:
        await world.client.create_check_run(repository, body_of("1" * 40))
    assert error.value.retry_after_s == 2
    assert error.value.doing == "creating the check run of octo/shop at 1111111"
    assert len(world.asked("POST", "/check-runs")) == 1


@pytest.mark.parametrize("fault", [Answer(502, HTML), Answer(520, HTML), Answer(200, HTML), Reset()])
async def test_a_get_is_retried_and_a_post_is_not(world: World, fault: Answer | Reset) -> None:
    _, repository = await world.create()
    world.github.faults.add("GET", "/git/ref/", 2, fault)
    sha = await world.sha(repository)
    world.github.faults.add("POST", "/check-runs$", 1, fault)
    with pytest.raises(GitHubUnavailableError):
        await world.client.create_check_run(repository, body_of(sha))
    assert len(world.asked("POST", "/check-runs")) == 1


async def test_a_get_fails_after_three_attempts(world: World) -> None:
    _, repository = await world.create()
    world.github.faults.add("GET", "/git/ref/", 99, Answer(502, HTML))
    with pytest.raises(GitHubUnavailableError):
        await world.look(repository)
    assert len(world.asked("GET", "/git/ref/heads/main")) == 3


@pytest.mark.parametrize("status", [429, 403])
async def test_rate_limit_errors_have_the_time_to_wait(world: World, status: int) -> None:
    _, repository = await world.create()
    message = '{"message": "You have exceeded a secondary rate limit."}'
    world.github.faults.add("GET", "/git/ref/", 1, Answer(status, message, {"Retry-After": "17", "Content-Type": "application/json"}))
    with pytest.raises(GitHubUnavailableError) as error:
        await world.look(repository)
    assert error.value.retry_after_s == 17
    assert len(world.asked("GET", "/git/ref/heads/main")) == 1


async def test_a_missing_response_times_out(world: World) -> None:
    _, repository = await world.create()
    async with ApiClient(world.github.api_url, total_s=0.1) as api:
        client = GitHubClient(api, AppAuth(world.github.app.id, world.github.app.private_key_pem, api))
        world.github.faults.add("*", ".", 99, Delay(0.3))
        with pytest.raises(GitHubUnavailableError, match="within"):
            await client.branch_head(repository, "main")
    await asyncio.sleep(0.3)


async def test_a_refused_connection(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    async with ApiClient(url) as api:
        with pytest.raises(GitHubUnavailableError):
            await GitHubClient(api, AppAuth(1, world.github.app.private_key_pem, api)).check()


async def test_a_renamed_repository_is_followed_and_a_post_stays_a_post(world: World) -> None:
    hosted, repository = await world.create()
    sha = await world.sha(repository)
    await world.github.rename_repository(hosted, "store")
    assert (await world.look(repository)).repository.full_name == "octo/store"
    assert await world.client.full_name(repository) == "octo/store"
    run_id = await world.client.create_check_run(repository, body_of(sha))
    assert [run.id for run in world.github.check_runs(hosted)] == [run_id]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_every_redirect_keeps_method_and_body(world: World, status: int) -> None:
    hosted, repository = await world.create()
    sha = await world.sha(repository)
    there = f"{world.github.api_url}/repositories/{repository.id}/check-runs"
    world.github.faults.add("POST", "^.*/repos/octo/shop/check-runs$", 1, Answer(status, "", {"Location": there}))
    await world.client.create_check_run(repository, body_of(sha))
    [run] = world.github.check_runs(hosted)
    assert run.external_id == "x1"


async def test_another_repository_with_the_old_name_is_not_used(world: World) -> None:
    hosted, repository = await world.create()
    await world.github.rename_repository(hosted, "store")
    await world.create({"other.txt": b""})
    head = await world.look(repository)
    assert head.repository.full_name == "octo/store"
    assert sorted(head.paths) == sorted(FILES)


@asynccontextmanager
async def other_host() -> AsyncIterator[tuple[str, list[web.BaseRequest]]]:
    seen: list[web.BaseRequest] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        seen.append(request)
        return web.json_response({"id": 1, "check_runs": []})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(application) as server:
        yield str(server.make_url("")), seen


async def test_other_hosts_receive_no_token(world: World) -> None:
    _, repository = await world.create()
    sha = await world.sha(repository)
    async with other_host() as (url, seen):
        world.github.faults.add("POST", "/check-runs$", 1, Answer(307, "", {"Location": f"{url}/check-runs"}))
        with pytest.raises(RejectedError, match="another host"):
            await world.client.create_check_run(repository, body_of(sha))
        page = Answer(200, '{"check_runs": []}', {"Link": f'<{url}/page>; rel="next"', "Content-Type": "application/json"})
        world.github.faults.add("GET", "/check-runs$", 1, page)
        with pytest.raises(RejectedError, match="another host"):
            await world.client.find_check_run(repository, sha, "x1")
    assert seen == []


async def test_endless_redirects(world: World) -> None:
    _, repository = await world.create()
    there = f"{world.github.api_url}/repos/octo/shop"
    world.github.faults.add("GET", "/repos/octo/shop$", 99, Answer(301, "", {"Location": there}))
    with pytest.raises(GitHubUnavailableError, match="redirected"):
        await world.look(repository)


BAD_CREDENTIALS = Answer(401, '{"message": "Bad credentials"}', {"Content-Type": "application/json"})


async def test_a_new_token_that_github_does_not_know_yet_is_used_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """https://github.com/octokit/handbook: replicas learn of a token after some seconds."""
    monkeypatch.setattr(auth, "NEW_TOKEN_PAUSES_S", (0.0, 0.0, 0.0))
    _, repository = await world.create()
    world.github.faults.add("GET", "/git/ref/", 4 + 4 + 3, BAD_CREDENTIALS)
    for _ in range(2):
        with pytest.raises(NotYetError) as error:
            await world.client.branch_head(repository, "main")
        assert error.value.retry_after_s
    assert await world.client.branch_head(repository, "main")
    assert len(world.asked("POST", "/access_tokens")) == 1


@pytest.mark.parametrize("minutes", [-15, 15])
async def test_a_wrong_clock_of_the_host_is_corrected(minutes: int) -> None:
    """GitHub refuses JWTs from another time; its `Date` says which time it is."""
    ahead = timedelta(minutes=minutes)
    with structlog.testing.capture_logs() as logged:
        async with make_world(clock=lambda: datetime.now(UTC) + ahead) as world:
            await tell_the_time(world)
    assert [line["event"] for line in logged if line["log_level"] == "warning"] == [
        "the clock of this host is wrong: set it, or start its time synchronization"
    ]


async def tell_the_time(world: World) -> None:
    _, repository = await world.create()
    assert await world.client.branch_head(repository, "main")
    assert len(world.asked("POST", "/access_tokens")) == 2, "the first one was refused"
    assert await world.client.branch_head(repository, "main")
    assert len(world.asked("POST", "/access_tokens")) == 2
    assert re.search(r"the clock of this host is (899|900|901) seconds (behind|ahead of) GitHub's", await world.client.check())


async def test_a_rejected_token_is_replaced_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "NEW_TOKEN_PAUSES_S", ())
    monkeypatch.setattr(auth, "WORKING_TOKEN_S", 0.0)
    _, repository = await world.create()
    await world.client.branch_head(repository, "main")
    world.github.revoke_all_tokens()
    await world.client.branch_head(repository, "main")
    assert len(world.asked("POST", "/access_tokens")) == 2
    world.github.faults.add("GET", "/git/ref/", 99, BAD_CREDENTIALS)
    with pytest.raises(GitHubUnavailableError, match="Bad credentials"):
        await world.client.branch_head(repository, "main")
    assert len(world.asked("POST", "/access_tokens")) == 3


Change = Callable[[World, Hosted], Any]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda world, _: world.github.suspend(world.installation), SuspendedError),
        (lambda world, _: world.github.uninstall(world.installation), GoneError),
        (lambda world, hosted: world.github.remove_repositories(world.installation, [hosted]), GoneError),
        (lambda world, hosted: world.github.delete_repository(hosted), GoneError),
    ],
    ids=["suspended", "uninstalled", "removed", "deleted"],
)
@pytest.mark.parametrize("warm", [True, False])
async def test_a_repository_that_is_no_longer_accessible(
    monkeypatch: pytest.MonkeyPatch, world: World, change: Change, error: type[FreshetError], *, warm: bool
) -> None:
    monkeypatch.setattr(auth, "WORKING_TOKEN_S", 0.0)
    hosted, repository = await world.create()
    if warm:
        await world.look(repository)
    await change(world, hosted)
    with pytest.raises(error):
        await world.look(repository)
    with pytest.raises(error):
        await world.client.branch_head(repository, "main")


async def test_a_public_repository_that_was_removed_gets_no_check_run(world: World) -> None:
    hosted = await world.github.create_repository("octo/open", FILES, private=False)
    repository = world.ours(hosted)
    sha = await world.sha(repository)
    await world.github.remove_repositories(world.installation, [hosted])
    with pytest.raises(GoneError):
        await world.client.create_check_run(repository, body_of(sha))


async def test_a_rejected_request_is_not_retried(world: World) -> None:
    _, repository = await world.create()
    sha = await world.sha(repository)
    with pytest.raises(RejectedError) as error:
        await world.client.create_check_run(repository, {**body_of(sha), "status": "stale"})
    assert error.value.status == 422
    assert len(world.asked("POST", "/check-runs")) == 1
    assert world.github.violations
    world.github.violations.clear()


async def test_the_apps_credentials_can_be_checked(world: World) -> None:
    assert await world.client.check() == f"App freshet-test (id {world.github.app.id})"
    world.auth.configure(1, world.github.app.private_key_pem)
    with pytest.raises(ConfigurationError, match="Integration not found"):
        await world.client.check()
    world.auth.configure(None, None)
    with pytest.raises(NotConfiguredError):
        await world.client.check()


async def test_tokens_with_other_permissions_are_rejected(world: World) -> None:
    """The double enforces permissions, so the requested ones are sufficient and necessary."""
    _, repository = await world.create()
    sha = await world.sha(repository)
    token = (await world.auth.token(world.installation.id, repository.id, FETCH)).value
    with pytest.raises(RejectedError):
        await world.api.post("/repos/octo/shop/check-runs", dict, doing="testing", token=token, body=body_of(sha))
    token = (await world.auth.token(world.installation.id, None, REPORT)).value
    with pytest.raises(RejectedError):
        await world.api.get("/repos/octo/shop/git/ref/heads/main", dict, doing="testing", token=token)


async def test_a_late_suspension_drops_the_tokens(world: World) -> None:
    _, repository = await world.create()
    await world.client.branch_head(repository, "main")
    suspended = Answer(403, '{"message": "This installation has been suspended"}', {"Content-Type": "application/json"})
    world.github.faults.add("GET", "/git/ref/", 1, suspended)
    with pytest.raises(SuspendedError):
        await world.client.branch_head(repository, "main")
    await world.client.branch_head(repository, "main")
    assert len(world.asked("POST", "/access_tokens")) == 2


@pytest.mark.parametrize("url", ["", "nonsense", "//x"])
def test_an_invalid_api_url(url: str) -> None:
    with pytest.raises(ConfigurationError, match="GITHUB_API_URL"):
        ApiClient(url)


async def test_the_proxy_of_the_environment_is_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with other_host() as (url, seen):
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        for api_url, through in ((world.github.api_url, 0), ("http://github.example.com/api/v3", 1)):
            async with ApiClient(api_url) as api:
                app_auth = AppAuth(world.github.app.id, world.github.app.private_key_pem, api)
                await GitHubClient(api, app_auth).check()
            assert len(seen) == through
