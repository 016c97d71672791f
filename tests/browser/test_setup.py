"""`/setup` in front of the operator: from the link in the log, over GitHub, back to the page of a new App."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.conftest import NO_ENGINE
from tests.browser.visits import Visits
from tests.double import GitHubDouble
from tests.service import Service, serving


@pytest_asyncio.fixture
async def unconfigured(browser: Browser, tmp_path: Path, dsn: str) -> AsyncIterator[tuple[Service, Visits, GitHubDouble]]:
    """A service that has no App, and windows at it."""
    async with (
        GitHubDouble() as github,
        serving(github, tmp_path / "data", with_app=False, DATABASE_URL=dsn, **NO_ENGINE) as service,
        AsyncExitStack() as stack,
    ):
        visits = Visits(browser, service.url, github.server_url, stack)
        yield service, visits, github
        assert visits.findings == []


def link(service: Service) -> str:
    """The link to the setup page in the log."""
    return next(str(line["url"]) for line in map(json.loads, service.log.splitlines()) if "/setup?token=" in line.get("url", ""))


async def test_from_the_log_to_an_app(unconfigured: tuple[Service, Visits, GitHubDouble]) -> None:
    service, visits, github = unconfigured
    for look in ("dark", "phone"):
        visit = await visits.begin(look)
        await visit.open("/", status=403, name="start-without-app")
        await visit.open("/setup", status=403, name="setup-without-link")
        await visit.open(link(service), name="setup")
        await visit.page.get_by_label("Its name").fill("acme")
        await visit.page.get_by_role("button", name="Continue").click()
        await visit.shows("For the organization acme")
        await visit.examine("setup-for-an-organization")
    visit = await visits.begin()
    await visit.open("/setup", status=403)
    await visit.open("/setup/callback?code=abc&state=x", status=400, name="setup-not-valid")
    await visit.open("/", status=403)
    await visit.shows("This Freshet has no GitHub App yet")
    await visit.open(link(service))
    await visit.page.get_by_label("Your personal account").check()
    await visit.page.get_by_role("button", name="Continue").click()
    await visit.page.get_by_role("link", name="Change").click()
    await visit.page.get_by_label("Your personal account").check()
    await visit.page.get_by_role("button", name="Continue").click()
    await visit.page.get_by_role("button", name="Create").click()
    await visit.shows("GitHub App created")
    await visit.shows("Waiting for the first installation.")
    await visit.examine("setup-done")
    await visit.open("/setup", name="setup-status")
    await github.install("acme")
    await visit.shows("Looking for dbt projects")
    await visit.examine("setup-installed")
    await visit.open("/setup/callback?code=abc&state=x", status=409)
