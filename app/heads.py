"""The heads of branches as GitHub has them now: asked for at most every few seconds, whoever looks and however many they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cachetools import LRUCache

from app.errors import FreshetError
from app.jobs import Repository
from app.ports import Survey

KEPT_S = 5.0
KEPT_BRANCHES = 10_000

Key = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Head:
    """What GitHub said of a branch."""

    sha: str | None
    """None: there is no such branch."""
    asked_at: datetime
    etag: str | None = None
    refused: FreshetError | None = None
    """Why GitHub did not answer when it was asked last; the rest is as it was known before."""


class Heads:
    """Asks GitHub, with the ETag of the answer before: while nothing changes GitHub does not count the question."""

    def __init__(self, survey: Survey, clock: Callable[[], float] = time.monotonic) -> None:
        self._survey = survey
        self._clock = clock
        self._kept: LRUCache[Key, tuple[float, Head]] = LRUCache(KEPT_BRANCHES)
        self._asking: dict[Key, asyncio.Task[Head]] = {}

    async def of(self, repository: Repository, branch: str) -> Head:
        """Return the head of a branch as of the last few seconds. Where GitHub does not answer, `refused` says why."""
        key = repository.id, branch
        asked_at_s, head = self._kept.get(key, (0.0, None))
        if head is not None and self._clock() < asked_at_s + KEPT_S:
            return head
        if key not in self._asking:
            self._asking[key] = asyncio.create_task(self._ask(repository, branch, head))
            self._asking[key].add_done_callback(lambda task: self._asked(key, task))
        return await asyncio.shield(self._asking[key])

    def _asked(self, key: Key, task: asyncio.Task[Head]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # whoever waits has it; nobody may wait any more

    async def _ask(self, repository: Repository, branch: str, before: Head | None) -> Head:
        known = before or Head(None, datetime.now(UTC))
        try:
            answer = await self._survey.branch_head(repository, branch, known.etag)
        except FreshetError as error:
            head = Head(known.sha, known.asked_at, known.etag, error)
        else:
            sha, etag = (known.sha, known.etag) if answer is None else (answer.sha, answer.etag)
            head = Head(sha, datetime.now(UTC), etag)
        self._kept[repository.id, branch] = self._clock(), head
        return head
