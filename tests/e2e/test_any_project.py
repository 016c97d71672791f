"""Projects as people have them: without settings or with broken ones, of other dbt versions, with private packages, and going bad.

GitHub and the engine are doubles.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.double import CheckRun, GitHubDouble, Repository
from tests.engine import EngineDouble
from tests.service import Service, serving

PROJECT = "name: tiny\nversion: '1.0'\nprofile: tiny\n"
TINY = {
    "dbt_project.yml": PROJECT,
    "models/a.sql": "select 1 as id",
    "models/b.sql": "select * from {{ ref('a') }}",
}
HOSTILE = "@octocat ![x](https://evil.example/p.png) [y](https://evil.example) <img src=x> \x1b[31mred\x1b[0m `` ``` #1"


@pytest_asyncio.fixture(scope="module")
async def github() -> AsyncIterator[GitHubDouble]:
    async with GitHubDouble() as double:
        yield double
        assert double.violations == []


@pytest_asyncio.fixture(scope="module")
async def service(
    github: GitHubDouble, engine: EngineDouble, tmp_path_factory: pytest.TempPathFactory, module_dsn: str
) -> AsyncIterator[Service]:
    settings: dict[str, Any] = {
        "DATABASE_URL": module_dsn,
        "DOCKER_HOST": engine.url,
        "DBT_DOCKER_IMAGES": "dbt-runner:1.10,dbt-runner:1.7",
        "FRESHET_WARM_CONTAINERS": "0",
    }
    async with serving(github, tmp_path_factory.mktemp("data"), **settings) as running:
        yield running
        await running.stop()
        assert "Traceback" not in running.log
        assert [secret for secret in github.state.tokens if secret in running.log] == []


async def extracted(github: GitHubDouble, name: str, files: dict[str, Any]) -> tuple[Repository, CheckRun]:
    """Install the App on a new repository of an account of its own, push, and return how it ended."""
    repository = await github.create_repository(f"{name}-team/{name}", {})
    await github.install(f"{name}-team", [repository])
    return repository, await pushed(github, repository, files)


async def pushed(github: GitHubDouble, repository: Repository, files: dict[str, Any], **more: Any) -> CheckRun:
    sha = await github.push(repository, files, **more)
    return await github.wait_for_check_run(repository, sha)


async def test_values_that_nobody_gave_are_invented_and_listed_until_they_are_given(github: GitHubDouble, service: Service) -> None:
    del service
    files = {
        **TINY,
        "dbt_project.yml": PROJECT + "models:\n  +schema: \"{{ env_var('MART_SCHEMA') }}\"\n",
        "models/a.sql": "select 1 as id\n{% for i in range(env_var('ROUNDS') | int) %}, {{ i }} as c{{ i }}{% endfor %}",
    }
    repository, run = await extracted(github, "invented", files)
    assert run.conclusion == "success", run.summary
    assert "MART_SCHEMA" in (run.summary or "")
    assert "models/a.sql" in (run.summary or "")
    assert ".github/freshet.yml" in (run.summary or "")
    given = await pushed(github, repository, {".github/freshet.yml": "env: {MART_SCHEMA: marts, ROUNDS: 3}\n"})
    assert given.conclusion == "success", given.summary
    assert "MART_SCHEMA" not in (given.summary or "")


async def test_a_broken_settings_file_is_not_used_and_annotated(github: GitHubDouble, service: Service) -> None:
    del service
    files = {**TINY, ".github/freshet.yml": "target: prod\nadaptr: snowflake\n"}
    _, run = await extracted(github, "broken-settings", files)
    assert run.conclusion == "success", run.summary
    assert [(found["path"], found["start_line"]) for found in run.annotations] == [(".github/freshet.yml", 2)]
    assert "adaptr" in run.annotations[0]["message"]
    assert "`dev`" in (run.summary or ""), "nothing of the file holds"


async def test_branches_that_the_settings_leave_out_are_skipped(github: GitHubDouble, service: Service) -> None:
    del service
    repository, run = await extracted(github, "branches", {**TINY, ".github/freshet.yml": "branches: [main, 'release/*']\n"})
    assert run.conclusion == "success", run.summary
    assert (await pushed(github, repository, {"models/c.sql": "select 3"}, branch="wip")).conclusion == "skipped"
    assert (await pushed(github, repository, {"models/c.sql": "select 4"}, branch="release/1")).conclusion == "success"


async def test_a_project_that_goes_bad_keeps_its_last_lineage_and_says_why(github: GitHubDouble, service: Service) -> None:
    repository, run = await extracted(github, "bad", TINY)
    assert run.conclusion == "success", run.summary
    failed = await pushed(github, repository, {"models/b.sql": "select * from {{ ref('nowhere') }}"})
    assert failed.conclusion == "failure"
    assert [(found["path"], found["annotation_level"]) for found in failed.annotations] == [("models/b.sql", "failure")]
    connection = await service.connection("bad-team/bad")
    assert (connection["stale"], connection["stale_reason"]) == (True, failed.title)
    lineage = await service.get(f"/connections/{connection['id']}/lineage")
    assert (lineage["sha"], lineage["head_sha"]) == (run.head_sha, failed.head_sha)
    assert (lineage["stale"], lineage["stale_reason"]) == (True, failed.title)
    assert len(lineage["edges"]) == 1
    await pushed(github, repository, {"models/b.sql": "select * from {{ ref('a') }} -- well again"})
    connection = await service.connection("bad-team/bad")
    assert (connection["stale"], connection["stale_reason"]) == (False, None)


async def test_packages_that_cannot_be_had_are_each_named_where_they_are_asked_for(github: GitHubDouble, service: Service) -> None:
    del service
    packages = f"packages:\n  - git: {github.server_url}/nobody/nothing.git\n    revision: main\n  - git: https://127.0.0.1/x/y.git\n"
    _, run = await extracted(github, "lacking", {**TINY, "packages.yml": packages})
    assert run.conclusion == "failure"
    assert {(found["path"], found["start_line"]) for found in run.annotations} == {("packages.yml", 2), ("packages.yml", 4)}


async def test_a_private_package_of_the_same_installation_comes_through_us(github: GitHubDouble, service: Service) -> None:
    del service
    tools = {"dbt_project.yml": "name: tools\nversion: '1.0'\n", "models/days.sql": "select 1 as day"}
    package = await github.create_repository("family/tools", tools, private=True)
    repository = await github.create_repository("family/shop", {})
    await github.install("family", [package, repository])
    packages = f"packages:\n  - git: {github.server_url}/family/tools.git\n    revision: main\n"
    run = await pushed(github, repository, {**TINY, "packages.yml": packages, "models/b.sql": "select * from {{ ref('days') }}"})
    assert run.conclusion == "success", run.summary
    strangers = await github.create_repository("stranger/shop", {})
    await github.install("stranger", [strangers])
    refused = await pushed(github, strangers, {**TINY, "packages.yml": packages})
    assert refused.conclusion == "failure"
    assert "family/tools" in (refused.summary or "")


async def test_the_dbt_version_that_a_project_asks_for_is_used_or_named(github: GitHubDouble, service: Service) -> None:
    repository, run = await extracted(
        github, "older", {**TINY, "dbt_project.yml": PROJECT + "require-dbt-version: ['>=1.7.0', '<1.8.0']\n"}
    )
    assert run.conclusion == "success", run.summary
    connection = await service.connection("older-team/older")
    assert (await service.get(f"/connections/{connection['id']}/lineage"))["dbt_version"].startswith("1.7.")
    missing = await pushed(github, repository, {"dbt_project.yml": PROJECT + "require-dbt-version: '>=1.6.0,<1.7.0'\n"})
    assert missing.conclusion == "neutral"
    assert "python -m app images build --dbt 1.6" in (missing.summary or "")


async def test_what_strangers_write_stays_text(github: GitHubDouble, service: Service) -> None:
    del service
    files = {**TINY, "models/b.sql": "{{ exceptions.raise_compiler_error(" + repr(HOSTILE) + ") }}"}
    _, run = await extracted(github, "hostile-words", files)
    assert run.conclusion == "failure"
    assert "\x1b" not in (run.summary or "") + (run.text or "")
    assert "octocat" in (run.summary or "")


async def test_installed_packages_in_the_repository_are_used_as_they_are(github: GitHubDouble, service: Service) -> None:
    del service
    files = {
        **TINY,
        "packages.yml": "packages:\n  - package: acme/tools\n    version: 1.0.0\n",
        "dbt_packages/tools/dbt_project.yml": "name: tools\nversion: '1.0'\n",
        "dbt_packages/tools/models/days.sql": "select 1 as day",
        "models/b.sql": "select * from {{ ref('days') }}",
    }
    _, run = await extracted(github, "vendored", files)
    assert run.conclusion == "success", run.summary
