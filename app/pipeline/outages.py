"""Outages of the database while extractions run: short ones are waited for, and what a longer one ends is no attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from app.core import log
from app.core.errors import UnavailableError
from app.pipeline.leases import STORE_RETRIES_S
from app.store import Store

logger = log.get(__name__)


async def with_retries(write: Callable[[], Awaitable[object]]) -> bool:
    """Retry over a short outage of the database; False in a longer one: the lease expires and the extraction runs again."""
    for pause_s in STORE_RETRIES_S:
        try:
            await write()
        except UnavailableError as error:
            logger.warning("cannot store the result of the extraction", reason=str(error))
            await asyncio.sleep(pause_s)
        else:
            return True
    return False


class UnsettledClaims:
    """Claims of this process whose end, or whose beginning, an outage of the database kept from being stored.

    Once the database is back, their extractions are queued again at once, and the attempts do not count.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._claims: dict[str, str | None] = {}

    def add(self, claim: str, extraction_id: str | None) -> None:
        """None: nobody knows whether the claim was made, and of which extraction."""
        self._claims[claim] = extraction_id

    async def settle(self) -> None:
        """Give all of them back. Raises UnavailableError."""
        if unsettled := dict(self._claims):
            ids = [extraction_id for extraction_id in unsettled.values() if extraction_id]
            given_back = await self._store.extractions.give_back(list(unsettled), ids)
            for claim in unsettled:
                del self._claims[claim]
            if given_back:
                logger.info("extractions queued again after an outage of the database", extractions=given_back)
