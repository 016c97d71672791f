"""Rows of extractions that cannot be read any more, made by hand: each costs itself alone."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, cast

import pytest

from app.core.models import github as jobs
from app.core.models.extractions import RESULT_MISSING
from app.github.rest.checks import GitHubClient
from app.pipeline import leases
from app.pipeline.progress import Progress
from app.store import Store
from app.store.pool import Database
from tests.double import GitHubDouble, Repository
from tests.integration.page_world import READ, SERVICE, World
from tests.integration.test_check_runs import URL, client, github, publishing, queued, repository
from tests.integration.test_page_rights import world
from tests.patience import HANGS_S

__all__ = ["client", "github", "repository", "world"]
NUMBERS = '{"counts": 1, "edges": 1, "change": 1, "project_dir": 1, "project_name": 1, "dbt_version": 1, "adapter_type": 1}'
SOUND = '"edges": 1, "change": null, "project_dir": "", "project_name": "a", "dbt_version": "1.11.0", "adapter_type": "duckdb"'
RESULTS = {
    "nothing": "{}",
    "a list": "[1]",
    "a text": '"nothing"',
    "only counts": '{"counts": {"model": 3}}',
    "numbers": NUMBERS,
    "an impact that is a list": f'{{"counts": {{}}, {SOUND}, "impact": [1]}}',
    "an impact of nothing": f'{{"counts": {{}}, {SOUND}, "impact": {{"state": "ready"}}}}',
}


class Crashing:
    """A client with a bug: it cannot send a check run of one commit."""

    def __init__(self, client: GitHubClient, sha: str) -> None:
        self._client, self._sha = client, sha

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def create_check_run(self, repository: jobs.Repository, body: dict[str, Any], *, obsolete: bool = False) -> int:
        if body["head_sha"] == self._sha:
            raise ZeroDivisionError
        return await self._client.create_check_run(repository, body, obsolete=obsolete)


async def succeed(db: Database, extraction_id: str, result: str) -> None:
    await db.execute(
        "UPDATE extractions SET status = 'succeeded', finished_at = now(), result = $2::text::json WHERE id = $1::text::uuid",
        extraction_id,
        result,
    )


@pytest.mark.parametrize("result", RESULTS)
async def test_a_success_without_a_usable_result_is_said_on_github_and_stops_no_other_check_run(
    dsn: str, db: Database, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository, result: str
) -> None:
    extraction_id, damaged = await queued(store, github, repository)
    await succeed(db, extraction_id, RESULTS[result])
    _, sound = await queued(store, github, repository)
    async with publishing(dsn, store, client):
        run = await github.wait_for_check_run(repository, damaged)
        await github.wait_for_check_run(repository, sound, status="queued")
    assert (run.conclusion, run.title) == ("neutral", "The result is missing")
    assert "Re-run this check" in (run.summary or "")
    assert run.details_url == f"{URL}/extractions/{extraction_id}"


@pytest.mark.parametrize("column", ["stages", "tries", "facts", "problem", "base", "result"])
async def test_a_part_that_cannot_be_read_costs_only_what_it_says(
    dsn: str, db: Database, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository, column: str
) -> None:
    """As one that a later version wrote, while both run during an upgrade."""
    extraction_id, sha = await queued(store, github, repository)
    await db.execute(f"UPDATE extractions SET {column} = '[7]' WHERE id = $1::text::uuid", extraction_id)  # noqa: S608 - names of columns
    async with publishing(dsn, store, client):
        await github.wait_for_check_run(repository, sha, status="queued")
        claimed = await store.extractions.claim("w", timedelta(minutes=1))
        assert claimed is not None
        await Progress(store, "w", claimed).show_log("a line of dbt\n")
        assert await store.logs.get(claimed.id) is not None
        await store.extractions.finish(claimed.id, "w", "failed", [], problem=RESULT_MISSING)
        run = await github.wait_for_check_run(repository, sha)
    assert run.conclusion == "neutral"


async def test_a_check_run_that_cannot_be_sent_is_abandoned_after_a_day_and_counted(
    dsn: str, db: Database, store: Store, github: GitHubDouble, client: GitHubClient, repository: Repository
) -> None:
    extraction_id, damaged = await queued(store, github, repository)
    _, sound = await queued(store, github, repository)
    async with publishing(dsn, store, cast("GitHubClient", Crashing(client, damaged))):
        await github.wait_for_check_run(repository, sound, status="queued")
        async with asyncio.timeout(HANGS_S):
            while not await db.value("SELECT attempts FROM check_runs WHERE extraction_id = $1::text::uuid", extraction_id):
                await asyncio.sleep(0.01)
            assert (await store.statistics.backlog()).check_runs_unsent == 0
            query = "UPDATE check_runs SET attempts = $2, due_at = now() WHERE extraction_id = $1::text::uuid"
            await db.execute(query, extraction_id, leases.CHECK_RUN_ATTEMPTS - 1)
            await db.execute("SELECT pg_notify('freshet_checks', '')")
            while not (await store.statistics.backlog()).check_runs_unsent:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("result", [one for one in RESULTS if one != "an impact of nothing"])
async def test_its_page_and_the_lists_say_that_the_result_is_missing(world: World, db: Database, result: str) -> None:
    await succeed(db, world.extraction_id, RESULTS[result])
    browser = await world.browser(READ)
    page = await world.open(browser, world.page)
    assert "The result is missing" in page.text
    assert "Re-run this check" in page.text
    connection = f"/connections/{world.connection_id}"
    assert "The result is missing" in (await world.open(browser, connection)).text
    await world.open(browser, "/")


async def test_the_api_answers_without_the_result(world: World, db: Database) -> None:
    await succeed(db, world.extraction_id, RESULTS["nothing"])
    token = {"Authorization": f"Bearer {SERVICE}"}
    browser = await world.browser()
    for path in (f"extractions/{world.extraction_id}", f"connections/{world.connection_id}/extractions"):
        async with browser.session.get(f"{world.url}/api/metadata/{path}", headers=token) as response:
            assert response.status == 200
            found = await response.json()
        one = found.get("items", [found])[0]
        assert (one["status"], one["conclusion"], one["headline"]) == ("succeeded", "neutral", "The result is missing")
    async with browser.session.get(f"{world.url}/api/metadata/extractions/{world.extraction_id}", headers=token) as response:
        found = await response.json()
    assert (found["result"], found["error"]["title"]) == (None, "The result is missing")
