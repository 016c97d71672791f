"""The only door to asyncpg: every wait has an end, and a database that is away is one error of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg

from app.errors import ConfigurationError, DatabaseUnavailableError
from app.records import PoolUse

if TYPE_CHECKING:
    from collections.abc import Iterator

ACQUIRE_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 30.0
COPY_TIMEOUT_S = 300.0
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg says when the server hangs up in the middle of its own bookkeeping
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.DiskFullError,
    asyncpg.QueryCanceledError,
    asyncpg.ReadOnlySQLTransactionError,
)


class Database:
    """A pool, or one connection of it inside a transaction: the same few calls on both."""

    def __init__(self, pool: asyncpg.Pool[Any], connection: asyncpg.pool.PoolConnectionProxy[Any] | None = None) -> None:
        self._pool = pool
        self._connection = connection

    async def rows(self, statement: str, *args: object) -> list[asyncpg.Record]:
        """Return all rows."""
        with _away("asking the database"):
            async with self._acquired() as connection:
                return await connection.fetch(statement, *args)

    async def row(self, statement: str, *args: object) -> asyncpg.Record | None:
        """Return the first row, None when there is none."""
        with _away("asking the database"):
            async with self._acquired() as connection:
                return await connection.fetchrow(statement, *args)

    async def value(self, statement: str, *args: object) -> Any:
        """Return the first column of the first row."""
        with _away("asking the database"):
            async with self._acquired() as connection:
                return await connection.fetchval(statement, *args)

    async def execute(self, statement: str, *args: object) -> int:
        """Run a statement and return how many rows it touched."""
        with _away("writing to the database"):
            async with self._acquired() as connection:
                tag = await connection.execute(statement, *args)
        return int(tag.rsplit(" ", 1)[-1]) if tag[-1:].isdigit() else 0

    async def copy(self, table: str, columns: Sequence[str], source: AsyncIterator[bytes]) -> None:
        """Insert many rows by COPY, from its binary format in chunks (`app.copy_format`)."""
        with _away("writing to the database"):
            async with self._acquired() as connection:
                await connection.copy_to_table(table, source=source, columns=columns, format="binary", timeout=COPY_TIMEOUT_S)

    def use(self) -> PoolUse:
        """Return how far the pool is in use."""
        return PoolUse(self._pool.get_size() - self._pool.get_idle_size(), self._pool.get_max_size())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Database]:
        """Yield a Database bound to one transaction."""
        with _away("writing to the database"):
            async with self._acquired() as connection, connection.transaction():
                yield Database(self._pool, connection)

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy[Any]]:
        if self._connection is not None:
            yield self._connection
            return
        async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
            yield connection


@asynccontextmanager
async def connect(dsn: str, *, size: int = 10) -> AsyncIterator[Database]:
    """Yield a Database over a pool of at most `size` connections. Raises DatabaseUnavailableError or ConfigurationError."""
    try:
        pool = await asyncpg.create_pool(
            dsn, min_size=1, max_size=size, timeout=ACQUIRE_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S, reset=_as_it_is
        )
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError, ValueError) as error:
        raise ConfigurationError("connecting to PostgreSQL by DATABASE_URL", str(error)) from error
    except AWAY as error:
        reason = f"PostgreSQL does not answer ({_words(error)})"
        raise DatabaseUnavailableError(
            "connecting to PostgreSQL by DATABASE_URL", reason, "Check that it runs and is reachable."
        ) from error
    try:
        yield Database(pool)
    finally:
        try:
            async with asyncio.timeout(ACQUIRE_TIMEOUT_S):
                await pool.close()
        except TimeoutError:
            pool.terminate()


async def _as_it_is(_connection: object) -> None:
    """Leave a connection that comes back as it is: asyncpg's own reset is a round trip for each statement.

    A transaction that is open is still rolled back. Nothing here sets a variable, listens or locks for longer than a transaction.
    """


@contextmanager
def _away(doing: str) -> Iterator[None]:
    try:
        yield
    except AWAY as error:
        if isinstance(error, ValueError):  # asyncpg's word for an argument of a wrong type: a mistake of ours
            raise
        raise DatabaseUnavailableError(doing, _words(error), "It is tried again by itself.") from error


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
