"""Columns follow their lineage: readers have the lineage first, and whatever comes between ends well. Real worker, queue and log."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from app.core import errors
from app.core.models.extractions import Extraction
from app.pipeline import outages
from app.reports import check_run
from app.store import Store
from app.store.columns import Columns
from tests.integration.columns_world import A, Container, columns_of, document, failure, head_of, with_columns
from tests.integration.life_world import World, committed, make_world
from tests.patience import HANGS_S

UNKNOWN = {"unique_id": "model.shop.a", "status": "unknown", "reason": "It is a Python model.", "columns": []}


@pytest_asyncio.fixture
async def world(store: Store, dsn: str, tmp_path: Path) -> World:
    return await make_world(store, dsn, tmp_path)


async def begun(container: Container, number: int = 1) -> None:
    """Wait until the lineage of this run is stored and its columns are waited for."""
    async with asyncio.timeout(HANGS_S):
        while len(container.runs) < number:
            await asyncio.sleep(0.01)
        await container.runs[number - 1].begun.wait()


async def column_rows(world: World) -> int:
    found: int = await world.store._db.value("SELECT count(*) FROM node_columns")
    return found


def summary(extraction: Extraction) -> str:
    text: str = check_run.check_run(extraction, "https://example.com")["output"]["summary"]
    return text


async def pushed(world: World, files: dict[str, str] | None = None) -> str:
    """A push of a new commit; the extraction's id."""
    for name, text in (files or {}).items():
        (world.git.path / name).write_text(text)
    sha = committed(world.git.path)
    await world.store.connections.move_head(world.connection_id, sha)
    return await world.store.extractions.enqueue(world.connection_id, "main", sha, "push")


async def test_the_lineage_is_readable_before_its_columns(world: World) -> None:
    container = with_columns(world, hold=True)
    extraction_id = await world.queued()
    async with world.working():
        await begun(container)
        running = await world.get(extraction_id)
        assert (running.status, running.stage) == ("running", "columns")
        head = await head_of(world)
        assert (head.columns_state, await world.store.columns.of(head.id)) == ("pending", [])
        assert [one.id for one in await world.store.lineages.find(world.connection_id, "main")] == [head.id]
        assert check_run.headline(running) == "Trace columns"
        assert check_run.check_run(running, "https://example.com")["output"].get("annotations") is None
        container.runs[0].may_end.set()
        ended = await world.ended(extraction_id)
    ready = await head_of(world)
    assert (ended.status, ready.columns_state, ready.extracted_at) == ("succeeded", "ready", head.extracted_at)
    [stored] = await columns_of(world)
    assert (stored.unique_id, stored.status) == ("model.shop.a", "exact")
    assert orjson.loads(stored.content)["columns"] == [["id", "integer", None]]
    one = await world.store.columns.one(ready.id, "model.shop.a")
    assert one is not None
    assert one == (stored, b"select 1 as id")
    assert [stage.stage for stage in ended.stages] == ["cloning", "parsing", "columns", "storing"]
    assert "Column lineage: 1 model exact." in summary(ended)
    assert ended.facts.usage is not None
    assert (ended.facts.usage.seconds, ended.facts.usage.cpu_seconds, ended.facts.usage.peak_memory_bytes) == (2.5, 1.9, 300 << 20)
    assert container.runs[0].closed
    statistics = await world.store.statistics.for_connection(world.connection_id, 10)
    assert list(statistics.stages) == ["cloning", "parsing", "columns", "storing"]
    assert statistics.cpu_seconds.spread.last == 1.9


@pytest.mark.parametrize(
    "outcome",
    [failure(temporary=True), failure(temporary=False), b"not a document", ZeroDivisionError("a bug")],
    ids=["temporary", "lasting", "malformed", "a bug"],
)
async def test_failed_columns_never_fail_the_extraction(world: World, outcome: bytes | Exception) -> None:
    with_columns(world, outcome)
    extraction_id = await world.queued()
    async with world.working():
        ended = await world.ended(extraction_id)
    head = await head_of(world)
    assert (ended.status, ended.attempt, head.columns_state) == ("succeeded", 1, "failed")
    assert head.columns_reason
    assert head.columns_reason == ended.result["columns"]["reason"]
    assert "Column lineage: none. While" in summary(ended)


async def test_columns_that_cannot_be_stored_do_not_fail_the_extraction(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(Columns, "save", broken)
    with_columns(world)
    extraction_id = await world.queued()
    async with world.working():
        ended = await world.ended(extraction_id)
    assert (ended.status, (await head_of(world)).columns_state) == ("succeeded", "failed")
    assert "internal error (ZeroDivisionError)" in ended.result["columns"]["reason"]


async def test_a_try_that_dies_between_lineage_and_columns_is_repeated_as_if_it_had_not(world: World) -> None:
    """What changed is told as the first try saw it, and nothing is stored twice."""
    with_columns(world)
    async with world.working():
        await world.ended(await world.queued())
        container = with_columns(world, document({**A, "columns": [["id", "bigint"]]}), hold=True)
        changed = await pushed(world, {"models/a.sql": "select 2 as id"})
        await world.store._db.execute("UPDATE nodes SET hash = 'another'")  # the node has changed
        await begun(container)
        lost = await head_of(world)
    assert (await world.get(changed)).status == "queued", "it was handed back"
    assert ((await head_of(world)).columns_state, lost.columns_state) == ("pending", "pending")
    async with world.working("w2"):
        await begun(container, 2)
        container.runs[1].may_end.set()
        ended = await world.ended(changed)
    assert ended.status == "succeeded"
    assert ended.result["change"]["nodes_changed"] == ["model.shop.a"]
    assert (ended.result["impact"]["state"], ended.result["impact"]["base"]["sha"]) == ("ready", world.sha), "not compared with itself"
    assert ((await head_of(world)).id, (await head_of(world)).columns_state) == (lost.id, "ready")
    assert (await column_rows(world), len(await columns_of(world))) == (2, 1)
    assert await world.store._db.value("SELECT count(*) FROM nodes") == 2
    assert container.runs[0].closed


async def test_the_change_of_a_first_lineage_stays_the_first_one(world: World) -> None:
    container = with_columns(world, hold=True)
    extraction_id = await world.queued()
    async with world.working():
        await begun(container)
    async with world.working("w2"):
        await begun(container, 2)
        container.runs[1].may_end.set()
        ended = await world.ended(extraction_id)
    assert "This is the project's first lineage." in summary(ended)


async def test_a_process_that_dies_leaves_a_lineage_that_its_successor_completes(world: World) -> None:
    container = with_columns(world, hold=True)
    extraction_id = await world.queued()
    async with world.working() as working, asyncio.timeout(HANGS_S):
        await begun(container)
        await world.store._db.execute("UPDATE extractions SET lease_until = now() - interval '1 second' WHERE status = 'running'")
        assert await world.store.extractions.requeue_expired() == 1
        container.runs[0].may_end.set()  # it wakes after another one has it
        await world.store._db.execute("SELECT pg_notify('freshet_queue', '')")
        await begun(container, 2)
        while len(working._running) == 2:
            await asyncio.sleep(0.01)
        assert (await head_of(world)).columns_state == "pending", "the first run has no effect any more"
        assert await column_rows(world) == 0
        container.runs[1].may_end.set()
        ended = await world.ended(extraction_id)
    assert ((await head_of(world)).columns_state, [one.outcome for one in ended.tries]) == ("ready", ["lost", "succeeded"])


async def test_a_service_that_dies_three_times_over_columns_keeps_the_lineage(world: World) -> None:
    container = with_columns(world, hold=True)
    extraction_id = await world.queued()
    for number in range(1, 4):
        async with world.working(f"w{number}"):
            await begun(container, number)
            await world.store._db.execute("UPDATE extractions SET worker = 'dead', lease_until = now() - interval '1 second'")
        await world.store.extractions.requeue_expired()
    async with world.working("w4"):
        ended = await world.ended(extraction_id)
    head = await head_of(world)
    assert (ended.status, ended.problem, head.columns_state) == ("succeeded", None, "failed")
    assert "3 attempts" in (head.columns_reason or "")
    assert "first lineage" in summary(ended)
    assert "Column lineage: none." in summary(ended)


@pytest.mark.parametrize(
    "trouble",
    [errors.CommitGoneError("fetching octo/shop", "it is gone"), errors.NoProjectError("looking", "there is none"), ValueError("a bug")],
    ids=lambda trouble: type(trouble).__name__,
)
async def test_what_fails_after_the_lineage_is_stored_costs_only_the_columns(world: World, trouble: Exception) -> None:
    container = with_columns(world, hold=True)
    extraction_id = await world.queued()
    async with world.working():
        await begun(container)
    world.git.trouble = trouble
    async with world.working("w2"):
        ended = await world.ended(extraction_id)
    head = await head_of(world)
    assert (ended.status, head.columns_state) == ("succeeded", "failed")
    assert ended.result["columns"] == {"state": "failed", "reason": head.columns_reason}
    connection = await world.store.connections.get(world.connection_id)
    assert connection is not None, "it is not hidden"


async def test_cancelling_keeps_the_lineage_and_stops_the_container(world: World) -> None:
    container = with_columns(world, hold=True)
    extraction_id = await world.queued()
    async with world.working() as working, asyncio.timeout(HANGS_S):
        await begun(container)
        assert await world.store.extractions.cancel(extraction_id)
        while working._running:
            await asyncio.sleep(0.01)
    ended = await world.get(extraction_id)
    head = await head_of(world)
    assert (ended.status, head.columns_state, container.runs[0].closed) == ("cancelled", "failed", True)
    assert "cancelled" in (head.columns_reason or "")
    assert "cancelled after its lineage was stored" in summary(ended)
    assert [one.id for one in await world.store.lineages.find(world.connection_id, "main")] == [head.id]


async def test_a_newer_push_supersedes_an_attempt_that_waits_and_not_its_lineage(world: World) -> None:
    container = with_columns(world, hold=True)
    extraction_id = await world.queued()
    async with world.working():
        await begun(container)
    await world.store._db.execute("UPDATE extractions SET forced = false")
    newer = await pushed(world, {"models/a.sql": "select 3 as id"})
    assert (await world.get(extraction_id)).status == "superseded"
    head = await head_of(world)
    assert (head.sha, head.columns_state) == (world.sha, "failed")
    container.hold = False
    async with world.working("w2"):
        await world.ended(newer)
    assert ((await head_of(world)).columns_state, (await head_of(world)).sha != world.sha) == ("ready", True)


async def test_a_short_outage_between_both_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "STORE_RETRIES_S", (0.0, 0.0, 0.0))
    save, away = Columns.save, iter([True, True, False])

    async def sometimes(self: Columns, *args: Any) -> bool:
        if next(away):
            raise errors.DatabaseUnavailableError("writing", "it hung up")
        return await save(self, *args)

    monkeypatch.setattr(Columns, "save", sometimes)
    container = with_columns(world)
    extraction_id = await world.queued()
    async with world.working():
        ended = await world.ended(extraction_id)
    assert (ended.status, ended.attempt, len(container.runs), (await head_of(world)).columns_state) == ("succeeded", 1, 1, "ready")


async def test_after_a_long_outage_the_extraction_runs_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "STORE_RETRIES_S", (0.0,))
    save, away = Columns.save, iter([True, True, False])

    async def sometimes(self: Columns, *args: Any) -> bool:
        if next(away):
            raise errors.DatabaseUnavailableError("writing", "it hung up")
        return await save(self, *args)

    monkeypatch.setattr(Columns, "save", sometimes)
    container = with_columns(world)
    extraction_id = await world.queued()
    async with world.working():
        await world.until(extraction_id, lambda one: one.status == "queued")
        await world.hurry()
        ended = await world.ended(extraction_id)
    assert (ended.status, len(container.runs), (await head_of(world)).columns_state) == ("succeeded", 2, "ready")
    assert "first lineage" in summary(ended)


STAYS: dict[str, tuple[bytes | Exception, bool]] = {
    "ready": (document(A), True),
    "failed because of the project": (failure(temporary=False), True),
    "failed because of us": (failure(temporary=True), False),
}


@pytest.mark.parametrize("name", STAYS)
async def test_the_same_input_carries_columns_forward_unless_they_failed_because_of_us(world: World, name: str) -> None:
    outcome, carried = STAYS[name]
    container = with_columns(world, outcome, document(A))
    async with world.working():
        first = await world.ended(await world.queued())
        second = await world.ended(await pushed(world, {"README.md": "not read by dbt"}))
    assert (second.result.get("carried_from"), len(container.runs)) == ((world.sha, 1) if carried else (None, 2))
    old, new = await head_of(world, world.sha), await head_of(world)
    assert new.sha != old.sha
    if carried:
        assert (new.columns_state, new.columns_reason) == (old.columns_state, old.columns_reason)
        assert await world.store.columns.of(new.id) == await world.store.columns.of(old.id)
        assert second.result["columns"] == first.result["columns"]
    else:
        assert (old.columns_state, new.columns_state) == ("failed", "ready")


async def test_a_lineage_whose_columns_are_pending_is_not_carried_forward(world: World) -> None:
    container = with_columns(world, hold=True)
    cancelled = await world.queued()
    async with world.working():
        await begun(container)
        await world.store.extractions.cancel(cancelled)
        container.hold = False
        second = await world.ended(await pushed(world, {"README.md": "not read by dbt"}))
    assert (second.result.get("carried_from"), (await head_of(world)).columns_state) == (None, "ready")


async def test_extracting_the_commit_again_repairs_its_columns(world: World) -> None:
    with_columns(world, failure(temporary=True), document(A))
    async with world.working():
        await world.ended(await world.queued())
        broken = await head_of(world)
        again = await world.store.extractions.enqueue(world.connection_id, "main", world.sha, "reconcile")
        ended = await world.ended(again)
    head = await head_of(world)
    assert (broken.columns_state, head.columns_state, head.columns_reason, head.id) == ("failed", "ready", None, broken.id)
    assert ended.result["columns"]["counts"] == {"exact": 1, "approximate": 0, "unknown": 0}


async def test_columns_that_did_not_change_are_stored_once(world: World) -> None:
    with_columns(world, document(A), document(A), document(UNKNOWN))
    async with world.working():
        for number in range(3):
            await world.ended(await pushed(world, {"models/a.sql": f"select {number} as id"}))
            assert await column_rows(world) == (2 if number == 2 else 1)
    assert [one.status for one in await columns_of(world)] == ["unknown"]


async def test_a_push_is_answered_by_its_lineage_not_by_its_columns(world: World) -> None:
    container = with_columns(world, hold=True)
    extraction_id = await world.queued()
    async with world.working():
        await begun(container)
        await world.store._db.execute(
            "UPDATE extractions SET created_at = now() - interval '1 hour', lineage_at = now() - interval '59 minutes'"
        )
        for _ in range(2):
            [window] = await world.store.statistics.freshness(world.connection_id, "main", [7], timedelta(minutes=2))
            assert (window.pushes, window.met, window.missed) == (1, 1, 0)
            container.runs[0].may_end.set()
            await world.ended(extraction_id)
