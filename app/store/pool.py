"""The only user of asyncpg. Every wait has a timeout, and an unavailable database is one error of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from app.core import log
from app.core.errors import ConfigurationError, DatabaseBusyError, DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = log.get(__name__)

ACQUIRE_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 30.0
COPY_TIMEOUT_S = 300.0
IDLE_TRANSACTION_S = 15
"""The server ends a session whose transaction waits for its process for so long: a process that is stopped, or that the network has lost,
would keep the locks of the transaction, and all others would wait for it."""
SESSION = f"""
SET idle_in_transaction_session_timeout = '{IDLE_TRANSACTION_S}s';
SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
"""
"""Of each connection. What waits for rows of COPY is in no idle transaction, so the network is asked too."""
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # raised if the server hangs up at certain moments
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.DiskFullError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.QueryCanceledError,
    asyncpg.ReadOnlySQLTransactionError,
)
REACHABLE = "Check that the server of DATABASE_URL runs, and that this host reaches it."
IN_THE_WAY = (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)
"""PostgreSQL rolled a transaction back for the sake of another."""


@dataclass(frozen=True, slots=True)
class PoolUse:
    """Connections of the pool: in use, and at most."""

    used: int
    limit: int


class Database:
    """A pool, or one connection of it in a transaction, with the same methods."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        connection: asyncpg.pool.PoolConnectionProxy[Any] | None = None,
        outage: log.Outage | None = None,
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._outage = outage or log.Outage(logger, "the database")

    async def rows(self, statement: str, *args: object) -> list[asyncpg.Record]:
        """Return all rows."""
        with self._away("asking the database"):
            async with self._acquired() as connection:
                return await connection.fetch(statement, *args)

    async def row(self, statement: str, *args: object) -> asyncpg.Record | None:
        """Return the first row, None when there is none."""
        with self._away("asking the database"):
            async with self._acquired() as connection:
                return await connection.fetchrow(statement, *args)

    async def value(self, statement: str, *args: object) -> Any:
        """Return the first column of the first row."""
        with self._away("asking the database"):
            async with self._acquired() as connection:
                return await connection.fetchval(statement, *args)

    async def execute(self, statement: str, *args: object) -> int:
        """Run a statement and return the number of rows it affected."""
        with self._away("writing to the database"):
            async with self._acquired() as connection:
                tag = await connection.execute(statement, *args)
        return int(tag.rsplit(" ", 1)[-1]) if tag[-1:].isdigit() else 0

    async def copy(self, table: str, columns: Sequence[str], source: AsyncIterator[bytes]) -> None:
        """Insert many rows by COPY, from its binary format in chunks (`app.lineage.copy_format`)."""
        with self._away("writing to the database"):
            async with self._acquired() as connection:
                await connection.copy_to_table(table, source=source, columns=columns, format="binary", timeout=COPY_TIMEOUT_S)

    def use(self) -> PoolUse:
        """Return how many connections are in use."""
        return PoolUse(self._pool.get_size() - self._pool.get_idle_size(), self._pool.get_max_size())

    @asynccontextmanager
    async def transaction(self, *, lock_timeout_s: float | None = None) -> AsyncIterator[Database]:
        """Yield a database bound to one transaction, which raises DatabaseBusyError if it waits for longer for a row of others."""
        with self._away("writing to the database"):
            async with self._acquired() as connection, connection.transaction():
                if lock_timeout_s is not None:
                    await connection.execute(f"SET LOCAL lock_timeout = {round(1000 * lock_timeout_s)}")
                yield Database(self._pool, connection, self._outage)

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy[Any]]:
        if self._connection is not None:
            yield self._connection
            return
        async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
            yield connection

    @contextmanager
    def _away(self, doing: str) -> Iterator[None]:
        """Turn errors of an unavailable database into ours. Outages are logged here, once for all who need the database.

        If the driver fails while it cleans up after a cancellation, this is the cancellation, so that who was cancelled does not go on.
        """
        task = asyncio.current_task()
        cancelled = task.cancelling() if task is not None else 0
        try:
            yield
        except IN_THE_WAY as error:  # no outage
            raise DatabaseBusyError(doing, _message(error), "Freshet retries automatically.") from error
        except AWAY as error:
            if isinstance(error, ValueError):  # asyncpg raises it for an argument of the wrong type: a bug of ours
                raise
            if task is not None and task.cancelling() > cancelled:
                raise asyncio.CancelledError from error
            self._outage.goes_on(_message(error))
            raise DatabaseUnavailableError(doing, _message(error), "Freshet retries automatically.") from error
        self._outage.is_over()


@asynccontextmanager
async def connect(
    dsn: str, *, size: int = 10, doing: str = "connecting to PostgreSQL by DATABASE_URL", advice: str = REACHABLE
) -> AsyncIterator[Database]:
    """Yield a database over a pool of at most `size` connections. Raises DatabaseUnavailableError or ConfigurationError.

    `advice` is what to do if the server does not answer.
    """
    try:
        # With a `min_size`, asyncpg logs a traceback each time that it cannot keep that number.
        pool = await asyncpg.create_pool(
            dsn,
            min_size=0,
            init_size=1,
            max_size=size,
            timeout=ACQUIRE_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            init=_begin_session,
            reset=_as_it_is,
        )
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError, ValueError) as error:
        raise ConfigurationError(doing, str(error), "Correct the user, the password or the database in DATABASE_URL.") from error
    except AWAY as error:
        why = f"within {ACQUIRE_TIMEOUT_S:g} s" if isinstance(error, TimeoutError) else f"({_message(error)})"
        raise DatabaseUnavailableError(doing, f"PostgreSQL does not answer {why}", advice) from error
    try:
        yield Database(pool)
    finally:
        try:
            async with asyncio.timeout(ACQUIRE_TIMEOUT_S):
                await pool.close()
        except TimeoutError:
            pool.terminate()


async def _begin_session(connection: asyncpg.Connection[Any]) -> None:
    await connection.execute(SESSION)


async def _as_it_is(_connection: object) -> None:
    """Replace asyncpg's reset of returned connections, which is a round trip per statement. Open transactions are still rolled back.

    No statement sets a variable, listens or locks beyond its transaction.
    """


def _message(error: BaseException) -> str:
    return str(error) or type(error).__name__
