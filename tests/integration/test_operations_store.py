"""What operators see, read from a real PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.core.models.connections import Connection
from app.core.models.extractions import Facts, Problem, Usage
from app.core.models.github import Repository
from app.store import Store, operations
from app.store.operations import ListFilter

LEASE = timedelta(minutes=1)
SHAS = [f"{number:040x}" for number in range(1, 60)]
LOST = Problem("The model was not found", "…")
OURS = Problem("Docker did not answer", "…", conclusion="neutral")


async def connection(store: Store, repository_id: int = 7, installation_id: int = 3, directory: str = "") -> Connection:
    account = f"octo{installation_id}"
    await store.installations.install(installation_id, account, "Organization", "all")
    await store.installations.update_from_push(Repository(repository_id, f"{account}/shop{repository_id}", installation_id, "main"))
    return await store.connections.create(repository_id, directory)


async def ended(store: Store, of: Connection, sha: str, problem: Problem | None = None, *, cpu_seconds: float | None = None) -> str:
    """An extraction that ran."""
    await store.extractions.enqueue(of.id, "main", sha, "push")
    found = await store.extractions.claim("w", LEASE)
    assert found is not None
    facts = Facts(usage=Usage(2.0, cpu_seconds))
    await store.extractions.finish(found.id, "w", "failed" if problem else "succeeded", [], problem=problem, facts=facts)
    return found.id


async def age(store: Store, extraction_id: str, by: timedelta) -> None:
    moved = ", ".join(f"{name} = {name} - $2::interval" for name in ("created_at", "started_at", "finished_at"))
    await store._db.execute(f"UPDATE extractions SET {moved} WHERE id = $1", extraction_id, by)  # noqa: S608 - names of columns


async def test_an_empty_service_has_no_figures(store: Store) -> None:
    found = await store.operations.ended()
    assert (found.since, found.statuses, found.failures, found.spans, found.connections, found.installations) == (None, [], [], [], [], [])
    assert await store.operations.extractions(ListFilter(), limit=10) == []
    assert (await store.operations.deliveries()).received == 0
    database = await store.operations.database()
    assert database.size_bytes > 1 << 20
    assert database.migration[:4].isdigit()


async def test_failures_are_counted_by_cause_and_age(store: Store) -> None:
    of = await connection(store)
    await ended(store, of, SHAS[0], LOST)
    await age(store, await ended(store, of, SHAS[1], LOST), timedelta(days=2))
    await age(store, await ended(store, of, SHAS[2], OURS), timedelta(days=6))
    await age(store, await ended(store, of, SHAS[3], OURS), timedelta(days=8))
    await ended(store, of, SHAS[4])
    found = await store.operations.ended()
    assert [(one.name, one.conclusion, one.day, one.week) for one in found.failures] == [
        (LOST.title, "failure", 1, 2),
        (OURS.title, "neutral", 0, 1),
    ]
    assert {one.name: (one.day, one.week) for one in found.statuses} == {"failed": (1, 3), "succeeded": (1, 1)}


async def test_a_count_and_its_list_agree(store: Store) -> None:
    first, second = await connection(store), await connection(store, 8, 4, "transform")
    for number in range(3):
        await ended(store, first, SHAS[number], LOST)
    await age(store, await ended(store, second, SHAS[9], LOST), timedelta(days=3))
    await ended(store, second, SHAS[8], OURS)
    figures = await store.operations.ended()
    for tally in figures.failures:
        for days, number in ((1, tally.day), (7, tally.week)):
            wanted = ListFilter("failed", days, tally.name)
            listed = await store.operations.extractions(wanted, limit=100)
            assert [one.cause for one in listed] == [tally.name] * number
    only = await store.operations.extractions(ListFilter(connection_id=second.id), limit=100)
    assert [(one.repository, one.project_dir, one.sha) for one in only] == [
        ("octo4/shop8", "transform", SHAS[8]),
        ("octo4/shop8", "transform", SHAS[9]),
    ]
    assert len(await store.operations.extractions(ListFilter(installation_id=3), limit=100)) == 3
    assert [one.sha for one in await store.operations.extractions(ListFilter("failed"), limit=2, skip=1)] == [SHAS[2], SHAS[1]]


async def test_active_extractions_are_listed_oldest_first(store: Store) -> None:
    for number in range(3):
        of = await connection(store, 10 + number)
        await store.extractions.enqueue(of.id, "main", SHAS[number], "push")
    running = await store.extractions.claim("w", LEASE)
    assert running is not None
    listed = await store.operations.extractions(ListFilter("running"), limit=10)
    assert [(one.id, one.status, one.seconds) for one in listed] == [(running.id, "running", None)]
    assert [one.sha for one in await store.operations.extractions(ListFilter("queued"), limit=10)] == SHAS[1:3]


async def test_cost_by_connection_and_installation(store: Store) -> None:
    small, big, other = await connection(store), await connection(store, 8, 4, "a"), await connection(store, 8, 4, "b")
    await ended(store, small, SHAS[0], cpu_seconds=5.0)
    await ended(store, big, SHAS[1], cpu_seconds=3.0)
    await ended(store, big, SHAS[2], LOST, cpu_seconds=4.0)
    await ended(store, other, SHAS[3], cpu_seconds=1.0)
    await ended(store, other, SHAS[4])
    found = await store.operations.ended()
    assert [(one.name, one.cpu_seconds, one.extractions) for one in found.connections] == [
        ("octo4/shop8, a", 7.0, 2),
        ("octo3/shop7", 5.0, 1),
        ("octo4/shop8, b", 1.0, 2),
    ]
    assert [(one.id, one.name, one.cpu_seconds, one.extractions) for one in found.installations] == [
        ("4", "octo4", 8.0, 4),
        ("3", "octo3", 5.0, 1),
    ]


async def test_waiting_and_running_times(store: Store) -> None:
    of = await connection(store)
    for number in range(4):
        extraction = await ended(store, of, SHAS[number])
        statement = (
            "UPDATE extractions SET created_at = finished_at - $2 * interval '3 s', started_at = finished_at - $2 * interval '1 s' "
            "WHERE id = $1"
        )
        await store._db.execute(statement, extraction, number + 1)
    await age(store, extraction, timedelta(days=2))
    found = {(one.kind, one.days): one for one in (await store.operations.ended()).spans}
    assert [found["running", days].times for days in (1, 7)] == [3, 4]
    assert found["running", 1].p50 == pytest.approx(2.0)
    assert found["waiting", 7].p50 == pytest.approx(5.0)
    assert found["waiting", 7].p95 == pytest.approx(7.7)


async def test_a_missed_delivery_is_repaired_when_it_arrives(store: Store) -> None:
    await store.deliveries.record("d1", "push")
    for name in ("d2", "d3"):
        assert await store.deliveries.claim_redelivery(name)
    await store.deliveries.record("d3", "push")
    found = await store.operations.deliveries()
    assert (found.received, found.missed, found.repaired) == (2, 2, 1)
    assert {one.id: (one.times, one.event) for one in await store.operations.missed_deliveries(10)} == {"d2": (1, None), "d3": (1, "push")}


async def test_a_busy_week_says_since_when_it_is_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    of = await connection(store)
    for number in range(5):
        await ended(store, of, SHAS[number], LOST)
    monkeypatch.setattr(operations, "ENDED", 3)
    found = await store.operations.ended()
    assert found.since is not None
    assert found.failures[0].week == len(await store.operations.extractions(ListFilter("failed"), limit=100)) == 3
