"""Warm containers: started, with dbt imported, before there is a job. Each takes one job and is deleted.

Failures here never fail a job: without a warm container it gets a cold one.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.core import log, metrics
from app.core.errors import FreshetError
from app.project.runner_images import RunnerImage
from app.runner.docker.container import Container, EndedError
from app.runner.docker.isolation import CPU_SHARES, WARMING_CPU_SHARES
from app.runner.job_protocol import MalformedResultError, warm_line
from app.runner.warm_demand import Demand, WarmKind

WARMING_TIMEOUT_S = 300.0
"""The limit for warming, which is slow while containers with a job use the CPUs."""
PATIENCE_S = 10.0
"""How long a warm container may take to accept a job."""
WARMING_PATIENCE_S = 60.0
"""How long a job waits for one container that is still warming, whose CPU share is raised meanwhile."""
OLD_S = 1800.0
"""The age at which a container without a job is replaced."""
LOOK_S = 15.0
"""The longest time between two adjustments."""
AT_ONCE = 2
"""Containers that warm up at the same time."""
LONGEST_PAUSE_S = 300.0

logger = log.get(__name__)


@dataclass(eq=False, slots=True)
class WarmContainer:
    """A container without a job yet."""

    kind: WarmKind
    image: RunnerImage
    container: Container
    since_s: float
    ready: bool = False
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it is ready, or has failed."""
    quick: bool = False
    """Its CPU share was raised to that of a container with a job."""
    reserved: bool = False
    """A job waits for it."""
    waited: bool = False
    """A job waited until it was ready."""
    slow: bool = False
    """A job waited for it in vain. It is used once it is ready, but no other job waits for it."""


class WarmPool:
    """Keeps up to `limit` warm containers, as `Demand` calculates, while `run` runs.

    `open_container` starts a container of an image; `images` lists the available images.
    """

    def __init__(
        self,
        limit: int,
        open_container: Callable[[RunnerImage], Awaitable[Container]],
        images: Callable[[], Awaitable[Sequence[RunnerImage]]],
        *,
        patience_s: float = PATIENCE_S,
        warming_patience_s: float = WARMING_PATIENCE_S,
    ) -> None:
        self.limit = limit
        self.demand = Demand()
        self.patience_s, self._warming_patience_s = patience_s, warming_patience_s
        self._open, self._images = open_container, images
        self._containers: list[WarmContainer] = []
        self._work: dict[asyncio.Task[None], WarmKind | None] = {}
        """One task for each container that starts, is warm or is being deleted."""
        self._pauses: dict[str, tuple[float, int]] = {}
        """By image id, after failures: when to try again, and the number of failures."""
        self._changed = asyncio.Event()
        self._images_unavailable = False

    def expect(self, kinds: Iterable[WarmKind]) -> None:
        """Treat these kinds as recently used: those of the jobs before the service was restarted."""
        for kind in kinds:
            self.demand.expect(kind, time.monotonic())
        self._changed.set()

    def begin(self, kind: WarmKind) -> None:
        """Record the start of a job, in any container."""
        self.demand.begin(kind, time.monotonic())
        self._changed.set()

    def end(self, kind: WarmKind) -> None:
        """Record the end of a job."""
        self.demand.end(kind, time.monotonic())
        self._changed.set()

    async def take(self, image: RunnerImage, adapter_type: str) -> WarmContainer | None:
        """Take a ready container out of the pool, preferably one for the adapter; None if there is none.

        A job waits for at most one container that is still warming, and only for a while. If that is in vain, the container stays in the
        pool, with the work that it has done.
        """
        best = self._best(image, adapter_type)
        if best is not None and not best.ready:
            await self._wait_for(best)
            best = self._best(image, adapter_type)
        if best is None or not best.ready:
            return None
        self._containers.remove(best)
        self._changed.set()
        self._update_metrics()
        return best

    def worked(self, image: RunnerImage) -> None:
        """Record that a container of the image accepted its job."""
        self._pauses.pop(image.id, None)

    def discard(self, one: WarmContainer, reason: str) -> None:
        """Delete a container that was taken but failed."""
        self._count(one, reason)
        self._failed(one.image)
        self.spawn(one.container.close())

    def _best(self, image: RunnerImage, adapter_type: str) -> WarmContainer | None:
        fits = [
            one
            for one in self._containers
            if one.image.id == image.id and not one.container.ended and not one.reserved and (one.ready or not one.slow)
        ]
        return min(fits, key=lambda one: (not one.ready, one.kind.adapter_type != adapter_type, one.since_s), default=None)

    async def _wait_for(self, one: WarmContainer) -> None:
        """Wait until a container is ready or has failed, but not for long. Afterwards it is free again."""
        one.reserved = True
        self.spawn(one.container.set_cpu_shares(CPU_SHARES))
        try:
            async with asyncio.timeout(self._warming_patience_s):
                await one.settled.wait()
            one.quick = one.waited = True
        except TimeoutError:
            one.slow = True
            logger.info("a job no longer waits for a warming container", image=one.image.name, seconds=self._warming_patience_s)
            self.spawn(one.container.set_cpu_shares(WARMING_CPU_SHARES))
        finally:
            one.reserved = False

    def spawn(self, work: Coroutine[Any, Any, None], kind: WarmKind | None = None) -> None:
        """Run a task in the background, cancelled by `close` at the latest."""
        task = asyncio.create_task(work)
        self._work[task] = kind
        task.add_done_callback(self._done)

    async def run(self) -> None:
        """Keep the pool filled, forever. When cancelled, delete all containers."""
        try:
            while self.limit:
                await self._adjust()
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._changed.wait()
                except TimeoutError:
                    pass
                self._changed.clear()
        finally:
            await self.close()

    async def close(self) -> None:
        """Delete all containers."""
        self.limit = 0
        cancelled: set[asyncio.Task[None]] = set()
        while self._work:
            # A task that is cancelled before it has started does not run at all, not even its `finally`.
            await asyncio.sleep(0)
            for task in self._work.keys() - cancelled:
                task.cancel()
                cancelled.add(task)
            if self._work:
                await asyncio.wait(list(self._work), return_when=asyncio.FIRST_COMPLETED)

    async def _adjust(self) -> None:
        target = self.demand.containers(time.monotonic(), self.limit)
        if not target and not self._containers:
            self._update_metrics()
            return
        try:
            images = {image.name: image for image in await self._images()}
        except FreshetError as error:
            if not self._images_unavailable:
                logger.warning("no containers are warmed: the images cannot be listed", reason=str(error))
            self._images_unavailable = True
            return
        self._images_unavailable = False
        self._retire(images, target)
        self._start(images, target)
        self._update_metrics()

    def _retire(self, images: Mapping[str, RunnerImage], target: Mapping[WarmKind, int]) -> None:
        kept: Counter[WarmKind] = Counter()
        for one in sorted(self._containers, key=lambda one: (not one.ready, -one.since_s)):
            kept[one.kind] += 1
            reason = None
            if (image := images.get(one.kind.image)) is None or image.id != one.image.id:
                reason = "image"
            elif time.monotonic() - one.since_s > OLD_S:
                reason = "old"
            elif kept[one.kind] > target.get(one.kind, 0):
                reason = "unused"
            if reason and not one.reserved:
                kept[one.kind] -= 1
                self._containers.remove(one)
                self._count(one, reason)
                self.spawn(one.container.close())

    def _start(self, images: Mapping[str, RunnerImage], target: Mapping[WarmKind, int]) -> None:
        there = Counter(one.kind for one in self._containers)
        starting = Counter(kind for kind in self._work.values() if kind)
        warming = sum(starting.values()) + sum(not one.ready for one in self._containers)
        for kind, count in target.items():
            image = images.get(kind.image)
            if image is None or self._pauses.get(image.id, (0.0, 0))[0] > time.monotonic():
                continue
            for _ in range(min(count - there[kind] - starting[kind], AT_ONCE - warming)):
                warming += 1
                self.spawn(self._begin(kind, image), kind)

    async def _begin(self, kind: WarmKind, image: RunnerImage) -> None:
        try:
            container = await self._open(image)
        except FreshetError as error:
            logger.warning("a warm container could not be started", image=image.name, reason=str(error))
            self._failed(image)
            return
        one = WarmContainer(kind, image, container, time.monotonic())
        self._containers.append(one)
        # In a task of its own: this one counts as a container that is still starting.
        self.spawn(self._attend(one))

    async def _attend(self, one: WarmContainer) -> None:
        """Warm a container, and watch it until it is taken or fails."""
        try:
            async with asyncio.timeout(WARMING_TIMEOUT_S):
                await one.container.warm(warm_line(one.kind.adapter_type))
            one.ready = True
            one.settled.set()
            self._changed.set()
            logger.info("container ready", image=one.image.name, seconds=round(time.monotonic() - one.since_s, 3))
            if one.container.answers.warmth and one.container.answers.warmth.error:
                logger.warning(
                    "a container could not be warmed completely", image=one.image.name, reason=one.container.answers.warmth.error
                )
            await one.container.set_cpu_shares(CPU_SHARES)
            one.quick = True
            await asyncio.wait([one.container.streams.reading])
            await asyncio.shield(one.container.streams.reading)
            reason = "died"
        except TimeoutError:
            reason = "hung"
        except MalformedResultError:
            reason = "babbled"
        except (EndedError, FreshetError):
            reason = "died"
        finally:
            mine = one in self._containers
            if mine:
                self._containers.remove(one)
            one.settled.set()
            if mine:
                await one.container.close()
        if mine:
            self._count(one, reason)
            self._failed(one.image)

    def _count(self, one: WarmContainer, reason: str) -> None:
        metrics.CONTAINERS_DISCARDED.labels(reason=reason).inc()
        logger.info("container discarded", image=one.image.name, reason=reason, seconds=round(time.monotonic() - one.since_s, 1))

    def _failed(self, image: RunnerImage) -> None:
        """Start no container of the image for a while, longer after each failure."""
        until_s, times = self._pauses.get(image.id, (0.0, 0))
        if time.monotonic() >= until_s:
            self._pauses[image.id] = (time.monotonic() + min(2.0**times, LONGEST_PAUSE_S), times + 1)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._work.pop(task, None)
        self._changed.set()
        if not task.cancelled() and (error := task.exception()):
            logger.error("a task of the warm container pool failed", exc_info=error)

    def _update_metrics(self) -> None:
        metrics.WARM_CONTAINERS.labels(state="ready").set(sum(one.ready for one in self._containers))
        metrics.WARM_CONTAINERS.labels(state="warming").set(sum(not one.ready for one in self._containers))
        metrics.WARM_MEMORY.set(sum(one.container.answers.warmth.memory_bytes for one in self._containers if one.container.answers.warmth))
