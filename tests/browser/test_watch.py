"""The watch finds what it is there for: a page that does everything wrong is caught at each of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser

from tests.browser.visits import Visits

POLICY = {"Content-Security-Policy": "default-src 'none'; script-src 'self'; img-src *"}
HEAD = '<!doctype html><html lang="en"><title>Bad</title><meta name="viewport" content="width=device-width"><main><h1>Bad</h1>'
FAULTS = {
    "<script>document.title = 'x'</script>": "CSP: script-src-elem refuses inline",
    '<div style="color: red">red</div>': "CSP: style-src-attr refuses inline",
    '<img alt="a dot" src="http://127.0.0.2:9/dot.png">': "foreign: GET http://127.0.0.2:9/dot.png",
    '<script src="/log.js"></script>': "console: all is lost",
    '<script src="/throw.js"></script>': "uncaught: nobody caught me",
    '<img alt="none" src="/missing.png">': "status: 404 of",
    f"<p>{'long' * 200}</p>": "too wide: /: <p>",
    '<img src="/dot.svg">': "axe: /: image-alt",
}
FILES = {
    "/log.js": ("text/javascript", "console.error('all is lost')"),
    "/throw.js": ("text/javascript", "throw new Error('nobody caught me')"),
    "/dot.svg": ("image/svg+xml", '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
    "/favicon.ico": ("image/svg+xml", "<svg/>"),
}


@pytest_asyncio.fixture
async def bad(browser: Browser) -> AsyncIterator[tuple[Visits, list[str]]]:
    """Windows at a server whose page has what is in the list."""
    body: list[str] = []

    async def page(request: web.Request) -> web.Response:
        if request.path == "/":
            return web.Response(text=f"{HEAD}{''.join(body)}</main>", content_type="text/html", headers=POLICY)
        if request.path not in FILES:
            raise web.HTTPNotFound
        kind, text = FILES[request.path]
        return web.Response(text=text, content_type=kind)

    application = web.Application()
    application.router.add_get("/{path:.*}", page)
    async with TestServer(application) as server, AsyncExitStack() as stack:
        url = str(server.make_url("/")).rstrip("/")
        yield Visits(browser, url, url, stack), body


@pytest.mark.parametrize(("fault", "finding"), FAULTS.items(), ids=[*FAULTS.values()])
async def test_the_watch_finds(bad: tuple[Visits, list[str]], fault: str, finding: str) -> None:
    visits, body = bad
    body.append(fault)
    await (await visits.begin("phone")).open("/")
    assert [one for one in visits.findings if finding in one], visits.findings


async def test_the_watch_finds_nothing_where_nothing_is_wrong(bad: tuple[Visits, list[str]]) -> None:
    visits, _ = bad
    await (await visits.begin("phone")).open("/")
    assert visits.findings == []
    await (await visits.begin("phone")).open("/nothing")
    assert any("404 instead of 200" in finding for finding in visits.findings)
