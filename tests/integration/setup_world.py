"""An unconfigured service's pages beside a GitHub, and a browser to use them with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from app import credentials
from app.github.api import ApiClient
from app.github.auth import AppAuth
from app.github.identity import IdentityFile
from app.github.setup import AppSetup
from app.web import keys, middleware, pages, routes
from app.web.door import Door
from app.web.tokens import ServiceCallers, ServiceTokens
from tests.browser import forms, open_page, press
from tests.double import GitHubDouble

TOKEN = "a-service-token"
PUBLIC = "https://freshet.example"


@dataclass
class World:
    """An unconfigured service's pages, a browser on the same host, and a GitHub."""

    github: GitHubDouble
    setup: AppSetup
    door: Door
    clock: list[float]
    url: str
    browser: aiohttp.ClientSession
    data_dir: Path

    async def page(self, path: str = "/setup", **query: str) -> tuple[int, str]:
        status, text, _ = await open_page(self.browser, self.url + path, **query)
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
    async with GitHubDouble() as github, ApiClient(github.api_url if fixed else "https://api.github.invalid", total_s=5.0) as api:
        addresses = (github.api_url, github.server_url) if fixed else ("https://api.github.invalid", "https://github.invalid")
        setup = AppSetup(
            api,
            AppAuth(None, None, api),
            IdentityFile(data_dir),
            credentials.app_manifest(),
            public_url=public_url,
            addresses=addresses,
            server_is_fixed=fixed,
            clock=lambda: clock[0],
        )
        web_app = web.Application(middlewares=[middleware.problems])
        web_app[keys.SETUP], web_app[keys.DOOR], web_app[keys.CALLERS] = (
            setup,
            Door(lambda: clock[0]),
            ServiceCallers(ServiceTokens([TOKEN])),
        )
        pages.set_up(web_app)
        routes.add(web_app, _no_delivery)
        async with TestServer(web_app) as server, aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            yield World(github, setup, web_app[keys.DOOR], clock, f"http://127.0.0.1:{server.port}", browser, data_dir)


async def _no_delivery(_: web.Request) -> web.Response:
    raise AssertionError("a delivery came")
