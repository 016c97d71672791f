"""Webhook deliveries: each id once."""

from __future__ import annotations

from collections.abc import Mapping

from app.store.pool import Database
from app.store.sql import statements

SQL = statements("deliveries")
MAX_REDELIVERIES = 5
PURGED_AT_ONCE = 1000


class Deliveries:
    """Deliveries by GitHub's `X-GitHub-Delivery` id."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def record(self, delivery_id: str, event: str) -> bool:
        """Record a delivery; False if its id is known already (a redelivery keeps its id)."""
        return bool(await self.record_all({delivery_id: event}))

    async def record_all(self, events: Mapping[str, str]) -> set[str]:
        """Record deliveries with their events, and return the ids that were not known."""
        return {row["id"] for row in await self._db.rows(SQL["record"], list(events), list(events.values()))}

    async def claim_redelivery(self, delivery_id: str) -> bool:
        """Count a request for redelivery; False if the delivery has arrived, or was requested `MAX_REDELIVERIES` times."""
        return await self._db.value(SQL["claim_redelivery"], delivery_id, MAX_REDELIVERIES) is not None

    async def purge(self) -> None:
        """Delete deliveries that GitHub can no longer deliver again, in small steps."""
        while await self._db.execute(SQL["purge"], PURGED_AT_ONCE) == PURGED_AT_ONCE:
            pass
        await self._db.execute(SQL["purge_redeliveries"])
