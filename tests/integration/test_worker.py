"""When the worker takes the next extraction, with a real queue and an empty GitHub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from app.core.errors import GoneError
from app.core.models.github import Repository
from app.pipeline.bases import BaseFinder
from app.pipeline.impacts import Impacts
from app.pipeline.refresh import Tools
from app.pipeline.worker import Worker
from app.store import Store
from tests.patience import HANGS_S

COMMITS = [f"{number:040x}" for number in range(1, 5)]


class Nothing:
    """Where no repository is (`app.pipeline.ports.Sources`)."""

    @asynccontextmanager
    async def open(self, repository: Repository, sha: str, ref: str = "") -> AsyncIterator[None]:
        raise GoneError(f"fetching {repository.full_name} at {ref or sha}", "it is gone")
        yield


class Wakeup:
    """Only `wake` ends a wait: time alone does not."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        self._event.set()

    async def wait(self, _timeout_s: float) -> None:
        await self._event.wait()
        self._event.clear()


async def test_a_full_worker_takes_the_next_extraction_when_one_ends(store: Store) -> None:
    await store.installations.update_from_push(Repository(7, "octo/shop", 70, "main"))
    connection = await store.connections.create(7, "")
    queued = [await store.extractions.enqueue(connection.id, f"b{number}", sha, "push") for number, sha in enumerate(COMMITS)]
    nothing = cast("Any", Nothing())
    working = asyncio.create_task(
        Worker("w", store, Tools(nothing, nothing, nothing, nothing), Impacts(store, BaseFinder(store)), concurrency=1).run(
            Wakeup(), Wakeup()
        )
    )
    try:
        async with asyncio.timeout(HANGS_S):
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
