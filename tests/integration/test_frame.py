"""What all pages share: addresses below a proxy's path, files that browsers keep, headers, and pages that say what went wrong."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from urllib.parse import urljoin

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from app.core.app_health import Checkup
from app.core.models.github import Repository
from app.store import Store
from app.web import keys, routes
from app.web.auth.service_tokens import ServiceCallers, ServiceTokens
from app.web.http import middleware
from app.web.pages import assets, frame, service_figures
from tests.dbt_double import DoubleRunner

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
LINK = re.compile(r'(?:href|src|action|data-events)="([^"]+)"')
Client = TestClient[Any, Any]


class ConfiguredApp:
    """The App, as far as pages link to it."""

    configured = True
    server_url = "https://github.example"

    async def checkup(self) -> Checkup:
        return Checkup("Freshet", "", ())


@asynccontextmanager
async def serving(store: Store, public_url: str = "https://freshet.example", *, strip: str = "") -> AsyncIterator[Client]:
    """The pages, behind a proxy that removes `strip` from the beginning of paths."""

    async def webhook(_: web.Request) -> web.Response:
        return web.Response()

    async def crash(_: web.Request) -> web.Response:
        raise RuntimeError

    web_app = web.Application(middlewares=[middleware.access_log, middleware.problems])
    web_app[keys.STORE], web_app[keys.CALLERS] = store, ServiceCallers(ServiceTokens(["a-service-token"]))
    frame.set_up(web_app, public_url)
    web_app[keys.OPEN_PAGES], web_app[keys.SETUP] = True, ConfiguredApp()  # type: ignore[misc] # all that pages ask of it
    web_app[keys.RUNNER], web_app[keys.WORK_DIR] = DoubleRunner(Path(gettempdir())), Path(gettempdir())
    service_figures.set_up(web_app)
    routes.add(web_app, webhook)
    web_app.add_routes([web.get("/crash", crash)])
    async with TestServer(web_app) as server:
        if not strip:
            plain: Client = TestClient(server)
            async with plain as client:
                yield client
            return

        async def forward(request: web.Request) -> web.Response:
            if not request.path_qs.startswith(strip):
                return web.Response(status=502)
            path = request.path_qs.removeprefix(strip)
            async with inner.get(path if path.startswith("/") else f"/{path}", headers=request.headers, allow_redirects=False) as answer:
                return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)

        proxy = web.Application()
        proxy.add_routes([web.get("/{path:.*}", forward)])
        inner: Client = TestClient(server)
        outer: Client = TestClient(TestServer(proxy))
        async with inner, outer as client:
            yield client


async def extraction_of(store: Store) -> str:
    await store.installations.update_from_push(Repository(7, "octo/shop", 3, "main"))
    connection = await store.connections.create(7, "")
    return await store.extractions.enqueue(connection.id, "main", "a" * 40, "push")


@pytest.mark.parametrize(("prefix", "strip"), [("", ""), ("/freshet", ""), ("/freshet", "/freshet"), ("/a/b.c", "/a/b.c")])
async def test_every_link_works_below_a_path_whether_the_proxy_removes_it_or_not(store: Store, prefix: str, strip: str) -> None:
    pages = ["", "/", "/docs", f"/extractions/{await extraction_of(store)}", "/nothing"]
    async with serving(store, f"https://freshet.example{prefix}", strip=strip) as client:
        followed = set()
        for page in pages if prefix else pages[1:]:
            async with client.get(f"{prefix}{page}", headers=BROWSER) as response:
                text = await response.text()
                assert (response.status, response.content_type) == (404 if page == "/nothing" else 200, "text/html")
            assert f'data-root="{prefix}"' in text
            for link in LINK.findall(text):
                target = urljoin(f"{prefix}{page}", link.partition("#")[0])
                if not link.startswith("#") and target.startswith(f"{prefix}/") and not target.endswith(("/events", "/readyz", "/setup")):
                    followed.add(target)
                assert link.startswith(("#", "?", f"{prefix}/", f"{ConfiguredApp.server_url}/")), link
        for target in followed:
            async with client.get(target.replace("&amp;", "&"), headers={"Sec-Fetch-Site": "same-origin"}) as response:
                assert response.status == 200, target
        assert len(followed) >= 5


async def test_a_browser_that_meets_an_error_gets_a_page_and_a_program_the_problem(store: Store) -> None:
    async with serving(store) as client:
        for path, status in (("/nothing", 404), ("/extractions/x", 404), ("/crash", 500), ("/docs?%ff", 200)):
            async with client.get(path, headers=BROWSER) as response:
                text = await response.text()
                assert (response.status, response.content_type) == (status, "text/html")
                assert "default-src 'none'" in response.headers["Content-Security-Policy"]
                assert "<h1" in text
        for path, headers in (
            ("/nothing", {}),
            ("/nothing", {"Accept": "*/*"}),
            ("/nothing", {"Accept": "application/json, text/html;q=0.5"}),
            ("/api/metadata/connections", BROWSER),
            ("/api/nothing", BROWSER),
            ("/mcp", BROWSER),
        ):
            async with client.get(path, headers=headers) as response:
                assert response.content_type == "application/problem+json", (path, headers)
        async with client.post("/docs", headers=BROWSER) as response:
            assert (response.status, response.content_type, response.headers["Allow"]) == (405, "text/html", "GET,HEAD")


async def test_an_error_page_escapes_what_was_asked_for(store: Store) -> None:
    async with serving(store) as client, client.get("/connections/<script>alert(1)</script>/badge.svg", headers=BROWSER) as response:
        assert "<script>" not in await response.text()


async def test_browsers_keep_files_as_long_as_their_digest_is_in_the_address(store: Store) -> None:
    async with serving(store) as client:
        for name, asset in assets.files().items():
            async with client.get(assets.path(name), headers={"Accept-Encoding": "gzip"}) as response:
                assert await response.read() == asset.body
                assert "immutable" in response.headers["Cache-Control"]
                assert (response.headers["Content-Encoding"], response.headers["X-Content-Type-Options"]) == ("gzip", "nosniff")
                etag = response.headers["ETag"]
            async with client.get(f"/assets/of-another-version/{name}", headers={"If-None-Match": etag}) as response:
                assert (response.status, response.headers["Cache-Control"]) == (304, "no-cache")
        for path in ("/assets/x/nothing.css", "/assets/x/..%2fframe.py", "/assets/x/__init__.py"):
            async with client.get(path) as response:
                assert response.status == 404


async def test_pages_have_no_inline_code_and_a_way_past_the_navigation(store: Store) -> None:
    extraction_id = await extraction_of(store)
    async with serving(store) as client:
        for page in ("/", "/docs", f"/extractions/{extraction_id}", "/nothing"):
            async with client.get(page, headers=BROWSER) as response:
                text = await response.text()
                policy = response.headers["Content-Security-Policy"]
            assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=|javascript:", text)
            assert 'href="#main"' in text
            assert '<main id="main"' in text
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
