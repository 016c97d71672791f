"""Warm containers: started, dbt imported and warmed up before there is a job. Each gets one job and is deleted, whatever happens.

Nothing here can make a job fail: without a warm container it gets a cold one.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app import log, metrics
from app.dbt.command import MalformedResultError, warm_line
from app.dbt.container import Box, EndedError
from app.dbt.demand import Demand, Kind
from app.errors import FreshetError
from app.images import RunnerImage

WARM_S = 300.0
"""From the start of a container to its being warm: longer, and it hangs. Where others work, it gets little of the processors."""
PATIENCE_S = 10.0
"""From the line that is the job to its being taken, by one that is warm."""
WARMING_PATIENCE_S = 60.0
"""So much more for one that gets warm, and gets its share of the processors from now on."""
OLD_S = 1800.0
"""After this long without a job it is replaced."""
LOOK_S = 15.0
"""Between looks at what there is and what is wanted, when nothing happens."""
AT_ONCE = 2
"""Containers that get warm at the same time."""
LONGEST_PAUSE_S = 300.0

logger = log.get(__name__)


@dataclass(eq=False, slots=True)
class Warm:
    """A container without a job yet."""

    kind: Kind
    image: RunnerImage
    box: Box
    since_s: float
    ready: bool = False
    quick: bool = False
    """It gets as much of the processors as one with a job."""


class Pool:
    """Keeps warm containers, at most `limit`, as `Demand` wants them, and gives them away.

    `open_box` starts one of an image; `images` names those that there are. Works while `run` does.
    """

    def __init__(
        self,
        limit: int,
        open_box: Callable[[RunnerImage], Awaitable[Box]],
        images: Callable[[], Awaitable[Sequence[RunnerImage]]],
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.limit = limit
        self.demand = Demand()
        self._open, self._images, self._patience_s = open_box, images, patience_s
        self._there: list[Warm] = []
        self._work: dict[asyncio.Task[None], Kind | None] = {}
        """What goes on: one for each container that starts, is warm or is deleted."""
        self._pauses: dict[str, tuple[float, int]] = {}
        """By an image's id, since it failed: when to try again, and how often it did."""
        self._changed = asyncio.Event()
        self._blind = False

    def expect(self, kinds: Iterable[Kind]) -> None:
        """Take these kinds for recently used: what ran before the service was started anew."""
        for kind in kinds:
            self.demand.expect(kind, time.monotonic())
        self._changed.set()

    def begin(self, kind: Kind) -> None:
        """A job begins, wherever it runs."""
        self.demand.begin(kind, time.monotonic())
        self._changed.set()

    def end(self, kind: Kind) -> None:
        """A job has ended."""
        self.demand.end(kind, time.monotonic())
        self._changed.set()

    def take(self, image: RunnerImage, adapter_type: str) -> Warm | None:
        """Give one away: a ready one before one that gets warm, one of the adapter before others; None when there is none."""
        fits = [one for one in self._there if one.image.id == image.id and not one.box.ended]
        if not fits:
            return None
        best = min(fits, key=lambda one: (not one.ready, one.kind.adapter_type != adapter_type, one.since_s))
        self._there.remove(best)
        self._changed.set()
        self._show()
        return best

    def patience_s(self, one: Warm) -> float:
        """Return how long it may take until it has taken its job."""
        return self._patience_s + (0.0 if one.ready else WARMING_PATIENCE_S)

    def worked(self, image: RunnerImage) -> None:
        """A container of the image took its job."""
        self._pauses.pop(image.id, None)

    def discard(self, one: Warm, reason: str) -> None:
        """Delete one that was taken and is no good."""
        self._count(one, reason)
        self._failed(one.image)
        self.spawn(one.box.close())

    def spawn(self, work: Coroutine[Any, Any, None], kind: Kind | None = None) -> None:
        """Do something in the background, ended by `close` at the latest."""
        task = asyncio.create_task(work)
        self._work[task] = kind
        task.add_done_callback(self._done)

    async def run(self) -> None:
        """Keep as many as are wanted, for ever. When cancelled, all are deleted."""
        try:
            while self.limit:
                await self._look()
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._changed.wait()
                except TimeoutError:
                    pass
                self._changed.clear()
        finally:
            await self.close()

    async def close(self) -> None:
        """Delete all, and wait for that."""
        self.limit = 0
        told: set[asyncio.Task[None]] = set()
        while self._work:
            # A task that is cancelled before it has begun does nothing, not even what stands in its `finally`.
            await asyncio.sleep(0)
            for task in self._work.keys() - told:
                task.cancel()
                told.add(task)
            await asyncio.wait(list(self._work), return_when=asyncio.FIRST_COMPLETED)

    async def _look(self) -> None:
        wanted = self.demand.wanted(time.monotonic(), self.limit)
        if not wanted and not self._there:
            self._show()
            return
        try:
            images = {image.name: image for image in await self._images()}
        except FreshetError as error:
            if not self._blind:
                logger.warning("no containers are warmed: the images cannot be looked at", reason=str(error))
            self._blind = True
            return
        self._blind = False
        self._retire(images, wanted)
        self._start(images, wanted)
        self._show()

    def _retire(self, images: Mapping[str, RunnerImage], wanted: Mapping[Kind, int]) -> None:
        kept: Counter[Kind] = Counter()
        for one in sorted(self._there, key=lambda one: (not one.ready, -one.since_s)):
            kept[one.kind] += 1
            reason = None
            if (image := images.get(one.kind.image)) is None or image.id != one.image.id:
                reason = "image"
            elif time.monotonic() - one.since_s > OLD_S:
                reason = "old"
            elif kept[one.kind] > wanted.get(one.kind, 0):
                reason = "unused"
            if reason:
                kept[one.kind] -= 1
                self._there.remove(one)
                self._count(one, reason)
                self.spawn(one.box.close())

    def _start(self, images: Mapping[str, RunnerImage], wanted: Mapping[Kind, int]) -> None:
        there = Counter(one.kind for one in self._there)
        starting = Counter(kind for kind in self._work.values() if kind)
        warming = sum(starting.values()) + sum(not one.ready for one in self._there)
        for kind, count in wanted.items():
            image = images.get(kind.image)
            if image is None or self._pauses.get(image.id, (0.0, 0))[0] > time.monotonic():
                continue
            for _ in range(min(count - there[kind] - starting[kind], AT_ONCE - warming)):
                warming += 1
                self.spawn(self._begin(kind, image), kind)

    async def _begin(self, kind: Kind, image: RunnerImage) -> None:
        try:
            box = await self._open(image)
        except FreshetError as error:
            logger.warning("a container could not be started ahead", image=image.name, reason=str(error))
            self._failed(image)
            return
        one = Warm(kind, image, box, time.monotonic())
        self._there.append(one)
        # In one of its own: this one stands for what is not there yet.
        self.spawn(self._attend(one))

    async def _attend(self, one: Warm) -> None:
        """Warm it up and watch it until it is given away, or no good."""
        try:
            async with asyncio.timeout(WARM_S):
                await one.box.warm(warm_line(one.kind.adapter_type))
            one.ready = True
            self._changed.set()
            logger.info("container ready", image=one.image.name, seconds=round(time.monotonic() - one.since_s, 3))
            if one.box.answers.warmth and one.box.answers.warmth.error:
                logger.warning("a container could not be warmed", image=one.image.name, reason=one.box.answers.warmth.error)
            await one.box.hurry()
            one.quick = True
            await asyncio.wait([one.box.streams.reading])
            await asyncio.shield(one.box.streams.reading)
            reason = "died"
        except TimeoutError:
            reason = "hung"
        except MalformedResultError:
            reason = "babbled"
        except (EndedError, FreshetError):
            reason = "died"
        finally:
            mine = one in self._there
            if mine:
                self._there.remove(one)
                await one.box.close()
        if mine:
            self._count(one, reason)
            self._failed(one.image)

    def _count(self, one: Warm, reason: str) -> None:
        metrics.CONTAINERS_DISCARDED.labels(reason=reason).inc()
        logger.info("container discarded", image=one.image.name, reason=reason, seconds=round(time.monotonic() - one.since_s, 1))

    def _failed(self, image: RunnerImage) -> None:
        """Begin no other one of the image for a while, longer each time."""
        until_s, times = self._pauses.get(image.id, (0.0, 0))
        if time.monotonic() >= until_s:
            self._pauses[image.id] = (time.monotonic() + min(2.0**times, LONGEST_PAUSE_S), times + 1)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._work.pop(task, None)
        self._changed.set()
        if not task.cancelled() and (error := task.exception()):
            logger.error("the pool of containers made a mistake", exc_info=error)

    def _show(self) -> None:
        metrics.WARM_CONTAINERS.labels(state="ready").set(sum(one.ready for one in self._there))
        metrics.WARM_CONTAINERS.labels(state="warming").set(sum(not one.ready for one in self._there))
        metrics.WARM_MEMORY.set(sum(one.box.answers.warmth.memory_bytes for one in self._there if one.box.answers.warmth))
