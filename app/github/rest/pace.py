"""Keeps requests within GitHub's published secondary limits, by spreading them before GitHub has to refuse any.

A minute may cost 900 points (a GET 1, anything else 5), and create 80 things, an hour 500; 100 requests may run at once.
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits

GitHub does not say whether a check run counts as a created thing, so it does here.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from app.core.errors import NotYetError

SHORT_WAIT_S = 1.0
"""Waits up to this long are made here; longer ones are the caller's, who has other things to do."""


@dataclass(frozen=True, slots=True)
class Rate:
    """One request per `interval_s` on average, and up to `burst` at once."""

    interval_s: float
    burst: int


READS = Rate(60 / 300, 60)
"""At most 360 points in any minute."""
WRITES = Rate(60 / 70, 30)
"""At most 500 points in any minute."""
NEW = ((75, 60.0), (460, 3600.0))
"""The most new check runs within any time, in seconds."""


class Bucket:
    """The requests of one kind that may still be made."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._full_at_s = 0.0
        """When the whole burst is available again."""

    def wait_s(self, now_s: float, *, spare: bool = False) -> float:
        """The wait until a request may be made. `spare`: one that leaves half of the burst to others."""
        kept = self._rate.burst // 2 if spare else 0
        return max(self._full_at_s - now_s - (self._rate.burst - 1 - kept) * self._rate.interval_s, 0.0)

    def take(self, now_s: float) -> None:
        """Count a request, which may be one that is made after its wait."""
        self._full_at_s = max(self._full_at_s, now_s) + self._rate.interval_s


class SlidingLimit:
    """What was created within the last `within_s`. Unlike a bucket, it lets a busy hour follow a quiet one without a wait."""

    def __init__(self, most: int, within_s: float) -> None:
        self._most, self._within_s = most, within_s
        self._made_s: deque[float] = deque(maxlen=most)

    def wait_s(self, now_s: float, *, spare: bool = False) -> float:
        """The wait until one more may be created. `spare`: one that leaves half of the room to others."""
        room = self._most // 2 if spare else self._most
        return max(self._made_s[-room] + self._within_s - now_s, 0.0) if len(self._made_s) >= room else 0.0

    def take(self, now_s: float) -> None:
        """Count a created one."""
        self._made_s.append(now_s)


class Pace:
    """The pace of one process, for each installation."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self._clock, self._sleep = clock, sleep
        self._reads: defaultdict[int, Bucket] = defaultdict(lambda: Bucket(READS))
        self._writes: defaultdict[int, Bucket] = defaultdict(lambda: Bucket(WRITES))
        self._new: defaultdict[int, list[SlidingLimit]] = defaultdict(lambda: [SlidingLimit(*limit) for limit in NEW])

    async def read(self, installation_id: int) -> None:
        """Wait until a GET may be made, in the order of the calls."""
        bucket, now_s = self._reads[installation_id], self._clock()
        wait_s = bucket.wait_s(now_s)
        bucket.take(now_s)
        await self._sleep(wait_s)

    async def write(self, installation_id: int, doing: str) -> None:
        """Wait a moment until something may be changed. Raises NotYetError for a longer wait."""
        await self._take(doing, [self._writes[installation_id]])

    async def create(self, installation_id: int, doing: str, *, spare: bool = False) -> None:
        """Wait a moment until a check run may be created. Raises NotYetError for a longer wait.

        `spare`: it can wait longer than others.
        """
        buckets: list[Bucket | SlidingLimit] = [self._writes[installation_id], *self._new[installation_id]]
        await self._take(doing, buckets, spare=spare, only_new=True)

    async def _take(self, doing: str, buckets: Sequence[Bucket | SlidingLimit], *, spare: bool = False, only_new: bool = False) -> None:
        now_s = self._clock()
        wait_s = max(bucket.wait_s(now_s, spare=spare) for bucket in buckets)
        if wait_s > SHORT_WAIT_S:
            raise NotYetError(doing, "it would exceed the pace that GitHub allows", retry_after_s=wait_s, only_new=only_new)
        for bucket in buckets:
            bucket.take(now_s)
        await self._sleep(wait_s)
