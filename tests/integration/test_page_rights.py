"""Who sees which page: nobody, a stranger, a reader and somebody who may push, over all pages; and where nobody can sign in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from app.store import Store
from app.web import keys
from tests.html_forms import Browser
from tests.integration.lineage_reader import save
from tests.integration.page_world import READ, SERVICE, STRANGER, WRITE, World, running

TO_SIGN_IN, TO_START = "sign-in", "start"
ROLES = ("", STRANGER, READ, WRITE)
PAGES: dict[str, tuple[int | str, int | str, int | str, int | str]] = {
    # nobody, stranger, reader, pusher
    "GET /": (200, 200, 200, 200),
    "GET /docs": (200, 200, 200, 200),
    "GET /openapi.json": (200, 200, 200, 200),
    "GET /assets/{digest}/{name}": (200, 200, 200, 200),
    "GET /sign-in": ("github", TO_START, TO_START, TO_START),
    "GET /sign-in/callback": (400, TO_START, TO_START, TO_START),
    "GET /sign-out": (TO_START, 200, 200, 200),
    "GET /connections/{id}": (TO_SIGN_IN, 404, 200, 200),
    "GET /search": (TO_SIGN_IN, 200, 200, 200),
    "GET /connections/{id}/lineage": (TO_SIGN_IN, 404, 200, 200),
    "GET /connections/{id}/nodes/{unique_id}": (TO_SIGN_IN, 404, 200, 200),
    "GET /extractions/{id}": (TO_SIGN_IN, 404, 200, 200),
    "GET /operations": (TO_SIGN_IN, 404, 404, 404),
    "GET /operations/figures": (TO_SIGN_IN, 404, 404, 404),
    "GET /operations/extractions": (TO_SIGN_IN, 404, 404, 404),
    "GET /operations/deliveries": (TO_SIGN_IN, 404, 404, 404),
    "GET /operations/check-runs": (TO_SIGN_IN, 404, 404, 404),
    "GET /operations/sessions": (TO_SIGN_IN, 404, 404, 404),
    "GET /extractions/{id}/events": (TO_SIGN_IN, 404, 204, 204),
}
"""Statuses, or where a redirect leads. A new page needs a line."""
NOT_PAGES = (
    "/api/",
    "/livez",
    "/readyz",
    "/metrics",
    "/freshet.schema.json",
    "/setup",
    "/connections/{id}/badge.svg",
    "/mcp",
    "/.well-known/",
)
"""Of programs, and of tests of their own."""


@pytest_asyncio.fixture
async def world(store: Store, dsn: str) -> AsyncIterator[World]:
    async with running(store, dsn) as world:
        yield world


def pages(world: World) -> set[str]:
    routes = world.replicas[0].web_app.router.routes()
    found = {(route.method, route.resource.canonical) for route in routes if route.resource}
    return {f"GET {path}" for method, path in found if method == "GET" and not path.startswith(NOT_PAGES)}


async def seen(world: World, browser: Browser, path: str) -> int | str:
    page = await browser.open(path, follow=False)
    assert page.status == 200 or "octo/shop" not in page.text, "nothing of a page that is not shown"
    if page.status != 302:
        return page.status
    target = page.headers["Location"]
    if target.startswith(world.github.server_url):
        return "github"
    return {"/": TO_START, "/sign-in": TO_SIGN_IN}[target.partition("?")[0]]


async def test_each_role_sees_exactly_what_github_shows_it(world: World) -> None:
    assert pages(world) == PAGES.keys()
    extraction = await world.store.extractions.get(world.extraction_id)
    assert extraction is not None
    await world.store.extractions.cancel_queued(extraction.repository.installation_id)
    await save(world.store, world.connection_id, "1" * 40, {"model.shop.a": []})
    events = f"{world.page}/events"
    values = {"{id}": world.extraction_id, "{digest}": "x", "{name}": "page.css", "{unique_id}": "model.shop.a"}
    for index, role in enumerate(ROLES):
        browser = await world.browser(role)
        for name, expected in PAGES.items():
            path = name.partition(" ")[2]
            path = path.replace("/connections/{id}", f"/connections/{world.connection_id}")
            for parameter, value in values.items():
                path = path.replace(parameter, value)
            if path == events and expected[index] == 204:
                last = (await browser.open(path, Accept="text/event-stream")).text.partition("id: ")[2].partition("\r\n")[0]
                headers = {"Last-Event-ID": last}
                page = await browser.open(path, follow=False, **headers)
                assert page.status == 204, (role, name)
                continue
            assert await seen(world, browser, path) == expected[index], (role, name)


async def test_what_does_not_exist_looks_like_what_one_may_not_see(world: World) -> None:
    browser = await world.browser(STRANGER)
    hidden = await world.open(browser, world.page, 404)
    missing = await world.open(browser, "/extractions/5f9f2f3e-0000-4000-8000-000000000000", 404)
    assert hidden.text == missing.text
    nobody = await world.browser()
    for path in (world.page, "/extractions/5f9f2f3e-0000-4000-8000-000000000000"):
        assert (await nobody.open(path, follow=False)).status == 302, "and nobody learns which ones exist"
        assert (await nobody.fetch(path)).status == 401, "a script is not sent to GitHub"


async def test_the_api_gives_a_session_the_same_rights_as_pages(world: World) -> None:
    path = f"/api/metadata/connections/{world.connection_id}"
    for role, read, push in (("", 401, 401), (STRANGER, 404, 404), (READ, 200, 403), (WRITE, 200, 200)):
        browser = await world.browser(role)
        assert (await browser.fetch(path)).status == read, role
        assert (await browser.fetch(path, "PATCH")).status == push, role
        assert (await browser.fetch("/api/webhooks/github/setup", "POST")).status == (403 if role else 401), role


async def test_rights_that_change_on_github_change_here(world: World) -> None:
    browser = await world.browser(READ)
    await world.open(browser, world.page)
    world.github.state.roles[READ].clear()
    world.forget_answers()
    await world.open(browser, world.page, 404)


async def test_a_program_may_read_pages_with_its_token(world: World) -> None:
    browser = await world.browser()
    assert (await browser.open(world.page, Authorization=f"Bearer {SERVICE}")).status == 200
    assert (await browser.open(world.page, Authorization="Bearer unknown")).status == 401


async def test_without_a_client_pages_are_open_on_this_host_only(store: Store, dsn: str) -> None:
    async with running(store, dsn, with_client=False) as world:
        browser, api = await world.browser(), f"/api/metadata/connections/{world.connection_id}"
        page = await world.open(browser, world.page)
        assert "Everybody on this host can read these pages" in page.text
        assert (await browser.open("/sign-in?next=/docs", follow=False)).headers["Location"] == "/docs"
        assert (await browser.fetch(api)).status == 200
        assert (await browser.fetch("/api/metadata/connections")).status == 200
        for method, headers in (
            ("GET", {"Sec-Fetch-Site": ""}),
            ("GET", {"Sec-Fetch-Site": "none"}),
            ("GET", {"Sec-Fetch-Site": "same-site"}),
            ("GET", {"Sec-Fetch-Site": "cross-site"}),
            ("PATCH", {}),
        ):
            assert (await browser.fetch(api, method, **headers)).status == 401, (method, headers)
        for name, value in (
            ("Host", "evil.example"),
            ("Host", "127.0.0.1.evil.example"),
            ("Host", "freshet.example:3001"),
            ("X-Forwarded-For", "192.0.2.7"),
            ("Forwarded", "for=192.0.2.7"),
            ("Via", "1.1 proxy"),
        ):
            page = await browser.open(world.page, site="none", follow=True, **{name: value})
            assert (page.status, "GITHUB_CLIENT_ID" in page.text, "octo" in page.text) == (403, True, False), (name, value)
            assert (await browser.fetch(api, **{name: value})).status == 401, (name, value)


async def test_a_service_that_others_reach_shows_nothing_without_a_client(store: Store, dsn: str) -> None:
    async with running(store, dsn, with_client=False) as world:
        world.replicas[0].web_app._state[keys.OPEN_PAGES] = False
        browser = await world.browser()
        for path in (world.page, f"{world.page}/events", "/sign-in", "/sign-in/callback"):
            page = await browser.open(path)
            assert (page.status, "GITHUB_CLIENT_ID" in page.text, "octo" in page.text) == (403, True, False), path
        assert (await browser.fetch(f"/api/metadata/connections/{world.connection_id}")).status == 401
        assert "Sign in" not in (await browser.open("/")).text
