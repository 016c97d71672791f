"""Deliveries that are stored together: each once, each for itself when another one fails, and as if one came after the other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from itertools import count, pairwise
from typing import Any

import asyncpg
import pytest

from app.core.errors import DatabaseUnavailableError
from app.core.models.github import Repository
from app.pipeline import events, webhooks
from app.pipeline.webhooks import SignedEvent
from app.pipeline.webhooks.batches import DeliveryBatches
from app.store import Store, pool
from tests.patience import HANGS_S
from tests.postgres import database

SHAS = [f"{number:040x}" for number in range(1, 40)]
ids = count()


def push(sha: str, *, number: int = 7, branch: str = "main", before: str = events.ZERO_SHA, delivery: str | None = None) -> SignedEvent:
    repository = Repository(number, f"octo/shop{number}", 3, "main")
    return SignedEvent(delivery or f"delivery-{next(ids)}", "push", events.Push(repository, branch, before, sha))


async def queued(store: Store) -> list[tuple[int, str, str]]:
    """Repository, branch and commit, in the order of the queue."""
    return [(one.repository.id, one.branch, one.sha) for one in await store.extractions.active(after=None, limit=1000)]


async def store_all(together: DeliveryBatches, deliveries: Sequence[SignedEvent]) -> list[BaseException | None]:
    async with asyncio.timeout(HANGS_S):
        return await asyncio.gather(*(together.store(one) for one in deliveries), return_exceptions=True)


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many deliveries each transaction for several has had."""
    sizes: list[int] = []
    genuine = webhooks.process_together

    async def counted(store: Store, received: Sequence[SignedEvent]) -> list[SignedEvent]:
        sizes.append(len(received))
        return await genuine(store, received)

    monkeypatch.setattr(webhooks, "process_together", counted)
    return sizes


async def test_those_that_wait_are_stored_together_and_nobody_waits_for_company(store: Store, transactions: list[int]) -> None:
    together = DeliveryBatches(store, together=20)
    await together.store(push(SHAS[0]))
    assert transactions == [1]
    tasks = [asyncio.create_task(together.store(push(SHAS[one], number=one))) for one in range(1, 31)]
    await asyncio.gather(*tasks)
    assert (sum(transactions), max(transactions)) == (31, 20), "no more than that at a time"
    assert len(transactions) < 10
    assert len(await queued(store)) == 31


async def test_the_order_of_one_branch_is_that_of_arrival(store: Store, transactions: list[int]) -> None:
    chain = [events.ZERO_SHA, *SHAS[:20]]
    pushes = [push(sha, before=before) for before, sha in pairwise(chain)]
    assert await store_all(DeliveryBatches(store), pushes) == [None] * 20
    assert max(transactions) > 10
    assert await queued(store) == [(7, "main", SHAS[19])], "each has superseded the one before"
    [found] = await store.connections.for_repository(7)
    assert found.head_sha == SHAS[19]


async def test_one_commit_on_several_branches_at_once_is_as_one_after_the_other(store: Store) -> None:
    await webhooks.process(store, push(SHAS[0], branch="a"))
    await webhooks.process(store, push(SHAS[0], branch="b"))
    late = [push(SHAS[5], branch=branch, before=SHAS[4]) for branch in "ab"]
    assert await webhooks.process_together(store, late) == []
    assert [(branch, sha) for _, branch, sha in await queued(store) if sha == SHAS[5]] == [("a", SHAS[5])]


async def test_a_delivery_that_is_there_twice_has_one_effect(store: Store, db: pool.Database) -> None:
    together = DeliveryBatches(store)
    await together.store(push(SHAS[9], delivery="known"))
    same = [push(SHAS[one], number=20 + one, delivery=f"same-{one}") for one in range(5)]
    assert await store_all(together, [*same, *same, push(SHAS[9], delivery="known"), *same]) == [None] * 16
    assert sorted(await queued(store)) == [(7, "main", SHAS[9]), *((20 + one, "main", SHAS[one]) for one in range(5))]
    assert await db.value("SELECT count(*) FROM deliveries") == 6
    assert await db.value("SELECT count(*) FROM extractions") == 6


async def test_a_delivery_that_cannot_be_stored_harms_no_other(store: Store) -> None:
    poison = push(SHAS[0], branch="nul\x00", number=8)
    others = [push(SHAS[one], number=one) for one in range(1, 12)]
    answers = await store_all(DeliveryBatches(store), [*others[:5], poison, *others[5:]])
    assert isinstance(answers.pop(5), asyncpg.PostgresError | asyncpg.DataError)
    assert answers == [None] * 11
    assert sorted(await queued(store)) == sorted((one, "main", SHAS[one]) for one in range(1, 12))


@asynccontextmanager
async def locked(dsn: str, statement: str, *args: Any) -> AsyncIterator[None]:
    """Somebody else's transaction that holds a row."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.fetch(statement, *args)
            yield
    finally:
        await connection.close()


async def test_a_repository_that_somebody_locks_keeps_no_other_waiting(dsn: str, store: Store) -> None:
    together = DeliveryBatches(store)
    await store_all(together, [push(SHAS[0]), push(SHAS[0], number=8)])
    async with AsyncExitStack() as holding:
        await holding.enter_async_context(locked(dsn, "SELECT FROM repositories WHERE id = 7 FOR NO KEY UPDATE"))
        waiting = [asyncio.create_task(together.store(push(sha, before=old))) for old, sha in pairwise(SHAS[:6])]
        for one in range(1, 6):
            await asyncio.wait_for(together.store(push(SHAS[one], number=8, before=SHAS[one - 1])), HANGS_S)
        waiting.append(asyncio.create_task(together.store(push(SHAS[6], before=SHAS[5]))))
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in waiting)
    await asyncio.wait_for(asyncio.gather(*waiting), HANGS_S)
    assert sorted(await queued(store)) == [(7, "main", SHAS[6]), (8, "main", SHAS[5])]


async def test_a_row_that_somebody_locks_keeps_no_other_waiting(dsn: str, store: Store) -> None:
    together = DeliveryBatches(store)
    await together.store(push(SHAS[0]))
    async with AsyncExitStack() as holding:
        await holding.enter_async_context(locked(dsn, "SELECT FROM connections FOR UPDATE"))
        waiting = asyncio.create_task(together.store(push(SHAS[1], before=SHAS[0])))
        others = [push(SHAS[one], number=one) for one in range(8, 20)]
        assert await store_all(together, others) == [None] * 12
        assert not waiting.done()
    await asyncio.wait_for(waiting, HANGS_S)
    assert (7, "main", SHAS[1]) in await queued(store)


async def test_who_gives_up_takes_nobody_along(store: Store, transactions: list[int]) -> None:
    together = DeliveryBatches(store)
    tasks = [asyncio.create_task(together.store(push(SHAS[one], number=one))) for one in range(1, 20)]
    while not transactions:
        await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(end, asyncio.CancelledError) for end in ends] == [one % 2 == 0 for one in range(19)]
    assert {one for one, _, _ in await queued(store)} >= {*range(2, 20, 2)}


async def test_a_transaction_that_hangs_does_not_stop_those_that_come_later(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine, released = webhooks.process_together, asyncio.Event()

    async def hangs(*_: object) -> list[SignedEvent]:
        try:
            await asyncio.Event().wait()
        finally:  # as cancelling a query of a database that hangs takes as long as the query
            await released.wait()
        return []

    monkeypatch.setattr(webhooks, "process_together", hangs)
    together = DeliveryBatches(store)
    stuck = asyncio.create_task(together.store(push(SHAS[0])))
    await asyncio.sleep(0.05)
    monkeypatch.setattr(webhooks, "process_together", genuine)
    later = asyncio.create_task(together.store(push(SHAS[1], number=8)))
    await asyncio.sleep(0.05)
    stuck.cancel()
    await asyncio.wait_for(later, HANGS_S)
    assert await queued(store) == [(8, "main", SHAS[1])]
    released.set()
    await together.close()


async def test_a_database_that_is_away_is_asked_once_for_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def away(_: Store, received: Sequence[SignedEvent]) -> list[SignedEvent]:
        asked.append(len(received))
        raise DatabaseUnavailableError("storing", "it is away")

    monkeypatch.setattr(webhooks, "process_together", away)
    answers = await store_all(DeliveryBatches(store), [push(SHAS[one], number=one) for one in range(10)])
    assert [type(answer) for answer in answers] == [DatabaseUnavailableError] * 10
    assert asked == [10]


async def test_closing_waits_for_what_is_being_stored(store: Store) -> None:
    together = DeliveryBatches(store)
    tasks = [asyncio.create_task(together.store(push(SHAS[one], number=one))) for one in range(10)]
    await asyncio.sleep(0)
    await asyncio.wait_for(together.close(), HANGS_S)
    assert len(await queued(store)) == 10
    await asyncio.gather(*tasks)


async def test_processes_that_store_the_same_at_once_do_not_block_each_other(dsn: str, db: pool.Database) -> None:
    chooser = random.Random(16)  # noqa: S311
    async with pool.connect(dsn, size=4) as first, pool.connect(dsn, size=4) as second:
        processes = [DeliveryBatches(Store(first), together=9), DeliveryBatches(Store(second), together=11)]
        for one in range(1, 20):
            await processes[0].store(push(SHAS[0], number=one))
        deliveries = [push(SHAS[one], number=1 + one % 19, branch=f"side-{one % 5}", delivery=f"both-{one}") for one in range(30)] * 4
        orders = [chooser.sample(deliveries, len(deliveries)) for _ in processes]
        answers = await asyncio.gather(*(store_all(*one) for one in zip(processes, orders, strict=True)))
    assert answers == [[None] * 120] * 2
    assert await db.value("SELECT count(*) FROM deliveries WHERE id LIKE 'both-%'") == 30
    assert await db.value("SELECT count(*) FROM extractions WHERE branch LIKE 'side-%'") == 30


def random_events(chooser: random.Random, length: int) -> list[SignedEvent]:
    """What repositories may tell, also late, twice, or of commits that have several branches."""
    made: list[SignedEvent] = []
    heads: dict[tuple[int, str], str] = {}
    for _ in range(length):
        number, branch = chooser.choice([7, 8, 9]), chooser.choice(["main", "main", "side", "other"])
        head = heads.get((number, branch), events.ZERO_SHA)
        sha = chooser.choice(SHAS[:12]) if chooser.random() < 0.8 else events.ZERO_SHA
        before = head if chooser.random() < 0.7 else chooser.choice(SHAS[:12])
        one = push(sha, number=number, branch=branch, before=before)
        match chooser.randrange(10):
            case 0 if made:
                one = chooser.choice(made)
            case 1:
                event = events.Rerequested(one.event.repository, chooser.choice(SHAS[:12]), branch, None)  # type: ignore[union-attr]
                one = replace(one, name="check_suite", event=event)
            case 2:
                queue = f"gh-readonly-queue/{branch}/pr-1"
                changed = events.MergeGroupChanged(one.event.repository, queue, SHAS[13], requested=chooser.random() < 0.6)  # type: ignore[union-attr]
                one = replace(one, name="merge_group", event=changed)
            case _:
                heads[number, branch] = sha
        made.append(one)
    return made


STATE = (
    """SELECT c.repository_id, c.project_dir, e.branch, e.sha, e.status, e.trigger, e.forced, e.was_head, e.created_branch, e.probing,
              (SELECT count(*) FROM extractions o WHERE o.connection_id = c.id AND o.number <= e.position)
       FROM extractions e JOIN connections c ON c.id = e.connection_id ORDER BY c.repository_id, e.number""",
    "SELECT repository_id, project_dir, branch, head_sha, stale_since IS NULL FROM connections ORDER BY repository_id, project_dir, branch",
    "SELECT id, full_name, look_at IS NULL, head_moved, head_etag FROM repositories ORDER BY id",
    """SELECT k.repository_id, e.sha, e.branch, k.revision, k.rank FROM check_runs k JOIN extractions e ON e.id = k.extraction_id
       ORDER BY k.repository_id, e.number""",
    "SELECT id, event FROM deliveries ORDER BY id",
)


@pytest.mark.parametrize("seed", range(12))
async def test_together_is_the_same_as_one_after_the_other(postgres: str, seed: int) -> None:
    chooser = random.Random(seed)  # noqa: S311
    deliveries = random_events(chooser, 60)
    found = []
    for together in (False, True):
        async with database(postgres) as dsn, pool.connect(dsn, size=1) as db:
            store, left = Store(db), list(deliveries)
            await webhooks.process(store, replace(push(SHAS[20], number=7), delivery_id="first"))
            await store.connections.create(7, "second")
            await store.connections.create(7, "third", "side")
            while left:
                size = chooser.randrange(1, 25) if together else 1
                batch, left = left[:size], left[size:]
                if together:
                    assert await webhooks.process_together(store, batch) == []
                else:
                    await webhooks.process(store, batch[0])
            found.append([[tuple(row) for row in await db.rows(statement)] for statement in STATE])
    for one_by_one, at_once in zip(*found, strict=True):
        assert at_once == one_by_one
    assert len(found[0][0]) > 20
