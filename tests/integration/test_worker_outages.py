"""Attempts of an extraction that an outage of the database ends do not count, because the extraction is not to blame."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from app.core.errors import DatabaseUnavailableError, GoneError
from app.core.models.extractions import Extraction
from app.core.models.github import Repository
from app.pipeline import leases, outages, worker
from app.pipeline.bases import BaseFinder
from app.pipeline.impacts import Impacts
from app.pipeline.refresh import Tools
from app.pipeline.worker import Worker
from app.store import Store, pool
from app.store.listen import Wakeup
from tests.integration.test_outage import Line
from tests.patience import HANGS_S

OUTAGES = leases.EXTRACTION_ATTEMPTS + 2


class Switch(Line):
    """A line that says when it is cut."""

    def __init__(self, dsn: str, directory: Path) -> None:
        super().__init__(dsn, directory)
        self.is_cut = asyncio.Event()


class Cutting:
    """Where no repository is; whoever looks there loses the database for a while, the first few times (`app.pipeline.ports.Sources`)."""

    def __init__(self, line: Switch, times: int) -> None:
        self._line = line
        self.left = times
        self.cut = asyncio.Event()

    @asynccontextmanager
    async def open(self, repository: Repository, sha: str, ref: str = "") -> AsyncIterator[None]:
        if self.left:
            self.left -= 1
            self.cut.set()
            await self._line.is_cut.wait()
        raise GoneError(f"fetching {repository.full_name} at {ref or sha}", "it is gone")
        yield


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(worker, "WORKER_IDLE_S", 0.05)
    monkeypatch.setattr(outages, "STORE_RETRIES_S", (0.0,))


async def queued(store: Store) -> str:
    await store.installations.update_from_push(Repository(7, "octo/shop", 70, "main"))
    connection = await store.connections.create(7, "")
    return await store.extractions.enqueue(connection.id, "main", "a" * 40, "push")


async def found(store: Store, extraction_id: str) -> Extraction:
    extraction = await store.extractions.get(extraction_id)
    assert extraction is not None
    return extraction


@pytest.mark.usefixtures("quick")
async def test_outages_of_the_database_are_no_attempts(dsn: str, store: Store, tmp_path: Path) -> None:
    extraction_id = await queued(store)
    line = Switch(dsn, tmp_path)
    sources = Cutting(line, OUTAGES)
    nothing = cast("Any", None)
    async with AsyncExitStack() as stack:
        async with line.up():
            ours = Store(await stack.enter_async_context(pool.connect(line.dsn)))
        working = Worker("w", ours, Tools(cast("Any", sources), nothing, nothing, nothing), Impacts(ours, BaseFinder(ours)), concurrency=1)
        task = asyncio.create_task(working.run(Wakeup(), Wakeup()))
        try:
            async with asyncio.timeout(HANGS_S):
                for _ in range(OUTAGES):
                    line.is_cut.clear()
                    async with line.up():
                        await sources.cut.wait()
                    sources.cut.clear()
                    line.is_cut.set()
                    while working._running:
                        await asyncio.sleep(0.01)
                async with line.up():
                    while (await found(store, extraction_id)).status != "failed":
                        await asyncio.sleep(0.02)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    extraction = await found(store, extraction_id)
    assert extraction.problem is not None
    assert (extraction.attempt, "attempts" in extraction.problem.title) == (1, False)
    assert [one.outcome for one in extraction.tries] == [*["lost"] * OUTAGES, "failed"]


async def test_an_attempt_that_an_outage_gave_to_another_worker_does_not_count(store: Store) -> None:
    extraction_id = await queued(store)
    assert await store.extractions.claim("ours", timedelta(0)) is not None
    unsettled = outages.UnsettledClaims(store)
    unsettled.add("ours", extraction_id)
    await store.extractions.requeue_expired()
    taken = await store.extractions.claim("theirs", timedelta(minutes=1))
    assert taken is not None
    assert taken.attempt == 2
    await unsettled.settle()
    await unsettled.settle()
    assert ((await found(store, extraction_id)).attempt, await store.extractions.renew(["theirs"], timedelta(minutes=1))) == (1, {"theirs"})


async def test_a_claim_whose_answer_was_lost_is_given_back(store: Store) -> None:
    extraction_id = await queued(store)
    assert await store.extractions.claim("ours", timedelta(minutes=1)) is not None
    unsettled = outages.UnsettledClaims(store)
    unsettled.add("ours", None)
    unsettled.add("never made", None)
    await unsettled.settle()
    assert ((extraction := await found(store, extraction_id)).status, extraction.attempt) == ("queued", 0)


@pytest.mark.usefixtures("quick")
async def test_an_extraction_that_the_database_fails_at_each_time_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is, it does not run for ever."""

    class Failing:
        @asynccontextmanager
        async def open(self, *_args: object) -> AsyncIterator[None]:
            raise DatabaseUnavailableError("storing it", "statement timeout", "Freshet retries automatically.")
            yield

    monkeypatch.setattr(worker, "EXTRACTION_OUTAGES", 3)
    monkeypatch.setattr(worker, "retry_delay", lambda *_: timedelta(0))
    extraction_id = await queued(store)
    nothing = cast("Any", None)
    working = Worker("w", store, Tools(cast("Any", Failing()), nothing, nothing, nothing), Impacts(store, BaseFinder(store)), concurrency=1)
    task = asyncio.create_task(working.run(Wakeup(), Wakeup()))
    try:
        async with asyncio.timeout(HANGS_S):
            while (await found(store, extraction_id)).status != "failed":
                await asyncio.sleep(0.02)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert len((await found(store, extraction_id)).tries) == 2 + leases.EXTRACTION_ATTEMPTS
