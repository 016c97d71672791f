"""What pull requests are compared with: with real histories, the events of the double, and check runs as GitHub shows them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from app.core.models.extractions import Extraction
from app.store import Store
from tests.double import PullRequest, git
from tests.integration.impact_world import ImpactWorld, changed, make_world
from tests.patience import HANGS_S

B = {"models/b.sql": "select 2 as id"}
R = {"models/r.sql": "select 5 as id"}
S = {"models/s.sql": "select 3 as id"}


@pytest_asyncio.fixture
async def world(store: Store, dsn: str, tmp_path: Path) -> AsyncIterator[ImpactWorld]:
    """With the permission."""
    async with make_world(store, dsn, tmp_path) as made:
        made.github.offer_pull_requests()
        for installed in made.github.state.installations.values():
            installed.permissions |= {"pull_requests": "read"}
        async with made.working():
            yield made


async def branches(world: ImpactWorld) -> tuple[str, str, str]:
    """Heads of main, of `release`, and of `side`, which began at `release`; all extracted."""
    root = await world.push(B)
    await world.ended(root)
    release = await world.push(R, "release")
    await world.ended(release)
    side = await world.push(S, "side", parents=[release])
    await world.ended(side)
    return root, release, side


async def compared_with(world: ImpactWorld, sha: str, base: str) -> dict[str, object]:
    """The base of a commit's impact, once it is this commit and GitHub shows that."""
    await world.shown(sha, base[:7])
    found: dict[str, object] = (await world.impact(sha))["base"]
    return found


async def forked(world: ImpactWorld, files: dict[str, str], *, base: str = "main") -> PullRequest:
    fork = await world.github.fork_repository(world.repository, "mona")
    await world.github.push(fork, dict(files), branch="patch-1")
    return await world.github.open_pull_request(world.repository, "patch-1", fork=fork, base=base)


async def of_fork(world: ImpactWorld, pull: PullRequest) -> Extraction:
    return await world.ended(pull.head_sha, "pull_request")


async def test_a_pull_request_is_compared_with_its_own_base(world: ImpactWorld) -> None:
    root, release, side = await branches(world)
    await compared_with(world, side, root)
    pull = await world.github.open_pull_request(world.repository, "side", base="release")
    base = await compared_with(world, side, release)
    assert (base["branch"], base["pull_request"]) == ("release", pull.number)
    assert changed(await world.impact(side)) == ["s"]
    await world.github.change_base(pull, "main")
    base = await compared_with(world, side, root)
    assert (base["branch"], base["pull_request"], changed(await world.impact(side))) == ("main", pull.number, ["r", "s"])


async def test_of_several_pull_requests_the_one_to_the_followed_branch_counts(world: ImpactWorld) -> None:
    root, release, side = await branches(world)
    await world.github.open_pull_request(world.repository, "side", base="release")
    await compared_with(world, side, release)
    other = await world.github.open_pull_request(world.repository, "side")
    base = await compared_with(world, side, root)
    assert base["pull_request"] == other.number
    await world.github.close_pull_request(other)
    await compared_with(world, side, release)


async def test_a_new_title_asks_github_nothing(world: ImpactWorld) -> None:
    _, release, side = await branches(world)
    pull = await world.github.open_pull_request(world.repository, "side", base="release")
    await compared_with(world, side, release)
    asked = sum("/compare/" in request.path for request in world.github.requests)
    await world.github.retitle(pull, "Another title")
    await world.github.mark_ready(pull)
    assert await world.store._db.value("SELECT count(*) FROM impact_waits") == 0
    assert sum("/compare/" in request.path for request in world.github.requests) == asked


async def test_a_fork_is_compared_with_where_it_began(world: ImpactWorld) -> None:
    root = await world.push(B)
    await world.ended(root)
    pull = await forked(world, S)
    await world.ended(await world.push(R))
    extraction = await of_fork(world, pull)
    impact = extraction.result["impact"]
    assert (impact["base"]["sha"], impact["base"]["pull_request"], changed(impact)) == (root, pull.number, ["s"])
    await world.shown(pull.head_sha, root[:7])


async def test_a_merge_queue_is_compared_with_its_base(world: ImpactWorld) -> None:
    _, release, side = await branches(world)
    ahead = await world.push({"models/q.sql": "select 6 as id"}, "release")
    await world.ended(ahead)
    pull = await world.github.open_pull_request(world.repository, "side", base="release")
    queued = await world.github.queue_merge(pull)
    base = await compared_with(world, queued, ahead)
    assert (base["branch"], base["pull_request"], changed(await world.impact(queued))) == ("release", pull.number, ["s"])
    assert {release, side, ahead} & {queued} == set()


async def test_the_lineage_of_a_fork_is_no_base(world: ImpactWorld) -> None:
    """It was merged as it is, and a branch begins there."""
    root = await world.push(B)
    await world.ended(root)
    pull = await forked(world, R)
    await of_fork(world, pull)
    await git.run(world.repository.directory, "update-ref", "refs/heads/main", pull.head_sha)
    side = await world.push(S, "side", parents=[pull.head_sha])
    impact = await world.impact(side, "ready")
    assert (impact["base"]["sha"], changed(impact)) == (pull.head_sha, ["s"])
    triggers = [(one.trigger, one.branch) for one in await world.all_extractions(pull.head_sha)]
    assert triggers == [("base", "main"), ("pull_request", "mona:patch-1")], "that commit is extracted as one of the repository"


async def test_a_merge_without_the_permission_is_as_before(world: ImpactWorld) -> None:
    for installed in world.github.state.installations.values():
        del installed.permissions["pull_requests"]
    root, release, side = await branches(world)
    await world.github.open_pull_request(world.repository, "side", base="release")
    await compared_with(world, side, root)
    pull = await forked(world, S)
    await asyncio.wait_for(world.github.settle(), HANGS_S)
    assert world.github.check_runs(world.repository, pull.head_sha) == []
    assert release != root
