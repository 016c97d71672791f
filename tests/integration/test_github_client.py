"""The REST client against a GitHub with state, over real HTTP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.errors import (
    ConfigurationError,
    FreshetError,
    GitHubUnavailableError,
    GoneError,
    NotConfiguredError,
    RejectedError,
    SuspendedError,
)
from app.github.api import ApiClient
from app.github.auth import FETCH, REPORT, AppAuth
from app.github.client import GitHubClient
from app.jobs import Repository
from tests.double import Answer, Delay, GitHubDouble, Installation, LostAnswer, Reset
from tests.double import Repository as Hosted

FILES = {"dbt_project.yml": b"name: shop\n", "models/orders.sql": b"select 1\n"}
HTML = "<html><body>Unicorn!</body></html>"


@dataclass(frozen=True)
class Seen:
    """A repository and the newest commit of its default branch."""

    repository: Repository
    sha: str | None
    paths: list[str]


class World:
    """A GitHub, the App on one account of it, and our client."""

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
    async with GitHubDouble(**options) as github, ApiClient(github.api_url, total_s=5.0) as api:
        auth = AppAuth(github.app.id, github.app.private_key_pem, api)
        yield World(github, api, auth, await github.install("octo"))
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


async def test_requests_look_as_github_asks(world: World) -> None:
    _, repository = await world.create()
    await world.look(repository)
    for request in world.github.requests:
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert headers["accept"] == "application/vnd.github+json"
        assert headers["x-github-api-version"] == "2022-11-28"
        assert headers["user-agent"] == "freshet"


async def test_tokens_are_narrow_and_made_once(world: World) -> None:
    _, repository = await world.create()
    await asyncio.gather(*(world.look(repository) for _ in range(5)))
    await world.client.create_check_run(repository, body_of(await world.sha(repository)))
    await world.client.full_name(repository)
    made = [request.json for request in world.asked("POST", "/access_tokens")]
    assert made == [
        {"repository_ids": [repository.id], "permissions": permissions}
        for permissions in ({"metadata": "read"}, {"contents": "read"}, {"checks": "write"})
    ]


async def test_an_empty_repository_has_no_commit(world: World) -> None:
    _, repository = await world.create({})
    head = await world.look(repository)
    assert (head.sha, list(head.paths)) == (None, [])
    assert await world.client.branch_head(repository, "main") is None


async def test_branches(world: World) -> None:
    hosted, repository = await world.create()
    sha = await world.github.push(hosted, {"a.sql": b"select 2"}, branch="feature/ünï#1%2F&+")
    assert await world.client.branch_head(repository, "feature/ünï#1%2F&+") == sha
    assert await world.client.branch_head(repository, "feature") is None
    assert await world.client.branch_head(repository, "no-such") is None


async def test_a_truncated_tree_is_what_github_lists() -> None:
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


async def test_a_lost_answer_is_not_sent_again_but_found(world: World) -> None:
    hosted, repository = await world.create()
    sha = await world.sha(repository)
    world.github.faults.add("POST", "/check-runs$", 1, LostAnswer())
    with pytest.raises(GitHubUnavailableError):
        await world.client.create_check_run(repository, body_of(sha))
    [run] = world.github.check_runs(hosted)
    assert await world.client.find_check_run(repository, sha, "x1") == run.id


async def test_a_commit_that_is_not_there_yet_is_tried_again_later(world: World) -> None:
    _, repository = await world.create()
    with pytest.raises(GitHubUnavailableError) as error:
        await world.client.create_check_run(repository, body_of("1" * 40))
    assert error.value.retry_after_s == 2
    assert error.value.doing == "creating the check run of octo/shop at 1111111"
    assert len(world.asked("POST", "/check-runs")) == 1


@pytest.mark.parametrize("fault", [Answer(502, HTML), Answer(520, HTML), Answer(200, HTML), Reset()])
async def test_a_get_gets_over_a_stumble_and_a_post_says_so(world: World, fault: Answer | Reset) -> None:
    _, repository = await world.create()
    world.github.faults.add("GET", "/git/ref/", 2, fault)
    sha = await world.sha(repository)
    world.github.faults.add("POST", "/check-runs$", 1, fault)
    with pytest.raises(GitHubUnavailableError):
        await world.client.create_check_run(repository, body_of(sha))
    assert len(world.asked("POST", "/check-runs")) == 1


async def test_a_get_gives_up_after_three_times(world: World) -> None:
    _, repository = await world.create()
    world.github.faults.add("GET", "/git/ref/", 99, Answer(502, HTML))
    with pytest.raises(GitHubUnavailableError):
        await world.look(repository)
    assert len(world.asked("GET", "/git/ref/heads/main")) == 3


@pytest.mark.parametrize("status", [429, 403])
async def test_limits_say_how_long_to_wait(world: World, status: int) -> None:
    _, repository = await world.create()
    message = '{"message": "You have exceeded a secondary rate limit."}'
    world.github.faults.add("GET", "/git/ref/", 1, Answer(status, message, {"Retry-After": "17", "Content-Type": "application/json"}))
    with pytest.raises(GitHubUnavailableError) as error:
        await world.look(repository)
    assert error.value.retry_after_s == 17
    assert len(world.asked("GET", "/git/ref/heads/main")) == 1


async def test_an_answer_that_does_not_come_is_not_waited_for(world: World) -> None:
    _, repository = await world.create()
    async with ApiClient(world.github.api_url, total_s=0.1) as api:
        client = GitHubClient(api, AppAuth(world.github.app.id, world.github.app.private_key_pem, api))
        world.github.faults.add("*", ".", 99, Delay(0.3))
        with pytest.raises(GitHubUnavailableError, match="within"):
            await client.branch_head(repository, "main")
    await asyncio.sleep(0.3)


async def test_nobody_listens(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    async with ApiClient(url) as api:
        with pytest.raises(GitHubUnavailableError):
            await GitHubClient(api, AppAuth(1, world.github.app.private_key_pem, api)).check()


async def test_a_renamed_repository_is_followed_and_a_post_stays_one(world: World) -> None:
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


async def test_another_repository_under_the_old_name_is_not_taken_for_ours(world: World) -> None:
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


async def test_no_other_host_gets_a_token(world: World) -> None:
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


async def test_redirects_without_end(world: World) -> None:
    _, repository = await world.create()
    there = f"{world.github.api_url}/repos/octo/shop"
    world.github.faults.add("GET", "/repos/octo/shop$", 99, Answer(301, "", {"Location": there}))
    with pytest.raises(GitHubUnavailableError, match="redirected"):
        await world.look(repository)


async def test_a_refused_token_is_replaced_once(world: World) -> None:
    _, repository = await world.create()
    await world.client.branch_head(repository, "main")
    world.github.revoke_all_tokens()
    await world.client.branch_head(repository, "main")
    assert len(world.asked("POST", "/access_tokens")) == 2
    world.github.faults.add("GET", "/git/ref/", 99, Answer(401, '{"message": "Bad credentials"}', {"Content-Type": "application/json"}))
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
async def test_what_we_may_not_see_any_more(world: World, change: Change, error: type[FreshetError], *, warm: bool) -> None:
    hosted, repository = await world.create()
    if warm:
        await world.look(repository)
    await change(world, hosted)
    with pytest.raises(error):
        await world.look(repository)
    with pytest.raises(error):
        await world.client.branch_head(repository, "main")


async def test_what_github_calls_wrong_is_not_tried_again(world: World) -> None:
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


async def test_tokens_of_the_wrong_purpose_do_not_pass(world: World) -> None:
    """The double keeps to the permissions of a token: so the ones that we ask for are enough, and needed."""
    _, repository = await world.create()
    sha = await world.sha(repository)
    token = (await world.auth.token(world.installation.id, repository.id, FETCH)).value
    with pytest.raises(RejectedError):
        await world.api.post("/repos/octo/shop/check-runs", dict, doing="testing", token=token, body=body_of(sha))
    token = (await world.auth.token(world.installation.id, repository.id, REPORT)).value
    with pytest.raises(RejectedError):
        await world.api.get("/repos/octo/shop/git/ref/heads/main", dict, doing="testing", token=token)


async def test_a_suspension_that_shows_late_drops_the_tokens(world: World) -> None:
    _, repository = await world.create()
    await world.client.branch_head(repository, "main")
    suspended = Answer(403, '{"message": "This installation has been suspended"}', {"Content-Type": "application/json"})
    world.github.faults.add("GET", "/git/ref/", 1, suspended)
    with pytest.raises(SuspendedError):
        await world.client.branch_head(repository, "main")
    await world.client.branch_head(repository, "main")
    assert len(world.asked("POST", "/access_tokens")) == 2


@pytest.mark.parametrize("url", ["", "nonsense", "//x"])
def test_an_api_url_that_is_none(url: str) -> None:
    with pytest.raises(ConfigurationError, match="GITHUB_API_URL"):
        ApiClient(url)


async def test_a_proxy_of_the_environment_is_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with other_host() as (url, seen):
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        for api_url, through in ((world.github.api_url, 0), ("http://github.example.com/api/v3", 1)):
            async with ApiClient(api_url) as api:
                auth = AppAuth(world.github.app.id, world.github.app.private_key_pem, api)
                await GitHubClient(api, auth).check()
            assert len(seen) == through
