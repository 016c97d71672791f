"""The pages of an unconfigured service, a GitHub double, and a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.github.app.auth import AppAuth
from app.github.app.credentials_file import CredentialsFile
from app.github.app.registration import AppSetup
from app.github.rest.http import ApiClient
from app.service import app_identity
from app.store.operations import FirstRun
from app.web import keys, routes
from app.web.auth.service_tokens import ServiceCallers, ServiceTokens
from app.web.http import middleware
from app.web.http.shared_answer import SharedAnswer
from app.web.pages import frame
from app.web.pages.setup import FIRST_RUN
from app.web.pages.setup_access import SetupAccess
from tests.double import GitHubDouble
from tests.html_forms import forms, open_page, press
from tests.patience import HANGS_S

TOKEN = "a-service-token"
PUBLIC = "https://freshet.example"


@dataclass
class World:
    """An unconfigured service's pages, a browser on the same host, and a GitHub."""

    github: GitHubDouble
    setup: AppSetup
    access: SetupAccess
    clock: list[float]
    url: str
    browser: aiohttp.ClientSession
    data_dir: Path
    first_run: list[FirstRun]

    async def page(self, path: str = "/setup", **query: str) -> tuple[int, str]:
        """Open a page with the token from the log, unless `token` is another; the account is chosen already, unless `account` is empty."""
        account = "organization" if "organization" in query else "personal"
        chosen = {"account": account} if path == "/setup" else {}
        status, text, _ = await open_page(self.browser, self.url + path, **{"token": self.access.token, **chosen, **query})
        return status, text

    async def begin(self, **query: str) -> str:
        """Press the button, and return where GitHub sends the browser."""
        status, text = await self.page(**query)
        assert status == 200, text
        return await press(self.browser, forms(text)[0])

    async def finish(self, callback: str) -> tuple[int, str]:
        status, text, _ = await open_page(self.browser, callback)
        return status, text

    async def set_webhook(self, token: str = TOKEN) -> tuple[int, dict[str, object]]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.browser.post(f"{self.url}/api/webhooks/github/setup", headers=headers) as response:
            return response.status, await response.json(content_type=None)


@asynccontextmanager
async def running(data_dir: Path, *, fixed: bool = True, public_url: str = PUBLIC) -> AsyncIterator[World]:
    clock = [0.0]
    async with GitHubDouble() as github, ApiClient(github.api_url if fixed else "https://api.github.invalid", total_s=HANGS_S) as api:
        addresses = (github.api_url, github.server_url) if fixed else ("https://api.github.invalid", "https://github.invalid")
        setup = AppSetup(
            api,
            AppAuth(None, None, api),
            CredentialsFile(data_dir),
            app_identity.app_manifest(),
            public_url=public_url,
            addresses=addresses,
            server_is_fixed=fixed,
            clock=lambda: clock[0],
        )
        web_app = web.Application(middlewares=[middleware.problems])
        web_app[keys.SETUP], web_app[keys.SETUP_ACCESS], web_app[keys.CALLERS] = (
            setup,
            SetupAccess(lambda: clock[0]),
            ServiceCallers(ServiceTokens([TOKEN])),
        )
        first_run = [FirstRun(installed=False, found=False, working=False, failed=False, extracted=False)]

        async def progress() -> FirstRun:
            return first_run[0]

        web_app[FIRST_RUN] = SharedAnswer(progress, 0.0)
        frame.set_up(web_app)
        routes.add(web_app, _no_delivery)
        async with TestServer(web_app) as server, aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            yield World(github, setup, web_app[keys.SETUP_ACCESS], clock, f"http://127.0.0.1:{server.port}", browser, data_dir, first_run)


async def _no_delivery(_: web.Request) -> web.Response:
    raise AssertionError("a delivery came")
