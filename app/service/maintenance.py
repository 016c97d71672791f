"""Background upkeep: removes leftover containers, keeps warm containers ready, tidies caches."""

from __future__ import annotations

import asyncio

from app.core import log
from app.core.errors import EngineUnavailableError, FreshetError, UnavailableError
from app.pipeline.leases import SWEEP_AGAIN_S, SWEEP_EVERY_S, TIDY_EVERY_S
from app.pipeline.ports import Runner
from app.service.caches import Caches
from app.store import Store
from app.store.lineages import Lineages
from app.web.auth.sessions import IDLE

logger = log.get(__name__)


async def sweep(runner: Runner) -> None:
    """Remove containers that an earlier run left, as soon as the engine answers, and from time to time those that could not be deleted."""
    first = away = True
    while True:
        try:
            removed = await runner.sweep()
        except EngineUnavailableError as error:
            if first or not away:
                logger.warning("cannot look for leftover containers, trying again until the engine answers", reason=str(error))
            away = True
        else:
            if removed or away:
                logger.info("leftover containers removed", containers_removed=removed)
            away = False
        first = False
        await asyncio.sleep(SWEEP_AGAIN_S if away else SWEEP_EVERY_S)


async def keep_warm(runner: Runner, lineages: Lineages) -> None:
    """Keep containers warm, at first for the images and adapters that were used last."""
    try:
        used = await lineages.recently_used_images()
    except UnavailableError as error:
        logger.warning("cannot read which images were used last", reason=str(error))
        used = []
    await runner.keep_warm(used)


async def tidy(caches: Caches, store: Store) -> None:
    """Every hour: shrink the caches to their limits, delete those of repositories that are gone, and delete ended sessions."""
    while True:
        await asyncio.sleep(TIDY_EVERY_S)
        try:
            await caches.tidy(store)
            await store.sessions.delete_ended(IDLE)
        except (FreshetError, OSError) as error:
            logger.warning("cannot tidy the caches", reason=str(error))
