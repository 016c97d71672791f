"""The worker between a real queue and a GitHub without anything: when it takes the next extraction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from app.errors import GoneError
from app.jobs import Repository
from app.refresh import Tools
from app.store import Store
from app.worker import Worker

COMMITS = [f"{number:040x}" for number in range(1, 5)]


class Nothing:
    """Where no repository is (`app.ports.Sources`)."""

    @asynccontextmanager
    async def open(self, repository: Repository, sha: str) -> AsyncIterator[None]:
        raise GoneError(f"fetching {repository.full_name} at {sha}", "it is gone")
        yield


class Bell:
    """Only a ring wakes who waits: time alone does not."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self, _timeout_s: float) -> None:
        await self._event.wait()
        self._event.clear()


async def test_a_worker_with_all_hands_full_takes_the_next_one_as_soon_as_one_is_free(store: Store) -> None:
    await store.installations.see(Repository(7, "octo/shop", 70, "main"))
    connection = await store.connections.create(7, "")
    queued = [await store.extractions.enqueue(connection.id, f"b{number}", sha, "push") for number, sha in enumerate(COMMITS)]
    nothing = cast("Any", Nothing())
    working = asyncio.create_task(Worker("w", store, Tools(nothing, nothing, nothing, nothing), concurrency=1).run(Bell(), Bell()))
    try:
        async with asyncio.timeout(30):
            for extraction_id in queued:
                while (await ended(store, extraction_id)) != "failed":
                    await asyncio.sleep(0.02)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def ended(store: Store, extraction_id: str) -> str:
    extraction = await store.extractions.get(extraction_id)
    assert extraction is not None
    return extraction.status
