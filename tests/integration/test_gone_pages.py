"""What was deleted while somebody looked, or before: pages say so, and link only to what exists."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from html import unescape
from urllib.parse import urlencode, urlsplit
from uuid import UUID

import pytest
import pytest_asyncio

from app.core.models.extractions import Extraction, Problem
from app.store import Store
from tests.html_forms import Browser, Page, forms
from tests.integration.lineage_reader import save
from tests.integration.page_world import READ, WRITE, World, running
from tests.integration.test_store import LEASE
from tests.patience import HANGS_S
from tests.unit.impact_scene import MERGE_BASE, WHOLE, change, extraction

NODES = {"model.shop.a": [], "model.shop.b": ["model.shop.a"]}
OLD, NEW, BASE = "a" * 40, "1" * 40, str(MERGE_BASE.sha)
NAMED = {one.unique_id for part in (WHOLE.changes, WHOLE.reached, WHOLE.breaks) for one in part}


@pytest_asyncio.fixture
async def world(store: Store, dsn: str) -> AsyncIterator[World]:
    async with running(store, dsn) as world:
        yield world


async def succeed(world: World) -> None:
    """The extraction of the world ends with a lineage, compared with `BASE`."""
    claimed = await world.store.extractions.claim("w", LEASE)
    assert claimed is not None
    with_removed = replace(WHOLE, changes=(*WHOLE.changes, change("model.shop.gone", "removed")))
    result = extraction(impact=with_removed).result
    await world.store.extractions.finish(claimed.id, "w", "succeeded", [], result=result)


async def lineage_of(world: World, sha: str) -> None:
    names = NAMED | ({"model.shop.gone"} if sha == BASE else set())
    await save(world.store, world.connection_id, sha, NODES | {name: [] for name in names})


async def delete_lineage(world: World, sha: str) -> None:
    """As retention does."""
    await world.store._db.execute("DELETE FROM lineages WHERE connection_id = $1 AND sha = $2", UUID(world.connection_id), sha)


def own_links(page: Page) -> set[str]:
    found = {unescape(one).partition("#")[0] for one in re.findall(r'(?:href|src)="([/?][^"]*)"', page.text)}
    return {one if one.startswith("/") else urlsplit(page.url).path + one for one in found}


async def opens_all(world: World, browser: Browser, page: Page) -> None:
    for link in own_links(page) - {"/readyz"}:
        found = await browser.open(link)
        assert found.status == 200, (link, found.status)


async def test_an_extraction_links_to_its_lineages_as_long_as_they_are_stored(world: World) -> None:
    await succeed(world)
    for sha in (OLD, BASE):
        await lineage_of(world, sha)
    browser, connection = await world.browser(READ), f"/connections/{world.connection_id}"
    page = await world.open(browser, world.page)
    assert {f"{connection}/lineage?sha={OLD}&base={BASE}", f"{connection}/nodes/model.shop.gone?sha={BASE}"} <= own_links(page)
    await opens_all(world, browser, page)
    await delete_lineage(world, BASE)
    page = await world.open(browser, world.page)
    assert f"{connection}/lineage?sha={OLD}" in own_links(page)
    await opens_all(world, browser, page)
    await delete_lineage(world, OLD)
    page = await world.open(browser, world.page)
    assert "is not stored any more" in page.text
    assert "<code>gone</code>" in page.text
    await opens_all(world, browser, page)


async def test_an_extraction_of_a_removed_connection_links_to_nothing_of_it(world: World) -> None:
    await succeed(world)
    await lineage_of(world, OLD)
    await world.store.connections.remove(world.connection_id)
    browser = await world.browser(WRITE)
    page = await world.open(browser, world.page)
    assert "The connection of this extraction was removed" in page.text
    assert [one for one in forms(page.text) if one.method == "post"] == []
    await opens_all(world, browser, page)


async def test_a_button_of_a_page_that_is_older_than_a_removal(world: World) -> None:
    await succeed(world)
    await world.store.connections.remove(world.connection_id)
    page = await (await world.browser(WRITE)).submit(f"{world.page}/retry")
    assert page.status == 404
    assert "its connection no longer exists" in page.text


async def test_a_commit_that_was_pushed_away_is_said(world: World) -> None:
    claimed = await world.store.extractions.claim("w", LEASE)
    assert claimed is not None
    gone = Problem("The commit does not exist", "GitHub no longer has this commit.", next_step="Later pushes are extracted automatically.")
    await world.store.extractions.finish(claimed.id, "w", "cancelled", [], problem=gone)
    page = await world.open(await world.browser(READ), world.page)
    for part in ("Cancelled", "GitHub no longer has this commit.", "Later pushes are extracted automatically."):
        assert part in page.text


@pytest.mark.parametrize(
    ("referer", "leads_to"),
    [
        ("{url}{page}?x=1", "{page}?x=1"),
        ("https://evil.example{page}", "/"),
        ("{url}//evil.example/", "/"),
        ("{url}.evil.example/", "/"),
        ("http://[", "/"),
        ("", "/"),
    ],
)
async def test_who_signs_in_after_a_button_comes_back_to_its_page(world: World, referer: str, leads_to: str) -> None:
    browser = await world.browser()
    places = {"url": world.url, "page": world.page}
    page = await browser.submit(f"{world.page}/cancel", {}, Referer=referer.format(**places))
    assert page.status == 401
    assert f'href="/sign-in?{urlencode({"next": leads_to.format(**places)})}"' in page.text


async def test_a_commit_whose_lineage_was_deleted_leads_to_those_that_are_stored(world: World) -> None:
    for sha in (OLD, NEW):
        await lineage_of(world, sha)
    await delete_lineage(world, OLD)
    browser, connection = await world.browser(READ), f"/connections/{world.connection_id}"
    for path in (f"nodes/model.shop.a?sha={OLD}", f"lineage?node=a&sha={OLD}", f"lineage?node=a&base={OLD}"):
        page = await world.open(browser, f"{connection}/{path}", 404)
        assert "it was deleted because of its age" in page.text
        assert "<p>No lineage of" in page.text
        assert any(NEW in link for link in own_links(page)), path
        await opens_all(world, browser, page)


async def test_a_commit_that_is_not_told_apart_can_be_chosen(world: World) -> None:
    for sha in ("1" * 40, "1" * 39 + "2"):
        await lineage_of(world, sha)
    browser = await world.browser(READ)
    page = await world.open(browser, f"/connections/{world.connection_id}/nodes/model.shop.a?sha=1111111", 400)
    assert "Several commits begin like this" in page.text
    await opens_all(world, browser, page)


async def test_without_any_lineage_an_old_address_says_so(world: World) -> None:
    page = await world.open(await world.browser(READ), f"/connections/{world.connection_id}/lineage?sha={OLD}", 404)
    assert "No lineage of this commit" in page.text
    assert "newest" not in page.text


async def test_older_extractions_are_those_of_the_same_commit_and_branch(world: World) -> None:
    for number in range(70):
        sha = f"{number % 2}" * 40
        await world.store.extractions.cancel(await world.store.extractions.enqueue(world.connection_id, f"b{number}", sha, "push"))
    browser = await world.browser(READ)
    page = await world.open(browser, f"/connections/{world.connection_id}?sha={NEW}")
    older = re.search(r'<a rel="next" href="([^"]+)"', page.text)
    assert older is not None
    rest = await world.open(browser, f"/connections/{world.connection_id}{unescape(older[1])}")
    table = rest.text.partition("<tbody>")[2]
    assert table.count('<th scope="row">') == 5
    assert "0000000" not in table
    assert f'name="sha" value="{NEW}"' in rest.text, "the form keeps it"


async def test_a_page_that_follows_an_extraction_says_that_it_was_deleted(world: World) -> None:
    browser = await world.browser(READ)
    headers = {"Accept": "text/event-stream", "Sec-Fetch-Site": "same-origin"}
    async with asyncio.timeout(HANGS_S), browser.session.get(f"{world.url}{world.page}/events", headers=headers) as response:
        await response.content.readuntil(b"\r\n\r\n")
        found: Extraction | None = await world.store.extractions.get(world.extraction_id)
        assert found is not None
        await world.store.installations.remove_repositories(found.repository.installation_id, [found.repository.id])
        rest = (await response.content.read()).decode()
    assert "event: end" in rest
    assert "This extraction was deleted" in rest
