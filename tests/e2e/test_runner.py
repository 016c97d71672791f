"""Services with unusual runners: packages from a hub, a runner that lies, an engine that is away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.runner.docker.engine import connect
from tests.double import GitHubDouble
from tests.integration.runner_hub import Hub, bridge_gateway
from tests.integration.runner_images import SPEAKS, build_runner
from tests.service import serving

TINY = {
    "dbt_project.yml": "name: tiny\nversion: '1.0'\nprofile: tiny\n",
    "packages.yml": "packages:\n  - package: acme/tools\n    version: 1.0.0\n",
    "models/a.sql": "select {{ tools.one() }} as id from {{ ref('tool_days') }}",
}
TOOLS = {
    "dbt_project.yml": "name: tools\nversion: '1.0.0'\n",
    "macros/one.sql": "{% macro one() %}1{% endmacro %}",
    "models/tool_days.sql": "select 1",
}


@pytest_asyncio.fixture
async def github() -> AsyncIterator[GitHubDouble]:
    async with GitHubDouble() as double:
        yield double
        assert double.violations == []


@pytest.fixture
def settings(dsn: str) -> dict[str, Any]:
    """Of services that are about their runner alone."""
    return {"DATABASE_URL": dsn, "FRESHET_WARM_CONTAINERS": "0"}


async def test_packages_are_fetched_in_a_stage_of_their_own_and_stand_in_the_graph(
    github: GitHubDouble, tmp_path: Path, settings: dict[str, Any]
) -> None:
    repository = await github.create_repository("octo/packages", {})
    await github.install("octo", [repository])
    async with connect() as docker:
        hub = Hub(await bridge_gateway(docker))
    hub.add("acme/tools", "1.0.0", TOOLS)
    async with hub.serve(), serving(github, tmp_path, **settings, DBT_PACKAGE_HUB_URL=hub.url) as service:
        sha = await github.push(repository, TINY)
        run = await github.wait_for_check_run(repository, sha)
        assert run.conclusion == "success", run.summary
        assert "| Install packages |" in (run.summary or "")
        connection = await service.connection("octo/packages")
        lineage = await service.get(f"/connections/{connection['id']}/lineage")
        assert lineage["edges"] == [{"upstream": "model.tools.tool_days", "downstream": "model.tiny.a"}]
        sha = await github.push(repository, {"packages.yml": "packages:\n  - package: acme/nowhere\n    version: 1.0.0\n"})
        run = await github.wait_for_check_run(repository, sha)
        assert run.conclusion == "failure"
        assert "acme/nowhere" in (run.summary or "")


async def test_a_manifest_that_is_not_json_is_our_fault_and_the_next_extraction_works(
    github: GitHubDouble, tmp_path: Path, settings: dict[str, Any]
) -> None:
    repository = await github.create_repository("octo/lies", {})
    await github.install("octo", [repository])
    program = SPEAKS + 'say(b"<html>not a manifest</html>")\n'
    async with connect() as docker:
        image = await build_runner(docker, "not-json", program)
    files = {name: text for name, text in TINY.items() if name != "packages.yml"} | {"models/a.sql": "select 1"}
    async with serving(github, tmp_path, **settings, DBT_DOCKER_IMAGE=image):
        sha = await github.push(repository, files)
        run = await github.wait_for_check_run(repository, sha)
        assert (run.conclusion, run.title) == ("neutral", "dbt's manifest could not be read")
        assert "not JSON" in (run.summary or "")
        assert image in (run.summary or "")
    async with serving(github, tmp_path, **settings):
        sha = await github.push(repository, {"models/b.sql": "select 2"})
        assert (await github.wait_for_check_run(repository, sha)).conclusion == "success"


async def test_an_engine_that_is_away_is_waited_for_and_then_confessed(
    github: GitHubDouble, tmp_path: Path, settings: dict[str, Any]
) -> None:
    repository = await github.create_repository("octo/away", {})
    await github.install("octo", [repository])
    async with serving(github, tmp_path, **settings, DOCKER_HOST="tcp://127.0.0.1:1") as service:
        async with service.session.get(f"{service.url}/readyz") as response:
            assert response.status == 503
            assert "not ok: Docker" in await response.text()
        sha = await github.push(repository, {"dbt_project.yml": "name: tiny"})
        run = await github.wait_for_check_run(repository, sha)
        assert run.conclusion == "neutral", "our own fault, and said so"
        assert "Docker engine" in (run.summary or "")
        connection = await service.connection("octo/away")
        assert (await service.get(f"/connections/{connection['id']}/progress"))["attempt"] == 3
