"""Which commit a push is compared with: real git histories on the double of GitHub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest_asyncio

from app.core.models.pull_requests import PullRequest
from app.pipeline import triggers
from app.store import Store
from tests.double import Answer
from tests.integration.impact_world import BROKEN, ImpactWorld, changed, make_world
from tests.patience import HANGS_S

B = {"models/b.sql": "select 2 as id"}
S = {"models/s.sql": "select 3 as id"}


@pytest_asyncio.fixture
async def world(store: Store, dsn: str, tmp_path: Path) -> AsyncIterator[ImpactWorld]:
    async with make_world(store, dsn, tmp_path) as made:
        yield made


def base_of(impact: dict[str, Any]) -> tuple[str, str | None, str | None]:
    base = impact["base"]
    return base["kind"], base["sha"], base["branch"]


async def test_the_followed_branch_is_compared_with_its_previous_head(world: ImpactWorld) -> None:
    async with world.working():
        first = await world.push(B)
        assert "first lineage" in (await world.impact(first, "none"))["reason"]
        second = await world.push({"models/c.sql": "select * from {{ ref('a') }}"})
        impact = await world.impact(second)
    assert (impact["state"], base_of(impact), changed(impact)) == ("ready", ("previous_head", first, "main"), ["c"])
    assert not [request for request in world.github.requests if "/compare/" in request.path], "the database knows it"


async def test_a_branch_200_commits_behind_is_not_blamed_for_what_main_changed(world: ImpactWorld) -> None:
    async with world.working():
        root = await world.push(B)
        await world.ended(root)
        await world.push(S, "side")
        last = await world.history("models/main.sql", root, 199)
        newest = await world.push({"models/b.sql": "select 22 as id"}, parents=[last])
        assert changed(await world.impact(newest)) == ["b", "main"]
        side = await world.push({"models/s.sql": "select 33 as id"}, "side")
        impact = await world.impact(side)
    assert (base_of(impact), impact["base"]["behind_by"], changed(impact)) == (("merge_base", root, "main"), 200, ["s"])


async def test_a_side_branch_that_merged_main_is_not_blamed_for_that(world: ImpactWorld) -> None:
    async with world.working():
        await world.ended(await world.push(B))
        side = await world.push(S, "side")
        newest = await world.push({"models/b.sql": "select 22 as id"})
        await world.ended(newest)
        merge = await world.push({"models/b.sql": "select 22 as id"}, "side", parents=[side, newest])
        impact = await world.impact(merge)
    assert (base_of(impact), impact["base"]["behind_by"], changed(impact)) == (("merge_base", newest, "main"), 0, ["s"])


async def test_a_rebased_branch_has_the_commit_onto_which_it_was_rebased(world: ImpactWorld) -> None:
    async with world.working():
        root = await world.push(B)
        await world.ended(root)
        side = await world.push(S, "side")
        assert base_of(await world.impact(side)) == ("merge_base", root, "main")
        newest = await world.push({"models/b.sql": "select 22 as id"})
        await world.ended(newest)
        rebased = await world.push(S, "side", parents=[newest], message="rebased")
        impact = await world.impact(rebased)
    assert (base_of(impact), changed(impact)) == (("merge_base", newest, "main"), ["s"])


async def test_a_force_push_to_main_is_compared_with_what_main_was(world: ImpactWorld) -> None:
    async with world.working():
        root = await world.push(B)
        await world.ended(root)
        lost = await world.push({"models/lost.sql": "select 4 as id"})
        await world.ended(lost)
        forced = await world.push({"models/b.sql": "select 22 as id"}, parents=[root])
        impact = await world.impact(forced)
        assert (base_of(impact), changed(impact)) == (("previous_head", lost, "main"), ["b", "lost"])
        side = await world.push(S, "side", parents=[lost])
        assert base_of(await world.impact(side)) == ("merge_base", root, "main"), "of the main that GitHub has now"


async def test_main_that_goes_back_to_an_old_commit_is_compared_with_what_it_was(world: ImpactWorld) -> None:
    async with world.working():
        root = await world.push(B)
        await world.ended(root)
        newest = await world.push({"models/b.sql": "select 22 as id"})
        await world.ended(newest)
        await world.store._db.execute("UPDATE extractions SET created_at = created_at - interval '1 day'")
        await world.github.delete_branch(world.repository, "main", deliver=False)
        await world.github.create_branch(world.repository, "main", root, deliver=False)
        await world.store.connections.move_head(await world.connection_id(), root)
        await world.store.extractions.enqueue(await world.connection_id(), "main", root, "reconcile")
        impact = (await world.ended(root, "reconcile")).result["impact"]
    assert (base_of(impact), changed(impact)) == (("previous_head", newest, "main"), ["b"])


async def test_a_rerun_of_a_commit_keeps_its_base(world: ImpactWorld) -> None:
    async with world.working():
        first = await world.push(B)
        await world.ended(first)
        second = await world.push({"models/c.sql": "select 4 as id"})
        before = await world.impact(second)
        again = await world.rerun(second)
        assert base_of(again.result["impact"]) == base_of(before) == ("previous_head", first, "main")
        await world.push({"models/d.sql": "select 5 as id"})
        old = await world.rerun(first)
        assert "first lineage" in old.result["impact"]["reason"], "not compared with what came later"


async def test_an_orphan_branch_has_nothing_to_compare_with(world: ImpactWorld) -> None:
    async with world.working():
        await world.ended(await world.push(B))
        orphan = await world.push({"dbt_project.yml": "name: shop\nprofile: shop\n", **S}, "docs", parents=[])
        impact = await world.impact(orphan)
    assert (impact["state"], impact["reason"]) == (
        "none",
        "There is nothing to compare with: this commit and `main` have no commit in common.",
    )


async def test_a_branch_at_an_old_commit_of_main_has_nothing_of_its_own(world: ImpactWorld) -> None:
    async with world.working():
        await world.push(B, deliver=False)
        old = await world.push({"models/x.sql": "select 9 as id"}, deliver=False)
        await world.ended(await world.push({"models/y.sql": "select 9 as id"}))
        await world.github.create_branch(world.repository, "old", old)
        impact = await world.impact(old)
    assert (impact["state"], impact["reason"]) == ("none", "There is nothing to compare with: `main` contains this commit.")


async def test_a_commit_that_was_merged_since_keeps_the_base_it_had(world: ImpactWorld) -> None:
    async with world.working():
        root = await world.push(B)
        await world.ended(root)
        side = await world.push(S, "side")
        await world.ended(side)
        await world.github.delete_branch(world.repository, "main", deliver=False)
        await world.github.create_branch(world.repository, "main", side)  # a fast-forward, as GitHub tells of it after a deletion
        again = await world.rerun(side)
    assert (again.branch, base_of(again.result["impact"])) == ("side", ("merge_base", root, "main"))


async def test_main_that_was_deleted_counts_as_it_was_last(world: ImpactWorld) -> None:
    async with world.working():
        root = await world.push(B)
        await world.ended(root)
        await world.github.delete_branch(world.repository, "main")
        side = await world.push(S, "side", parents=[root])
        impact = await world.impact(side)
    assert (base_of(impact), changed(impact)) == (("merge_base", root, "main"), ["s"])


async def test_a_pull_request_names_the_base_branch(world: ImpactWorld) -> None:
    async with world.working():
        root = await world.push(B)
        await world.ended(root)
        release = await world.push({"models/r.sql": "select 5 as id"}, "release/ünï#1")
        await world.ended(release)
        side = await world.push(S, "side", parents=[release])
        assert base_of(await world.impact(side)) == ("merge_base", root, "main")
        pull = PullRequest(7, side, "side", "release/ünï#1", draft=False, open=True, updated_at=datetime.now(UTC))
        await world.store.pull_requests.record(world.repository.id, pull)
        await world.store.bases.find_again(world.repository.id, "side", side)
        await world.shown(side, release[:7])
        impact = await world.impact(side)
    assert (base_of(impact), impact["base"]["pull_request"]) == (("merge_base", release, "release/ünï#1"), 7)
    assert changed(impact) == ["s"]


async def test_a_pull_request_of_the_followed_branch_changes_nothing(world: ImpactWorld) -> None:
    async with world.working():
        first = await world.push(B)
        await world.ended(first)
        second = await world.push({"models/c.sql": "select 4 as id"})
        before = await world.impact(second)
        await world.github.create_branch(world.repository, "release", first, deliver=False)
        pull = PullRequest(8, second, "main", "release", draft=False, open=True, updated_at=datetime.now(UTC))
        await world.store.pull_requests.record(world.repository.id, pull)
        await world.store.bases.find_again(world.repository.id, "main", second)
        async with asyncio.timeout(HANGS_S):
            while await world.store._db.value("SELECT count(*) FROM impact_waits"):
                await asyncio.sleep(0.02)
        assert await world.impact(second) == before


async def test_an_old_commit_that_somebody_requests_is_compared_with_one_before_it(world: ImpactWorld) -> None:
    async with world.working():
        first = await world.push(B)
        await world.ended(first)
        middle = await world.push({"models/c.sql": "select 4 as id"}, deliver=False)
        last = await world.push({"models/d.sql": "select 5 as id"})
        assert base_of(await world.impact(last)) == ("previous_head", first, "main"), "a push before it was lost"
        connection = await world.store.connections.get(await world.connection_id())
        assert connection is not None
        await triggers.extract_now(world.store, world.client, connection, middle, "api")
        impact = (await world.ended(middle, "api")).result["impact"]
    assert (base_of(impact), changed(impact)) == (("previous_head", first, "main"), ["c"])


async def test_while_github_is_away_the_impact_says_so_and_is_found_later(world: ImpactWorld) -> None:
    async with world.working():
        await world.ended(await world.push(B))
        world.github.faults.add("GET", "/compare/", 3, Answer(502, '{"message": "Server Error"}'))
        side = await world.push(S, "side")
        impact = await world.impact(side)
        assert impact["state"] == "failed"
        assert "comparing octo/shop at" in impact["reason"]
        assert "GitHub answered 502" in impact["reason"]
        assert (await world.ended(side)).status == "succeeded"
        await world.store._db.execute("UPDATE impact_waits SET due_at = now()")
        await world.store._db.execute("SELECT pg_notify('freshet_impacts', '')")
        assert changed(await world.impact(side, "ready")) == ["s"]


async def test_projects_of_a_repository_share_githubs_answer(store: Store, dsn: str, tmp_path: Path) -> None:
    project = "version: '1.0'\nprofile: shop\n"
    files = {"x/dbt_project.yml": f"name: x\n{project}", "x/models/a.sql": "select 1", "y/dbt_project.yml": f"name: y\n{project}"}
    async with make_world(store, dsn, tmp_path, files) as world, world.working():
        root = await world.push({"y/models/a.sql": "select 1"})
        await world.github.wait_for_check_run(world.repository, root, name="dbt lineage (x)")
        await world.github.wait_for_check_run(world.repository, root, name="dbt lineage (y)")
        side = await world.push({"y/models/a.sql": "select 2"}, "side")
        for name in ("x", "y"):
            await world.github.wait_for_check_run(world.repository, side, name=f"dbt lineage ({name})")
        assert len([request for request in world.github.requests if "/compare/" in request.path]) == 1


async def test_dbt_saying_no_leaves_nothing_to_compare(world: ImpactWorld) -> None:
    async with world.working():
        await world.ended(await world.push(B))
        failed = await world.ended(await world.push({"models/s.sql": BROKEN}, "side"))
    assert (failed.status, failed.result, failed.base) == ("failed", {}, None)
    assert await world.store._db.value("SELECT count(*) FROM impact_waits") == 0
