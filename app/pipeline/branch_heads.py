"""The current heads of branches on GitHub, cached for a few seconds and shared by all callers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cachetools import LRUCache

from app.core.errors import FreshetError
from app.core.models.github import Repository
from app.pipeline.ports import Inventory

CACHE_S = 5.0
CACHE_SIZE = 10_000

Key = tuple[int, str]


@dataclass(frozen=True, slots=True)
class ObservedHead:
    """GitHub's answer about a branch."""

    sha: str | None
    """None: no such branch."""
    asked_at: datetime
    etag: str | None = None
    error: FreshetError | None = None
    """Why the last request failed; the other fields are those of the previous answer."""


class BranchHeads:
    """Asks GitHub with the ETag of the previous answer: GitHub does not count the request if nothing changed."""

    def __init__(self, inventory: Inventory, clock: Callable[[], float] = time.monotonic) -> None:
        self._inventory = inventory
        self._clock = clock
        self._cache: LRUCache[Key, tuple[float, ObservedHead]] = LRUCache(CACHE_SIZE)
        self._requests: dict[Key, asyncio.Task[ObservedHead]] = {}

    async def get(self, repository: Repository, branch: str) -> ObservedHead:
        """The head of a branch, at most `CACHE_S` old. If GitHub does not answer, `error` has the reason."""
        key = repository.id, branch
        asked_at_s, head = self._cache.get(key, (0.0, None))
        if head is not None and self._clock() < asked_at_s + CACHE_S:
            return head
        if key not in self._requests:
            self._requests[key] = asyncio.create_task(self._ask(repository, branch, head))
            self._requests[key].add_done_callback(lambda task: self._asked(key, task))
        return await asyncio.shield(self._requests[key])

    def _asked(self, key: Key, task: asyncio.Task[ObservedHead]) -> None:
        del self._requests[key]
        if not task.cancelled():
            task.exception()  # marks it as retrieved: all callers may have left

    async def _ask(self, repository: Repository, branch: str, before: ObservedHead | None) -> ObservedHead:
        known = before or ObservedHead(None, datetime.now(UTC))
        try:
            answer = await self._inventory.branch_head(repository, branch, known.etag)
        except FreshetError as error:
            head = ObservedHead(known.sha, known.asked_at, known.etag, error)
        else:
            sha, etag = (known.sha, known.etag) if answer is None else (answer.sha, answer.etag)
            head = ObservedHead(sha, datetime.now(UTC), etag)
        self._cache[repository.id, branch] = self._clock(), head
        return head
