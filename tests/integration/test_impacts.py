"""An extraction ends with what its commit does, whatever happens while that is computed. Real queue, worker, git and check runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.core.errors import DatabaseUnavailableError
from app.core.models.github import Repository
from app.lineage.run_results import NodeResult
from app.pipeline import worker
from app.store import Store
from app.store.lineage_cache import LineageCache
from app.store.node_results import ArtifactHead
from tests.integration.impact_world import ImpactWorld, changed, make_world
from tests.integration.readers_world import Readers, reading
from tests.patience import HANGS_S

B = {"models/b.sql": "select 2 as id"}
S = {"models/s.sql": "select 3 as id"}
CHANGED = {"models/b.sql": "select 22 as id"}


@pytest_asyncio.fixture
async def world(store: Store, dsn: str, tmp_path: Path) -> AsyncIterator[ImpactWorld]:
    async with make_world(store, dsn, tmp_path) as made:
        yield made


class Held:
    """A comparison that hangs until `may_end` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()
        real = LineageCache.impact

        async def impact(*args: Any) -> Any:
            self.begun.set()
            await self.may_end.wait()
            return await real(*args)

        monkeypatch.setattr(LineageCache, "impact", impact)


async def begun(held: Held) -> None:
    async with asyncio.timeout(HANGS_S):
        await held.begun.wait()


async def test_a_commit_whose_files_dbt_does_not_read_changes_nothing(world: ImpactWorld) -> None:
    async with world.working():
        first = await world.push(B)
        await world.ended(first)
        second = await world.push({"README.md": "Read me"})
        ended = await world.ended(second)
        await world.shown(second, "No change to data")
    assert (ended.result["carried_from"], ended.result["impact"]["base"]["sha"]) == (first, first)
    assert (ended.result["impact"]["state"], changed(ended.result["impact"])) == ("ready", [])


async def test_a_comparison_that_is_interrupted_goes_on_without_dbt(world: ImpactWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world.working():
        first = await world.push(B)
        await world.ended(first)
    held = Held(monkeypatch)
    async with world.working():
        second = await world.push(CHANGED)
        await begun(held)
    [waiting] = await world.all_extractions(second)
    assert (waiting.status, waiting.result["impact"]["state"]) == ("queued", "failed")
    ran = len(world.runner.parsed)
    held.may_end.set()
    async with world.working("w2"):
        ended = await world.ended(second)
    assert (len(world.runner.parsed), ended.status) == (ran, "succeeded")
    assert (ended.result["impact"]["base"]["sha"], changed(ended.result["impact"])) == (first, ["b"])
    assert (ended.facts.dbt_version, [one.stage for one in ended.stages]) == ("1.11.16", ["cloning", "parsing", "storing"])


async def test_cancelling_a_comparison_leaves_nothing_half(world: ImpactWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world.working():
        first = await world.push(B)
        await world.ended(first)
        await world.push({"models/lost.sql": "select 4 as id"}, deliver=False)
        held = Held(monkeypatch)
        side = await world.push(S, "side")
        await begun(held)
        [running] = await world.all_extractions(side)
        assert await world.store.extractions.cancel(running.id)
        run = await world.shown(side, "it was not compared with another commit")
    assert run.conclusion == "cancelled"
    assert await world.store._db.value("SELECT count(*) FROM impact_waits") == 0
    assert await world.store._db.value("SELECT count(*) FROM extractions WHERE background") == 0
    assert await world.store.lineages.head(await world.connection_id(), side) is not None, "its lineage stays"


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (ZeroDivisionError("a bug"), "internal error (ZeroDivisionError)"),
        (TimeoutError(), "took longer than"),
        (None, "was replaced while they were compared"),
    ],
    ids=["a bug", "too slow", "replaced"],
)
async def test_a_comparison_that_fails_does_not_fail_the_extraction(
    world: ImpactWorld, monkeypatch: pytest.MonkeyPatch, outcome: Exception | None, words: str
) -> None:
    async def impact(*_: Any) -> None:
        if outcome is not None:
            raise outcome

    async with world.working():
        await world.ended(await world.push(B))
        monkeypatch.setattr(LineageCache, "impact", impact)
        second = await world.push(CHANGED)
        ended = await world.ended(second)
        run = await world.shown(second, "What this commit changes is not known")
    assert (ended.status, ended.result["impact"]["state"], run.conclusion) == ("succeeded", "failed", "success")
    assert words in ended.result["impact"]["reason"]


@pytest.mark.parametrize("outages", [1, 9])
async def test_an_outage_of_the_database_is_waited_for(world: ImpactWorld, monkeypatch: pytest.MonkeyPatch, outages: int) -> None:
    """Attempts that it ends do not count, up to a number of them that this makes none: then there are three."""
    monkeypatch.setattr(worker, "EXTRACTION_OUTAGES", 0)
    real, left = LineageCache.impact, iter([True] * outages + [False] * 9)

    async def impact(*args: Any) -> Any:
        if next(left):
            raise DatabaseUnavailableError("reading", "it hung up")
        return await real(*args)

    async with world.working():
        await world.ended(await world.push(B))
        monkeypatch.setattr(LineageCache, "impact", impact)
        second = await world.push(CHANGED)
        ran = len(world.runner.parsed)
        async with asyncio.timeout(HANGS_S):
            while (await world.all_extractions(second))[0].status != "succeeded":
                await world.store._db.execute("UPDATE extractions SET due_at = now() WHERE status = 'queued'")
                await world.store._db.execute("SELECT pg_notify('freshet_queue', '')")
                await asyncio.sleep(0.02)
        ended = await world.ended(second)
    assert len(world.runner.parsed) <= ran + 1
    if outages == 1:
        assert changed(ended.result["impact"]) == ["b"]
    else:
        assert (ended.result["impact"]["state"], ended.attempt) == ("failed", 3)
        assert "it hung up" in ended.result["impact"]["reason"]
        assert "columns" not in ended.result, "nothing is said of them"


async def test_a_push_takes_six_requests_to_github_at_most(world: ImpactWorld) -> None:
    async with world.working():
        await world.ended(await world.push(B))
        await world.shown((await world.push(CHANGED)), "Compared with")
        known = await requests_of(world, S)
        await world.push({"models/lost.sql": "select 4 as id"}, deliver=False)
        missing = await requests_of(world, {"models/s.sql": "select 5 as id"}, branch="other")
    assert known[0] == "POST check-runs"
    assert sorted({one for one in known if "check-runs" not in one}) == ["GET compare"]
    assert len(known) <= 4
    assert sorted({one for one in missing if "check-runs" not in one}) == ["GET commits", "GET compare"]
    assert len(missing) <= 6, "with the correction"


async def requests_of(world: ImpactWorld, files: dict[str, Any], branch: str = "side") -> list[str]:
    """What GitHub is asked and told about a push, apart from git."""
    before = len(world.github.requests)
    side = await world.push(files, branch)
    await world.shown(side, "the merge base with")
    asked = [one for one in world.github.requests[before:] if "/repos/" in one.path]
    return [f"{one.method} {one.path.split('/')[4]}" for one in asked]


async def test_an_answer_that_is_late_is_not_waited_for(world: ImpactWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.pipeline.bases.BASE_WAIT_S", 0.1)
    waiting = asyncio.Event()

    async def compare(*_: Any) -> None:
        await waiting.wait()

    async with world.working():
        await world.ended(await world.push(B))
        monkeypatch.setattr(world.client, "compare", compare)
        side = await world.push(S, "side")
        impact = await world.impact(side)
        assert (impact["state"], impact["reason"]) == ("failed", "GitHub did not say within 0.1 s what to compare with.")
        waiting.set()
    assert await world.store._db.value("SELECT count(*) FROM impact_waits WHERE sha IS NULL") == 1, "it is asked again later"


async def test_a_check_run_names_what_breaks_in_public_repositories_and_counts_the_rest(world: ImpactWorld) -> None:
    async with world.working():
        await world.ended(await world.push(B))
        connection = await world.store.connections.get(await world.connection_id())
        assert connection is not None
        owner, others = connection.repository.installation_id, Readers(world.store)
        for repository in (Repository(901, "octo/bi", owner, "main", private=False), Repository(902, "octo/secret", owner, "main")):
            package = "bi" if repository.id == 901 else "payroll"
            await others.add(repository, *reading(package, table='"db"."main"."b"', adapter_type="duckdb"))
        side = await world.push({"models/b.sql": None}, "side")
        run = await world.shown(side)
    assert run.conclusion == "neutral"
    shown = f"{run.title} {run.summary}"
    assert "2 in other repositories may break" in shown
    assert '`revenue` in `octo/bi` reads `"db"."main"."b"`, which `model.shop.b` no longer makes' in shown
    assert "In 1 private repository of this owner that not everybody here may read, 2 nodes may break too." in shown
    ended = await world.ended(side)
    for text in (shown, str(ended.result)):
        assert "secret" not in text
        assert "payroll" not in text


async def test_a_check_run_says_that_a_change_reads_a_stale_source(world: ImpactWorld) -> None:
    raw = "select * from {{ source('raw', 'orders') }}"
    async with world.working():
        await world.ended(await world.push({"models/c.sql": raw, "models/d.sql": "select 1 as id"}))
        connection_id, now = await world.connection_id(), datetime.now(UTC)
        late = NodeResult("source.shop.raw.orders", "error", 0.1, None, None, now, None, None)
        assert await world.store.node_results.save(connection_id, ArtifactHead("sources", "f", now), [late]) == 1
        run = await world.shown(await world.push({"models/c.sql": f"{raw} where id > 1"}), "whose freshness check failed: `raw.orders` (")
        other = await world.shown(await world.push({"models/d.sql": "select 2 as id"}), "### What changed")
    assert "freshness" not in (other.summary or "")
    assert run.conclusion == "success", "it is no fault of the change"
