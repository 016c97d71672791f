"""Impacts whose right base has no lineage yet: what stands in for it, and how they are corrected. Real histories, queue and check runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from app.core.models.extractions import Extraction
from app.pipeline import leases
from app.store import Store
from tests.integration.impact_world import BROKEN, ImpactWorld, changed, make_world
from tests.patience import HANGS_S

B = {"models/b.sql": "select 2 as id"}
S = {"models/s.sql": "select 3 as id"}


@pytest_asyncio.fixture
async def world(store: Store, dsn: str, tmp_path: Path) -> AsyncIterator[ImpactWorld]:
    async with make_world(store, dsn, tmp_path) as made:
        yield made


async def history(world: ImpactWorld, *changes: str) -> tuple[str, str]:
    """A first commit of main that is extracted, then lost pushes with these texts of a model; the first and the last commit."""
    first = await world.push(B)
    await world.ended(first)
    last = first
    for text in changes:
        last = await world.push({"models/main.sql": text}, deliver=False)
    return first, last


async def waits(world: ImpactWorld) -> int:
    found: int = await world.store._db.value("SELECT count(*) FROM impact_waits")
    return found


async def settled(world: ImpactWorld) -> None:
    async with asyncio.timeout(HANGS_S):
        while await waits(world):
            await asyncio.sleep(0.02)


async def bases(world: ImpactWorld) -> list[Extraction]:
    found = (await world.store.extractions.search(await world.connection_id(), limit=100)).extractions
    return [one for one in found if one.trigger == "base"]


async def test_the_nearest_commit_stands_in_until_the_right_one_is_extracted(world: ImpactWorld) -> None:
    async with world.working():
        first, right = await history(world, "select 1 as id")
        world.runner.hold(right)
        side = await world.push(S, "side")
        impact = await world.impact(side)
        base = impact["base"]
        assert (impact["state"], base["kind"], base["sha"], base["wanted_sha"]) == ("waiting", "nearest", first, right)
        assert changed(impact) == ["main", "s"], "for now it is blamed for what is between"
        shown = await world.shown(side, "and then corrects this")
        assert shown.conclusion == "success"
        world.runner.release(right)
        impact = await world.impact(side, "ready")
        assert (impact["base"]["kind"], impact["base"]["sha"], impact["base"]["wanted_sha"]) == ("merge_base", right, None)
        assert changed(impact) == ["s"]
        shown = await world.shown(side, "the merge base with")
    assert len(world.github.check_runs(world.repository, side)) == 1
    assert world.github.check_runs(world.repository, right) == [], "nobody asked for that commit"
    [extraction] = await bases(world)
    assert (extraction.status, extraction.branch, extraction.background) == ("succeeded", "main", True)
    connection = await world.store.connections.get(await world.connection_id())
    assert connection is not None
    assert (connection.lineage_sha, connection.head_sha) == (first, first), "the connection is where it was"
    assert await waits(world) == 0


async def test_without_any_lineage_the_check_run_waits_for_the_first(world: ImpactWorld) -> None:
    async with world.working():
        right = await world.push(B, deliver=False)
        world.runner.hold(right)
        side = await world.push(S, "side")
        impact = await world.impact(side)
        assert (impact["state"], impact["base"]["wanted_sha"], "changes" in impact) == ("waiting", right, False)
        await world.shown(side, "Freshet is extracting")
        world.runner.release(right)
        assert changed(await world.impact(side, "ready")) == ["s"]


async def test_a_base_that_dbt_refuses_leaves_the_nearest_and_says_so(world: ImpactWorld) -> None:
    async with world.working():
        first, right = await history(world, BROKEN)
        side = await world.push({"models/main.sql": "select 5 as id", **S}, "side")
        impact = await world.impact(side, "ready")
        assert (impact["base"]["kind"], impact["base"]["sha"], impact["base"]["wanted_sha"]) == ("nearest", first, right)
        assert impact["reason"].startswith(f"The lineage of `{right[:7]}` is missing: its extraction failed (")
        await world.shown(side, "its extraction failed")
        await settled(world)
        again = await world.push({"models/s.sql": "select 33 as id"}, "side")
        assert (await world.impact(again))["state"] == "ready", "it is not tried again"
    assert len(await bases(world)) == 1


async def test_many_branches_with_one_base_have_it_extracted_once(world: ImpactWorld) -> None:
    async with world.working():
        _, right = await history(world, "select 1 as id")
        world.runner.hold(right)
        sides = [await world.push({"models/s.sql": f"select {number} as id"}, f"side/{number}", parents=[right]) for number in range(4)]
        for side in sides:
            await world.impact(side, "waiting")
        assert (len(await bases(world)), await waits(world)) == (1, 4)
        world.runner.release(right)
        for side in sides:
            assert changed(await world.impact(side, "ready")) == ["s"]


async def late_push(world: ImpactWorld, sha: str) -> None:
    """Freshet hears of a push to main only now, and cannot extract it before an hour has passed."""
    connection_id = await world.connection_id()
    async with world.store.transaction() as tx:
        await tx.connections.move_head(connection_id, sha)
        await tx.extractions.enqueue(connection_id, "main", sha, "push", was_head=True)
        await tx._db.execute("UPDATE extractions SET due_at = now() + interval '1 hour' WHERE sha = $1", sha)


async def hurry(world: ImpactWorld) -> None:
    await world.store._db.execute("UPDATE extractions SET due_at = now()")
    await world.store._db.execute("SELECT pg_notify('freshet_queue', '')")


async def test_a_base_that_is_pushed_meanwhile_is_not_extracted_twice(world: ImpactWorld) -> None:
    async with world.working():
        _, right = await history(world, "select 1 as id")
        await late_push(world, right)
        side = await world.push(S, "side")
        await world.impact(side, "waiting")
        await hurry(world)
        assert changed(await world.impact(side, "ready")) == ["s"]
        assert await bases(world) == []
        assert changed(await world.impact(right)) == ["main"]


async def test_a_base_whose_push_is_superseded_is_extracted_all_the_same(world: ImpactWorld) -> None:
    async with world.working():
        _, right = await history(world, "select 1 as id")
        await late_push(world, right)
        side = await world.push(S, "side")
        await world.impact(side, "waiting")
        newest = await world.push({"models/main.sql": "select 2 as id"})
        assert [one.status for one in await world.all_extractions(right) if one.trigger == "push"] == ["superseded"]
        impact = await world.impact(side, "ready")
        await world.ended(newest)
    assert (impact["base"]["sha"], changed(impact)) == (right, ["s"])


async def test_a_base_that_is_cancelled_leaves_the_nearest(world: ImpactWorld) -> None:
    async with world.working():
        first, right = await history(world, "select 1 as id")
        world.runner.hold(right)
        side = await world.push(S, "side")
        await world.impact(side, "waiting")
        [extraction] = await bases(world)
        assert await world.store.extractions.cancel(extraction.id)
        impact = await world.impact(side, "ready")
    assert (impact["base"]["sha"], impact["reason"]) == (first, f"The lineage of `{right[:7]}` is missing: its extraction was cancelled.")


async def test_a_process_that_dies_in_between_leaves_the_correction_to_the_next(world: ImpactWorld) -> None:
    async with world.working(impacts=False):
        _, right = await history(world, "select 1 as id")
        side = await world.push(S, "side")
        await world.impact(side, "waiting")
        await world.ended(right, "base")
        claimed = await world.store.bases.claim_wait(leases.IMPACT_LEASE)
        assert claimed is not None, "and then it died"
    await world.store._db.execute("UPDATE impact_waits SET lease_until = now()")
    async with world.working("w2"):
        assert changed(await world.impact(side, "ready")) == ["s"]


async def test_a_base_without_room_in_the_background_is_queued_later(world: ImpactWorld) -> None:
    async with world.working():
        first, right = await history(world, "select 1 as id", "select 2 as id")
    for number in range(leases.BASES_QUEUED):
        await world.store.bases.queue(await world.connection_id(), "main", f"{number:040x}", leases.BASES_QUEUED)
    await world.store._db.execute("UPDATE extractions SET due_at = now() + interval '1 hour' WHERE background")
    side = await world.push(S, "side")
    async with world.working():
        assert (await world.impact(side))["base"]["sha"] == first
        assert right not in {one.sha for one in await bases(world)}, "there was no room"
    await world.store._db.execute("DELETE FROM extractions WHERE background")
    await world.store._db.execute("UPDATE impact_waits SET due_at = now()")
    async with world.working("w2"):
        assert changed(await world.impact(side, "ready")) == ["s"]


async def test_the_lineage_of_another_side_branch_is_no_base(world: ImpactWorld) -> None:
    """Anybody who can push can have a part in it: see `BranchTrust`."""
    async with world.working():
        _, right = await history(world, "select 1 as id")
        await world.github.create_branch(world.repository, "theirs", right)
        await world.ended(right)
        await world.store._db.execute("UPDATE lineages SET trust = 'side theirs 1' WHERE sha = $1", right)
        side = await world.push(S, "side", parents=[right])
        assert changed(await world.impact(side, "ready")) == ["s"]
        [extraction] = await bases(world)
    assert extraction.sha == right
