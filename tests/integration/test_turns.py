"""Whose turn it is: no installation and no repository takes the places, or the check runs, of the others."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import asyncpg
import pytest

from app.core.models.connections import Connection
from app.core.models.extractions import Problem
from app.core.models.github import Repository
from app.pipeline import leases
from app.pipeline.bases import BaseFinder
from app.pipeline.impacts import Impacts
from app.pipeline.refresh import Tools
from app.pipeline.worker import Worker
from app.store import Store
from app.store.check_runs import CheckRunDue, Turns
from app.store.extractions import QueuedCommit
from tests.integration.test_worker import Wakeup
from tests.patience import HANGS_S

LEASE = timedelta(minutes=1)
CLAIMS = itertools.count()
SHOWN = "SELECT k.extraction_id, e.sha FROM check_runs k JOIN extractions e ON e.id = k.extraction_id"
SHAS = [f"{number:040x}" for number in range(1, 60)]


async def connection(store: Store, repository_id: int, installation_id: int, project_dir: str | None = "") -> Connection:
    await store.installations.update_from_push(Repository(repository_id, f"o{installation_id}/r{repository_id}", installation_id, "main"))
    return await store.connections.create(repository_id, project_dir)


async def queue(store: Store, of: Connection, sha: str = SHAS[0], branch: str = "main", **more: Any) -> str:
    return await store.extractions.enqueue(of.id, branch, sha, "push", **more)


# -- extractions


async def test_with_one_place_installations_take_turns(store: Store) -> None:
    for number in range(20):
        await queue(store, await connection(store, 100 + number, 1))
    for number in range(3):
        await queue(store, await connection(store, 200 + number, 2))
    order = []
    for number in range(7):
        claimed = await store.extractions.claim(f"w/{number}", LEASE)
        assert claimed is not None
        order.append(claimed.repository.installation_id)
        await store.extractions.finish(claimed.id, f"w/{number}", "failed", [], problem=Problem("t", "m"))
    assert order == [1, 2, 1, 2, 1, 2, 1]


class Hanging:
    """A repository that cannot be fetched in time (`app.pipeline.ports.Sources`)."""

    def __init__(self) -> None:
        self.opened: list[Repository] = []

    @asynccontextmanager
    async def open(self, repository: Repository, sha: str, ref: str = "") -> AsyncIterator[None]:
        del sha, ref
        self.opened.append(repository)
        await asyncio.Event().wait()
        yield


@pytest.mark.parametrize(("limit", "running"), [(1, [1, 2]), (2, [1, 1])])
async def test_an_installation_gets_a_limited_number_of_places(store: Store, limit: int, running: list[int]) -> None:
    for number in range(5):
        await queue(store, await connection(store, 100 + number, 1))
    sources = Hanging()
    nothing = cast("Any", None)
    worker = Worker(
        "w",
        store,
        Tools(cast("Any", sources), nothing, nothing, nothing),
        Impacts(store, BaseFinder(store)),
        concurrency=2,
        per_installation=limit,
    )
    wakeup = Wakeup()
    working = asyncio.create_task(worker.run(wakeup, Wakeup()))
    try:
        async with asyncio.timeout(HANGS_S):
            while len(sources.opened) < limit:
                await asyncio.sleep(0.01)
            await queue(store, await connection(store, 200, 2))
            wakeup.wake()
            while len(sources.opened) < 2:
                await asyncio.sleep(0.01)
        assert [one.installation_id for one in sources.opened] == running
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_the_extraction_of_a_removed_repository_is_cancelled_and_takes_nobodys_turn(store: Store) -> None:
    removed, other = await connection(store, 1, 10), await connection(store, 2, 20)
    cut_off = await queue(store, removed)
    assert await store.extractions.claim("dies", timedelta(seconds=-1)) is not None
    await store.installations.remove_repositories(10, [1])
    assert await store.extractions.requeue_expired() == 1
    await queue(store, other, branch="other")
    assert await claimed(store) == "other"
    assert await claimed(store) is None
    assert await store._db.value("SELECT status FROM extractions WHERE id = $1::text::uuid", cut_off) == "cancelled"


async def test_pushes_to_known_projects_come_before_those_that_may_have_none(store: Store) -> None:
    for number in range(3):
        await queue(store, await connection(store, 100 + number, 1, project_dir=None))
    known = await queue(store, await connection(store, 200, 1))
    claimed = await store.extractions.claim("w/1", LEASE)
    assert claimed is not None
    assert claimed.id == known


async def claimed(store: Store, *, spare: bool = True) -> str | None:
    """The branch of the next extraction, which keeps running."""
    found = await store.extractions.claim(f"w/{next(CLAIMS)}", LEASE, spare=spare)
    return found.branch if found else None


async def test_forks_wait_behind_everything_that_was_pushed(store: Store) -> None:
    shop, other = await connection(store, 100, 1), await connection(store, 101, 1)
    for number in range(20):
        await queue(store, shop, SHAS[number], f"mona:b{number}")
    await queue(store, other)
    assert await claimed(store) == "main"
    assert await claimed(store) == "mona:b0"
    await queue(store, other, branch="eve:b")
    assert await claimed(store) is None, "one of the installation at a time"
    await queue(store, shop)
    assert await claimed(store) == "main", "nobody waits for a stranger's, not even in the same project"
    await queue(store, await connection(store, 200, 2), branch="mona:b")
    assert await claimed(store, spare=False) is None, "the last place is for what is pushed"
    assert await claimed(store) == "mona:b"


async def test_strangers_do_not_use_up_what_github_allows(store: Store) -> None:
    shop = await connection(store, 100, 1)
    for number in range(3):
        await queue(store, shop, SHAS[number], f"mona:b{number}")
    for expected in ("mona:b0", None):
        found = await store.extractions.claim("w", LEASE)
        assert (found.branch if found else None) == expected
        if found:
            await store.extractions.finish(found.id, "w", "succeeded", [])
    await store._db.execute("UPDATE installations SET fork_at = fork_at - interval '5 seconds'")
    assert await claimed(store) == "mona:b1"
    [first, *_] = await sent(store, 3)
    assert first.obsolete, "half of the new check runs of an hour are left to others"


async def test_a_worker_keeps_a_place_for_what_is_pushed(store: Store) -> None:
    for installation_id in (1, 2, 3):
        await queue(store, await connection(store, 100 + installation_id, installation_id), branch="mona:b")
    sources = Hanging()
    nothing = cast("Any", None)
    tools = Tools(cast("Any", sources), nothing, nothing, nothing)
    worker = Worker("w", store, tools, Impacts(store, BaseFinder(store)), concurrency=3, per_installation=1)
    wakeup = Wakeup()
    working = asyncio.create_task(worker.run(wakeup, Wakeup()))
    try:
        async with asyncio.timeout(HANGS_S):
            while len(sources.opened) < 2:
                await asyncio.sleep(0.01)
            await queue(store, await connection(store, 101, 1))
            wakeup.wake()
            while len(sources.opened) < 3:
                await asyncio.sleep(0.01)
        assert [one.installation_id for one in sources.opened] == [1, 2, 1], "although its installation has a place already"
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


# -- check runs


async def sent(store: Store, count: int) -> list[CheckRunDue]:
    """Send that many check runs, one after the other."""
    turns, found = Turns(), []
    for _ in range(count):
        due = await store.check_runs.claim(leases.CHECK_RUN_LEASE, turns)
        assert due is not None
        await store.check_runs.mark_created(due, due.id)
        await store.check_runs.mark_sent(due, leases.CHECK_RUN_PAUSE)
        found.append(due)
    return found


async def repositories(store: Store, found: list[CheckRunDue]) -> list[int]:
    extractions = [await store.extractions.get(due.extraction_id) for due in found]
    return [one.repository.id for one in extractions if one]


async def test_check_runs_of_repositories_and_installations_take_turns(store: Store) -> None:
    busy = await connection(store, 101, 1)
    for number in range(30):
        await queue(store, busy, SHAS[number], f"b{number}")
    for repository_id, installation_id in ((102, 1), (201, 2)):
        await queue(store, await connection(store, repository_id, installation_id))
    assert await repositories(store, await sent(store, 5)) == [101, 201, 102, 101, 101]


async def test_the_newest_commit_is_sent_first_and_superseded_ones_last(store: Store) -> None:
    project = await connection(store, 101, 1)
    ids = [await queue(store, project, sha) for sha in SHAS[:4]]
    side = await queue(store, project, SHAS[9], "side")
    unknown = await queue(store, await connection(store, 102, 1, project_dir=None))
    order = [due.extraction_id for due in await sent(store, 6)]
    assert order[:3] == [side, ids[3], unknown]
    assert sorted(order[3:]) == sorted(ids[:3]), "each pushed commit gets its check run"
    assert await store.check_runs.seconds_until_due() is None, "a superseded commit costs one request"


async def test_check_runs_of_forks_are_sent_after_those_of_pushes(store: Store) -> None:
    project = await connection(store, 101, 1)
    for number in range(3):
        await queue(store, project, SHAS[number], f"mona:b{number}")
    await queue(store, project, SHAS[9])
    first, *_ = await sent(store, 4)
    extraction = await store.extractions.get(first.extraction_id)
    assert extraction is not None
    assert extraction.branch == "main"


async def test_a_check_run_that_is_held_does_not_stop_the_others(store: Store) -> None:
    for installation_id in (1, 2):
        await queue(store, await connection(store, installation_id * 100, installation_id))
    await store.check_runs.hold_installation(1, timedelta(hours=1))
    assert await repositories(store, await sent(store, 1)) == [200]
    assert await store.check_runs.claim(leases.CHECK_RUN_LEASE) is None


async def test_a_backlog_that_is_held_is_spread_and_not_written_anew(store: Store) -> None:
    many, few = await connection(store, 100, 1), await connection(store, 101, 1)
    for number in range(45):
        await queue(store, many, SHAS[number], f"b{number}")
    await queue(store, few, SHAS[50])

    async def waits() -> list[tuple[float, int, str]]:
        """In seconds, with the repository and the transaction that wrote it; the next one first."""
        statement = (
            "SELECT extract(epoch FROM due_at - now())::float8 AS wait, repository_id, xmin::text FROM check_runs ORDER BY due_at, id"
        )
        return [(row["wait"], row["repository_id"], row["xmin"]) for row in await store._db.rows(statement)]

    await store.check_runs.hold_installation(1, timedelta(seconds=2), only_new=True)
    first = await waits()
    assert [round(wait / 5) * 5 for wait, _, _ in first] == [0] * 20 + [15] * 20 + [30] * 6
    assert 101 in [repository_id for _, repository_id, _ in first[:20]], "the newest of each repository come first"
    await store.check_runs.hold_installation(1, timedelta(seconds=4), only_new=True)
    again = await waits()
    assert [one[2] for one in again[20:]] == [one[2] for one in first[20:]], "those that come later are left alone"
    assert again[0][0] > first[0][0]


async def test_check_runs_of_a_held_installation_wait_with_it_and_wake_nobody(dsn: str, store: Store) -> None:
    held, free = await connection(store, 100, 1), await connection(store, 200, 2)
    await store.check_runs.hold_installation(1, timedelta(hours=1), only_new=True)
    listening = await asyncpg.connect(dsn)
    woken: asyncio.Queue[str] = asyncio.Queue()
    try:
        await listening.add_listener("freshet_checks", lambda _connection, _pid, channel, _payload: woken.put_nowait(channel))
        for number in range(3):
            await queue(store, held, SHAS[number], f"b{number}")
        await queue(store, free)
        await asyncio.wait_for(woken.get(), HANGS_S)
        assert woken.empty(), "notifications come in order, so that is the one of the other installation"
    finally:
        await listening.close()
    assert await repositories(store, await sent(store, 1)) == [200]
    assert await store.check_runs.claim(leases.CHECK_RUN_LEASE) is None
    waits_s = await store.check_runs.seconds_until_due()
    assert waits_s is not None
    assert waits_s > 3000


async def test_a_commit_of_several_branches_that_are_queued_at_once_has_one_check_run(store: Store) -> None:
    project = await connection(store, 100, 1)
    await queue(store, project, SHAS[1], "earlier")
    commits = [
        QueuedCommit(project.id, branch, sha, "push") for branch, sha in (("a", SHAS[0]), ("b", SHAS[0]), ("c", SHAS[1]), ("d", SHAS[2]))
    ]
    ids = await store.extractions.enqueue_all(commits)
    shown = {row["extraction_id"]: row["sha"] for row in await store._db.rows(SHOWN)}
    assert sorted(shown.values()) == SHAS[:3]
    assert UUID(ids[commits[0]]) in shown, "the first one's"


# -- one check run per connection and commit


async def check_run_of(store: Store, connection_id: str) -> list[str]:
    """The status of the extraction that each check run shows."""
    rows = await store._db.rows(
        "SELECT e.status FROM check_runs k JOIN extractions e ON e.id = k.extraction_id "
        "WHERE e.connection_id = $1::text::uuid ORDER BY k.id",
        connection_id,
    )
    return [row["status"] for row in rows]


async def end(store: Store, status: Any = "succeeded") -> None:
    claimed = await store.extractions.claim("w", LEASE)
    assert claimed is not None
    await store.extractions.finish(claimed.id, "w", status, [], problem=Problem("t", "m") if status == "failed" else None)


async def test_a_second_branch_at_a_commit_adds_no_check_run(store: Store) -> None:
    project = await connection(store, 101, 1)
    await queue(store, project)
    await end(store)
    await queue(store, project, branch="release")
    assert await check_run_of(store, project.id) == ["succeeded"]
    await end(store)
    assert await check_run_of(store, project.id) == ["succeeded"]
    await queue(store, project, branch="release", forced=True)
    assert await check_run_of(store, project.id) == ["succeeded", "queued"], "a re-run gets its own"


async def test_the_check_run_of_a_commit_that_comes_back_is_updated(store: Store) -> None:
    """A superseded commit is pushed again, and a temporary failure is repaired by the reconciler."""
    project = await connection(store, 101, 1)
    await queue(store, project, SHAS[0])
    await queue(store, project, SHAS[1])
    first = await sent(store, 2)
    await queue(store, project, SHAS[0])
    assert await check_run_of(store, project.id) == ["queued", "superseded"]
    due = await store.check_runs.claim(leases.CHECK_RUN_LEASE)
    assert due is not None
    assert (due.github_id, due.completed) == (first[1].github_id or first[1].id, True), "GitHub does not reopen it: only the end is sent"


async def test_a_superseded_branch_leaves_the_check_run_to_the_other(store: Store) -> None:
    project = await connection(store, 101, 1)
    await queue(store, project, SHAS[0], "a")
    await queue(store, project, SHAS[0], "b")
    await queue(store, project, SHAS[1], "a")
    shown = await store._db.row(
        "SELECT e.branch, e.status FROM check_runs k JOIN extractions e ON e.id = k.extraction_id WHERE e.sha = $1", SHAS[0]
    )
    assert tuple(shown or ()) == ("b", "queued")
