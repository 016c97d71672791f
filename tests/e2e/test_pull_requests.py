"""Pull requests and merge queues: what contributors see, and what strangers do not get."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.double import Content, GitHubDouble, PullRequest, Repository, Submodule
from tests.engine import EngineDouble
from tests.patience import HANGS_S
from tests.service import Service, serving

SHOP = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n",
    "models/a.sql": "select 1 as id",
    "models/b.sql": "select * from {{ ref('a') }}",
}
SECRETS = {
    "dbt_project.yml": "name: secrets\nversion: '1.0'\nprofile: secrets\n",
    "models/salaries.sql": "select 'of everybody' as confidential",
}
"""As a package, and as a submodule in the place of models."""


REFUSED = {
    "package": "pull requests from forks and public repositories receive no private packages",
    "inside": "FRESHET_PACKAGE_HOSTS",
}


@pytest_asyncio.fixture(scope="module")
async def github() -> AsyncIterator[GitHubDouble]:
    async with GitHubDouble() as double:
        double.offer_pull_requests()
        yield double
        assert double.violations == []


@pytest_asyncio.fixture(scope="module")
async def inside() -> AsyncIterator[TestServer]:
    """A host on the operator's network that has `SECRETS`, for everybody there."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in SECRETS.items():
            member = tarfile.TarInfo(f"secrets/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=packed.getvalue(), content_type="application/gzip")

    application = web.Application()
    application.router.add_get("/secrets.tar.gz", answer)
    server = TestServer(application)
    async with server:
        yield server


@pytest_asyncio.fixture(scope="module")
async def service(
    github: GitHubDouble, inside: TestServer, engine: EngineDouble, tmp_path_factory: pytest.TempPathFactory, module_dsn: str
) -> AsyncIterator[Service]:
    directory, hosts = tmp_path_factory.mktemp("data"), f"{inside.host}:{inside.port}"
    variables = {"DATABASE_URL": module_dsn, "DOCKER_HOST": engine.url, "FRESHET_WARM_CONTAINERS": "0", "FRESHET_PACKAGE_HOSTS": hosts}
    async with serving(github, directory, port=None, with_app=True, with_client=True, **variables) as running:
        yield running
        await running.stop()
        assert "Traceback" not in running.log


async def followed(github: GitHubDouble, service: Service, name: str, *, files: dict[str, Content] | None = None) -> Repository:
    """A private repository with a lineage."""
    repository = await github.create_repository(f"{name}/shop", files or SHOP)
    await github.install(name)
    sha = await github.push(repository, {"README.md": "shop"})
    run = await github.wait_for_check_run(repository, sha)
    assert run.conclusion == "success", run.summary
    await service.connection(f"{name}/shop")
    return repository


async def contributed(
    github: GitHubDouble, repository: Repository, files: dict[str, Any], *, owner: str = "mona", branch: str = "patch-1"
) -> PullRequest:
    """A pull request from a fork."""
    fork = await github.fork_repository(repository, owner)
    await github.push(fork, files, branch=branch)
    return await github.open_pull_request(repository, branch, fork=fork)


@pytest.mark.parametrize("way", ["package", "submodule", "inside"])
async def test_a_stranger_gets_no_private_package(github: GitHubDouble, inside: TestServer, service: Service, way: str) -> None:
    """Who can read a repository can fork it, and so name any repository of its installation, or any host that the operator allows: to
    read it in the check run."""
    secrets = await github.create_repository(f"acme-{way}/secrets", {**SECRETS})
    repository = await followed(github, service, f"acme-{way}")
    head = await github.push(secrets, {"README.md": "confidential"})
    url = f"{github.server_url}/acme-{way}/secrets.git"
    ways: dict[str, dict[str, Any]] = {
        "package": {"packages.yml": f"packages:\n  - git: {url}\n    revision: {head}\n"},
        "inside": {"packages.yml": f"packages:\n  - tarball: {inside.make_url('/secrets.tar.gz')}\n    name: secrets\n"},
        "submodule": {
            ".gitmodules": f'[submodule "s"]\n\tpath = models\n\turl = {url}\n',
            "models/a.sql": None,
            "models/b.sql": None,
            "models": Submodule(head),
        },
    }
    own = await github.wait_for_check_run(repository, await github.push(repository, ways[way], branch="own"))
    connection = await service.connection(repository.full_name)
    path = f"/connections/{connection['id']}/lineage"
    trusted = await service.get(path, sha=own.head_sha)
    assert "salaries" in {node["name"] for node in trusted["nodes"]}, f"who can push to the repository gets it: {own.summary}"

    await github.wait_for_check_run(secrets, head)
    fetched = fetches(github, secrets)
    pull = await contributed(github, repository, {**ways[way], "README.md": "of a stranger"})
    run = await github.wait_for_check_run(repository, pull.head_sha)
    assert "salaries" not in str(vars(run))
    assert fetches(github, secrets) == fetched
    if way != "submodule":
        assert run.conclusion == "failure"
        assert REFUSED[way] in (run.summary or "")
        await service.get(path, sha=pull.head_sha, status=404)
    else:
        found = await service.get(path, sha=pull.head_sha)
        assert "salaries" not in str(found)
    again = await service.post(f"/connections/{connection['id']}/extract", {"sha": pull.head_sha})
    assert again["branch"] == "mona:patch-1", "a request does not make it trusted"
    ended = await ended_extraction(service, again["id"])
    assert ended["status"] == ("succeeded" if way == "submodule" else "failed")
    assert "salaries" not in str(ended)
    assert fetches(github, secrets) == fetched


def fetches(github: GitHubDouble, repository: Repository) -> int:
    """How often git was sent something of a repository."""
    path = f"/{repository.full_name}.git/git-upload-pack"
    return sum(request.path == path and request.status in (0, 200) for request in github.requests)


async def ended_extraction(service: Service, extraction_id: str) -> dict[str, Any]:
    async with asyncio.timeout(HANGS_S):
        while True:
            found: dict[str, Any] = await service.get(f"/extractions/{extraction_id}")
            if found["status"] not in ("queued", "running"):
                return found
            await asyncio.sleep(0.05)


async def test_a_pull_request_from_a_fork_from_opening_to_merging(github: GitHubDouble, service: Service) -> None:
    repository = await followed(github, service, "umbrella")
    head = (await service.connection(repository.full_name))["head_sha"]
    fork = await github.fork_repository(repository, "mona")
    first = await github.push(fork, {"models/c.sql": "select * from {{ ref('b') }}"}, branch="patch-1")
    pull = await github.open_pull_request(repository, "patch-1", fork=fork, draft=True)
    run = await github.wait_for_check_run(repository, first)
    assert (run.name, run.conclusion) == ("dbt lineage", "success"), run.summary
    broken = await github.push(fork, {"models/c.sql": "select * from {{ ref('nobody') }}"}, branch="patch-1")
    run = await github.wait_for_check_run(repository, broken)
    assert (run.conclusion, [one["path"] for one in run.annotations]) == ("failure", ["models/c.sql"])

    connection = await service.connection(repository.full_name)
    assert (connection["head_sha"], connection["stale"]) == (head, False), "nothing of it moves the connection"
    path = f"/connections/{connection['id']}"
    lineage = await service.get(f"{path}/lineage", sha="mona:patch-1")
    assert (lineage["sha"], "c" in {node["name"] for node in lineage["nodes"]}) == (first, True)
    listed = (await service.get(f"{path}/extractions", branch="mona:patch-1"))["items"]
    assert [(one["sha"], one["trigger"]) for one in listed] == [(broken, "pull_request"), (first, "pull_request")]

    fixed = await github.push(fork, {"models/c.sql": "select 1 as id"}, branch="patch-1")
    await github.mark_ready(pull)
    assert (await github.wait_for_check_run(repository, fixed)).conclusion == "success"
    queued = await github.queue_merge(pull)
    run = await github.wait_for_check_run(repository, queued)
    assert run.conclusion == "success"
    await github.merge_queued(pull, queued)
    async with asyncio.timeout(HANGS_S):
        while (connection := await service.connection(repository.full_name))["lineage_sha"] != queued:
            await asyncio.sleep(0.05)
    assert "c" in {node["name"] for node in (await service.get(f"{path}/lineage"))["nodes"]}


LISTED = {".github/freshet.yml": "branches: [release/*]\n"}


async def test_what_a_merge_queue_requires_is_answered(github: GitHubDouble, service: Service) -> None:
    """A check that is skipped counts as passed: a queue whose branches nobody listed would let everything through."""
    repository = await followed(github, service, "hooli", files={**SHOP, **LISTED})
    side = await github.push(repository, {"models/b.sql": "select * from {{ ref('nobody') }}"}, branch="side")
    pull = await github.open_pull_request(repository, "side")
    assert (await github.wait_for_check_run(repository, side)).conclusion == "skipped"
    queued = await github.wait_for_check_run(repository, await github.queue_merge(pull))
    assert queued.conclusion == "failure"


async def test_a_stranger_cannot_leave_out_their_own_branch(github: GitHubDouble, service: Service) -> None:
    repository = await followed(github, service, "initech")
    files = {".github/freshet.yml": "branches: [nothing]\n", "models/b.sql": "select * from {{ ref('nobody') }}"}
    pull = await contributed(github, repository, files)
    assert (await github.wait_for_check_run(repository, pull.head_sha)).conclusion == "failure"
    without = await contributed(github, repository, {"dbt_project.yml": None}, owner="eve")
    run = await github.wait_for_check_run(repository, without.head_sha)
    assert (run.conclusion, run.title) == ("failure", "No dbt project found")
    assert (await service.connection(repository.full_name))["stale"] is False


async def test_what_was_checked_before_is_answered_without_dbt(github: GitHubDouble, service: Service) -> None:
    """In the merge queue and after the merge, although the pull request was made with what dbt remembers of the followed branch."""
    repository = await followed(github, service, "soylent")
    sha = await github.push(repository, {"models/a.sql": "select 2 as id"}, branch="side")
    run = await github.wait_for_check_run(repository, sha)
    pull = await github.open_pull_request(repository, "side")
    queued = await github.queue_merge(pull)
    again = await github.wait_for_check_run(repository, queued)
    await github.merge_queued(pull, queued)
    connection = await service.connection(repository.full_name)
    for one in (run, again):
        extraction = await service.get(f"/extractions/{one.external_id}")
        stages = [stage["stage"] for stage in extraction["stages"]]
        assert ("parsing" in stages) == (one is run), stages
    async with asyncio.timeout(HANGS_S):
        while (await service.connection(repository.full_name))["lineage_sha"] != queued:
            await asyncio.sleep(0.05)
    history = (await service.get(f"/connections/{connection['id']}/extractions", branch="main"))["items"]
    assert (history[0]["sha"], "parsing" in [stage["stage"] for stage in history[0]["stages"]]) == (queued, False)


async def test_a_click_on_an_unknown_button_starts_nothing(github: GitHubDouble, service: Service) -> None:
    repository = await followed(github, service, "stark")
    [run] = [run for run in github.check_runs(repository) if run.conclusion == "success"][-1:]
    await github.request_action(run, "deploy")
    assert "unknown action requested" in service.log
    await github.request_action(run, "extract")
    async with asyncio.timeout(HANGS_S):
        while len(github.check_runs(repository, run.head_sha)) < 2:
            await asyncio.sleep(0.05)
    extractions = (await service.get(f"/connections/{(await service.connection(repository.full_name))['id']}/extractions"))["items"]
    assert [one["trigger"] for one in extractions if one["sha"] == run.head_sha].count("rerequested") == 1
