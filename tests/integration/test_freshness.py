"""Statistics, freshness and the badge, over HTTP, with a real database and the GitHub double."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest_asyncio
from aiohttp import ClientResponse

from app.core.models.extractions import Problem
from app.core.models.stats import FreshnessWindow
from app.pipeline.branch_heads import CACHE_S, BranchHeads
from app.store import Store
from app.store.pool import Database
from tests.double import Answer
from tests.integration.connections_world import PUBLIC_URL, World, world

MINUTE = timedelta(minutes=1)
RESULT = {"counts": {"model": 2, "test": 3}, "nodes": 5, "edges": 4, "change": None}


@pytest_asyncio.fixture
async def api(store: Store) -> AsyncIterator[World]:
    async with world(store) as made:
        yield made


async def followed(api: World, *, private: bool = True) -> tuple[Any, str]:
    """A repository with one connection, whose head was extracted, and the connection's path."""
    hosted, _ = await api.create(private=private)
    made = await api.ask("POST", "/connections", {"repository": "octo/shop", "project_dir": ""}, status=201)
    await api.extract("", result=RESULT)
    return hosted, f"/connections/{made['id']}"


# -- statistics


async def test_a_connection_without_extractions_has_empty_statistics(api: World) -> None:
    await api.create()
    made = await api.ask("POST", "/connections", {"repository": "octo/shop"}, status=201)
    stats = await api.ask("GET", f"/connections/{made['id']}/stats")
    assert (stats["resources"], stats["extractions"]["by_status"], stats["stages"]) == (None, {"queued": 1}, [])
    assert stats["cpu_seconds"] == {"times": 0, "last": None, "p50": None, "p95": None, "sum": 0}
    assert stats["staleness"]["reason"] == "Its extraction is queued"


async def test_statistics_of_resources_and_cost(api: World, db: Database) -> None:
    hosted, path = await followed(api)
    for number in range(1, 5):
        await api.push(hosted)
        usage = {"seconds": 2.0, "cpu_seconds": float(number), "peak_memory_bytes": number << 20}
        await api.extract("", result={**RESULT, "usage": usage})
    await api.push(hosted)
    await api.extract("", problem=Problem("dbt said no", "m"))
    stages = '[{{"stage": "parsing", "started_at": "2026-11-02T09:00:00Z", "ended_at": "2026-11-02T09:00:0{}Z"}}]'
    for number, row in enumerate(await db.rows("SELECT id FROM extractions WHERE status = 'succeeded' ORDER BY number")):
        await db.execute("UPDATE extractions SET stages = $2 WHERE id = $1", row["id"], stages.format(number + 1))
    stats = await api.ask("GET", f"{path}/stats")
    assert (stats["resources"]["by_type"], stats["resources"]["nodes"], stats["resources"]["edges"]) == ({"model": 2, "test": 3}, 5, 4)
    assert stats["extractions"]["by_status"] == {"succeeded": 5, "failed": 1}
    assert stats["extractions"]["total"] == 6
    assert stats["stages"] == [{"stage": "parsing", "times": 5, "last": 5.0, "p50": 3.0, "p95": 4.8}]
    assert stats["cpu_seconds"] == {"times": 4, "last": 4.0, "p50": 2.5, "p95": 0.0, "sum": 10.0} | {"p95": stats["cpu_seconds"]["p95"]}
    assert round(stats["cpu_seconds"]["p95"], 6) == 3.85
    memory = stats["peak_memory_bytes"]
    assert (memory["times"], memory["last"], memory["p50"], memory["max"]) == (4, 4 << 20, 2 << 20, 4 << 20)
    assert (stats["staleness"]["stale"], stats["staleness"]["reason"]) == (True, "dbt said no")
    newest = await api.ask("GET", f"{path}/stats?last=2")
    assert newest["extractions"]["by_status"] == {"succeeded": 1, "failed": 1}
    assert newest["stages"][0]["times"] == 1


# -- freshness


async def test_a_current_connection_asks_github_once(api: World) -> None:
    hosted, path = await followed(api)
    before = len(api.github.requests)
    fresh, *_ = await asyncio.gather(*(api.ask("GET", f"{path}/freshness") for _ in range(5)))
    assert len(api.github.requests) == before + 1
    head = await api.head(hosted)
    assert (fresh["branch"], fresh["head"]["sha"], fresh["extracted"]["sha"]) == ("main", head, head)
    assert (fresh["current"], fresh["lag_seconds"], fresh["stale_reason"]) == (True, 0.0, None)
    assert fresh["head"]["asked_at"] is not None
    assert (fresh["objective_seconds"], [one["days"] for one in fresh["objectives"]]) == (60.0, [7, 30])


async def test_a_new_push_makes_the_lineage_stale_until_it_is_extracted(api: World, db: Database) -> None:
    hosted, path = await followed(api)
    sha = await api.push(hosted)
    await db.execute("UPDATE connections SET stale_since = stale_since - interval '90 seconds'")
    fresh = await api.ask("GET", f"{path}/freshness")
    assert (fresh["head"]["sha"], fresh["current"], fresh["stale_reason"]) == (sha, False, "Its extraction is queued")
    assert 90 <= fresh["lag_seconds"] < 120
    shown = await api.ask("GET", path)
    assert shown["lag_seconds"] >= fresh["lag_seconds"]
    await api.push(hosted)
    assert (await api.ask("GET", path))["stale_since"] == shown["stale_since"], "it stays stale"


async def test_a_missed_push_is_noticed_and_queued(api: World) -> None:
    hosted, path = await followed(api)
    sha = await api.push(hosted, heard=False)
    fresh = await api.ask("GET", f"{path}/freshness")
    assert (fresh["head"]["sha"], fresh["current"], fresh["lag_seconds"]) == (sha, False, None)
    while await api.reconciler._next_look():
        pass
    assert [one.sha for one in await api.queue()] == [sha]


async def test_without_github_the_last_known_state_is_returned(api: World) -> None:
    hosted, path = await followed(api)
    api.github.faults.add("GET", "/git/ref/", 9, Answer(502))
    fresh = await api.ask("GET", f"{path}/freshness")
    assert (fresh["head"]["sha"], fresh["head"]["asked_at"], fresh["current"]) == (await api.head(hosted), None, True)
    assert "GitHub" in fresh["head"]["github_error"] or "looking up the branch" in fresh["head"]["github_error"]


async def test_a_deleted_branch_is_not_current(api: World) -> None:
    hosted, _ = await api.create()
    await api.push(hosted, "dev", heard=False)
    made = await api.ask("POST", "/connections", {"repository": "octo/shop", "project_dir": "", "branch": "dev"}, status=201)
    await api.extract("")
    await api.github.delete_branch(hosted, "dev")
    fresh = await api.ask("GET", f"/connections/{made['id']}/freshness")
    assert (fresh["head"]["sha"], fresh["current"], fresh["stale_reason"]) == (None, False, "The branch no longer exists on GitHub")


async def test_heads_are_cached_for_a_few_seconds_and_requested_with_their_etag(api: World) -> None:
    hosted, _ = await api.create()
    clock = [0.0]
    heads = BranchHeads(api.reconciler._inventory, lambda: clock[0])
    first = await heads.get(api.ours(hosted), "main")
    used = sum(api.github.state.requests_used.values())
    clock[0] += CACHE_S + 1
    again = await heads.get(api.ours(hosted), "main")
    assert again.sha == first.sha
    assert sum(api.github.state.requests_used.values()) == used
    sha = await api.push(hosted, heard=False)
    assert (await heads.get(api.ours(hosted), "main")).sha == first.sha
    clock[0] += CACHE_S + 1
    assert (await heads.get(api.ours(hosted), "main")).sha == sha


# -- objectives


class History:
    """Pushes to one connection's branch with their results, in minutes before now."""

    def __init__(self, store: Store, db: Database, connection_id: str) -> None:
        self.store = store
        self.db = db
        self.connection_id = connection_id
        self.commits = 0

    async def add(self, status: str, pushed: float, ended: float | None = None, **more: Any) -> None:
        """Add an extraction that was queued `pushed` minutes ago, and ended `ended` minutes ago."""
        self.commits += 1
        sha = more.get("sha", f"{self.commits:040x}")
        conclusion = more.get("conclusion")
        await self.db.execute(
            "INSERT INTO extractions (connection_id, branch, sha, trigger, status, created_at, finished_at, problem, forced, position) "
            "VALUES ($1::text::uuid, $2, $3, $4, $5, now() - $6::interval, now() - $7::interval, $8, $9, $10)",
            self.connection_id,
            more.get("branch", "main"),
            sha,
            more.get("trigger", "push"),
            status,
            MINUTE * pushed,
            None if ended is None else MINUTE * ended,
            f'{{"conclusion": "{conclusion}"}}' if conclusion else None,
            more.get("forced", False),
            more.get("position"),
        )

    async def answers(self) -> FreshnessWindow:
        [answers] = await self.store.statistics.freshness(self.connection_id, "main", [7], MINUTE)
        return answers


@pytest_asyncio.fixture
async def past(api: World, store: Store, db: Database) -> History:
    hosted, _ = await api.create()
    connection = await store.connections.create(hosted.id, "")
    return History(store, db, connection.id)


def counts(answers: FreshnessWindow) -> tuple[int, int, int, int]:
    return answers.met, answers.missed, answers.refused, answers.pending


async def test_a_push_meets_the_objective_if_its_lineage_is_stored_in_time(past: History) -> None:
    await past.add("succeeded", 100, 99.5)
    await past.add("succeeded", 90, 80)
    await past.add("succeeded", 70, 69, branch="side")
    answers = await past.answers()
    assert counts(answers) == (1, 1, 0, 0)
    assert (answers.share, answers.pushes) == (0.5, 2)


async def test_a_superseded_push_counts_with_the_newer_commit(past: History) -> None:
    await past.add("superseded", 100, 99.8)
    await past.add("succeeded", 99.8, 99.3)
    await past.add("superseded", 90, 85)
    await past.add("succeeded", 85, 84.5)
    assert counts(await past.answers()) == (3, 1, 0, 0)


async def test_a_push_with_a_dbt_error_counts_as_refused(past: History) -> None:
    await past.add("failed", 100, 99.5, conclusion="failure")
    await past.add("superseded", 90, 89.9)
    await past.add("failed", 89.9, 89.5, conclusion="failure")
    await past.add("succeeded", 50, 49.5)
    answers = await past.answers()
    assert counts(answers) == (1, 0, 3, 0)
    assert (answers.share, answers.pushes) == (1.0, 4)


async def test_a_fault_of_freshet_counts_as_missed(past: History) -> None:
    sha = "f" * 40
    await past.add("failed", 100, 99.9, conclusion="neutral", sha=sha)
    await past.add("succeeded", 99.5, 99.2, sha=sha, trigger="api", forced=True, position=1)
    await past.add("failed", 60, 59.9, conclusion="neutral")
    await past.add("cancelled", 50, 49.9)
    assert counts(await past.answers()) == (1, 2, 0, 0), "one extracted in time, one never, one cancelled"


async def test_a_commit_with_several_extractions_is_one_push(past: History) -> None:
    for minute in (100, 95, 90):
        await past.add("failed", minute, minute - 0.1, conclusion="neutral", sha="f" * 40, trigger="reconcile")
    assert counts(await past.answers()) == (0, 1, 0, 0)


async def test_a_waiting_push_is_pending_and_later_missed(past: History) -> None:
    await past.add("queued", 5)
    await past.add("running", 0.2)
    answers = await past.answers()
    assert counts(answers) == (0, 1, 0, 1)
    assert answers.pushes == 1


async def test_only_recent_pushes_count(past: History) -> None:
    await past.add("succeeded", 100, 50, trigger="api")
    await past.add("succeeded", 60 * 24 * 8, 60 * 24 * 8 - 30)
    answers = await past.answers()
    assert counts(answers) == (0, 0, 0, 0)
    assert (answers.share, answers.pushes) == (None, 0)
    assert abs(answers.since - (datetime.now(UTC) - timedelta(days=7))) < MINUTE


# -- the badge


async def picture(api: World, url: str, status: int = 200, *, known: str = "") -> tuple[ClientResponse, str]:
    async with api.client.get(url.removeprefix(PUBLIC_URL), headers={"If-None-Match": known} if known else None) as response:
        text = await response.text()
        assert response.status == status, text
        return response, text


async def test_the_badge_of_a_public_repository_is_open(api: World) -> None:
    hosted, path = await followed(api, private=False)
    said = await api.ask("GET", f"{path}/badge", token="read")
    assert said == {
        "url": f"{PUBLIC_URL}{path}/badge.svg",
        "markdown": f"![dbt lineage]({PUBLIC_URL}{path}/badge.svg)",
        "signed": False,
    }
    response, svg = await picture(api, said["url"])
    assert f"fresh {(await api.head(hosted))[:7]}" in svg
    assert response.content_type == "image/svg+xml"
    assert response.headers["Cache-Control"] == "public, max-age=60"
    await picture(api, said["url"], 304, known=response.headers["ETag"])
    await api.push(hosted)
    _, svg = await picture(api, said["url"], known=response.headers["ETag"])
    assert "updating" in svg


async def test_the_badge_of_a_private_repository_needs_a_signed_url(api: World) -> None:
    _, path = await followed(api)
    await api.ask("GET", f"{path}/badge", status=404, token="none")
    said = await api.ask("GET", f"{path}/badge", token="read")
    assert said["signed"] is True
    _, svg = await picture(api, said["url"])
    assert "fresh" in svg
    plain = f"{path}/badge.svg"
    wrong = ["", "?signature=" + "A" * 22, "?signature=ü", "?signature=x", "?signature=" + "x" * 900]
    refusals = {(await picture(api, plain + query, 404))[1] for query in wrong}
    refusals.add((await picture(api, f"/connections/{uuid4()}/badge.svg", 404))[1])
    refusals.add((await picture(api, f"/connections/nothing/badge.svg?{said['url'].partition('?')[2]}", 404))[1])
    assert len(refusals) == 1, "all refusals look the same"


async def test_the_badge_of_the_quality_has_an_address_of_its_own(api: World, db: Database) -> None:
    _, path = await followed(api)
    await db.execute("""UPDATE lineages SET quality = '{"tests": [1, 4]}'""")
    said = await api.ask("GET", f"{path}/badge?kind=quality", token="read")
    assert said["markdown"] == f"![dbt quality]({said['url']})"
    _, svg = await picture(api, said["url"])
    assert "dbt quality: 25 of 100" in svg
    fresh = (await api.ask("GET", f"{path}/badge", token="read"))["url"]
    await picture(api, f"{path}/badge.svg?{said['url'].partition('?')[2].replace('quality', 'freshness')}", 404)
    await picture(api, f"{fresh}&kind=quality", 404)
    await api.ask("GET", f"{path}/badge?kind=beauty", status=400, token="read")


async def test_a_signature_is_valid_for_one_connection_until_it_is_removed(api: World, db: Database) -> None:
    hosted, path = await followed(api)
    url = (await api.ask("GET", f"{path}/badge"))["url"]
    other = await api.ask("POST", "/connections", {"repository": "octo/shop", "project_dir": "b"}, status=201)
    await picture(api, f"/connections/{other['id']}/badge.svg?{url.partition('?')[2]}", 404)
    await picture(api, url)
    await api.ask("DELETE", path, status=204)
    await picture(api, url, 404)
    back = await api.ask("POST", "/connections", {"repository": "octo/shop", "project_dir": ""}, status=201)
    assert f"/connections/{back['id']}" == path
    await picture(api, url, 404)
    url = (await api.ask("GET", f"{path}/badge"))["url"]
    await picture(api, url)
    await db.execute("DELETE FROM keys WHERE name = 'badge'")
    await picture(api, url, 404)
    assert hosted.private


async def test_a_repository_that_becomes_private_closes_its_badge_immediately(api: World) -> None:
    hosted, path = await followed(api, private=False)
    await picture(api, f"{path}/badge.svg")
    hosted.private = True
    await api.github._deliver_repository("privatized", hosted)
    await picture(api, f"{path}/badge.svg", 404)
