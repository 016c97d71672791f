"""The figures of `/operations`: what the database knows of all processes, and what this process knows of itself and its host.

However many people look, each is asked for once within its lifetime.
"""

from __future__ import annotations

import asyncio
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from aiohttp import web
from prometheus_client import REGISTRY

from app.core import metrics
from app.core.errors import FreshetError
from app.pipeline.ports import Runner
from app.project.runner_images import RunnerImage
from app.store import Store
from app.store.costs import OwnerCost
from app.store.operations import (
    DatabaseFigures,
    DeliveryFigures,
    EndedFigures,
    ListedExtraction,
    ListFilter,
    SessionFigures,
)
from app.store.stats import Backlog
from app.web.auth.sessions import IDLE
from app.web.http.shared_answer import SharedAnswer
from app.web.keys import RUNNER, STORE, WORK_DIR

NOW_S, WEEK_S, SLOW_S = 2.0, 15.0, 60.0
"""Lifetimes: of the queue, of what is computed from a week, and of what changes slowly."""
ENGINE_S = 5.0
"""How long the engine may take to list its images."""
SHOWN = 10
"""Running extractions on the page; the list has all."""


@dataclass(frozen=True, slots=True)
class DiskFigures:
    """The disk of the work directory, and the sizes of the caches there that were measured; in bytes."""

    free_bytes: int
    total_bytes: int
    caches: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """What this process knows of itself. `github_remaining` is None until GitHub has said it."""

    running: int
    concurrency: int
    warm: int
    warming: int
    warm_bytes: int
    github_remaining: int | None
    verified: int
    """Partial parses that were compared with a full one, and proved right or wrong."""
    wrong: int
    version: str


@dataclass(frozen=True, slots=True)
class ImageFigures:
    """The runner images, or why they are not known."""

    images: Sequence[RunnerImage]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ServiceFigures:
    """Everything on the page."""

    at: datetime
    backlog: Backlog
    running: Sequence[ListedExtraction]
    ended: EndedFigures
    owners: Sequence[OwnerCost]
    """Who cost most this month."""
    deliveries: DeliveryFigures
    sessions: SessionFigures
    database: DatabaseFigures
    images: ImageFigures
    disk: DiskFigures | None
    process: ProcessFigures


class FigureSource:
    """Collects the figures of one process."""

    def __init__(self, store: Store, runner: Runner, work_dir: Path) -> None:
        reads = store.operations
        self._runner, self._work_dir = runner, work_dir
        self._backlog = SharedAnswer(store.statistics.backlog, NOW_S)
        self._running = SharedAnswer(lambda: reads.extractions(ListFilter("running"), limit=SHOWN), NOW_S)
        self._ended = SharedAnswer(reads.ended, WEEK_S)
        self._owners = SharedAnswer(lambda: store.costs.owners(datetime.now(UTC).date().replace(day=1), None, SHOWN), SLOW_S)
        self._deliveries = SharedAnswer(reads.deliveries, WEEK_S)
        self._sessions = SharedAnswer(lambda: reads.sessions(IDLE), WEEK_S)
        self._database = SharedAnswer(reads.database, SLOW_S)
        self._images = SharedAnswer(self._list_images, WEEK_S)
        self._disk = SharedAnswer(lambda: asyncio.to_thread(_disk, work_dir), WEEK_S)

    async def get(self) -> ServiceFigures:
        """All figures. Raises DatabaseUnavailableError."""
        return ServiceFigures(
            at=datetime.now(UTC),
            backlog=await self._backlog.get(),
            running=await self._running.get(),
            ended=await self._ended.get(),
            owners=await self._owners.get(),
            deliveries=await self._deliveries.get(),
            sessions=await self._sessions.get(),
            database=await self._database.get(),
            images=await self._images.get(),
            disk=await self._disk.get(),
            process=_process(),
        )

    async def _list_images(self) -> ImageFigures:
        try:
            async with asyncio.timeout(ENGINE_S):
                return ImageFigures(await self._runner.images())
        except FreshetError as error:
            return ImageFigures((), error.user_text)
        except TimeoutError:
            return ImageFigures((), f"The engine did not answer within {ENGINE_S:g} s.")


def _disk(work_dir: Path) -> DiskFigures | None:
    """None if the directory cannot be read."""
    try:
        usage = shutil.disk_usage(work_dir)
    except OSError:
        return None
    sizes = {name: _sample("freshet_cache_bytes", cache=name) for name in metrics.CACHES}
    return DiskFigures(usage.free, usage.total, {name: int(size) for name, size in sizes.items() if size is not None})


def _process() -> ProcessFigures:
    remaining = metrics.RATE_LIMIT.remaining()
    return ProcessFigures(
        running=int(_sample("freshet_worker_running") or 0),
        concurrency=int(_sample("freshet_worker_concurrency") or 0),
        warm=int(_sample("freshet_warm_containers", state="ready") or 0),
        warming=int(_sample("freshet_warm_containers", state="warming") or 0),
        warm_bytes=int(_sample("freshet_warm_containers_memory_bytes") or 0),
        github_remaining=None if math.isnan(remaining) else int(remaining),
        verified=int(sum(_sample("freshet_verifications_total", outcome=outcome) or 0 for outcome in ("same", "different"))),
        wrong=int(_sample("freshet_verifications_total", outcome="different") or 0),
        version=version("freshet"),
    )


def _sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


FIGURES = web.AppKey("figures", FigureSource)


async def figures(request: web.Request) -> ServiceFigures:
    """The figures of this process. Raises DatabaseUnavailableError."""
    return await request.app[FIGURES].get()


def set_up(web_app: web.Application) -> None:
    """Prepare the figures, once there are a store, a runner and a work directory."""
    web_app[FIGURES] = FigureSource(web_app[STORE], web_app[RUNNER], web_app[WORK_DIR])
