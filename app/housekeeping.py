"""What the service does for its own sake now and then: containers of an earlier start, containers that stand ready, caches."""

from __future__ import annotations

import asyncio

from app import log, storage
from app.dbt.docker import DockerRunner
from app.errors import EngineUnavailableError, FreshetError, UnavailableError
from app.parts import Caches
from app.storage import Lineages

TIDY_S = 3600.0
SWEEP_S = 10.0

logger = log.get(__name__)


async def sweep(runner: DockerRunner) -> None:
    """Remove what an earlier start left, once the engine answers."""
    while True:
        try:
            removed = await runner.sweep()
        except EngineUnavailableError as error:
            logger.warning("cannot look for containers that an earlier start left", reason=str(error))
            await asyncio.sleep(SWEEP_S)
        else:
            logger.info("swept", containers_removed=removed)
            return


async def keep_warm(runner: DockerRunner, lineages: Lineages) -> None:
    """Have containers ready, at first for what ran last."""
    try:
        used = await lineages.lately_used()
    except UnavailableError as error:
        logger.warning("cannot look for what containers are to be warmed for", reason=str(error))
        used = []
    await runner.keep_warm(used)


async def tidy(caches: Caches, store: storage.Store) -> None:
    """Keep what is cached within its bounds, and nothing of what was deleted for good: another process may have done that."""
    while True:
        await asyncio.sleep(TIDY_S)
        try:
            await caches.tidy(store)
        except (FreshetError, OSError) as error:
            logger.warning("could not tidy the caches", reason=str(error))
