"""The main path: a push becomes a check run and a lineage. Only GitHub is a double."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from demo import second_push
from tests.double import CheckRun, GitHubDouble, Repository
from tests.html_forms import browsing
from tests.service import ROOT, TOKEN, Service, looked_at, serving

PROJECT = ROOT / "demo" / "project"
TINY = {
    "dbt_project.yml": "name: tiny\nversion: '1.0'\nprofile: tiny\n",
    "models/a.sql": "select 1 as id",
    "models/b.sql": "select * from {{ ref('a') }}",
}


@pytest_asyncio.fixture(scope="module")
async def github() -> AsyncIterator[GitHubDouble]:
    async with GitHubDouble() as double:
        yield double
        assert double.violations == []


@pytest_asyncio.fixture(scope="module")
async def service(github: GitHubDouble, tmp_path_factory: pytest.TempPathFactory, module_dsn: str) -> AsyncIterator[Service]:
    async with serving(
        github, tmp_path_factory.mktemp("data"), DATABASE_URL=module_dsn, DBT_MEMORY="600m", FRESHET_WARM_CONTAINERS="0"
    ) as running:
        yield running
        await running.stop()
        assert '"level": "error"' not in running.log, "nothing crashed"
        assert "Traceback" not in running.log
        for secret in (TOKEN, github.app.webhook_secret, *(token.value for token in github.state.tokens.values())):
            assert secret not in running.log


async def installed(github: GitHubDouble, name: str, files: dict[str, Any]) -> Repository:
    """Install the App on a new repository of a new account; the caller makes the first push."""
    repository = await github.create_repository(f"{name}-team/{name}", {})
    await github.install(f"{name}-team", [repository])
    if files:
        await github.push(repository, files, deliver=False)
    return repository


async def pushed(github: GitHubDouble, repository: Repository, files: dict[str, Any], **more: Any) -> CheckRun:
    sha = await github.push(repository, files, **more)
    return await github.wait_for_check_run(repository, sha)


def edges(lineage: dict[str, Any]) -> set[tuple[str, str]]:
    return {(edge["upstream"], edge["downstream"]) for edge in lineage["edges"]}


async def test_an_install_and_two_pushes(github: GitHubDouble, service: Service) -> None:
    repository = await github.create_repository("acme/bikes", {"README.md": "bikes"})
    files = {f"transform/{path.relative_to(PROJECT)}": path.read_bytes() for path in PROJECT.rglob("*") if path.is_file()}
    sha = await github.push(repository, files, deliver=False)
    await github.install("acme", [repository])
    run = await github.wait_for_check_run(repository, sha)
    assert (run.name, run.conclusion) == ("dbt lineage", "success"), run.summary
    statuses = list(dict.fromkeys(step.status for step in run.history))
    assert statuses in (["queued", "in_progress", "completed"], ["in_progress", "completed"]), "on a busy machine dbt is first"
    assert run.annotations == []
    assert "first lineage" in (run.summary or "")

    connection = await service.connection("acme/bikes")
    assert (connection["project_dir"], connection["project_name"], connection["stale"]) == ("transform", "kingfisher", False)
    before = await service.get(f"/connections/{connection['id']}/lineage")
    assert (before["sha"], before["head_sha"], before["stale"], before["branch"]) == (sha, sha, False, "main")
    assert (before["dbt_version"][:4], before["adapter_type"], before["manifest_schema"]) == ("1.11", "duckdb", "v12")
    kinds = {node["resource_type"] for node in before["nodes"]}
    assert {"model", "seed", "snapshot", "source", "test", "exposure", "analysis"} <= kinds

    changed = {f"transform/{path}": content for path, content in second_push.FILES.items()}
    run = await pushed(github, repository, changed)
    assert run.conclusion == "success", run.summary
    after = await service.get(f"/connections/{connection['id']}/lineage")
    old, new = ({node["unique_id"] for node in lineage["nodes"]} for lineage in (before, after))
    assert new - old >= {"model.kingfisher.station_balance"}
    assert old - new >= {"model.kingfisher.station_daily"}
    assert run.title == "1 model removed, 1 model added"
    assert "`station_balance` is new" in (run.summary or "")
    assert "`station_daily` is removed" in (run.summary or "")
    assert ("model.kingfisher.fct_rentals", "model.kingfisher.station_balance") in edges(after)
    assert await service.get(f"/connections/{connection['id']}/lineage", sha=sha) == before | {
        "head_sha": after["sha"],
        "state": None,
        "stale": True,
    }


BAD = {  # more of them in tests/integration/test_containers.py
    "jinja": ({"models/a.sql": "select\n\n{{ ref('b' }}"}, "models/a.sql", 3, "Compilation Error"),
    "project-yaml": ({"dbt_project.yml": "name: [tiny"}, "dbt_project.yml", None, "dbt_project.yml"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_dbt_error_becomes_a_failure_annotated_at_its_line(github: GitHubDouble, service: Service, name: str) -> None:
    files, path, line, words = BAD[name]
    repository = await installed(github, name, {})
    run = await pushed(github, repository, {**TINY, **files})
    assert run.conclusion == "failure", run.summary
    assert words.lower() in (run.summary or "").lower()
    assert [annotation["path"] for annotation in run.annotations][:1] == [path], run.summary
    if line:
        assert run.annotations[0]["start_line"] == line
    run = await pushed(github, repository, {**dict.fromkeys(files), **TINY})
    assert run.conclusion == "success", "the next extraction works"


@pytest.mark.parametrize(
    ("name", "files", "words"),
    [("no-project", {"README.md": "x"}, "dbt_project.yml"), ("templates", {"templates/dbt_project.yml": "name: x"}, "dbt_project.yml")],
)
async def test_a_push_without_a_dbt_project_explains_what_is_missing(
    github: GitHubDouble, service: Service, name: str, files: dict[str, str], words: str
) -> None:
    repository = await installed(github, name, {})
    run = await pushed(github, repository, files)
    assert (run.conclusion, run.title) == ("neutral", "No dbt project found")
    assert words in (run.summary or "")
    silent = [await github.push(repository, {"README.md": str(number)}) for number in range(3)]
    assert (await pushed(github, repository, TINY)).conclusion == "success", "the first push with a project is found"
    assert [github.check_runs(repository, sha) for sha in silent] == [[], [], []], "it is said once"


async def test_an_empty_commit_and_an_empty_repository(github: GitHubDouble, service: Service, module_dsn: str) -> None:
    del service
    repository = await installed(github, "empty", {})
    await looked_at(module_dsn, repository)
    await github.push(repository, TINY, deliver=False)
    run = await pushed(github, repository, dict.fromkeys(TINY))
    assert run.conclusion == "neutral"
    assert "empty" in (run.summary or "")


async def test_a_container_over_its_memory_limit_names_the_limit(github: GitHubDouble, service: Service) -> None:
    del service
    repository = await installed(github, "greedy", {})
    hungry = "{% set found = [] %}{% for i in range(100000) %}{% do found.append('x' * 1000000 ~ i) %}{% endfor %} select 1"
    run = await pushed(github, repository, {**TINY, "models/a.sql": hungry})
    assert run.conclusion == "failure", run.summary
    assert "DBT_MEMORY" in (run.summary or "")
    assert (await pushed(github, repository, TINY)).conclusion == "success"


async def test_a_container_over_its_time_limit_names_the_limit(tmp_path: Path, dsn: str) -> None:
    """Uses its own service, because a time limit that is short enough for this test is too short for others."""
    endless = "{% for i in range(100000) %}{% for j in range(100000) %}{% set x = i %}{% endfor %}{% endfor %} select 1"
    async with (
        GitHubDouble() as github,
        serving(github, tmp_path / "short", DATABASE_URL=dsn, DBT_TIMEOUT="3", FRESHET_WARM_CONTAINERS="0") as service,
    ):
        repository = await installed(github, "endless", {})
        run = await pushed(github, repository, {**TINY, "models/a.sql": endless})
        assert run.conclusion == "timed_out", run.summary
        assert "DBT_TIMEOUT" in (run.summary or "")
        await service.stop()
        async with serving(github, tmp_path / "long", DATABASE_URL=dsn, FRESHET_WARM_CONTAINERS="0"):
            assert (await pushed(github, repository, TINY)).conclusion == "success"


async def test_paths_and_packages_outside_the_project_directory(github: GitHubDouble, service: Service) -> None:
    files = {
        "teams/sales/dbt_project.yml": "name: sales\nversion: '1.0'\nprofile: x\nmodel-paths: [models, ../../shared/models]\n",
        "teams/sales/packages.yml": "packages:\n  - local: ../common\n",
        "teams/sales/models/a.sql": "select * from {{ ref('shared_one') }} {{ common.nothing() }}",
        "shared/models/shared_one.sql": "select * from {{ ref('common_one') }}",
        "teams/common/dbt_project.yml": "name: common\nversion: '1.0'\n",
        "teams/common/models/common_one.sql": "select 1",
        "teams/common/macros/nothing.sql": "{% macro nothing() %}{% endmacro %}",
    }
    repository = await installed(github, "monorepo", {})
    run = await pushed(github, repository, files)
    assert run.conclusion == "success", run.summary
    connection = await service.connection(repository.full_name)
    lineage = await service.get(f"/connections/{connection['id']}/lineage")
    assert edges(lineage) == {("model.sales.shared_one", "model.sales.a"), ("model.common.common_one", "model.sales.shared_one")}


async def test_a_postgres_project_is_parsed_with_the_postgres_adapter(github: GitHubDouble, service: Service) -> None:
    repository = await installed(github, "pg", {})
    profiles = "tiny: {target: ci, outputs: {ci: {type: postgres, host: db.example, password: hunter2}}}"
    run = await pushed(
        github, repository, {**TINY, "profiles.yml": profiles, "models/c.sql": "select '{{ target.name }}-{{ target.type }}' as x"}
    )
    assert run.conclusion == "success", run.summary
    connection = await service.connection(repository.full_name)
    lineage = await service.get(f"/connections/{connection['id']}/lineage")
    assert lineage["adapter_type"] == "postgres"
    assert "hunter2" not in json.dumps(lineage)


async def test_a_burst_of_pushes_collapses_and_every_check_run_completes(github: GitHubDouble, service: Service) -> None:
    repository = await installed(github, "burst", {})
    shas = [await github.push(repository, {**TINY, "models/a.sql": f"select {number} as id"}) for number in range(6)]
    last = await github.wait_for_check_run(repository, shas[-1])
    assert last.conclusion == "success"
    conclusions = [(await github.wait_for_check_run(repository, sha)).conclusion for sha in shas[:-1]]
    assert set(conclusions) <= {"success", "skipped"}
    assert conclusions.count("skipped") >= 3
    connection = await service.connection(repository.full_name)
    assert (await service.get(f"/connections/{connection['id']}"))["lineage_sha"] == shas[-1]


async def test_a_side_branch_is_extracted_without_moving_the_lineage(github: GitHubDouble, service: Service) -> None:
    repository = await installed(github, "branches", {})
    main = (await pushed(github, repository, TINY)).head_sha
    await github.create_branch(repository, "feature/ünï", main, deliver=False)
    run = await pushed(github, repository, {"models/c.sql": "select * from {{ ref('b') }}"}, branch="feature/ünï")
    assert run.conclusion == "success", run.summary
    assert "`c` is new" in (run.summary or "")
    connection = await service.connection(repository.full_name)
    assert (await service.get(f"/connections/{connection['id']}/lineage"))["sha"] == main
    branch = await service.get(f"/connections/{connection['id']}/lineage", sha=run.head_sha)
    assert (branch["branch"], branch["stale"]) == ("feature/ünï", True)


async def test_an_extraction_through_the_api_with_progress_and_page(github: GitHubDouble, service: Service) -> None:
    repository = await installed(github, "asked", {})
    first = await pushed(github, repository, TINY)
    connection = await service.connection(repository.full_name)
    second = await github.push(repository, {"models/c.sql": "select 1"}, deliver=False)
    asked = await service.post(f"/connections/{connection['id']}/extract")
    assert asked["sha"] == second
    again = await service.post(f"/connections/{connection['id']}/extract", {"sha": second})
    assert again["id"] == asked["id"], "an active extraction of the same commit is returned"
    assert asked["id"] in [one["id"] for one in (await service.get("/extractions/active"))["items"]]
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/event-stream"}
    async with service.session.get(f"{service.url}/api/metadata/connections/{connection['id']}/progress", headers=headers) as stream:
        text = (await stream.content.read()).decode() if stream.status == 200 else ""
    assert re.findall(r"event: (\w+)", text)[-1] == "end"
    stages = {stage["stage"]: stage for stage in json.loads(text.split("data: ")[-1])["stages"]}
    assert set(stages) == {"cloning", "parsing", "columns", "storing"}
    assert all(stage["state"] == "done" and stage["seconds"] >= 0 for stage in stages.values())
    run = await github.wait_for_check_run(repository, second)
    assert run.conclusion == "success"
    for shown in (first, run):
        assert shown.details_url is not None
        async with service.session.get(shown.details_url, headers={"Authorization": f"Bearer {TOKEN}"}) as page:
            html = await page.text()
            assert (page.status, page.content_type) == (200, "text/html")
            assert shown.head_sha[:7] in html
    assert "<code>c</code> is new" in html


async def test_the_link_of_a_check_run_leads_through_sign_in_to_its_page(github: GitHubDouble, service: Service) -> None:
    repository = await installed(github, "signed-in", {})
    run = await pushed(github, repository, TINY)
    assert run.details_url is not None
    async with browsing(service.url) as browser:
        github.sign_in("reader", {repository: "pull"})
        page = await browser.open(run.details_url)
        assert (page.status, page.url, "Sign out reader" in page.text) == (200, run.details_url, True)
        await browser.submit("/sign-out")
        github.sign_in("stranger", {})
        assert (await browser.open(run.details_url)).status == 404
        secrets = [one.value for one in github.state.tokens.values()] + list(browser.cookies().values())
    assert not [secret for secret in secrets if secret in service.log]


async def test_a_page_shows_dbts_message_as_plain_text(github: GitHubDouble, service: Service) -> None:
    repository = await installed(github, "markup", {})
    run = await pushed(github, repository, {**TINY, "models/a.sql": "{{ exceptions.raise_compiler_error('<script>alert(1)</script>') }}"})
    assert run.conclusion == "failure"
    async with service.session.get(run.details_url or "", headers={"Authorization": f"Bearer {TOKEN}"}) as page:
        html = await page.text()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


async def test_removing_and_uninstalling_hide_everything(github: GitHubDouble, service: Service) -> None:
    repository = await github.create_repository("leaving/shop", {})
    installation = await github.install("leaving", [repository])
    await pushed(github, repository, TINY)
    connection = await service.connection("leaving/shop")
    await github.uninstall(installation)
    await service.get(f"/connections/{connection['id']}", status=404)
    await service.get(f"/connections/{connection['id']}/lineage", status=404)


async def test_health(service: Service) -> None:
    async with service.session.get(f"{service.url}/readyz") as response:
        text = await response.text()
    assert response.status == 200, text
    assert [line.split(":")[:2] for line in text.splitlines()] == [["ok", " database"], ["ok", " GitHub credentials"], ["ok", " Docker"]]


async def test_api_errors_have_one_shape(service: Service) -> None:
    connections = f"{service.url}/api/metadata/connections"
    token = {"Authorization": f"Bearer {TOKEN}"}
    cases: list[tuple[str, str, dict[str, str], Any, int]] = [
        ("GET", connections, {}, None, 401),
        ("GET", connections, {"Authorization": "Bearer wrong"}, None, 401),
        ("GET", f"{connections}?limit=0", token, None, 400),
        ("GET", f"{connections}?cursor=bad!", token, None, 400),
        ("GET", f"{connections}?q=%00", token, None, 400),
        ("GET", f"{connections}/nothing", token, None, 404),
        ("GET", f"{connections}/5f9f2f3e-0000-4000-8000-000000000000/lineage", token, None, 404),
        ("DELETE", f"{service.url}/api/metadata/extractions/active", token, None, 405),
        ("GET", f"{service.url}/api/nothing", token, None, 404),
        ("GET", f"{service.url}/extractions/5f9f2f3e-0000-4000-8000-000000000000", token, None, 404),
        ("POST", f"{service.url}/api/webhooks/github", {}, b"{}", 401),
        ("POST", f"{service.url}/api/webhooks/github", {"X-Hub-Signature-256": f"sha256={'0' * 64}"}, b"x" * (26 << 20), 413),
    ]
    for method, url, headers, body, status in cases:
        data = io.BytesIO(body) if body else None
        async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers, data=data) as response:
            problem = json.loads(await response.read())
            assert response.status == status, (url, problem)
            assert response.content_type == "application/problem+json"
            assert problem.keys() >= {"type", "title", "status", "detail"}
            assert problem["status"] == status
