"""Random keys that all processes of the service share: made by whoever first needs one, and known to nobody else."""

from __future__ import annotations

import secrets

from app.store.pool import Database
from app.store.sql import statements

SQL = statements("keys")
KEY_BYTES = 32


class Keys:
    """Keys by name."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of(self, name: str) -> bytes:
        """Return the key of this name. Whoever deletes its row has another one made, and all that was signed with it is worth nothing."""
        found = await self._db.value(SQL["of"], name)
        if found is None:
            await self._db.execute(SQL["make"], name, secrets.token_bytes(KEY_BYTES))
            found = await self._db.value(SQL["of"], name)
        return bytes(found)
