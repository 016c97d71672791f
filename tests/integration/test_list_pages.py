"""The pages of repositories and connections, and the buttons of extractions: what they say, and who may press what."""

from __future__ import annotations

import re
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from app.core.models.extractions import Problem
from app.core.models.github import Repository
from app.store import Store
from app.web.pages import repositories
from tests.html_forms import Page, forms
from tests.integration.page_world import READ, STRANGER, WRITE, World, running

ELSEWHERE = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}


@pytest_asyncio.fixture
async def world(store: Store, dsn: str) -> AsyncIterator[World]:
    async with running(store, dsn) as world:
        yield world


async def another(world: World, name: str, *, private: bool = False, head: str | None = None) -> str:
    """Follow one more repository; its connection."""
    hosted = await world.github.create_repository(f"octo/{name}", {"dbt_project.yml": b"name: x\n"}, private=private)
    installation = (await world.store.connections.get(world.connection_id)).repository.installation_id  # type: ignore[union-attr]
    await world.store.installations.update_from_push(Repository(hosted.id, f"octo/{name}", installation, "main", private=private))
    connection = await world.store.connections.create(hosted.id, "")
    if head:
        await world.store.connections.move_head(connection.id, head)
    return connection.id


def listed(page: Page) -> list[str]:
    return re.findall(r'<th scope="row"><a href="[^"]+">octo/([^<]+)</a>', page.text)


async def test_people_see_the_repositories_that_github_shows_them(world: World) -> None:
    await another(world, "open")
    await another(world, "secret", private=True)
    for role, expected in ((STRANGER, ["open"]), (READ, ["open", "shop"]), (WRITE, ["open", "shop"])):
        page = await world.open(await world.browser(role), "/")
        assert listed(page) == expected, role
        assert "secret" not in page.text
        assert f"{len(expected)} connection" in page.text, "nor may numbers tell of others"
    assert "octo/" not in (await world.open(await world.browser(), "/")).text


async def test_the_list_is_searched_filtered_and_sorted(world: World) -> None:
    failing = await another(world, "alpha", head="b" * 40)
    extraction_id = await world.store.extractions.enqueue(failing, "main", "b" * 40, "push")
    await world.store.extractions.cancel(world.extraction_id)
    claimed = await world.store.extractions.claim("w", timedelta(minutes=1))
    assert claimed is not None
    assert claimed.id == extraction_id
    await world.store.extractions.finish(claimed.id, "w", "failed", [], problem=Problem("dbt <could> not parse", "Because."))
    browser = await world.browser(READ)
    assert listed(await world.open(browser, "/?q=HA")) == ["alpha"]
    assert listed(await world.open(browser, "/?q=%25")) == [], "no pattern"
    page = await world.open(browser, "/?state=failed")
    assert listed(page) == ["alpha"]
    assert "dbt &lt;could&gt; not parse" in page.text
    assert listed(await world.open(browser, "/?sort=state")) == ["alpha", "shop"]
    assert listed(await world.open(browser, "/?owner=nobody")) == []
    assert listed(await world.open(browser, "/?q=&owner=&state=")) == ["alpha", "shop"], "a form sends what is empty, too"
    await world.open(browser, "/?state=broken", 400)
    assert listed(await world.open(browser, "/?page=99")) == ["alpha", "shop"]


async def test_a_long_list_is_read_in_parts_and_ordered_in_a_thread(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(23):
        await another(world, f"z{number:02}", head="b" * 40 if number % 2 else None)
    monkeypatch.setattr(repositories, "PART", 5)
    monkeypatch.setattr(repositories, "ROWS", 7)
    page, listing = world.store.connections.page, repositories._listing
    limits, threads = [], []

    async def counted(**wanted: Any) -> Any:
        limits.append(wanted["limit"])
        return await page(**wanted)

    def noted(*values: Any) -> Any:
        threads.append(threading.get_ident())
        return listing(*values)

    monkeypatch.setattr(world.store.connections, "page", counted)
    monkeypatch.setattr(repositories, "_listing", noted)
    browser = await world.browser(READ)
    limits.clear()
    threads.clear()
    first = await world.open(browser, "/?sort=state")
    assert limits == [5] * 5, "24 connections: the last part is not full"
    assert threading.get_ident() not in threads
    assert "24 connections" in first.text
    names = [name for number in range(1, 5) for name in listed(await world.open(browser, f"/?sort=state&page={number}"))]
    late, never = (
        [name for name in names if name[1:].isdigit() and int(name[1:]) % 2],
        ["shop", *(f"z{number:02}" for number in range(0, 23, 2))],
    )
    assert (late, sorted(names)) == (sorted(late), sorted([*late, *never]))
    assert len(names) == len({*names}) == 24
    monkeypatch.setattr(repositories, "MOST", 12)
    cut = await world.open(browser, "/")
    assert "12 connections" in cut.text
    assert "These are the first 12 by name" in cut.text


async def test_only_who_may_push_gets_buttons_and_only_from_our_pages(world: World) -> None:
    connection, extraction = f"/connections/{world.connection_id}", world.page
    reader, pusher = await world.browser(READ), await world.browser(WRITE)
    assert [one.action for one in forms((await world.open(reader, connection)).text) if one.method == "post"] == []
    assert [one.action for one in forms((await world.open(reader, extraction)).text) if one.method == "post"] == []
    for path in (f"{connection}/extract", f"{extraction}/cancel", f"{extraction}/retry"):
        assert (await reader.submit(path)).status == 403
        assert (await pusher.submit(path, {}, **ELSEWHERE)).status == 403
        assert (await (await world.browser(STRANGER)).submit(path)).status == 404
        assert (await (await world.browser()).submit(path)).status == 401
    [button] = [one for one in forms((await world.open(pusher, extraction)).text) if one.method == "post"]
    assert (await pusher.submit(button.action)).headers["Location"] == extraction
    assert (await world.store.extractions.get(world.extraction_id)).status == "cancelled"  # type: ignore[union-attr]
    [button] = [one for one in forms((await world.open(pusher, extraction)).text) if one.method == "post"]
    again = (await pusher.submit(button.action)).headers["Location"]
    assert again.startswith("/extractions/")
    assert again != extraction
    [button] = [one for one in forms((await world.open(pusher, connection)).text) if one.method == "post"]
    queued = await pusher.submit(button.action)
    assert queued.status == 303, queued.text


async def test_a_chart_has_room_for_twenty_extractions_or_more(world: World) -> None:
    for number, width in ((2, 200), (21, 230)):
        for _ in range(number):
            claimed = await world.store.extractions.claim("w", timedelta(minutes=1))
            assert claimed is not None
            await world.store.extractions.finish(claimed.id, "w", "failed", [], problem=Problem("No", "."))
            await world.store.extractions.enqueue(world.connection_id, "main", claimed.sha, "push", forced=True)
        page = await world.open(await world.browser(READ), f"/connections/{world.connection_id}")
        assert f'viewBox="0 0 {width} 100"' in page.text


async def test_the_history_of_a_connection(world: World) -> None:
    for number in range(35):
        await world.store.extractions.enqueue(world.connection_id, "side", f"{number:040x}", "push")
    browser = await world.browser(READ)
    page = await world.open(browser, f"/connections/{world.connection_id}?branch=side")
    assert page.text.count('<span class="note">side</span>') == 30
    older = re.search(r'<a rel="next" href="(\?[^"]+)"', page.text)
    assert older is not None
    rest = await world.open(browser, f"/connections/{world.connection_id}{older[1].replace('&amp;', '&')}")
    assert rest.text.count('<span class="note">side</span>') == 5
    assert "No extraction of this branch" in (await world.open(browser, f"/connections/{world.connection_id}?branch=none")).text
    await world.open(browser, f"/connections/{world.connection_id}?cursor=x", 400)
