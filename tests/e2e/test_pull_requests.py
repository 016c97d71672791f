"""Pull requests and merge queues: what contributors see, and what strangers do not get."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

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


@pytest_asyncio.fixture(scope="module")
async def github() -> AsyncIterator[GitHubDouble]:
    async with GitHubDouble() as double:
        double.offer_pull_requests()
        yield double
        assert double.violations == []


@pytest_asyncio.fixture(scope="module")
async def service(
    github: GitHubDouble, engine: EngineDouble, tmp_path_factory: pytest.TempPathFactory, module_dsn: str
) -> AsyncIterator[Service]:
    directory = tmp_path_factory.mktemp("data")
    async with serving(github, directory, DATABASE_URL=module_dsn, DOCKER_HOST=engine.url, FRESHET_WARM_CONTAINERS="0") as running:
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


@pytest.mark.parametrize("way", ["package", "submodule"])
async def test_a_stranger_gets_no_private_package(github: GitHubDouble, service: Service, way: str) -> None:
    """Who can read a repository can fork it, and so name any repository of its installation: to read it in the check run."""
    secrets = await github.create_repository(f"acme-{way}/secrets", SECRETS)
    repository = await followed(github, service, f"acme-{way}")
    head = await github.push(secrets, {"README.md": "confidential"})
    url = f"{github.server_url}/acme-{way}/secrets.git"
    ways: dict[str, dict[str, Any]] = {
        "package": {"packages.yml": f"packages:\n  - git: {url}\n    revision: {head}\n"},
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
    if way == "package":
        assert run.conclusion == "failure"
        assert "pull requests from forks and public repositories receive no private packages" in (run.summary or "")
        await service.get(path, sha=pull.head_sha, status=404)
    else:
        found = await service.get(path, sha=pull.head_sha)
        assert "salaries" not in str(found)
    again = await service.post(f"/connections/{connection['id']}/extract", {"sha": pull.head_sha})
    assert again["branch"] == "mona:patch-1", "a request does not make it trusted"
    ended = await ended_extraction(service, again["id"])
    assert ended["status"] == ("failed" if way == "package" else "succeeded")
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
