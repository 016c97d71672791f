"""Webhook deliveries: each id once."""

from __future__ import annotations

from app.store.pool import Database
from app.store.sql import statements

SQL = statements("deliveries")


class Deliveries:
    """Deliveries by GitHub's `X-GitHub-Delivery` id."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def record(self, delivery_id: str, event: str) -> bool:
        """Remember a delivery; False when it is known already (a redelivery keeps its id)."""
        return await self._db.execute(SQL["record"], delivery_id, event) == 1
