"""Random keys that all processes of the service share. A key is created when it is first needed, and never leaves the service."""

from __future__ import annotations

import secrets

from app.store.pool import Database
from app.store.sql import statements

SQL = statements("signing_keys")
KEY_BYTES = 32


class SigningKeys:
    """Keys by name."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, name: str) -> bytes:
        """Return a key, creating it if necessary. Deleting its row makes a new one, and invalidates everything signed with the old one."""
        found = await self._db.value(SQL["get"], name)
        if found is None:
            await self._db.execute(SQL["create"], name, secrets.token_bytes(KEY_BYTES))
            found = await self._db.value(SQL["get"], name)
        return bytes(found)
