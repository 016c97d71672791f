"""The double against clients that were not written for it: githubkit, git, and GitHub's published schema."""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from githubkit import AppAuthStrategy, GitHub, OAuthAppAuthStrategy
from githubkit.exception import RequestFailed
from githubkit_schemas.latest.webhooks import WebhookNamespace
from yarl import URL

from tests.double import (
    Answer,
    Delay,
    Executable,
    GitHubDouble,
    Installation,
    LostAnswer,
    Repository,
    Reset,
    Symlink,
    TokenForm,
)
from tests.double import schema as github_schema
from tests.double.state import Role

OUTPUT: Any = {"title": "Lineage", "summary": "3 nodes"}
UNKNOWN_SHA = "1" * 40
# githubkit's namespaces hold their client weakly: without this, ``client(…).rest.apps`` outlives its client.
CLIENTS: list[object] = []


@dataclass
class Receiver:
    """A webhook endpoint that keeps what it gets."""

    secret: str
    url: str = ""
    status: int = 202
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        """Keep a delivery whose signature is good."""
        body = await request.read()
        if not WebhookNamespace.verify(self.secret, body, request.headers["X-Hub-Signature-256"]):
            return web.Response(status=401)
        self.received.append((dict(request.headers), body))
        return web.Response(status=self.status)

    def events(self) -> list[str]:
        """Return the names of the events so far."""
        return [headers["X-GitHub-Event"] for headers, _ in self.received]


@pytest.fixture
async def github() -> AsyncIterator[GitHubDouble]:
    """A double whose every answer and event is compared with GitHub's schema when the test is over."""
    async with GitHubDouble() as double:
        yield double
        await double.settle()
        problems = [
            problem
            for request in double.requests
            for problem in github_schema.validate_response(request.method, request.path, request.status, request.response_json)
        ]
        for delivery in double.deliveries:
            problems += github_schema.validate_event(delivery.event, delivery.payload)
        assert problems == []


@pytest.fixture
async def receiver(github: GitHubDouble) -> AsyncIterator[Receiver]:
    """The App's webhook endpoint."""
    endpoint = Receiver(github.app.webhook_secret)
    application = web.Application()
    application.router.add_post("/hook", endpoint.handle)
    async with TestServer(application) as server:
        github.app.webhook_url = endpoint.url = str(server.make_url("/hook"))
        yield endpoint


@pytest.fixture
async def repository(github: GitHubDouble) -> Repository:
    """A private repository with a small dbt project."""
    return await github.create_repository("acme/shop", {"dbt_project.yml": "name: shop\n", "models/a.sql": "select 1"})


@pytest.fixture
async def installation(github: GitHubDouble, repository: Repository) -> Installation:
    """The App on the account of the repository."""
    return await github.install(repository.owner)


def as_app(github: GitHubDouble, app_id: str | None = None) -> GitHub[AppAuthStrategy]:
    """Return an independent client with the App's JWT."""
    strategy = AppAuthStrategy(app_id or github.app.id, github.app.private_key_pem)
    client = GitHub(strategy, base_url=github.api_url, http_cache=False, auto_retry=False)
    CLIENTS.append(client)
    return client


def as_installation(github: GitHubDouble, installation: Installation, **narrowing: Any) -> GitHub[Any]:
    """Return an independent client with an installation token."""
    app = as_app(github)
    client = app.with_auth(app.auth.as_installation(installation.id, **narrowing))
    CLIENTS.append(client)
    return client


async def refused(call: Awaitable[object]) -> tuple[int, str]:
    """Return status and message of the answer to a request that must fail."""
    with pytest.raises(RequestFailed) as caught:
        await call
    return caught.value.response.status_code, str(caught.value.response.json()["message"])


async def new_token(github: GitHubDouble, installation: Installation, **narrowing: Any) -> str:
    """Return a token of the installation."""
    answer = await as_app(github).rest.apps.async_create_installation_access_token(installation.id, **narrowing)
    return answer.parsed_data.token


async def raw(github: GitHubDouble, method: str, path: str, token: str | None = None, **arguments: Any) -> tuple[int, Any]:
    """Return status and JSON of a request that githubkit would not send."""
    headers = {"User-Agent": "test", **({"Authorization": f"Bearer {token}"} if token else {})}
    request = aiohttp.request(method, github.api_url + path, headers=headers, **arguments)
    async with request as response:
        return response.status, await response.json()


class TestApp:
    async def test_app_and_installations(self, github: GitHubDouble, installation: Installation) -> None:
        apps = as_app(github).rest.apps
        app = (await apps.async_get_authenticated()).parsed_data
        assert app is not None
        assert (app.id, app.client_id, app.installations_count) == (github.app.id, github.app.client_id, 1)
        listed = (await apps.async_list_installations()).parsed_data
        one = (await apps.async_get_installation(installation.id)).parsed_data
        assert [i.id for i in listed] == [one.id] == [installation.id]
        found = (await apps.async_get_repo_installation("acme", "shop")).parsed_data
        assert found.id == installation.id
        assert await refused(apps.async_get_installation(1)) == (404, "Not Found")

    async def test_client_id_is_an_issuer(self, github: GitHubDouble) -> None:
        await as_app(github, github.app.client_id).rest.apps.async_get_authenticated()
        assert (await refused(as_app(github, "1").rest.apps.async_get_authenticated()))[0] == 404

    @pytest.mark.parametrize(
        ("issued_in_s", "lives_s", "message"),
        [
            (0, 700, "too far in the future"),
            (-700, 600, "must be a numeric value representing the future time"),
            (120, 60, "'Issued at' claim"),
        ],
    )
    async def test_jwt_claims(self, github: GitHubDouble, issued_in_s: int, lives_s: int, message: str) -> None:
        issued_at = int(datetime.now(UTC).timestamp()) + issued_in_s
        claims = {"iss": str(github.app.id), "iat": issued_at, "exp": issued_at + lives_s}
        token = jwt.encode(claims, github.app.private_key_pem, algorithm="RS256")
        status, body = await raw(github, "GET", "/app", token)
        assert status == 401
        assert message in body["message"]

    async def test_other_credentials(self, github: GitHubDouble) -> None:
        undecodable = (401, "A JSON web token could not be decoded")
        for token in (None, "ghs_x", jwt.encode({"iss": "1"}, "s" * 32, algorithm="HS256")):
            status, body = await raw(github, "GET", "/app", token)
            assert (status, body["message"]) == undecodable
        status, body = await raw(github, "GET", "/installation/repositories", "ghs_x")
        assert (status, body["message"]) == (401, "Bad credentials")

    async def test_hook_config(self, github: GitHubDouble) -> None:
        apps = as_app(github).rest.apps
        url = "https://freshet.example/api/webhooks/github"
        changed = (await apps.async_update_webhook_config_for_app(url=url, secret="new")).parsed_data
        assert (changed.url, changed.secret) == (url, "********")
        assert (github.app.webhook_url, github.app.webhook_secret) == (url, "new")
        assert (await apps.async_get_webhook_config_for_app()).parsed_data == changed


class TestTokens:
    async def test_narrowing(self, github: GitHubDouble, repository: Repository, installation: Installation) -> None:
        await github.create_repository("acme/other", {"a": ""})
        apps = as_app(github).rest.apps
        wide = (await apps.async_create_installation_access_token(installation.id)).parsed_data
        assert wide.repository_selection == "all"
        narrow = (
            await apps.async_create_installation_access_token(installation.id, repositories=["shop"], permissions={"contents": "read"})
        ).parsed_data
        assert narrow.repositories
        assert [r.full_name for r in narrow.repositories] == [repository.full_name]
        assert github.state.tokens[narrow.token].permissions == {"metadata": "read", "contents": "read"}
        client = as_installation(github, installation, repository_ids=[repository.id])
        reached = (await client.rest.apps.async_list_repos_accessible_to_installation()).parsed_data
        assert [r.id for r in reached.repositories] == [repository.id]
        assert await refused(client.rest.repos.async_get("acme", "other")) == (404, "Not Found")

    async def test_refusals(self, github: GitHubDouble, installation: Installation) -> None:
        create = as_app(github).rest.apps.async_create_installation_access_token
        assert (await refused(create(installation.id, repositories=["nope"])))[0] == 422
        assert await refused(create(installation.id, permissions={"contents": "write"})) == (
            422,
            "The permissions requested are not granted to this installation.",
        )
        await github.suspend(installation)
        assert await refused(create(installation.id)) == (403, "This installation has been suspended")
        await github.unsuspend(installation)
        await create(installation.id)
        await github.uninstall(installation)
        assert await refused(create(installation.id)) == (404, "Not Found")

    @pytest.mark.parametrize(("form", "lengths"), [("short", {40}), ("long", {520}), ("alternate", {40, 520})])
    async def test_forms(self, form: TokenForm, lengths: set[int]) -> None:
        async with GitHubDouble(token_form=form) as github:
            installation = await github.install("acme")
            tokens = [await new_token(github, installation) for _ in range(2)]
        assert {len(token) for token in tokens} == lengths
        assert all(token.startswith("ghs_") for token in tokens)

    async def test_end(self, github: GitHubDouble, repository: Repository, installation: Installation) -> None:
        token = await new_token(github, installation)
        path = f"/repos/{repository.full_name}"
        assert (await raw(github, "GET", path, token))[0] == 200
        github.state.tokens[token].expires_at -= timedelta(hours=1)
        assert (await raw(github, "GET", path, token))[0] == 401
        other = await new_token(github, installation)
        github.revoke_all_tokens()
        assert (await raw(github, "GET", path, other))[0] == 401

    async def test_user_token(self, github: GitHubDouble, repository: Repository, installation: Installation) -> None:
        token = github.user_token("hubot", {repository: "push"})
        status, body = await raw(github, "GET", f"/repos/{repository.full_name}", token)
        assert status == 200
        assert body["permissions"] == {"pull": True, "triage": True, "push": True, "maintain": False, "admin": False}
        status, _ = await raw(github, "GET", f"/repos/{repository.full_name}", github.user_token("other", {}))
        assert status == 404
        await github.suspend(installation)
        assert (await raw(github, "GET", f"/repos/{repository.full_name}", token))[0] == 404

    async def test_kinds_of_tokens(self, github: GitHubDouble, repository: Repository) -> None:
        roles: dict[Repository, Role] = {repository: "push"}
        may_read = {
            github.classic_token("hubot", roles): (200, 200),
            github.classic_token("hubot", roles, scopes=["public_repo"]): (404, 404),
            github.classic_token("hubot", roles, scopes=["repo:status"]): (200, 403),
            github.fine_grained_token("hubot", roles, permissions={"contents": "read"}): (200, 200),
            github.fine_grained_token("hubot", roles, permissions={}): (200, 403),
            github.fine_grained_token("hubot", roles, permissions={"contents": "read"}, repositories=[]): (404, 404),
            github.actions_token(repository, {"contents": "read"}): (200, 200),
            github.actions_token(repository, {}): (200, 403),
        }
        for token, expected in may_read.items():
            path = f"/repositories/{repository.id}"
            assert ((await raw(github, "GET", path, token))[0], (await raw(github, "GET", f"{path}/commits", token))[0]) == expected
            assert (await raw(github, "GET", "/rate_limit", token))[0] == 200

    async def test_whose_app_a_token_is_of(self, github: GitHubDouble, repository: Repository) -> None:
        client = GitHub(OAuthAppAuthStrategy(github.app.client_id, github.app.client_secret), base_url=github.api_url, http_cache=False)
        CLIENTS.append(client)
        token = github.user_token("hubot", {repository: "pull"})
        checked = (await client.rest.apps.async_check_token(github.app.client_id, access_token=token)).parsed_data
        assert checked.user
        assert (checked.user.login, checked.app.client_id) == ("hubot", github.app.client_id)
        for other in (github.user_token("hubot", {}, client_id="Iv1.other"), github.classic_token("hubot", {}), "ghu_x"):
            assert await refused(client.rest.apps.async_check_token(github.app.client_id, access_token=other)) == (404, "Not Found")

    async def test_lists_of_users(self, github: GitHubDouble, repository: Repository, installation: Installation) -> None:
        open_ = await github.create_repository("other/open", {"a": ""}, private=False)
        roles: dict[Repository, Role] = {repository: "pull", open_: "push"}

        async def listed(token: str, path: str = "/user/repos") -> list[int]:
            _, body = await raw(github, "GET", path, token)
            return [one["id"] for one in (body if isinstance(body, list) else body["repositories"])]

        assert await listed(github.classic_token("hubot", roles)) == [repository.id, open_.id]
        assert await listed(github.classic_token("hubot", roles, scopes=[])) == [open_.id]
        token = github.user_token("hubot", roles)
        _, body = await raw(github, "GET", "/user/installations", token)
        assert [one["id"] for one in body["installations"]] == [installation.id]
        assert await listed(token, f"/user/installations/{installation.id}/repositories") == [repository.id]
        workflow = github.actions_token(open_, {"contents": "read"})
        assert await listed(workflow, "/installation/repositories") == [open_.id]
        assert (await raw(github, "GET", "/user/repos", workflow))[0] == 403
        assert (await raw(github, "GET", "/user/installations", github.classic_token("hubot", roles)))[0] == 403

    async def test_who_may_push(self, github: GitHubDouble, repository: Repository) -> None:
        roles: dict[Repository, Role] = {repository: "push"}
        reader: dict[Repository, Role] = {repository: "pull"}
        url = f"{github.server_url}/{repository.full_name}.git/info/refs?service=git-receive-pack"
        expected = {
            github.classic_token("hubot", roles): 200,
            github.classic_token("hubot", reader): 403,
            github.actions_token(repository, {"contents": "write"}): 200,
            github.actions_token(repository, {"contents": "read"}): 403,
            github.fine_grained_token("hubot", roles, permissions={"contents": "write"}, repositories=[]): 404,
            "ghp_x": 401,
        }
        for token, status in expected.items():
            async with aiohttp.request(
                "GET", url, headers={"Authorization": aiohttp.encode_basic_auth("x-access-token", token)}
            ) as response:
                assert response.status == status
                assert status != 200 or b"report-status" in await response.read()


class TestRepositories:
    async def test_reading(self, github: GitHubDouble, repository: Repository, installation: Installation) -> None:
        sha = await github.push(repository, {"run.sh": Executable("true"), "link": Symlink("run.sh")}, branch="feature/x")
        rest = as_installation(github, installation).rest
        assert (await rest.repos.async_get("acme", "shop")).parsed_data.id == repository.id
        branch = (await rest.repos.async_get_branch("acme", "shop", "feature/x")).parsed_data
        assert (branch.name, branch.commit.sha) == ("feature/x", sha)
        commit = (await rest.repos.async_get_commit("acme", "shop", "feature/x")).parsed_data
        assert commit.sha == sha
        reference = (await rest.git.async_get_ref("acme", "shop", "heads/feature/x")).parsed_data
        assert reference.object_.sha == sha
        tree = (await rest.git.async_get_tree("acme", "shop", sha, recursive="1")).parsed_data
        assert {entry.path: entry.mode for entry in tree.tree} == {
            "dbt_project.yml": "100644",
            "link": "120000",
            "models": "040000",
            "models/a.sql": "100644",
            "run.sh": "100755",
        }
        flat = (await rest.git.async_get_tree("acme", "shop", sha)).parsed_data
        assert "models/a.sql" not in {entry.path for entry in flat.tree}

    async def test_what_is_not_there(self, github: GitHubDouble, installation: Installation) -> None:
        await github.create_repository("acme/empty", {})
        rest = as_installation(github, installation).rest
        empty = (409, "Git Repository is empty.")
        assert await refused(rest.git.async_get_tree("acme", "empty", "main")) == empty
        assert await refused(rest.repos.async_get_commit("acme", "empty", "main")) == empty
        assert await refused(rest.git.async_get_ref("acme", "empty", "heads/main")) == empty
        assert await refused(rest.repos.async_get_branch("acme", "empty", "main")) == (404, "Branch not found")
        assert await refused(rest.repos.async_get_branch("acme", "shop", "nope")) == (404, "Branch not found")
        assert await refused(rest.git.async_get_ref("acme", "shop", "heads/nope")) == (404, "Not Found")
        assert await refused(rest.repos.async_get("acme", "nope")) == (404, "Not Found")
        narrow = as_installation(github, installation, permissions={"metadata": "read"}).rest
        assert await refused(narrow.repos.async_get_branch("acme", "shop", "main")) == (
            403,
            "Resource not accessible by integration",
        )

    async def test_lists_of_commits(self, github: GitHubDouble, repository: Repository, installation: Installation) -> None:
        shas = [await github.push(repository, {"a.sql": f"select {number}"}, branch="side") for number in range(3)]
        rest = as_installation(github, installation).rest.repos
        listed = await rest.async_list_commits("acme", "shop", sha=shas[1])
        assert [commit.sha for commit in listed.parsed_data][:2] == [shas[1], shas[0]]
        second = await rest.async_list_commits("acme", "shop", sha="side", per_page=2, page=2)
        assert [commit.sha for commit in second.parsed_data] == [commit.sha for commit in listed.parsed_data][1:]
        assert 'rel="last"' not in second.headers["Link"]
        assert len((await rest.async_list_commits("acme", "shop")).parsed_data) == 1
        assert await refused(rest.async_list_commits("acme", "shop", sha="nope")) == (404, "Not Found")

    async def test_comparisons(self, github: GitHubDouble, repository: Repository, installation: Installation) -> None:
        root = (await github.push(repository, {"b.sql": "select 1"})).strip()
        side = [await github.push(repository, {"a.sql": f"select {number}"}, branch="feature/x") for number in range(3)]
        ahead = await github.push(repository, {"b.sql": None})
        orphan = await github.push(repository, {"c.sql": ""}, branch="orphan", parents=())
        rest = as_installation(github, installation).rest.repos
        found = (await rest.async_compare_commits("acme", "shop", "main...feature/x")).parsed_data
        assert (found.status, found.merge_base_commit.sha, found.base_commit.sha) == ("diverged", root, ahead)
        assert ([commit.sha for commit in found.commits], found.ahead_by, found.behind_by) == (side, 3, 1)
        assert [(file.filename, file.status) for file in found.files or []] == [("a.sql", "added")]
        paged = (await rest.async_compare_commits("acme", "shop", f"main...{side[-1]}", per_page=1, page=2)).parsed_data
        assert ([commit.sha for commit in paged.commits], paged.files) == ([side[1]], [])
        assert (await rest.async_compare_commits("acme", "shop", f"{side[0]}...{side[2]}")).parsed_data.status == "ahead"
        assert (await rest.async_compare_commits("acme", "shop", f"{side[2]}...{side[0]}")).parsed_data.status == "behind"
        assert (await rest.async_compare_commits("acme", "shop", "main...main")).parsed_data.status == "identical"
        merge = await github.push(repository, {"a.sql": "select 2"}, parents=(ahead, side[-1]), message="Merge")
        assert (await rest.async_compare_commits("acme", "shop", f"main...{side[-1]}")).parsed_data.merge_base_commit.sha == side[-1]
        assert (await rest.async_get_commit("acme", "shop", merge)).parsed_data.parents[1].sha == side[-1]
        assert await refused(rest.async_compare_commits("acme", "shop", f"main...{orphan}")) == (
            404,
            f"No common ancestor between main and {orphan}.",
        )
        assert await refused(rest.async_compare_commits("acme", "shop", "main...nope")) == (404, "Not Found")

    async def test_truncated_tree(self) -> None:
        async with GitHubDouble(tree_limit=2, api_prefix="") as github:
            await github.create_repository("acme/shop", {"a": "", "b": "", "c": ""}, private=False)
            status, body = await raw(github, "GET", "/repos/acme/shop/git/trees/main?recursive=1")
        assert status == 200
        assert body["truncated"]
        assert len(body["tree"]) == 2

    async def test_pages(self, github: GitHubDouble) -> None:
        for index in range(5):
            await github.create_repository(f"acme/r{index}", {})
        installation = await github.install("acme")
        client = as_installation(github, installation)
        pages = client.rest.paginate(
            client.rest.apps.async_list_repos_accessible_to_installation,
            map_func=lambda response: response.parsed_data.repositories,
            per_page=2,
        )
        assert [repository.name async for repository in pages] == [f"r{index}" for index in range(5)]
        token = await new_token(github, installation)
        headers = {"Authorization": f"token {token}"}
        url = f"{github.api_url}/installation/repositories?per_page=2&page=2"
        async with aiohttp.request("GET", url, headers=headers) as response:
            links = {str(link["rel"]): URL(link["url"]).query["page"] for link in response.links.values()}
        assert links == {"prev": "1", "first": "1", "next": "3", "last": "3"}

    async def test_conditional_requests_are_free(self, github: GitHubDouble, repository: Repository) -> None:
        repository.private = False
        async with aiohttp.ClientSession() as session:
            url = f"{github.api_url}/repos/{repository.full_name}"
            async with session.get(url) as first:
                headers = {"If-None-Match": first.headers["ETag"]}
            async with session.get(url, headers=headers) as second:
                assert second.status == 304
                assert await second.read() == b""
            async with session.get(url) as third:
                assert third.headers["X-RateLimit-Used"] == "2"

    async def test_rate_limit(self) -> None:
        async with GitHubDouble(rate_limit=1) as github:
            assert (await raw(github, "GET", "/repos/a/b"))[0] == 404
            status, body = await raw(github, "GET", "/repos/a/b")
        assert status == 403
        assert "API rate limit exceeded" in body["message"]

    async def test_renamed(self, github: GitHubDouble, repository: Repository, installation: Installation) -> None:
        await github.rename_repository(repository, "store")
        rest = as_installation(github, installation).rest
        assert (await rest.repos.async_get("acme", "shop")).parsed_data.full_name == "acme/store"
        assert (await rest.repos.async_get_branch("acme", "shop", "main")).parsed_data.name == "main"


class TestCheckRuns:
    async def test_life(self, github: GitHubDouble, repository: Repository, installation: Installation) -> None:
        sha = await github.push(repository, {"models/b.sql": "select 2"})
        checks = as_installation(github, installation).rest.checks
        created = (
            await checks.async_create("acme", "shop", name="dbt lineage", head_sha=sha, status="queued", external_id="7")
        ).parsed_data
        assert (created.status, created.conclusion, created.external_id, created.completed_at) == ("queued", None, "7", None)
        await checks.async_update("acme", "shop", created.id, status="in_progress")
        done = (await checks.async_update("acme", "shop", created.id, conclusion="success", output=OUTPUT)).parsed_data
        assert (done.status, done.conclusion, done.output.title) == ("completed", "success", "Lineage")
        assert done.completed_at is not None
        assert (await checks.async_get("acme", "shop", created.id)).parsed_data == done
        run = await github.wait_for_check_run(repository, sha, name="dbt lineage", timeout_s=1)
        assert [(step.status, step.conclusion, step.title) for step in run.history] == [
            ("queued", None, None),
            ("in_progress", None, None),
            ("completed", "success", "Lineage"),
        ]
        assert github.violations == []

    async def test_listing(self, github: GitHubDouble, repository: Repository, installation: Installation) -> None:
        sha = await github.push(repository, {"models/b.sql": "select 2"})
        checks = as_installation(github, installation).rest.checks
        for name in ("a", "b", "a"):
            await checks.async_create("acme", "shop", name=name, head_sha=sha)
        latest = (await checks.async_list_for_ref("acme", "shop", sha)).parsed_data
        assert latest.total_count == 2
        every = (await checks.async_list_for_ref("acme", "shop", "main", filter_="all", check_name="a")).parsed_data
        assert [run.name for run in every.check_runs] == ["a", "a"]
        assert (await checks.async_list_for_ref("acme", "shop", sha, status="completed")).parsed_data.total_count == 0
        assert (await checks.async_list_for_ref("acme", "shop", sha, app_id=github.app.id)).parsed_data.total_count == 2
        assert [run.name for run in github.check_runs(repository, sha)] == ["a", "b", "a"]

    async def test_annotations_append(self, github: GitHubDouble, repository: Repository, installation: Installation) -> None:
        sha = await github.push(repository, {"models/b.sql": "select 2"})
        checks = as_installation(github, installation).rest.checks
        annotation = {"path": "models/b.sql", "start_line": 1, "end_line": 1, "annotation_level": "failure", "message": "!"}
        output: Any = {**OUTPUT, "annotations": [annotation] * 50}
        run = (await checks.async_create("acme", "shop", name="n", head_sha=sha, output=output)).parsed_data
        output = {**OUTPUT, "annotations": [{**annotation, "start_column": 1, "title": "t"}]}
        run = (await checks.async_update("acme", "shop", run.id, output=output)).parsed_data
        assert run.output.annotations_count == 51
        last = (await checks.async_list_annotations("acme", "shop", run.id, per_page=50, page=2)).parsed_data
        assert [(a.title, a.start_column, a.message) for a in last] == [("t", 1, "!")]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"head_sha": UNKNOWN_SHA}, f"No commit found for SHA: {UNKNOWN_SHA}"),
            ({"head_sha": "main"}, "No commit found for SHA: main"),
            ({"details_url": None}, "nil is not a string"),
            ({"output": {**OUTPUT, "text": None}}, "nil is not a string"),
            ({"name": ""}, '"name" wasn\'t supplied'),
            ({"status": "completed"}, '"conclusion" wasn\'t supplied'),
            ({"status": "waiting"}, "waiting is not a member of"),
            ({"conclusion": "stale"}, "stale is not a member of"),
            ({"completed_at": "2026-01-01T00:00:00Z"}, '"conclusion" wasn\'t supplied'),
            ({"started_at": "today"}, "today is not a valid date-time"),
            ({"details_url": "ftp://x"}, "Validation Failed"),
            ({"output": {"summary": "s"}}, '"title" wasn\'t supplied'),
            ({"output": {"title": "t", "summary": "é" * 32768}}, "Validation Failed"),
            ({"output": {**OUTPUT, "annotations": [{}] * 51}}, "No more than 50 items are allowed"),
            ({"output": {**OUTPUT, "annotations": [{"path": "p"}]}}, '"start_line" wasn\'t supplied'),
            ({"actions": [{"label": "l" * 21, "description": "d", "identifier": "i"}]}, "longer than 20 characters"),
            ({"actions": [{"label": "l", "description": "d", "identifier": "i"}] * 4}, "No more than 3 items"),
        ],
    )
    async def test_refused(
        self, github: GitHubDouble, repository: Repository, installation: Installation, change: dict[str, Any], message: str
    ) -> None:
        sha = await github.push(repository, {"models/b.sql": "select 2"})
        token = await new_token(github, installation)
        body = {"name": "n", "head_sha": sha, **change}
        status, answer = await raw(github, "POST", f"/repos/{repository.full_name}/check-runs", token, json=body)
        assert status == 422
        assert message in answer["message"]
        assert github.check_runs(repository) == []

    async def test_completed_stays_completed(self, github: GitHubDouble, repository: Repository, installation: Installation) -> None:
        sha = await github.push(repository, {"models/b.sql": "select 2"})
        checks = as_installation(github, installation).rest.checks
        run = (await checks.async_create("acme", "shop", name="n", head_sha=sha, conclusion="neutral")).parsed_data
        status, message = await refused(checks.async_update("acme", "shop", run.id, status="in_progress"))
        assert status == 422
        assert "cannot be reopened" in message

    async def test_permission(self, github: GitHubDouble, repository: Repository, installation: Installation) -> None:
        sha = await github.push(repository, {"models/b.sql": "select 2"})
        checks = as_installation(github, installation, permissions={"checks": "read"}).rest.checks
        forbidden = (403, "Resource not accessible by integration")
        assert await refused(checks.async_create("acme", "shop", name="n", head_sha=sha)) == forbidden

    async def test_violations(self, github: GitHubDouble, repository: Repository, installation: Installation) -> None:
        sha = await github.push(repository, {"models/b.sql": "select 2"})
        token = await new_token(github, installation)
        path = f"/repos/{repository.full_name}/check-runs"
        body = {"name": "n", "head_sha": sha, "sha": sha, "output": {**OUTPUT, "titel": "t"}}
        assert (await raw(github, "POST", path, token, json=body))[0] == 201
        assert github.violations == [
            f"POST {path}: body/sha: unknown field",
            f"POST {path}: body/output/titel: unknown field",
        ]
        github.violations.clear()
        await raw(github, "PATCH", f"{path}/1", token, json={"status": "completed", "details_url": None})
        assert any("details_url: null" in violation for violation in github.violations)
        assert any("status" in violation for violation in github.violations)

    async def test_timeout_says_what_is_there(self, github: GitHubDouble, repository: Repository) -> None:
        with pytest.raises(TimeoutError, match="no check run of acme/shop at"):
            await github.wait_for_check_run(repository, UNKNOWN_SHA, timeout_s=0.05)


async def run_git(directory: Path, *arguments: str, token: str | None = None) -> tuple[int, str]:
    """Run git as the App does, with the token in the environment; return exit status and what it printed."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}
    if token is not None:
        basic = b64encode(f"x-access-token:{token}".encode()).decode()
        environment |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
        }
    pipe, both = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    process = await asyncio.create_subprocess_exec("git", *arguments, cwd=directory, env=environment, stdout=pipe, stderr=both)
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


class TestGit:
    @pytest.mark.parametrize("form", ["short", "long"])
    async def test_fetch_of_one_commit(self, tmp_path: Path, form: TokenForm) -> None:
        async with GitHubDouble(token_form=form) as github:
            repository = await github.create_repository("acme/shop", {"a.txt": "first", "big": os.urandom(3_000_000)})
            installation = await github.install("acme")
            old = await github.push(repository, {"a.txt": "second"})
            await github.push(repository, {"a.txt": "third"}, force=True)
            token = await new_token(github, installation, repositories=["shop"], permissions={"contents": "read"})
            await run_git(tmp_path, "init", "--quiet", "--bare")
            url = f"{github.server_url}/acme/shop.git"
            status, output = await run_git(tmp_path, "fetch", "--depth=1", url, old, token=token)
            assert (status, output) == (0, output)
            assert await run_git(tmp_path, "show", "FETCH_HEAD:a.txt") == (0, "second")
            assert (await run_git(tmp_path, "rev-list", "--count", "FETCH_HEAD"))[1] == "1\n"
        fetches = [r for r in github.requests if r.path.endswith("git-upload-pack")]
        assert {r.headers["Git-Protocol"] for r in fetches} == {"version=2"}
        # 0: git hung up as soon as it had everything, before the double had noted a status.
        assert {r.status for r in fetches} <= {0, 200}

    async def test_large_negotiation_is_gzipped(self, github: GitHubDouble, tmp_path: Path) -> None:
        repository = await github.create_repository("acme/shop", {"a": "0"}, private=False)
        for index in range(40):
            await github.push(repository, {"a": str(index)}, branch=f"b{index}")
        url = f"{github.server_url}/acme/shop.git"
        assert (await run_git(tmp_path, "clone", "--quiet", "--mirror", url, "m"))[0] == 0
        await github.push(repository, {"a": "last"}, branch="b0")
        assert (await run_git(tmp_path / "m", "fetch", "--quiet", url, "+refs/*:refs/*"))[0] == 0
        assert (await run_git(tmp_path / "m", "show", "b0:a")) == (0, "last")
        assert any(r.headers.get("Content-Encoding") == "gzip" for r in github.requests)

    async def test_client_that_goes_away(self) -> None:
        async with GitHubDouble() as github:
            repository = await github.create_repository("acme/shop", {"big": os.urandom(20_000_000)}, private=False)
            sha = await github.push(repository, {"a": "1"})
            url = f"{github.server_url}/acme/shop.git/git-upload-pack"
            wanted = f"0032want {sha}\n00000009done\n".encode()
            headers = {"Content-Type": "application/x-git-upload-pack-request"}
            async with aiohttp.request("POST", url, data=wanted, headers=headers) as response:
                assert len(await response.content.readexactly(1000)) == 1000
        assert github.requests[-1].status == 0

    async def test_partial_clone(self, github: GitHubDouble, tmp_path: Path) -> None:
        await github.create_repository("acme/shop", {"a": "0"}, private=False)
        url = f"{github.server_url}/acme/shop"
        status, output = await run_git(tmp_path, "clone", "--quiet", "--bare", "--filter=blob:none", url, "m")
        assert (status, output) == (0, "")

    async def test_refusals(self, github: GitHubDouble, repository: Repository, installation: Installation, tmp_path: Path) -> None:
        other = await github.create_repository("acme/other", {"a": "0"})
        listing = ("ls-remote", f"{github.server_url}/{repository.full_name}.git")
        metadata = await new_token(github, installation, permissions={"metadata": "read"})
        elsewhere = await new_token(github, installation, repositories=[other.name])
        for token, words in (
            (None, "could not read Username"),
            ("ghs_nope", "could not read Username"),
            (metadata, "error: 403"),
            (elsewhere, "remote: Repository not found."),
        ):
            status, output = await run_git(tmp_path, *listing, token=token)
            assert status != 0
            assert words in output
        assert (await run_git(tmp_path, "clone", "--quiet", listing[1], ".", token=await new_token(github, installation)))[0] == 0
        status, output = await run_git(tmp_path, "push", listing[1], "HEAD:x", token=await new_token(github, installation))
        assert status != 0
        assert "error: 403" in output

    async def test_renamed(self, github: GitHubDouble, repository: Repository, tmp_path: Path) -> None:
        repository.private = False
        await github.rename_repository(repository, "store")
        status, output = await run_git(tmp_path, "ls-remote", f"{github.server_url}/acme/shop.git", "refs/heads/main")
        assert status == 0
        assert "refs/heads/main" in output


class TestWebhooks:
    async def test_push(self, github: GitHubDouble, receiver: Receiver, repository: Repository) -> None:
        installation = await github.install("acme")
        first = await github.push(repository, {"models/a.sql": "select 2", "x": "1", "models/b.sql": ""})
        second = await github.push(repository, {"x": None}, branch="topic")
        assert receiver.events() == ["installation", "push", "check_suite", "push", "check_suite"]
        headers, body = receiver.received[1]
        event = WebhookNamespace.parse("push", body)
        assert event.installation
        assert (event.ref, event.after, event.installation.id) == ("refs/heads/main", first, installation.id)
        assert (event.commits[0].modified, event.commits[0].added) == (["models/a.sql"], ["models/b.sql", "x"])
        assert not event.forced
        topic = WebhookNamespace.parse("push", receiver.received[3][1])
        assert (topic.created, topic.before, topic.after) == (True, "0" * 40, second)
        assert [commit.removed for commit in topic.commits] == [["x"]]
        assert headers["User-Agent"].startswith("GitHub-Hookshot/")
        assert headers["Content-Type"] == "application/json"
        assert headers["X-GitHub-Hook-ID"] == str(github.app.hook_id)
        assert headers["X-GitHub-Hook-Installation-Target-Type"] == "integration"
        assert headers["X-GitHub-Hook-Installation-Target-ID"] == str(github.app.id)
        assert headers["X-Hub-Signature"] == WebhookNamespace.sign(github.app.webhook_secret, body, "sha1")

    async def test_branches(self, github: GitHubDouble, receiver: Receiver, repository: Repository) -> None:
        await github.install("acme", [repository])
        sha = await github.push(repository, {"a": "1"})
        await github.push(repository, {"a": "2"}, force=True)
        await github.create_branch(repository, "old", sha)
        await github.delete_branch(repository, "old")
        pushes = [WebhookNamespace.parse("push", body) for h, body in receiver.received if h["X-GitHub-Event"] == "push"]
        shown = [(p.created, p.deleted, p.forced, p.base_ref, len(p.commits), p.head_commit is None) for p in pushes]
        assert shown == [
            (False, False, False, None, 1, False),
            (False, False, True, None, 1, False),
            (True, False, False, "refs/heads/main", 0, False),
            (False, True, False, None, 0, True),
        ]

    async def test_everything_else(self, github: GitHubDouble, receiver: Receiver, repository: Repository) -> None:
        await github.ping()
        installation = await github.install("acme", [repository], account_type="User")
        other = await github.create_repository("acme/other", {"a": ""})
        await github.add_repositories(installation, [other])
        await github.remove_repositories(installation, [other])
        await github.rename_repository(repository, "store")
        await github.set_default_branch(repository, "trunk")
        await github.suspend(installation)
        await github.unsuspend(installation)
        await github.delete_repository(repository)
        await github.uninstall(installation)
        actions = [(delivery.event, delivery.action) for delivery in github.deliveries]
        assert actions == [
            ("ping", None),
            ("installation", "created"),
            ("installation_repositories", "added"),
            ("installation_repositories", "removed"),
            ("repository", "renamed"),
            ("repository", "edited"),
            ("installation", "suspend"),
            ("installation", "unsuspend"),
            ("repository", "deleted"),
            ("installation_repositories", "removed"),
            ("installation", "deleted"),
        ]
        assert receiver.events() == [event for event, _ in actions]

    async def test_new_repository(self, github: GitHubDouble, receiver: Receiver) -> None:
        await github.install("acme")
        await github.create_repository("acme/new", {"a": ""})
        assert receiver.events() == ["installation", "repository", "installation_repositories", "push", "check_suite"]

    @pytest.mark.usefixtures("receiver")
    async def test_check_run_events(self, github: GitHubDouble, repository: Repository, installation: Installation) -> None:
        sha = await github.push(repository, {"a": "1"})
        checks = as_installation(github, installation).rest.checks
        run = (await checks.async_create("acme", "shop", name="n", head_sha=sha)).parsed_data
        await checks.async_update("acme", "shop", run.id, conclusion="failure", output=OUTPUT)
        await github.settle()
        await github.rerequest(github.check_runs(repository, sha)[0])
        actions = [delivery.action for delivery in github.deliveries if delivery.event == "check_run"]
        assert actions == ["created", "completed", "rerequested"]

    async def test_redelivery(self, github: GitHubDouble, receiver: Receiver) -> None:
        receiver.status = 503
        await github.ping()
        failed = github.deliveries[0]
        assert (failed.status, failed.status_code) == ("Invalid HTTP Response: 503", 503)
        receiver.status = 202
        again = await github.redeliver(failed.id)
        assert (again.guid, again.status, again.redelivery) == (failed.guid, "OK", True)
        apps = as_app(github).rest.apps
        listed = (await apps.async_list_webhook_deliveries()).parsed_data
        assert [delivery.id for delivery in listed] == [again.id, failed.id]
        await apps.async_redeliver_webhook_delivery(failed.id)
        await github.settle()
        guids = {headers["X-GitHub-Delivery"] for headers, _ in receiver.received}
        assert (len(receiver.received), guids) == (3, {failed.guid})
        detail = (await apps.async_get_webhook_delivery(again.id)).parsed_data
        assert detail.request.payload is not None

    @pytest.mark.usefixtures("receiver")
    async def test_cursor(self, github: GitHubDouble) -> None:
        for _ in range(3):
            await github.ping()
        apps = as_app(github).rest.apps
        first = await apps.async_list_webhook_deliveries(per_page=2)
        cursor = str(first.raw_response.links["next"]["url"]).partition("cursor=")[2].partition("&")[0]
        second = await apps.async_list_webhook_deliveries(per_page=2, cursor=cursor)
        shown = [delivery.id for delivery in (*first.parsed_data, *second.parsed_data)]
        assert shown == [delivery.id for delivery in reversed(github.deliveries)]

    async def test_nobody_listens(self, github: GitHubDouble, repository: Repository) -> None:
        await github.install("acme")
        assert github.deliveries == []
        github.app.webhook_url = "http://127.0.0.1:1/"
        await github.push(repository, {"a": "1"}, deliver=False)
        assert github.deliveries == []
        await github.ping()
        assert github.deliveries[0].status_code == 502


class TestPullRequests:
    @pytest.mark.usefixtures("receiver")
    async def test_every_event_of_pull_requests_and_merge_queues(self, github: GitHubDouble, repository: Repository) -> None:
        github.offer_pull_requests(merge_queues=True)
        await github.install("acme")
        fork = await github.fork_repository(repository, "mona")
        head = await github.push(fork, {"models/a.sql": "select 2"}, branch="patch-1")
        pull = await github.open_pull_request(repository, "patch-1", fork=fork, draft=True)
        await github.push(fork, {"models/a.sql": "select 3"}, branch="patch-1")
        await github.mark_ready(pull)
        await github.create_branch(repository, "release", head)
        await github.change_base(pull, "release")
        await github.retitle(pull, "Another title")
        await github.close_pull_request(pull)
        await github.reopen_pull_request(pull)
        sha = await github.queue_merge(pull)
        await github.merge_queued(pull, sha)
        actions = [(delivery.event, delivery.action) for delivery in github.deliveries if delivery.event.endswith(("request", "group"))]
        assert actions == [
            ("pull_request", "opened"),
            ("pull_request", "synchronize"),
            ("pull_request", "ready_for_review"),
            ("pull_request", "edited"),
            ("pull_request", "edited"),
            ("pull_request", "closed"),
            ("pull_request", "reopened"),
            ("merge_group", "checks_requested"),
            ("merge_group", "destroyed"),
            ("pull_request", "closed"),
        ]
        assert {delivery.status_code for delivery in github.deliveries} == {202}

    @pytest.mark.usefixtures("receiver")
    async def test_without_the_permission_nothing_of_it_is_delivered(self, github: GitHubDouble, repository: Repository) -> None:
        installed = await github.install("acme")
        github.offer_pull_requests()
        await github.push(repository, {"models/a.sql": "select 2"}, branch="side")
        await github.open_pull_request(repository, "side")
        installed.permissions["pull_requests"] = "read"
        assert {delivery.event for delivery in github.deliveries} == {"installation", "push", "check_suite"}
        await github.push(repository, {"models/a.sql": "select 3"}, branch="side")
        assert github.deliveries[-1].event == "pull_request", "the owner accepted it"

    async def test_the_head_of_a_fork_can_be_fetched_and_checked_in_the_repository_of_its_base(
        self, github: GitHubDouble, repository: Repository, installation: Installation, tmp_path: Path
    ) -> None:
        fork = await github.fork_repository(repository, "mona")
        sha = await github.push(fork, {"models/a.sql": "select 2"}, branch="patch-1")
        checks = as_installation(github, installation).rest.checks
        assert (await refused(checks.async_create("acme", "shop", name="n", head_sha=sha)))[0] == 422
        pull = await github.open_pull_request(repository, "patch-1", fork=fork)
        assert pull.head_sha == sha
        token = await new_token(github, installation, permissions={"contents": "read"})
        await run_git(tmp_path, "init", "--quiet", "--bare")
        for wanted in (sha, "refs/pull/1/head"):
            status, output = await run_git(tmp_path, "fetch", "--depth=1", f"{github.server_url}/acme/shop.git", wanted, token=token)
            assert (status, output) == (0, output)
            assert await run_git(tmp_path, "show", "FETCH_HEAD:models/a.sql") == (0, "select 2")
        assert (await checks.async_create("acme", "shop", name="n", head_sha=sha)).parsed_data.head_sha == sha

    @pytest.mark.usefixtures("receiver")
    async def test_the_button_of_a_check_run(self, github: GitHubDouble, repository: Repository, installation: Installation) -> None:
        sha = await github.push(repository, {"a": "1"})
        await as_installation(github, installation).rest.checks.async_create("acme", "shop", name="n", head_sha=sha)
        await github.settle()
        await github.request_action(github.check_runs(repository, sha)[0], "extract")
        assert (github.deliveries[-1].action, github.deliveries[-1].payload["requested_action"]) == (
            "requested_action",
            {"identifier": "extract"},
        )


class TestFaults:
    async def test_answers(self, github: GitHubDouble) -> None:
        github.faults.add("GET", r"/repos/a/b$", 1, Answer(502, "<html>Bad Gateway</html>"))
        github.faults.add("*", r"/repos/", 1, Answer(429, '{"message": "slow down"}', {"Retry-After": "3"}))
        async with aiohttp.ClientSession() as session:
            url = f"{github.api_url}/repos/a/b"
            async with session.get(url) as response:
                assert (response.status, response.content_type) == (502, "text/html")
            async with session.get(url) as response:
                assert (response.status, response.headers["Retry-After"]) == (429, "3")
            async with session.get(url) as response:
                assert response.status == 404
        assert [request.status for request in github.requests] == [502, 429, 404]

    async def test_connection(self, github: GitHubDouble, repository: Repository, installation: Installation) -> None:
        sha = await github.push(repository, {"a": "1"})
        token = await new_token(github, installation)
        path, body = f"/repos/{repository.full_name}/check-runs", {"name": "n", "head_sha": sha}
        github.faults.add("POST", "/check-runs$", 1, Reset())
        github.faults.add("POST", "/check-runs$", 1, LostAnswer())
        github.faults.add("POST", "/check-runs$", 1, Delay(0.01))
        for expected in (0, 1):
            with pytest.raises(aiohttp.ClientConnectionError):
                await raw(github, "POST", path, token, json=body)
            assert len(github.check_runs(repository, sha)) == expected
        assert (await raw(github, "POST", path, token, json=body))[0] == 201


async def test_push_directory(github: GitHubDouble, repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.sql").write_text("select 3")
    (tmp_path / "run.sh").write_text("true")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "link").symlink_to("run.sh")
    repository.private = False
    sha = await github.push_directory(repository, tmp_path)
    _, body = await raw(github, "GET", f"/repos/{repository.full_name}/git/trees/{sha}?recursive=1")
    assert {entry["path"]: entry["mode"] for entry in body["tree"]} == {
        "link": "120000",
        "models": "040000",
        "models/a.sql": "100644",
        "run.sh": "100755",
    }
