"""History ends without harm: what is old goes, what is current stays, and a lineage is whole at any moment."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from app.jobs import Connection, Extraction, Repository
from app.lineage import Lineage, Node
from app.ports import FailedDelivery, InstallationState
from app.reconcile import Kept, Reconciler
from app.store import Store, history, pool
from tests.integration.queue_model import everything
from tests.lineages import nodes_of

LEASE = timedelta(minutes=1)
AGE = timedelta(days=90)


def lineage(*names: str) -> Lineage:
    nodes = tuple(Node(f"model.shop.{name}", "model", name, "shop", b'{"name": "%s"}' % name.encode(), (), b"") for name in names)
    return Lineage("shop", "1.11.16", "duckdb", "v12", nodes)


async def followed(store: Store, repository_id: int = 7) -> Connection:
    await store.installations.see(Repository(repository_id, f"octo/shop{repository_id}", 3, "main"))
    return await store.connections.create(repository_id, "")


async def extract(store: Store, project: Connection, number: int, *names: str, branch: str = "main") -> str:
    """Extract a commit with nodes of these names, or fail to when there are none; return the extraction's id."""
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
    async with store.transaction() as tx:
        await tx.lineages.save(extraction, lineage(*names), extraction.sha.encode())
        await tx.extractions.finish(extraction.id, "w", "succeeded", [])


async def told(db: pool.Database) -> None:
    await db.execute("UPDATE check_runs SET sent = revision")


async def days_pass(db: pool.Database, days: int) -> None:
    await db.execute("UPDATE extractions SET finished_at = finished_at - $1::interval", timedelta(days=days))


async def shas(store: Store, project: Connection) -> list[int]:
    return [int(found.sha, 16) for found in await store.extractions.of_connection(project.id, limit=100)]


async def test_what_is_old_goes_but_never_the_newest_nor_what_is_current(store: Store, db: pool.Database) -> None:
    project = await followed(store)
    for number in range(1, 4):
        await extract(store, project, number, "a")
    await extract(store, project, 4)
    for number in range(5, 30):
        await extract(store, project, number, "a", branch="feature")
    await told(db)
    assert (await store.history.forget(AGE, None)).extractions == 0, "nothing is old enough"
    await days_pass(db, 91)
    untold = await db.value(
        "UPDATE check_runs SET sent = 0 WHERE extraction_id = (SELECT id FROM extractions WHERE number = 6) RETURNING 1"
    )
    assert untold == 1
    assert (await store.history.forget(AGE, None)).extractions == 6
    newest = list(range(29, 9, -1))
    assert await shas(store, project) == [*newest, 6, 4, 3], "also what GitHub was not told, the head, and the commit of the lineage"
    assert (await store.history.forget(AGE, None)).extractions == 0
    shown = await store.connections.get(project.id)
    assert shown is not None
    assert (shown.lineage_sha, shown.head_status) == (f"{3:040x}", "failed")
    assert await store.lineages.head(project.id, f"{2:040x}") is None, "the lineage of a commit goes with it"


async def test_what_never_ended_stays(store: Store, db: pool.Database) -> None:
    project = await followed(store)
    waiting = await store.extractions.enqueue(project.id, "other", "f" * 40, "api", forced=True)
    await db.execute("UPDATE extractions SET due_at = now() + interval '1 year'")
    for number in range(1, 30):
        await extract(store, project, number)
    await told(db)
    await days_pass(db, 91)
    await store.history.forget(AGE, None)
    assert [found.id for found in await store.extractions.active(after=None, limit=5)] == [waiting]


async def test_much_history_goes_in_small_steps_for_each_connection(store: Store, db: pool.Database) -> None:
    await db.execute("INSERT INTO installations (id, account, account_type) VALUES (3, 'octo', 'User')")
    projects = [await followed(store, 100 + number) for number in range(history.CONNECTIONS_AT_ONCE + 1)]
    for project, count in zip(projects[-2:], (2 * history.ROWS_AT_ONCE + 30, 25), strict=True):
        await db.execute(
            "INSERT INTO extractions (connection_id, branch, sha, trigger, status, finished_at) "
            "SELECT $1, 'main', i::text, 'push', 'failed', now() - interval '1 year' FROM generate_series(1, $2) i",
            UUID(project.id),
            count,
        )
    await told(db)
    first = await store.history.forget(AGE, None)
    assert first.after is not None
    last = await store.history.forget(AGE, first.after)
    assert (last.after, first.extractions + last.extractions) == (None, 2 * history.ROWS_AT_ONCE + 10 + 5)
    assert await db.value("SELECT count(*) FROM check_runs") == 2 * history.KEPT


async def test_nodes_go_when_no_lineage_has_them_any_more(store: Store, db: pool.Database) -> None:
    project, other = await followed(store), await followed(store, 8)
    await extract(store, other, 1, "old", "b")
    await extract(store, project, 1, "old", "a", "b")
    for number in range(2, 23):
        await extract(store, project, number, "a", "c" if number % 2 else "b")
    await told(db)
    await days_pass(db, 91)
    done = await store.history.forget(AGE, None)
    assert (done.extractions, done.nodes) == (2, 1)
    of_project = await db.rows("SELECT name FROM nodes WHERE connection_id = $1 ORDER BY name", UUID(project.id))
    assert [row["name"] for row in of_project] == ["a", "b", "c"]
    assert await names_shown(store, other) == ["b", "old"], "another connection has its own"


async def names_shown(store: Store, project: Connection, sha: str | None = None) -> list[str]:
    head = await store.lineages.head(project.id, sha)
    assert head is not None
    return sorted(node.unique_id.split(".")[-1] for node in await nodes_of(store, head))


async def test_a_lineage_that_is_stored_while_nodes_are_deleted_is_whole(store: Store, db: pool.Database) -> None:
    """What nobody refers to is read, a lineage that refers to some of it is stored, and only then is it deleted."""
    project = await followed(store)
    await extract(store, project, 1, "a", "comes back", "stays away")
    await extract(store, project, 2, "a")
    await db.execute("DELETE FROM lineages WHERE sha = $1", f"{1:040x}")
    found = await store.history.unreferenced(UUID(project.id))
    assert len(found.ids) == 2
    await extract(store, project, 3, "a", "comes back")
    assert await store.history.delete(UUID(project.id), found) == 1
    assert await names_shown(store, project) == ["a", "comes back"]


async def test_nodes_are_left_alone_while_a_lineage_is_being_stored(store: Store, db: pool.Database) -> None:
    project = await followed(store)
    await extract(store, project, 1, "a", "comes back")
    await extract(store, project, 2, "a")
    await db.execute("DELETE FROM lineages WHERE sha = $1", f"{1:040x}")
    await store.connections.move_head(project.id, f"{3:040x}")
    await store.extractions.enqueue(project.id, "main", f"{3:040x}", "push")
    extraction = await store.extractions.claim("w", LEASE)
    assert extraction is not None
    async with store.transaction() as tx:
        await tx.lineages.save(extraction, lineage("a", "comes back"), b"input")
        assert await store.history.sweep(UUID(project.id)) == 0
        await tx.extractions.finish(extraction.id, "w", "succeeded", [])
    assert await names_shown(store, project) == ["a", "comes back"]


async def test_lineages_stay_whole_while_history_is_deleted_all_the_time(store: Store, db: pool.Database) -> None:
    project = await followed(store)
    stop = asyncio.Event()

    async def clean() -> int:
        deleted = 0
        while not stop.is_set():
            await told(db)
            await db.execute("UPDATE connections SET lineages_removed = 1000")
            deleted += (await store.history.forget(timedelta(0), None)).nodes
        return deleted

    cleaning = asyncio.create_task(clean())
    for number in range(1, 80):
        await extract(store, project, number, "always", f"now and then {number % 23}")
        assert await names_shown(store, project) == sorted(["always", f"now and then {number % 23}"])
    stop.set()
    assert await cleaning
    lost = "SELECT count(*) FROM lineages l, unnest(l.node_ids) AS id WHERE NOT EXISTS (SELECT FROM nodes n WHERE n.id = id)"
    assert await db.value(lost) == 0


async def test_a_hidden_connection_with_a_long_history_goes_for_good_and_others_stay(store: Store, db: pool.Database) -> None:
    gone, stays = await followed(store, 7), await followed(store, 8)
    for project in (gone, stays):
        await extract(store, project, 1, "a")
    await db.execute(
        "INSERT INTO extractions (connection_id, branch, sha, trigger, status) "
        "SELECT $1, 'main', i::text, 'push', 'failed' FROM generate_series(1, $2) i",
        UUID(gone.id),
        history.ROWS_AT_ONCE + 1,
    )
    await store.installations.remove_repositories(3, [7])
    await store.history.purge(timedelta(days=1))
    assert await db.value("SELECT count(*) FROM connections") == 2, "the grace period has not ended"
    await store.history.purge(timedelta(0))
    assert await store.installations.purge(timedelta(0)) == ([7], [])
    assert [len(rows) for rows in await everything(db)] == [1] * 5
    assert await names_shown(store, stays) == ["a"]


class Quiet:
    """A GitHub that has nothing to tell."""

    async def installations(self) -> list[InstallationState]:
        return [InstallationState(3, "octo", "User", suspended=False, repository_selection="all")]

    async def failed_deliveries(self, _since: datetime) -> list[FailedDelivery]:
        return []


async def test_a_process_deletes_history_by_itself_unless_it_is_kept_for_ever(store: Store, db: pool.Database) -> None:
    project, quiet = await followed(store), cast("Any", Quiet())
    for number in range(history.KEPT + 5):
        await extract(store, project, number)
    await told(db)
    await days_pass(db, 91)
    for kept, left in ((None, history.KEPT + 5), (AGE, history.KEPT)):
        reconciler = Reconciler(store, quiet, quiet, quiet, Kept(AGE, AGE, kept))
        while await reconciler._chore():
            pass
        assert len(await shas(store, project)) == left


async def test_what_moves_or_is_renamed_is_found_where_it_is(store: Store) -> None:
    project = await followed(store)
    await store.extractions.enqueue(project.id, "main", "f" * 40, "push")
    await store.installations.see(Repository(7, "Acme/Store", 4, "main"))
    page = await store.connections.page(owner="acme", repository=None, q=None, after=None, limit=5)
    assert [found.id for found in page] == [project.id]
    await store.extractions.cancel_queued(3)
    assert len(await store.extractions.active(after=None, limit=5)) == 1, "the installation that it left has no say"
    await store.extractions.cancel_queued(4)
    assert await store.extractions.active(after=None, limit=5) == []
