"""Webhook deliveries: each id once."""

from __future__ import annotations

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
        """Remember a delivery; False when it is known already (a redelivery keeps its id)."""
        return await self._db.execute(SQL["record"], delivery_id, event) == 1

    async def ask_again(self, delivery_id: str) -> bool:
        """Tell whether GitHub should be asked for a failed delivery: not when we have it, and not more than `MAX_REDELIVERIES` times."""
        return await self._db.value(SQL["ask_again"], delivery_id, MAX_REDELIVERIES) is not None

    async def purge(self) -> None:
        """Delete what GitHub can no longer deliver again, in small steps."""
        while await self._db.execute(SQL["purge"], PURGED_AT_ONCE) == PURGED_AT_ONCE:
            pass
        await self._db.execute(SQL["purge_redeliveries"])
