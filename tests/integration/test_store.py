"""The queue, the outbox and the lineages, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from app.core.errors import DatabaseBusyError, DatabaseUnavailableError
from app.core.models.connections import Connection
from app.core.models.extractions import Extraction, Problem, StageTime
from app.core.models.github import Repository
from app.lineage.nodes import Lineage, Node
from app.pipeline import leases
from app.store import Store, listen, migrate, pool
from tests.lineages import nodes_of
from tests.patience import HANGS_S

LEASE = timedelta(seconds=60)
SHAS = [f"{number:040x}" for number in range(1, 600)]


async def connection(store: Store, repository_id: int = 7, installation_id: int = 3) -> Connection:
    repository = Repository(repository_id, f"octo/shop{repository_id}", installation_id, "main")
    await store.installations.update_from_push(repository)
    return await store.connections.create(repository_id, "")


async def claimed(store: Store) -> Extraction:
    extraction = await store.extractions.claim("w1", LEASE)
    assert extraction is not None
    return extraction


def lineage(*unique_ids: str, description: str = "") -> Lineage:
    nodes = tuple(
        Node(key, "model", key.split(".")[-1], "shop", b'{"unique_id": "%s"}' % key.encode(), (), description.encode())
        for key in unique_ids
    )
    return Lineage("shop", "1.11.16", "duckdb", "v12", nodes)


async def store_lineage(store: Store, extraction: Extraction, of: Lineage) -> bool:
    async with store.transaction() as tx:
        saved = await tx.lineages.save(extraction, of, b"input of " + extraction.sha.encode())
        await tx.extractions.finish(extraction.id, "w1", "succeeded", [])
    return saved.switched


async def statuses(store: Store, of: Connection) -> dict[str, str]:
    return {extraction.sha: extraction.status for extraction in await store.extractions.for_connection(of.id, limit=100)}


async def test_a_burst_of_pushes_collapses_to_the_newest_commit(store: Store) -> None:
    project = await connection(store)
    for sha in SHAS[:5]:
        await store.extractions.enqueue(project.id, "main", sha, "push")
    await store.extractions.enqueue(project.id, "other", SHAS[9], "push")
    found = await statuses(store, project)
    assert [found[sha] for sha in SHAS[:5]] == ["superseded"] * 4 + ["queued"]
    assert found[SHAS[9]] == "queued"


async def test_an_extraction_that_ends_while_another_of_its_commit_is_queued_is_not_returned(dsn: str, store: Store) -> None:
    project = await connection(store)
    first = await store.extractions.enqueue(project.id, "main", SHAS[0], "push")

    class Ending(pool.Database):
        """The first extraction ends after the first statement that returns rows."""

        async def rows(self, statement: str, *args: object) -> list[asyncpg.Record]:
            found = await super().rows(statement, *args)
            await store.extractions.cancel(first)
            return found

    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as connections:
        second = await Store(Ending(connections)).extractions.enqueue(project.id, "main", SHAS[0], "api", forced=True)
    assert second != first
    assert (await claimed(store)).id == second


async def test_a_push_during_a_running_extraction_is_not_lost(store: Store) -> None:
    project = await connection(store)
    await store.extractions.enqueue(project.id, "main", SHAS[0], "push")
    running = await claimed(store)
    await store.extractions.enqueue(project.id, "main", SHAS[1], "push")
    assert await store.extractions.claim("w1", LEASE) is None, "never two of one connection at a time"
    await store.extractions.finish(running.id, "w1", "succeeded", [])
    assert (await claimed(store)).sha == SHAS[1]


async def test_the_same_commit_is_queued_once_while_it_is_active(store: Store) -> None:
    project = await connection(store)
    first = await store.extractions.enqueue(project.id, "main", SHAS[0], "push")
    assert await store.extractions.enqueue(project.id, "main", SHAS[0], "api") == first
    running = await claimed(store)
    assert await store.extractions.enqueue(project.id, "main", SHAS[0], "api") == first
    await store.extractions.finish(running.id, "w1", "failed", [], problem=Problem("t", "m"))
    assert await store.extractions.enqueue(project.id, "main", SHAS[0], "api") != first


async def test_a_backlog_of_one_installation_does_not_delay_another(store: Store) -> None:
    for number in range(500):
        project = await connection(store, 1000 + number, installation_id=1)
        await store.extractions.enqueue(project.id, "main", SHAS[0], "push")
    await claimed(store)
    late = await connection(store, 900, installation_id=2)
    await store.extractions.enqueue(late.id, "main", SHAS[0], "push")
    assert (await claimed(store)).connection_id == late.id


async def test_many_workers_never_share_an_extraction(store: Store) -> None:
    for number in range(20):
        project = await connection(store, 100 + number)
        await store.extractions.enqueue(project.id, "main", SHAS[0], "push")
    found = await asyncio.gather(*(store.extractions.claim(f"w{number}", LEASE) for number in range(25)))
    ids = [extraction.id for extraction in found if extraction]
    assert len(ids) == len(set(ids)) == 20


async def test_a_dead_workers_extraction_is_taken_over_and_its_late_updates_are_ignored(store: Store) -> None:
    project = await connection(store)
    await store.extractions.enqueue(project.id, "main", SHAS[0], "push")
    dead = await store.extractions.claim("dead", timedelta(seconds=-1))
    assert dead is not None
    assert await store.extractions.requeue_expired() == 1
    again = await claimed(store)
    assert (again.id, again.attempt) == (dead.id, 2)
    assert not await store.extractions.finish(dead.id, "dead", "succeeded", [])
    assert not await store.extractions.enter_stage(dead.id, "dead", "parsing", [])
    assert (await statuses(store, project))[SHAS[0]] == "running"


async def test_a_handed_back_extraction_does_not_count_as_an_attempt(store: Store) -> None:
    project = await connection(store)
    await store.extractions.enqueue(project.id, "main", SHAS[0], "push")
    await store.extractions.hand_back((await claimed(store)).id, "w1")
    assert (await claimed(store)).attempt == 1


async def test_stages_problems_and_results_round_trip(store: Store) -> None:
    project = await connection(store)
    await store.extractions.enqueue(project.id, "main", SHAS[0], "push")
    running = await claimed(store)
    times = [StageTime("cloning", datetime.now(UTC), datetime.now(UTC)), StageTime("parsing", datetime.now(UTC))]
    assert await store.extractions.enter_stage(running.id, "w1", "parsing", times)
    shown = await store.extractions.get(running.id)
    assert shown is not None
    assert (shown.stage, list(shown.stages)) == ("parsing", times)
    problem = Problem("title", "message with a \0 NUL", path="models/a.sql", line=3)
    await store.extractions.finish(running.id, "w1", "failed", times, problem=problem, result={"nodes": 3})
    ended = await store.extractions.get(running.id)
    assert ended is not None
    assert ended.problem is not None
    assert (ended.problem.message, ended.problem.line) == ("message with a \N{REPLACEMENT CHARACTER} NUL", 3)
    assert ended.result == {"nodes": 3}


async def test_an_unchanged_node_is_stored_once(store: Store, db: pool.Database) -> None:
    project = await connection(store)
    for sha, of in ((SHAS[0], lineage("model.shop.a", "model.shop.b")), (SHAS[1], lineage("model.shop.a", "model.shop.c"))):
        await store.extractions.enqueue(project.id, "main", sha, "push")
        assert await store_lineage(store, await claimed(store), of)
    assert await db.value("SELECT count(*) FROM nodes") == 3
    head = await store.lineages.head(project.id)
    assert head is not None
    assert head.sha == SHAS[1]
    assert [node.unique_id for node in await nodes_of(store, head)] == ["model.shop.a", "model.shop.c"]
    before = await store.lineages.head(project.id, SHAS[0])
    assert before is not None
    assert [node.unique_id for node in await nodes_of(store, before)] == ["model.shop.a", "model.shop.b"]


async def test_only_the_followed_branch_moves_the_lineage(store: Store) -> None:
    project = await connection(store)
    for branch, sha, switches in (("main", SHAS[0], True), ("feature/ünï", SHAS[1], False)):
        await store.extractions.enqueue(project.id, branch, sha, "push")
        assert await store_lineage(store, await claimed(store), lineage("model.shop.a")) is switches
    head = await store.lineages.head(project.id)
    assert head is not None
    assert head.sha == SHAS[0]
    assert await store.lineages.head(project.id, SHAS[1]) is not None


async def test_an_older_extraction_that_ends_late_does_not_replace_the_lineage(store: Store) -> None:
    project = await connection(store)
    await store.extractions.enqueue(project.id, "main", SHAS[0], "push")
    old = await claimed(store)
    await store.extractions.finish(old.id, "w1", "failed", [], problem=Problem("t", "m"))
    await store.extractions.enqueue(project.id, "main", SHAS[1], "push")
    assert await store_lineage(store, await claimed(store), lineage("model.shop.a"))
    assert not await store_lineage(store, old, lineage("model.shop.b"))
    head = await store.lineages.head(project.id)
    assert head is not None
    assert head.sha == SHAS[1]


async def test_an_extraction_waiting_for_a_retry_is_active_and_can_be_superseded(store: Store) -> None:
    project = await connection(store)
    first = await store.extractions.enqueue(project.id, "main", SHAS[0], "push")
    await store.extractions.retry((await claimed(store)).id, "w1", timedelta(hours=1))
    assert await store.extractions.claim("w1", LEASE) is None
    assert await store.extractions.enqueue(project.id, "main", SHAS[0], "api") == first
    await store.extractions.enqueue(project.id, "main", SHAS[1], "push")
    assert (await statuses(store, project))[SHAS[0]] == "superseded"


async def test_an_old_commit_that_is_requested_does_not_become_the_newest(store: Store) -> None:
    project = await connection(store)
    for sha in SHAS[:2]:
        await store.connections.move_head(project.id, sha)
        await store.extractions.enqueue(project.id, "main", sha, "push")
        assert await store_lineage(store, await claimed(store), lineage("model.shop.a"))
    await store.connections.move_head(project.id, SHAS[2])
    await store.extractions.enqueue(project.id, "main", SHAS[2], "push")
    for sha in (SHAS[0], SHAS[7]):
        await store.extractions.enqueue(project.id, "main", sha, "api", forced=True, newest=False)
    assert [one.sha for one in await store.extractions.active(after=None, limit=10)] == [SHAS[2], SHAS[0], SHAS[7]]
    assert await store_lineage(store, await claimed(store), lineage("model.shop.c")), "the head"
    for _ in range(2):
        assert not await store_lineage(store, await claimed(store), lineage("model.shop.b"))
    await store.extractions.enqueue(project.id, "main", SHAS[2], "rerequested", forced=True)
    assert await store_lineage(store, await claimed(store), lineage("model.shop.d")), "the head again"


async def test_readers_never_see_half_a_lineage(store: Store) -> None:
    project = await connection(store)
    await store.extractions.enqueue(project.id, "main", SHAS[0], "push")
    running = await claimed(store)
    with pytest.raises(RuntimeError, match="died"):
        async with store.transaction() as tx:
            await tx.lineages.save(running, lineage("model.shop.a"), b"input")
            raise RuntimeError("died")
    assert await store.lineages.head(project.id) is None


async def test_every_change_of_an_extraction_makes_its_check_run_due(store: Store, db: pool.Database) -> None:
    project = await connection(store)
    extraction_id = await store.extractions.enqueue(project.id, "main", SHAS[0], "push")
    due = await store.check_runs.claim(leases.CHECK_RUN_LEASE)
    assert due is not None
    assert (due.extraction_id, due.github_id, due.in_doubt) == (extraction_id, None, False)
    assert await store.check_runs.claim(leases.CHECK_RUN_LEASE) is None, "one publisher has it"
    assert await store.check_runs.mark_created(due, 99)
    running = await claimed(store)
    assert await store.check_runs.mark_sent(due, leases.CHECK_RUN_PAUSE)
    await db.execute("UPDATE check_runs SET due_at = now()")
    due = await store.check_runs.claim(leases.CHECK_RUN_LEASE)
    assert due is not None, "it began to run while its creation was sent"
    assert due.github_id == 99
    assert await store.check_runs.mark_sent(due, leases.CHECK_RUN_PAUSE)
    await db.execute("UPDATE check_runs SET due_at = now()")
    assert await store.check_runs.claim(leases.CHECK_RUN_LEASE) is None
    await store.extractions.finish(running.id, "w1", "failed", [], problem=Problem("t", "m"))
    assert await store.check_runs.claim(leases.CHECK_RUN_LEASE) is not None


async def test_a_superseded_extraction_is_sent_too(store: Store) -> None:
    project = await connection(store)
    await store.extractions.enqueue(project.id, "main", SHAS[0], "push")
    due = await store.check_runs.claim(leases.CHECK_RUN_LEASE)
    assert due is not None
    await store.check_runs.mark_sent(due, leases.CHECK_RUN_PAUSE)
    assert await store.check_runs.seconds_until_due() is None
    await store.extractions.enqueue(project.id, "main", SHAS[1], "push")
    assert await store.check_runs.seconds_until_due() is not None


async def test_removed_repositories_and_installations_are_hidden_even_after_a_late_push(store: Store) -> None:
    project = await connection(store, 7)
    other = await connection(store, 8)
    await store.installations.remove_repositories(3, [8])
    assert await store.connections.get(other.id) is None
    assert not await store.installations.update_from_push(Repository(8, "octo/shop8", 3, "main"))
    assert await store.connections.get(project.id) is not None
    await store.installations.uninstall(3)
    assert await store.connections.get(project.id) is None
    assert not await store.installations.update_from_push(Repository(7, "octo/shop7", 3, "main"))


async def test_a_renamed_repository_is_recognized_by_its_id(store: Store) -> None:
    project = await connection(store)
    assert await store.installations.update_from_push(Repository(7, "newname/store", 3, "trunk"))
    found = await store.connections.get(project.id)
    assert found is not None
    assert (found.repository.full_name, found.followed_branch) == ("newname/store", "trunk")


async def test_lists_are_filtered_and_paged(store: Store) -> None:
    for number in range(5):
        await connection(store, 10 + number)
    await store.installations.update_from_push(Repository(50, "Acme/Store", 4, "main"))
    await store.connections.create(50, "transform")

    async def names(after: tuple[str, str] | None = None, limit: int = 50, **filters: str) -> Sequence[str]:
        wanted: dict[str, Any] = {"owner": None, "repository": None, "q": None} | filters
        return [found.repository.full_name for found in await store.connections.page(after=after, limit=limit, **wanted)]

    assert await names() == ["Acme/Store", *(f"octo/shop{10 + number}" for number in range(5))]
    assert await names(owner="acme") == await names(repository="acme/store") == await names(q="TRANSFORM") == ["Acme/Store"]
    page = await store.connections.page(owner=None, repository=None, q=None, after=None, limit=2)
    assert await names(after=(page[-1].repository.full_name, page[-1].id), limit=2) == ["octo/shop11", "octo/shop12"]
    assert await names(q="100%_") == []


async def test_a_delivery_is_recorded_once(store: Store) -> None:
    assert await store.deliveries.record("d1", "push")
    assert not await store.deliveries.record("d1", "push")


async def test_a_missing_delivery_is_requested_again_a_limited_number_of_times(store: Store) -> None:
    assert [await store.deliveries.claim_redelivery("lost") for _ in range(7)] == [True] * 5 + [False] * 2
    await store.deliveries.record("known", "push")
    assert not await store.deliveries.claim_redelivery("known")


async def test_migrating_twice_changes_nothing_and_a_newer_database_is_an_error(db: pool.Database) -> None:
    assert await migrate.migrate(db) == []
    await db.execute("INSERT INTO migrations (name) VALUES ('9999_from_the_future')")
    with pytest.raises(Exception, match="9999_from_the_future"):
        await migrate.migrate(db)


async def test_a_notification_wakes_and_a_lost_connection_is_reestablished(
    dsn: str, store: Store, db: pool.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "RECONNECT_S", 0.05)
    project = await connection(store)
    async with listen.listening(dsn) as listener:
        with listener.wakeup("freshet_queue") as wakeup:
            await wakeup.wait(5)
            for sha in SHAS[:2]:
                began = asyncio.get_running_loop().time()
                await store.extractions.enqueue(project.id, "main", sha, "push")
                await wakeup.wait(30)
                assert asyncio.get_running_loop().time() - began < 20
                listeners = (
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"
                )
                await db.rows(listeners)
                await wakeup.wait(30)


async def test_a_deadlock_is_an_error_after_which_a_retry_helps(dsn: str) -> None:
    async with pool.connect(dsn, size=2) as db:
        both = asyncio.Barrier(2)

        async def lock(first: int, second: int) -> None:
            async with db.transaction() as tx:
                await tx.value("SELECT pg_advisory_xact_lock($1::bigint)", first)
                await both.wait()
                await tx.value("SELECT pg_advisory_xact_lock($1::bigint)", second)

        ends = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
        failed = [end for end in ends if end is not None]
        assert [type(end) for end in failed] == [DatabaseBusyError]
        assert "deadlock" in str(failed[0])


async def test_a_process_that_stopped_in_a_transaction_keeps_no_lock_and_writes_nothing_later(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "SESSION", pool.SESSION.replace(f"'{pool.IDLE_TRANSACTION_S}s'", "'0.2s'"))
    lock, late = "SELECT pg_advisory_xact_lock(1)", "INSERT INTO keys (name, value) VALUES ('late', 'x')"
    async with pool.connect(dsn, size=1) as stopped, pool.connect(dsn, size=1) as other:

        async def stop() -> None:
            async with stopped.transaction() as tx:
                await tx.value(lock)
                async with asyncio.timeout(HANGS_S):
                    await other.value(lock)
                await tx.execute(late)

        with pytest.raises(DatabaseUnavailableError):
            await stop()
        assert await other.value("SELECT count(*) FROM keys WHERE name = 'late'") == 0
        assert await stopped.execute(late) == 1, "the pool replaces the connection"


async def test_an_unavailable_database_is_a_database_unavailable_error(dsn: str) -> None:
    async with pool.connect(dsn, size=1) as db:
        killer = await asyncpg.connect(dsn)
        await killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        await killer.close()
        for _ in range(3):
            with suppress(DatabaseUnavailableError):
                await db.value("SELECT 1")
        assert await db.value("SELECT 1") == 1, "the pool replaces what was lost"
    with pytest.raises(DatabaseUnavailableError, match="DATABASE_URL"):
        async with pool.connect("postgresql://nobody@127.0.0.1:1/none"):
            pass


async def test_the_images_of_the_newest_lineages_are_read_with_their_age(store: Store, db: pool.Database) -> None:
    project = await connection(store)
    for sha, image in zip(SHAS[:3], ("dbt-runner:1.10", "dbt-runner:latest", None), strict=True):
        await store.extractions.enqueue(project.id, "main", sha, "push")
        extraction = await claimed(store)
        async with store.transaction() as tx:
            await tx.lineages.save(extraction, lineage("model.shop.a"), sha.encode())
            await tx.extractions.finish(extraction.id, "w1", "succeeded", [], result={"image": image} if image else {})
    await db.execute("UPDATE lineages SET extracted_at = now() - interval '1 hour' WHERE sha = $1", SHAS[0])
    newer, older = await store.lineages.recently_used_images()
    assert newer[:2] == ("dbt-runner:latest", "duckdb")
    assert older[:2] == ("dbt-runner:1.10", "duckdb")
    assert 0 <= newer[2] < 3600 <= older[2] < 7200
