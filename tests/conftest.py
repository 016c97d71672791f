"""What all tests share: one real PostgreSQL for the run, a database of its own for each test that asks for one, and the Docker engine."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import aiodocker
import asyncpg
import hypothesis
import pytest
import pytest_asyncio

from app import log
from app.dbt.engine import connect
from app.store import Store, embedded, migrate, pool
from tests.integration.runner_fixtures import Make, runners

_numbers = count()
# A machine that is busy is no finding, and half of the usual examples keep the unit tests short: those that want more say so.
hypothesis.settings.register_profile("freshet", max_examples=50, deadline=None)
hypothesis.settings.load_profile("freshet")


@pytest.fixture(scope="session", autouse=True)
def logs() -> None:
    log.configure()


@pytest_asyncio.fixture(scope="session")
async def postgres() -> AsyncIterator[str]:
    """The DSN of a server with a migrated database `template`."""
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
    await _run(postgres, f"CREATE DATABASE {name} TEMPLATE template")
    yield postgres.replace("/freshet?", f"/{name}?")
    await _run(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest_asyncio.fixture
async def dsn(postgres: str) -> AsyncIterator[str]:
    """The DSN of a database for one test."""
    async with database(postgres) as found:
        yield found


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[pool.Database]:
    async with pool.connect(dsn, size=4) as database:
        yield database


@pytest_asyncio.fixture
async def store(db: pool.Database) -> Store:
    return Store(db)


async def _run(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest_asyncio.fixture
async def docker() -> AsyncIterator[aiodocker.Docker]:
    """The Docker engine of this machine."""
    async with connect() as client:
        yield client


@pytest_asyncio.fixture
async def make(docker: aiodocker.Docker, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes runners, and sees that they leave no container."""
    async with runners(docker, tmp_path) as make_runner:
        yield make_runner
