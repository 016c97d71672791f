"""Sessions of people who are signed in. Neither their cookies nor their tokens can be read from the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import asyncpg

from app.core.models.sessions import GitHubUser, StoredSession
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("sessions")
USE_EVERY = timedelta(minutes=5)
"""How exactly the last use is known: a write for every request would cost more than it is worth."""
OPERATOR_FOR = timedelta(minutes=15)
"""How long a session remembers whether its person is an operator."""


class LockedSession:
    """A session that no other process can renew at the same time."""

    def __init__(self, tx: Database, session: StoredSession) -> None:
        self._tx = tx
        self.session = session

    async def renew(self, tokens: bytes, expire_at: datetime | None) -> StoredSession:
        """Replace the tokens."""
        row = await self._tx.row(SQL["renew"], self.session.digest, tokens, expire_at)
        if row is None:
            message = "a locked session is gone"
            raise RuntimeError(message)
        return _session(row)

    async def end(self) -> None:
        """Delete the session."""
        await self._tx.execute(SQL["end"], self.session.digest, None)


class Sessions:
    """Sessions by the SHA-256 of their cookie. Those past their limits are not found."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, digest: bytes, user: GitHubUser, tokens: bytes, expire_at: datetime | None, lifetime: timedelta) -> None:
        """Begin a session that ends after `lifetime`; `expire_at` is when the tokens do."""
        await self._db.execute(SQL["create"], digest, user.id, user.login, tokens, expire_at, lifetime)

    async def find(self, digest: bytes, idle: timedelta) -> StoredSession | None:
        """The session, which counts as used; None if there is none, if it has ended, or was not used for `idle`."""
        row = await self._db.row(SQL["find"], digest, idle, USE_EVERY, OPERATOR_FOR)
        if row is None:
            return None
        if row["is_old_use"]:
            await self._db.execute(SQL["note_use"], digest)
        return _session(row)

    @asynccontextmanager
    async def locked(self, digest: bytes) -> AsyncIterator[LockedSession | None]:
        """The session, locked until this is left; None if it has ended. Changes are lost if an exception leaves it."""
        async with self._db.transaction() as tx:
            row = await tx.row(SQL["lock"], digest)
            yield None if row is None else LockedSession(tx, _session(row))

    async def end(self, digest: bytes, version: int | None = None) -> None:
        """End a session; with `version` only if its tokens have not been renewed since."""
        await self._db.execute(SQL["end"], digest, version)

    async def end_user(self, user_id: int) -> int:
        """End all sessions of a person, and return how many."""
        return await self._db.execute(SQL["end_user"], user_id)

    async def take_user(self, user_id: int, limit: int) -> list[StoredSession]:
        """End all sessions of a person, and return the newest."""
        return [_session(row) for row in await self._db.rows(SQL["take_user"], user_id, limit)]

    async def note_operator(self, digest: bytes, is_operator: bool) -> None:  # noqa: FBT001 - the value
        """Remember whether the person is an operator."""
        await self._db.execute(SQL["note_operator"], digest, is_operator)

    async def delete_ended(self, idle: timedelta) -> int:
        """Delete the rows of ended sessions, and return how many."""
        return await self._db.execute(SQL["delete_ended"], idle)


def _session(row: asyncpg.Record) -> StoredSession:
    user = GitHubUser(row["user_id"], row["login"])
    return StoredSession(row["digest"], user, row["tokens"], row["version"], row["tokens_expire_at"], row["expires_at"], row["is_operator"])
