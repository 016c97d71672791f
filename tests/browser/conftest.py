"""One service with seeded repositories, and one browser, for all tests of pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from app.store import Store, pool
from tests.browser.chromium import MISSING, chromium, executable
from tests.browser.seeds import Seeds, seed
from tests.browser.visits import Visits
from tests.double import GitHubDouble
from tests.postgres import database
from tests.service import Service, serving

PERSON = "ann"
"""Who is signed in on GitHub, and so here as soon as a page asks for it."""
OPERATOR = "root"
"""Who runs the service, in windows that say so."""
NO_ENGINE: dict[str, Any] = {"DOCKER_HOST": "tcp://127.0.0.1:1", "FRESHET_WARM_CONTAINERS": "0"}


@dataclass
class Shown:
    """The service, and what its pages are about."""

    service: Service
    seeds: Seeds


@pytest_asyncio.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    if executable() is None:
        pytest.skip(MISSING)
    async with chromium() as launched:
        yield launched


@pytest_asyncio.fixture(scope="session")
async def shown(browser: Browser, postgres: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shown]:
    directory: Path = tmp_path_factory.mktemp("pages")
    async with GitHubDouble() as github, database(postgres) as dsn, pool.connect(dsn, size=8) as db:
        seeds = await seed(github, Store(db), dsn, directory)
        github.sign_in(PERSON, {seeds.bikes: "push", seeds.parking: "push"})
        async with serving(github, directory / "data", DATABASE_URL=dsn, FRESHET_OPERATORS=OPERATOR, **NO_ENGINE) as service:
            yield Shown(service, seeds)
            await service.stop()
            assert "Traceback" not in service.log, service.log[service.log.index("Traceback") - 400 :][:4000]
        assert github.violations == []


@pytest.fixture(scope="session")
def seeds(shown: Shown) -> Seeds:
    return shown.seeds


@pytest_asyncio.fixture
async def visits(browser: Browser, shown: Shown) -> AsyncIterator[Visits]:
    """Windows at the service; after the test, none of their pages may have done what no page may do."""
    async with AsyncExitStack() as stack:
        visits = Visits(browser, shown.service.url, shown.seeds.github.server_url, stack)
        yield visits
        assert visits.findings == [], "\n".join(visits.findings)
