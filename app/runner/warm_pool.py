"""Warm containers: started, with dbt imported, before there is a job. Each takes one job and is deleted.

Failures here never fail a job: without a warm container it gets a cold one.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from app.core import log, metrics
from app.core.errors import FreshetError
from app.project.runner_images import RunnerImage
from app.runner.container import Container, EndedError
from app.runner.job_protocol import MalformedResultError, warm_line
from app.runner.warm_container import WarmContainer
from app.runner.warm_demand import Demand, WarmKind, fitting, patience_with_warming_s

WARMING_TIMEOUT_S = 600.0
"""The limit for warming, which is slow while containers with a job use the CPUs."""
PATIENCE_S = 5.0
"""How long a job waits for a ready container to accept it before a cold one is started too."""
OLD_S = 14_400.0
"""The age at which a container without a job is replaced."""
LOOK_S = 15.0
"""The longest time between two adjustments."""
AT_ONCE = 8
"""The most containers that warm up at the same time, on a host with that many processors."""
LONGEST_PAUSE_S = 300.0

logger = log.get(__name__)


class Host(Protocol):
    """What runs the containers."""

    @property
    def cpus(self) -> float: ...  # noqa: D102 - as named
    @property
    def memory_bytes(self) -> int: ...  # noqa: D102 - as named


class WarmPool:
    """Keeps up to `limit` warm containers, as `Demand` calculates, while `run` runs; None: as many as fit into their share of memory.

    `open_container` starts a container of an image; `images` lists the available images; `host` describes what runs them.
    """

    def __init__(
        self,
        limit: int | None,
        open_container: Callable[[RunnerImage], Awaitable[Container]],
        images: Callable[[], Awaitable[Sequence[RunnerImage]]],
        host: Callable[[], Awaitable[Host]],
        *,
        patience_s: float = PATIENCE_S,
        warming_patience_s: float | None = None,
    ) -> None:
        self.limit = limit
        self.demand = Demand()
        self._patience_s, self._warming_patience_s = patience_s, warming_patience_s
        self._open, self._images, self._host = open_container, images, host
        self._took_s: deque[float] = deque(maxlen=8)
        self._needs_bytes = 0
        """How long the last containers took to get warm, and the most memory that one has needed for it."""
        self._containers: list[WarmContainer] = []
        self._work: dict[asyncio.Task[None], WarmKind | None] = {}
        """One task for each container that starts, is warm or is being deleted."""
        self._pauses: dict[str, tuple[float, int]] = {}
        """By image id, after failures: when to try again, and the number of failures."""
        self._changed = asyncio.Event()
        self._unavailable = False

    def expect(self, jobs: Iterable[tuple[WarmKind, float]]) -> None:
        """Count jobs before the service was restarted, with the seconds since then."""
        for kind, ago_s in sorted(jobs, key=lambda job: -job[1]):
            self.demand.expect(kind, time.monotonic() - ago_s)
        self._changed.set()

    def begin(self, kind: WarmKind | None) -> None:
        """Record the start of a job, in any container; None: of one for which nothing is kept warm."""
        if kind is not None:
            self.demand.begin(kind, time.monotonic())
            self._changed.set()

    def end(self, kind: WarmKind | None) -> None:
        """Record the end of a job."""
        if kind is not None:
            self.demand.end(kind, time.monotonic())
            self._changed.set()

    def reserve(self, image: RunnerImage, adapter_type: str) -> WarmContainer | None:
        """Reserve the best container for a job: a ready one, which leaves the pool, or one that is getting warm; None if there is none."""
        fits = [
            one
            for one in self._containers
            if one.image.id == image.id and not one.container.ended and not one.reserved and (one.ready or not one.slow)
        ]
        best = min(fits, key=lambda one: (not one.ready, one.kind.adapter_type != adapter_type, one.since_s), default=None)
        if best is not None:
            best.reserved = True
            self._changed.set()
            if best.ready:
                self._take(best)
        return best

    def patience_s(self, one: WarmContainer) -> float:
        """How long a reserved container may take to accept the job before a cold one is started too."""
        if one.ready:
            return self._patience_s
        return patience_with_warming_s(self._took_s) if self._warming_patience_s is None else self._warming_patience_s

    async def prepared(self, one: WarmContainer) -> bool:
        """Wait until a reserved container is ready, and take it out of the pool; False if it has failed.

        If this is cancelled, the container stays in the pool, with the work that it has done.
        """
        if one.ready:
            return True
        self.spawn(one.container.give_priority(working=True))
        try:
            await one.settled.wait()
        except asyncio.CancelledError:
            one.reserved, one.slow = False, True
            logger.info("a job no longer waits for a warming container", image=one.image.name)
            self.spawn(one.container.give_priority(working=False))
            raise
        one.quick = one.waited = True
        if one.ready and one in self._containers:
            self._take(one)
            return True
        return False

    def _take(self, one: WarmContainer) -> None:
        self._containers.remove(one)
        self._changed.set()
        self._update_metrics()

    def worked(self, image: RunnerImage) -> None:
        """Record that a container of the image accepted its job."""
        self._pauses.pop(image.id, None)

    def discard(self, one: WarmContainer, reason: str) -> None:
        """Delete a container that was taken but failed."""
        self._count(one, reason)
        self._failed(one.image)
        self.spawn(one.container.close())

    def spawn(self, work: Coroutine[Any, Any, None], kind: WarmKind | None = None) -> None:
        """Run a task in the background, cancelled by `close` at the latest."""
        task = asyncio.create_task(work)
        self._work[task] = kind
        task.add_done_callback(self._done)

    async def run(self) -> None:
        """Keep the pool filled, forever. When cancelled, delete all containers."""
        try:
            while self.limit != 0:
                await self._adjust()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._changed.wait()
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
        try:
            images, host = {image.name: image for image in await self._images()}, await self._host()
        except FreshetError as error:
            if not self._unavailable:
                logger.warning("no containers are warmed: the engine cannot be asked for its images", reason=str(error))
            self._unavailable = True
            return
        self._unavailable = False
        limit = self.limit if self.limit is not None else fitting(host.memory_bytes, self._needs_bytes)
        target = self.demand.containers(time.monotonic(), limit)
        self._retire(images, target)
        self._start(images, target, max(int(host.cpus), 1))
        metrics.WARM_LIMIT.set(limit)
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

    def _start(self, images: Mapping[str, RunnerImage], target: Mapping[WarmKind, int], processors: int) -> None:
        """Start missing containers on processors that no working job uses. If there is none: one at a time, of a kind without any."""
        there = Counter(one.kind for one in self._containers) + Counter(kind for kind in self._work.values() if kind)
        warming = self._warming() - sum(one.slow and not one.ready for one in self._containers)
        free = min(processors, AT_ONCE) - warming
        idle = min(free, processors - warming - self.demand.running + sum(one.reserved for one in self._containers))
        for kind, count in target.items():
            image = images.get(kind.image)
            if image is None or self._pauses.get(image.id, (0.0, 0))[0] > time.monotonic():
                continue
            if not there[kind]:
                idle = max(idle, min(free, 1))
            for _ in range(min(count - there[kind], idle)):
                free, idle = free - 1, idle - 1
                self.spawn(self._begin(kind, image), kind)

    def _warming(self) -> int:
        """How many containers start or get warm."""
        return sum(kind is not None for kind in self._work.values()) + sum(not one.ready for one in self._containers)

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
            took_s = time.monotonic() - one.since_s
            self._took_s.append(took_s)
            self._needs_bytes = max(self._needs_bytes, one.memory_bytes)
            logger.info("container ready", image=one.image.name, seconds=round(took_s, 3))
            if one.container.answers.warmth and one.container.answers.warmth.error:
                logger.warning(
                    "a container could not be warmed completely", image=one.image.name, reason=one.container.answers.warmth.error
                )
            await one.container.give_priority(working=True)
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
        metrics.WARM_CONTAINERS.labels(state="warming").set(self._warming())
        metrics.WARM_MEMORY.set(sum(one.memory_bytes for one in self._containers))
