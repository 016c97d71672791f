"""What all tests share: one real PostgreSQL for the run, a database of its own for each test that asks for one, and the Docker engine."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import aiodocker
import hypothesis
import pytest
import pytest_asyncio
import stamina

from app.core import log
from app.runner.docker.engine import connect
from app.store import Store, pool
from tests import scratch
from tests.deadline import deadline
from tests.engine import EngineDouble
from tests.engine.forks import Forks, forking
from tests.integration.runner_fixtures import Make, runners
from tests.integration.runner_images import RUNNER_IMAGE
from tests.postgres import database, server

scratch.use()
# A machine that is busy is no finding, and half of the usual examples keep the unit tests short: those that want more say so.
hypothesis.settings.register_profile("freshet", max_examples=50, deadline=None)
hypothesis.settings.load_profile("freshet")


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Mark what asks for the engine, for the lanes."""
    for item in items:
        if {"docker", "engine", "forks"} & {*item.fixturenames}:
            item.add_marker("containers")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    with deadline():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    with deadline():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    with deadline():
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def logs() -> None:
    log.configure()


@pytest.fixture(scope="session", autouse=True)
def no_pauses() -> None:
    """Try again as often as the service does, but at once."""
    stamina.set_testing(testing=True, attempts=sys.maxsize, cap=True)


@pytest_asyncio.fixture(scope="session")
async def postgres() -> AsyncIterator[str]:
    """The DSN of a server with a migrated database `template`."""
    async with server() as dsn:
        yield dsn


@pytest_asyncio.fixture
async def dsn(postgres: str) -> AsyncIterator[str]:
    """The DSN of a database for one test."""
    async with database(postgres) as found:
        yield found


@pytest_asyncio.fixture(scope="module")
async def module_dsn(postgres: str) -> AsyncIterator[str]:
    """The DSN of a database for all tests of a file, for a service that they share."""
    async with database(postgres) as found:
        yield found


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[pool.Database]:
    async with pool.connect(dsn, size=4) as database:
        yield database


@pytest_asyncio.fixture
async def store(db: pool.Database) -> Store:
    return Store(db)


@pytest_asyncio.fixture
async def docker() -> AsyncIterator[aiodocker.Docker]:
    """The Docker engine of this machine."""
    async with connect() as client:
        yield client


@pytest_asyncio.fixture(scope="session")
async def engine() -> AsyncIterator[EngineDouble]:
    """An engine whose runner containers cost a tenth, for tests that are about what dbt does, or about what follows from it."""
    with TemporaryDirectory(prefix="freshet-engine-") as directory:
        async with EngineDouble(Path(directory) / "engine.sock") as double:
            yield double


@pytest_asyncio.fixture(scope="session")
async def forks() -> AsyncIterator[Forks]:
    """A container of the runner image whose forks do jobs."""
    async with forking(RUNNER_IMAGE) as made:
        yield made


@pytest_asyncio.fixture
async def make_forked(engine: EngineDouble, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes runners whose containers are forks of one."""
    async with connect(engine.url) as client, runners(client, tmp_path) as make_runner:
        yield make_runner


@pytest_asyncio.fixture
async def make(docker: aiodocker.Docker, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes runners, and sees that they leave no container."""
    async with runners(docker, tmp_path) as make_runner:
        yield make_runner


@pytest.fixture
def terminal() -> Iterator[None]:
    """Let programs that a test starts end with their terminal, also if the tests themselves do not, as under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
