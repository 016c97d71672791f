"""Extractions of commits that others are compared with: nobody waits for them, and nobody takes them for those of a push."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from app.core.models.connections import Connection
from app.core.models.extractions import Extraction, Problem
from app.pipeline.bases import BaseFinder
from app.pipeline.impacts import Impacts
from app.pipeline.refresh import Tools
from app.pipeline.worker import Worker
from app.store import Store
from tests.integration.test_turns import LEASE, SHAS, Hanging, connection, queue
from tests.integration.test_worker import Wakeup
from tests.patience import HANGS_S

BASE, HEAD = SHAS[:2]
ROOM = 20


async def queue_base(store: Store, of: Connection, sha: str = BASE, most: int = ROOM) -> bool:
    return await store.bases.queue(of.id, "main", sha, most)


async def only(store: Store, of: Connection, trigger: str = "base") -> Extraction:
    found = [one for one in (await store.extractions.search(of.id, limit=100)).extractions if one.trigger == trigger]
    assert len(found) == 1
    return found[0]


async def claimed(store: Store, name: str = "w", **more: Any) -> str | None:
    found = await store.extractions.claim(name, LEASE, **more)
    return None if found is None else f"{found.trigger} {found.repository.full_name}"


async def test_it_has_no_check_run_however_it_ends(store: Store) -> None:
    shop = await connection(store, 100, 1)
    assert await queue_base(store, shop)
    found = await store.extractions.claim("w", LEASE)
    assert found is not None
    assert (found.trigger, found.background, found.branch, found.trust.was_head) == ("base", True, "main", False)
    await store.extractions.finish(found.id, "w", "failed", [], problem=Problem("It broke", "Because."))
    assert await store.check_runs.claim(LEASE) is None


async def test_a_check_run_never_passes_on_to_it(store: Store) -> None:
    shop = await connection(store, 100, 1)
    assert await queue_base(store, shop)
    found = await store.extractions.claim("w", LEASE)
    assert found is not None
    pushed = await queue(store, shop, BASE)
    await store.extractions.cancel(pushed)
    due = await store.check_runs.claim(LEASE)
    assert due is not None
    assert due.extraction_id == pushed


async def test_a_commit_that_is_queued_or_running_is_not_queued_again(store: Store) -> None:
    shop = await connection(store, 100, 1)
    assert await queue_base(store, shop)
    assert not await queue_base(store, shop)
    await queue(store, shop, HEAD, "feature")
    assert not await queue_base(store, shop, HEAD)


async def test_pushes_do_not_supersede_it_but_one_of_its_own_commit_does(store: Store) -> None:
    shop = await connection(store, 100, 1)
    await queue_base(store, shop)
    await queue(store, shop, HEAD)
    assert (await only(store, shop)).status == "queued"
    pushed = await queue(store, shop, BASE)
    assert (await only(store, shop)).status == "superseded"
    found = await store.extractions.get(pushed)
    assert found is not None
    assert (found.trigger, found.background) == ("push", False)


async def test_it_is_not_the_state_of_its_branch(store: Store) -> None:
    shop = await connection(store, 100, 1)
    await store.connections.move_head(shop.id, BASE)
    await queue_base(store, shop)
    found = await store.extractions.claim("w", LEASE)
    assert found is not None
    await store.extractions.finish(found.id, "w", "failed", [], problem=Problem("It broke", "Because."))
    assert await store.extractions.newest_of_branch(shop.id, "main") is None
    assert not await store.extractions.knows(shop.id, BASE), "a late push of the commit is extracted"
    assert await store.extractions.for_connection(shop.id, limit=1) == []
    again = await store.connections.get(shop.id)
    assert again is not None
    assert (again.head_status, again.head_problem) == (None, None)


async def test_it_waits_behind_everything_else(store: Store) -> None:
    shop, other, third = await connection(store, 100, 1), await connection(store, 101, 1), await connection(store, 200, 2)
    await queue_base(store, shop)
    for of in (other, third):
        await queue(store, of)
    order = [await claimed(store, f"w/{number}") for number in range(4)]
    assert order[2:] == ["base o1/r100", None]


async def test_after_ten_minutes_it_has_its_turn_among_other_installations(store: Store) -> None:
    shop, other = await connection(store, 100, 1), await connection(store, 200, 2)
    await queue_base(store, shop)
    await queue(store, other)
    await store._db.execute("UPDATE extractions SET created_at = created_at - interval '11 minutes'")
    assert await claimed(store) == "base o1/r100"


async def test_a_push_does_not_wait_for_one_of_its_connection_that_runs(store: Store) -> None:
    shop = await connection(store, 100, 1)
    await queue_base(store, shop)
    assert await claimed(store, "w/1") == "base o1/r100"
    await queue(store, shop, HEAD)
    assert await claimed(store, "w/2") == "push o1/r100"
    await queue_base(store, shop, SHAS[5])
    assert await claimed(store, "w/3") is None, "never two in the background of one connection"


async def test_one_place_is_left_to_what_comes_next(store: Store) -> None:
    for number in range(4):
        await queue_base(store, await connection(store, 100 + number, number))
    sources, nothing = Hanging(), cast("Any", None)
    worker = Worker(
        "w",
        store,
        Tools(cast("Any", sources), nothing, nothing, nothing),
        Impacts(store, BaseFinder(store)),
        concurrency=3,
        per_installation=2,
    )
    wakeup = Wakeup()
    working = asyncio.create_task(worker.run(wakeup, Wakeup()))
    try:
        async with asyncio.timeout(HANGS_S):
            while len(sources.opened) < 2:
                await asyncio.sleep(0.01)
            await queue(store, await connection(store, 200, 9))
            wakeup.wake()
            while len(sources.opened) < 3:
                await asyncio.sleep(0.01)
        assert sources.opened[-1].full_name == "o9/r200"
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_an_installation_has_room_for_a_few(store: Store) -> None:
    shop, other, elsewhere = await connection(store, 100, 1), await connection(store, 101, 1), await connection(store, 200, 2)
    assert [await queue_base(store, shop, sha, 3) for sha in SHAS[:5]] == [True, True, True, False, False]
    assert not await queue_base(store, other, SHAS[9], 3)
    assert await queue_base(store, elsewhere, SHAS[9], 3)
