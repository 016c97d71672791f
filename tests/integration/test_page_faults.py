"""Addresses, projects and lists that pages have to survive, and must not tell of."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from app.core.models.github import Repository
from app.store import Store
from tests.integration.lineage_reader import save
from tests.integration.page_world import READ, SERVICE, World, running
from tests.integration.search_world import catch_up

NODES = {"model.shop.a": [], "model.shop.b": ["model.shop.a"]}


@pytest_asyncio.fixture
async def world(store: Store, dsn: str) -> AsyncIterator[World]:
    async with running(store, dsn) as world:
        await store.extractions.cancel(world.extraction_id)
        yield world


async def test_an_expansion_that_is_gone_is_left_out(world: World) -> None:
    await save(world.store, world.connection_id, "1" * 40, NODES)
    browser, lineage = await world.browser(READ), f"/connections/{world.connection_id}/lineage"
    page = await world.open(browser, f"{lineage}?node=a&depth=1&expand=gone%2B")
    assert page.url.endswith("?node=a&depth=1")
    await world.open(browser, f"{lineage}?node=a&expand={'x' * 1001}", 400)


async def test_a_node_of_a_connection_without_a_lineage(world: World) -> None:
    page = await world.open(await world.browser(READ), f"/connections/{world.connection_id}/nodes/a")
    assert "No lineage yet" in page.text


async def test_a_project_cannot_make_a_page_of_folders(world: World) -> None:
    await save(world.store, world.connection_id, "1" * 40, {f"model.p{number}.a": [] for number in range(1_200)})
    page = await world.open(await world.browser(READ), f"/connections/{world.connection_id}/lineage")
    assert page.text.count("<option value=") < 1_100


async def test_names_of_any_length_make_no_huge_page(world: World) -> None:
    long: dict[str, list[str]] = {f"source.shop.raw.{number}{'x' * 20_000}": [] for number in range(110)}
    await save(world.store, world.connection_id, "1" * 40, {**long, "model.shop.a": sorted(long)})
    browser = await world.browser(READ)
    for path in ("nodes/a", "lineage?node=a", "lineage"):
        page = await world.open(browser, f"/connections/{world.connection_id}/{path}")
        assert len(page.text) < 1_000_000, path


@pytest.mark.parametrize("query", ["", "sort=state", "state=never", "q=octo", "owner=octo", "page=2"])
async def test_without_a_list_of_githubs_nothing_tells_of_other_repositories(
    world: World, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    browser = await world.browser(READ)
    alone = await world.open(browser, f"/?{query}")
    await follow_secrets(world, 60)
    monkeypatch.setattr("app.github.access.queries.MAX_LISTED", 0)
    world.forget_answers()
    page = await world.open(browser, f"/?{query}")
    told = page.text.partition('<p class="summary"')[2].partition("</p>")[0]
    assert told == alone.text.partition('<p class="summary"')[2].partition("</p>")[0]
    assert "octo/shop" in page.text
    assert "acme" not in page.text
    assert "of what matches, only the first 200" in page.text


async def test_pages_of_the_api_tell_nothing_of_other_repositories(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await follow_secrets(world, 20)
    monkeypatch.setattr("app.github.access.queries.MAX_LISTED", 0)
    token = world.github.classic_token(READ, {world.hosted: "pull"})
    browser = await world.browser()

    async def ask(query: str) -> dict[str, object]:
        path = f"{world.url}/api/metadata/connections?{query}"
        async with browser.session.get(path, headers={"Authorization": f"Bearer {token}"}) as response:
            found = await response.json()
            assert response.status == 200, found
            return dict(found)

    for query in ("owner=acme&limit=1", "q=secret&limit=1", "owner=nobody&limit=1"):
        assert await ask(query) == {"items": [], "next_cursor": None}
    found = await ask("limit=1")
    assert [one["repository"] for one in found["items"]] == ["octo/shop"]  # type: ignore[attr-defined]
    monkeypatch.setattr("app.web.api.visible.MOST_ASKED", 10)
    cursor, seen = "", []
    for _ in range(10):
        found = await ask(f"limit=5{cursor}")
        seen += [one["repository"] for one in found["items"]]  # type: ignore[attr-defined]
        if found["next_cursor"] is None:
            break
        assert b"acme" not in base64.urlsafe_b64decode(str(found["next_cursor"]))
        cursor = f"&cursor={found['next_cursor']}"
    assert seen == ["octo/shop"]


async def test_a_search_tells_nothing_of_what_is_in_other_repositories(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await follow_secrets(world, 1)
    [secret] = await world.store.connections.page(owner="acme", repository=None, q=None, after=None, limit=2)
    await save(world.store, secret.id, "1" * 40, {"model.acme.merger": [], "model.acme.merger_costs": []})
    await save(world.store, world.connection_id, "2" * 40, NODES | {"model.shop.orders": []})
    token = world.github.classic_token(READ, {world.hosted: "pull"})
    browser = await world.browser()

    async def ask(query: str, token: str = token) -> dict[str, object]:
        path = f"{world.url}/api/metadata/search?{query}"
        async with browser.session.get(path, headers={"Authorization": f"Bearer {token}"}) as response:
            return dict(await response.json())

    await catch_up(world.store)
    assert len((await ask("q=merger", SERVICE))["items"]) == 2  # type: ignore[arg-type]
    assert [one["name"] for one in (await ask("q=orders"))["items"]] == ["orders"]  # type: ignore[attr-defined]
    monkeypatch.setattr("app.github.access.queries.MAX_LISTED", 0)
    world.forget_answers()
    assert await ask("q=merger&limit=1") == await ask("q=nothing&limit=1")
    found = await ask(f"q=orders&connection={world.connection_id}")
    assert [one["name"] for one in found["items"]] == ["orders"]  # type: ignore[attr-defined]


async def follow_secrets(world: World, number: int) -> None:
    """Follow private repositories that come first in the list, and that the reader cannot read."""
    connection = await world.store.connections.get(world.connection_id)
    assert connection is not None
    for index in range(number):
        name = f"acme/secret-{index}"
        made = Repository(9_000 + index, name, connection.repository.installation_id, "main", private=True)
        await world.store.installations.update_from_push(made)
        await world.store.connections.create(made.id, "")


async def test_somebody_who_may_not_press_a_button_is_told_so_as_a_person(world: World) -> None:
    page = await (await world.browser(READ)).submit(f"/connections/{world.connection_id}/extract")
    assert page.status == 403
    assert "On GitHub, you may read octo/shop, but not push to it." in page.text
    assert "token" not in page.text
