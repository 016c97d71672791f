"""A real PostgreSQL for tests, and databases in it that are migrated already."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import asyncpg

from app.store import embedded, migrate, pool

_numbers = count()


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    """Give the DSN of a server that has a migrated database `template`."""
    with tempfile.TemporaryDirectory(prefix="freshet-pg-") as directory:
        async with embedded.serve(Path(directory), durable=False) as dsn:
            await _run(dsn, "CREATE DATABASE template")
            async with pool.connect(dsn.replace("/freshet?", "/template?"), size=1) as db:
                await migrate.migrate(db)
            yield dsn


@asynccontextmanager
async def database(postgres: str) -> AsyncIterator[str]:
    """Give the DSN of a migrated database that nobody else uses."""
    name = f"test_{next(_numbers)}"
    await _run(postgres, f"CREATE DATABASE {name} TEMPLATE template STRATEGY file_copy")
    yield postgres.replace("/freshet?", f"/{name}?")
    await _run(postgres, f"DROP DATABASE {name} WITH (FORCE)")


async def _run(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
