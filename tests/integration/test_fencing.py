"""A process that slept past its lease: whatever it still does has no effect, even if it claimed the same work again itself."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from app.core import errors
from app.pipeline import leases, worker
from app.pipeline.ports import DbtJob, Parsed
from app.pipeline.progress import ClaimLostError, Progress
from app.store import Store
from tests.integration.life_world import World, make_world
from tests.patience import HANGS_S

LEASE = timedelta(minutes=1)


@pytest_asyncio.fixture
async def world(store: Store, dsn: str, tmp_path: Path) -> World:
    return await make_world(store, dsn, tmp_path)


async def oversleep(world: World) -> None:
    """Let every lease end, and the extractions be queued again."""
    await world.store._db.execute("UPDATE extractions SET lease_until = now() - interval '1 second' WHERE status = 'running'")
    assert await world.store.extractions.requeue_expired() == 1
    await world.store._db.execute("SELECT pg_notify('freshet_queue', '')")


async def test_the_first_run_of_a_worker_that_claimed_twice_has_no_effect(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "HEARTBEAT_S", 3600.0)  # it does not notice in time
    begun, may_end = [asyncio.Event(), asyncio.Event()], [asyncio.Event(), asyncio.Event()]

    async def dbt(_: DbtJob) -> Parsed:
        number = sum(event.is_set() for event in begun)
        begun[number].set()
        await may_end[number].wait()
        return await world.parsed(log=f"run {number}\n")

    world.runner.dbt = dbt
    extraction_id = await world.queued()
    async with world.working() as working, asyncio.timeout(HANGS_S):
        await begun[0].wait()
        await oversleep(world)
        await begun[1].wait()
        assert len(working._running) == 2
        may_end[0].set()
        while len(working._running) == 2:
            await asyncio.sleep(0.01)
        assert (await world.get(extraction_id)).status == "running", "the second run goes on"
        assert await world.store.lineages.head(world.connection_id) is None
        may_end[1].set()
        ended = await world.ended(extraction_id)
    assert [(one.number, one.outcome) for one in ended.tries] == [(1, "lost"), (2, "succeeded")]
    log = await world.store.logs.get(extraction_id)
    assert log is not None
    assert log.content == b"run 1\n"


async def test_a_lost_run_is_stopped_by_the_heartbeat_and_the_new_one_is_not(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "HEARTBEAT_S", 0.05)
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def hangs(_: DbtJob) -> Parsed:
        if begun.is_set():
            return await world.parsed()
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError

    world.runner.dbt = hangs
    extraction_id = await world.queued()
    async with world.working(), asyncio.timeout(HANGS_S):
        await begun.wait()
        await world.store._db.execute(
            "UPDATE extractions SET status = 'queued', worker = NULL, lease_until = NULL WHERE status = 'running'"
        )
        await world.store._db.execute("SELECT pg_notify('freshet_queue', '')")
        await stopped.wait()
        assert (await world.ended(extraction_id)).status == "succeeded"


async def test_a_claim_whose_answer_was_lost_is_not_renewed_for_ever(world: World) -> None:
    """The worker does not know of it, so nobody runs it."""
    await world.queued()
    assert await world.store.extractions.claim("w/1", timedelta(seconds=-1)) is not None
    assert await world.store.extractions.renew(["w/2"], LEASE) == set()
    assert await world.store.extractions.requeue_expired() == 1


async def test_every_write_of_a_lost_run_is_refused(world: World) -> None:
    """Also those to connections."""
    extraction_id = await world.queued()
    lost = await world.store.extractions.claim("w/1", timedelta(seconds=-1))
    assert lost is not None
    await world.store.extractions.requeue_expired()
    assert await world.store.extractions.claim("w/2", LEASE)
    before = await world.store.connections.get(world.connection_id)
    progress = Progress(world.store, "w/1", lost)
    with pytest.raises(ClaimLostError):
        await progress.enter("parsing")
    with pytest.raises(ClaimLostError):
        await progress.choose_project_dir(["elsewhere", "and/here"])
    assert await world.store.connections.get(world.connection_id) == before
    assert [one.id for one in await world.store.connections.for_repository(lost.repository.id)] == [world.connection_id]
    for late in (
        world.store.extractions.retry(extraction_id, "w/1", timedelta(0)),
        world.store.extractions.finish(extraction_id, "w/1", "failed", []),
        world.store.extractions.hand_back(extraction_id, "w/1"),
    ):
        assert not await late
    assert (await world.get(extraction_id)).status == "running"


async def test_a_lost_run_without_a_project_hides_no_connection(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "HEARTBEAT_S", 3600.0)
    await world.store._db.execute("UPDATE connections SET project_dir = NULL")
    extraction_id = await world.queued()
    lost = await world.store.extractions.claim("w/1", timedelta(seconds=-1))
    assert lost is not None
    await world.store.extractions.requeue_expired()
    assert await world.store.extractions.claim("w/2", LEASE)
    async with world.working("w") as working:
        with pytest.raises(ClaimLostError):
            await working._handle_error(lost, Progress(world.store, "w/1", lost), errors.NoProjectError("looking", "there is none"))
    assert await world.store.connections.get(world.connection_id) is not None
    assert (await world.get(extraction_id)).status == "running"


async def test_a_look_that_slept_leaves_what_became_due_since(world: World) -> None:
    repositories = world.store.installations
    await repositories.look_soon(7)
    asleep = await repositories.claim_look(timedelta(seconds=-1))
    assert asleep is not None
    await repositories.look_soon(7)
    await repositories.record_look(asleep, asleep.repository, "etag")
    await repositories.postpone_look(asleep, None)
    again = await repositories.claim_look(leases.LOOK_LEASE)
    assert again is not None
    await repositories.record_look(again, again.repository, "etag")
    assert await repositories.claim_look(leases.LOOK_LEASE) is None


async def test_a_chore_is_done_by_one_process_at_a_time(world: World) -> None:
    chores, db, at_once = world.store.installations, world.store._db, timedelta(0)
    first = await chores.claim_chore("purge", at_once, leases.CHORE_LEASE)
    assert first is not None
    assert await chores.claim_chore("purge", at_once, leases.CHORE_LEASE) is None, "it is due, but somebody does it"
    await db.execute("UPDATE chores SET lease_until = now() - interval '1 second'")
    second = await chores.claim_chore("purge", at_once, leases.CHORE_LEASE)
    assert second is not None
    await chores.renew_chore("purge", first, at_once)
    await chores.finish_chore("purge", first)
    assert await chores.claim_chore("purge", at_once, leases.CHORE_LEASE) is None, "the first one slept, and has no effect"
    await chores.finish_chore("purge", second)
    assert await chores.claim_chore("purge", at_once, leases.CHORE_LEASE) is not None
