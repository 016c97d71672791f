"""Deleting history: old extractions are deleted, current ones stay, and lineages are complete at every moment."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from app.core.models.connections import Connection
from app.core.models.extractions import Extraction
from app.core.models.github import FailedDelivery, InstallationState, Repository
from app.lineage.nodes import Lineage, Node
from app.pipeline.decoding.spooled_columns import SpooledColumns
from app.pipeline.reconciler import Reconciler, RetentionPolicy
from app.store import Store, pool, retention
from tests.integration.columns_world import storable
from tests.integration.queue_model import everything
from tests.lineages import nodes_of

LEASE = timedelta(minutes=1)
AGE = timedelta(days=90)


def lineage(*names: str) -> Lineage:
    nodes = tuple(Node(f"model.shop.{name}", "model", name, "shop", b'{"name": "%s"}' % name.encode(), (), b"") for name in names)
    return Lineage("shop", "1.11.16", "duckdb", "v12", nodes)


def columns(*names: str) -> SpooledColumns:
    return storable(*({"unique_id": f"model.shop.{name}", "status": "exact", "compiled_code": name} for name in names))


async def followed(store: Store, repository_id: int = 7) -> Connection:
    await store.installations.update_from_push(Repository(repository_id, f"octo/shop{repository_id}", 3, "main"))
    return await store.connections.create(repository_id, "")


async def extract(store: Store, project: Connection, number: int, *names: str, branch: str = "main") -> str:
    """Extract a commit with nodes of these names, or fail if there are none; the extraction's id."""
    sha = f"{number:040x}"
    if branch == "main":
        await store.connections.move_head(project.id, sha)
    extraction_id = await store.extractions.enqueue(project.id, branch, sha, "push")
    extraction = await store.extractions.claim("w", LEASE)
    assert extraction is not None
    if names:
        await save(store, extraction, *names)
    else:
        await store.extractions.finish(extraction.id, "w", "failed", [])
    return extraction_id


async def save(store: Store, extraction: Extraction, *names: str) -> None:
    """With columns, which have other contents than the nodes."""
    async with store.transaction() as tx:
        await tx.lineages.save(extraction, lineage(*names), extraction.sha.encode(), columns_follow=True)
        await tx.columns.save(extraction, columns(*names), extraction.sha.encode())
        await tx.extractions.finish(extraction.id, "w", "succeeded", [])


async def told(db: pool.Database) -> None:
    await db.execute("UPDATE check_runs SET sent = revision")


async def days_pass(db: pool.Database, days: int) -> None:
    await db.execute("UPDATE extractions SET finished_at = finished_at - $1::interval", timedelta(days=days))


async def shas(store: Store, project: Connection) -> list[int]:
    return [int(found.sha, 16) for found in await store.extractions.for_connection(project.id, limit=100)]


async def test_old_history_is_deleted_except_the_newest_and_current_extractions(store: Store, db: pool.Database) -> None:
    project = await followed(store)
    for number in range(1, 4):
        await extract(store, project, number, "a")
    await extract(store, project, 4)
    for number in range(5, 30):
        await extract(store, project, number, "a", branch="feature")
    await told(db)
    assert (await store.retention.delete_history(AGE, None)).extractions == 0, "nothing is old enough"
    await days_pass(db, 91)
    untold = await db.value(
        "UPDATE check_runs SET sent = 0 WHERE extraction_id = (SELECT id FROM extractions WHERE number = 6) RETURNING 1"
    )
    assert untold == 1
    assert (await store.retention.delete_history(AGE, None)).extractions == 6
    newest = list(range(29, 9, -1))
    assert await shas(store, project) == [*newest, 6, 4, 3], "also those that GitHub lacks, the head, and the commit of the lineage"
    assert (await store.retention.delete_history(AGE, None)).extractions == 0
    shown = await store.connections.get(project.id)
    assert shown is not None
    assert (shown.lineage_sha, shown.head_status) == (f"{3:040x}", "failed")
    assert await store.lineages.head(project.id, f"{2:040x}") is None, "the lineage of a commit is deleted with it"


async def test_active_extractions_are_not_deleted(store: Store, db: pool.Database) -> None:
    project = await followed(store)
    waiting = await store.extractions.enqueue(project.id, "other", "f" * 40, "api", forced=True)
    await db.execute("UPDATE extractions SET due_at = now() + interval '1 year'")
    for number in range(1, 30):
        await extract(store, project, number)
    await told(db)
    await days_pass(db, 91)
    await store.retention.delete_history(AGE, None)
    assert [found.id for found in await store.extractions.active(after=None, limit=5)] == [waiting]


async def test_long_history_is_deleted_in_small_steps_per_connection(store: Store, db: pool.Database) -> None:
    await db.execute("INSERT INTO installations (id, account, account_type) VALUES (3, 'octo', 'User')")
    projects = [await followed(store, 100 + number) for number in range(retention.CONNECTIONS_AT_ONCE + 1)]
    for project, count in zip(projects[-2:], (2 * retention.ROWS_AT_ONCE + 30, 25), strict=True):
        await db.execute(
            "INSERT INTO extractions (connection_id, branch, sha, trigger, status, finished_at) "
            "SELECT $1, 'main', i::text, 'push', 'failed', now() - interval '1 year' FROM generate_series(1, $2) i",
            UUID(project.id),
            count,
        )
    await told(db)
    first = await store.retention.delete_history(AGE, None)
    assert first.after is not None
    last = await store.retention.delete_history(AGE, first.after)
    assert (last.after, first.extractions + last.extractions) == (None, 2 * retention.ROWS_AT_ONCE + 10 + 5)
    assert await db.value("SELECT count(*) FROM check_runs") == 2 * retention.KEPT


async def test_nodes_without_a_lineage_are_deleted(store: Store, db: pool.Database) -> None:
    project, other = await followed(store), await followed(store, 8)
    await extract(store, other, 1, "old", "b")
    await extract(store, project, 1, "old", "a", "b")
    for number in range(2, 23):
        await extract(store, project, number, "a", "c" if number % 2 else "b")
    await told(db)
    await days_pass(db, 91)
    done = await store.retention.delete_history(AGE, None)
    assert (done.extractions, done.nodes) == (2, 2)
    of_project = await db.rows("SELECT name FROM nodes WHERE connection_id = $1 ORDER BY name", UUID(project.id))
    assert [row["name"] for row in of_project] == ["a", "b", "c"]
    found = await db.rows(
        "SELECT convert_from(compiled_code, 'UTF8') AS code FROM node_columns WHERE connection_id = $1 ORDER BY 1", UUID(project.id)
    )
    assert [row["code"] for row in found] == ["a", "b", "c"]
    assert await names_shown(store, other) == ["b", "old"], "other connections have their own nodes"


async def names_shown(store: Store, project: Connection, sha: str | None = None) -> list[str]:
    head = await store.lineages.head(project.id, sha)
    assert head is not None
    names = sorted(node.unique_id.split(".")[-1] for node in await nodes_of(store, head))
    assert [one.unique_id.split(".")[-1] for one in await store.columns.of(head.id)] == names, "its columns are there too"
    return names


async def test_a_lineage_stored_during_a_deletion_of_nodes_is_complete(store: Store, db: pool.Database) -> None:
    """The unreferenced nodes are read, then a lineage that uses some of them is stored, and only then are they deleted."""
    project = await followed(store)
    await extract(store, project, 1, "a", "comes back", "stays away")
    await extract(store, project, 2, "a")
    await db.execute("DELETE FROM lineages WHERE sha = $1", f"{1:040x}")
    found = [await store.retention.find_unreferenced(UUID(project.id), table) for table in retention.TABLES]
    assert [len(one.ids) for one in found] == [2, 2]
    await extract(store, project, 3, "a", "comes back")
    assert [await store.retention.delete_nodes(UUID(project.id), one) for one in found] == [1, 1]
    assert await names_shown(store, project) == ["a", "comes back"]


async def test_nodes_are_not_deleted_while_a_lineage_is_stored(store: Store, db: pool.Database) -> None:
    project = await followed(store)
    await extract(store, project, 1, "a", "comes back")
    await extract(store, project, 2, "a")
    await db.execute("DELETE FROM lineages WHERE sha = $1", f"{1:040x}")
    await store.connections.move_head(project.id, f"{3:040x}")
    await store.extractions.enqueue(project.id, "main", f"{3:040x}", "push")
    extraction = await store.extractions.claim("w", LEASE)
    assert extraction is not None
    async with store.transaction() as tx:
        await tx.lineages.save(extraction, lineage("a", "comes back"), b"input", columns_follow=True)
        await tx.columns.save(extraction, columns("a", "comes back"), b"input")
        assert await store.retention.delete_unreferenced(UUID(project.id)) == 0
        await tx.extractions.finish(extraction.id, "w", "succeeded", [])
    assert await names_shown(store, project) == ["a", "comes back"]


async def test_lineages_stay_complete_during_constant_deletion(store: Store, db: pool.Database) -> None:
    project = await followed(store)
    stop = asyncio.Event()

    async def clean() -> int:
        deleted = 0
        while not stop.is_set():
            await told(db)
            await db.execute("UPDATE connections SET lineages_removed = 1000")
            deleted += (await store.retention.delete_history(timedelta(0), None)).nodes
        return deleted

    cleaning = asyncio.create_task(clean())
    for number in range(1, 80):
        await extract(store, project, number, "always", f"now and then {number % 23}")
        assert await names_shown(store, project) == sorted(["always", f"now and then {number % 23}"])
    stop.set()
    assert await cleaning
    for ids, table in (("node_ids", "nodes"), ("column_ids", "node_columns")):
        lost = f"SELECT count(*) FROM lineages l, unnest(l.{ids}) AS one WHERE NOT EXISTS (SELECT FROM {table} n WHERE n.id = one)"  # noqa: S608
        assert await db.value(lost) == 0


async def test_a_hidden_connection_with_long_history_is_deleted_and_others_stay(store: Store, db: pool.Database) -> None:
    gone, stays = await followed(store, 7), await followed(store, 8)
    for project in (gone, stays):
        await extract(store, project, 1, "a")
    await db.execute(
        "INSERT INTO extractions (connection_id, branch, sha, trigger, status) "
        "SELECT $1, 'main', i::text, 'push', 'failed' FROM generate_series(1, $2) i",
        UUID(gone.id),
        retention.ROWS_AT_ONCE + 1,
    )
    await store.installations.remove_repositories(3, [7])
    await store.retention.purge(timedelta(days=1))
    assert await db.value("SELECT count(*) FROM connections") == 2, "the grace period has not ended"
    await store.retention.purge(timedelta(0))
    assert await store.installations.purge(timedelta(0)) == ([7], [])
    assert [len(rows) for rows in await everything(db)] == [1] * 6
    assert await names_shown(store, stays) == ["a"]


class Quiet:
    """A GitHub without any content."""

    async def installations(self) -> list[InstallationState]:
        return [InstallationState(3, "octo", "User", suspended=False, repository_selection="all")]

    async def failed_deliveries(self, _since: datetime) -> list[FailedDelivery]:
        return []


async def test_a_process_deletes_history_unless_it_is_kept_forever(store: Store, db: pool.Database) -> None:
    project, quiet = await followed(store), cast("Any", Quiet())
    for number in range(retention.KEPT + 5):
        await extract(store, project, number)
    await told(db)
    await days_pass(db, 91)
    for kept, left in ((None, retention.KEPT + 5), (AGE, retention.KEPT)):
        reconciler = Reconciler(store, quiet, quiet, quiet, RetentionPolicy(AGE, AGE, kept))
        while await reconciler._chore():
            pass
        assert len(await shas(store, project)) == left


async def test_transferred_and_renamed_repositories_keep_their_connections(store: Store) -> None:
    project = await followed(store)
    await store.extractions.enqueue(project.id, "main", "f" * 40, "push")
    await store.installations.update_from_push(Repository(7, "Acme/Store", 4, "main"))
    page = await store.connections.page(owner="acme", repository=None, q=None, after=None, limit=5)
    assert [found.id for found in page] == [project.id]
    await store.extractions.cancel_queued(3)
    assert len(await store.extractions.active(after=None, limit=5)) == 1, "the previous installation does not matter"
    await store.extractions.cancel_queued(4)
    assert await store.extractions.active(after=None, limit=5) == []
