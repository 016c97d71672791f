"""The explorer with lineages that are empty, enormous or made by somebody hostile, at a service whose pages are open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID

import orjson
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from app.core.models.github import Repository
from app.lineage.nodes import Lineage, Node
from app.store import Store, pool
from tests.browser.conftest import NO_ENGINE
from tests.browser.explorer_steps import PATIENCE_MS, Explorer
from tests.browser.visits import Visits
from tests.double import GitHubDouble
from tests.integration.columns_world import storable
from tests.integration.lineage_reader import SHAS, save_lineage
from tests.postgres import database
from tests.service import serving

PROJECT = "name: shop\nversion: '1.0'\nprofile: shop\n"
EVIL = "\"'><img src=x onerror=alert(1)>\u202egnp.exe\n<script>alert(2)</script>{{7*7}}\\"
LONG = "n" * 10_000
HUB = "model.shop.hub"
LONGEST = [f"{number:02}{'ü' * 440}" for number in range(12)]
"""Names of the greatest length that is read."""
MAX_ID = 1000
"""Characters of a node that has columns."""
READERS, OPENED, COLUMNS = 5_000, 290, 500


@dataclass
class Odd:
    """A service, and the paths of its explorers by what is odd about them."""

    url: str
    github_url: str
    paths: dict[str, str]
    store: Store


def node(name: str, *upstream: str, kind: str = "model", **more: Any) -> Node:
    unique_id = f"{kind}.shop.{name}"
    content = {"unique_id": unique_id, "resource_type": kind, "name": name, "package_name": "shop", "description": "", "tags": [], **more}
    return Node(unique_id, kind, name, "shop", orjson.dumps(content), tuple(sorted(upstream)), b"")


def _below(name: str) -> Node:
    return node(f"below_{name[:2]}", f"model.shop.{name}")


def lineages() -> dict[str, tuple[list[Node], int]]:
    """Nodes, and how many columns each has."""
    evil: dict[str, Any] = {
        "owner": EVIL,
        "tags": [EVIL],
        "description": EVIL,
        "original_file_path": f"models/{EVIL}/{EVIL}.sql",
        "materialized": EVIL,
    }
    return {
        "empty": ([], 0),
        "single": ([node("only")], 1),
        "hostile": ([node(EVIL, **evil), node("victim", f"model.shop.{EVIL}", **evil), node(LONG, "model.shop.victim")], 1),
        "long": ([node("hub"), *(node(name, "model.shop.hub") for name in LONGEST), *(_below(name) for name in LONGEST)], 0),
        "hub": ([node("hub"), *(node(f"reader_{number:04}", HUB) for number in range(READERS))], 0),
        "wide": ([node("hub"), *(node(f"reader_{number:04}", HUB, columns=[{"name": "a"}]) for number in range(OPENED))], COLUMNS),
    }


@pytest_asyncio.fixture(scope="module")
async def odd(browser: Browser, postgres: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Odd]:
    async with GitHubDouble() as github, database(postgres) as dsn, pool.connect(dsn) as db:
        store, paths = Store(db), {}
        files = {f"{name}/dbt_project.yml": PROJECT for name in lineages()}
        repository = await github.create_repository("acme/odd", dict(files))
        installation = await github.install("acme")
        await store.installations.update_from_push(Repository(repository.id, "acme/odd", installation.id, "main"))
        for name, (nodes, columns) in lineages().items():
            connection = await store.connections.create(repository.id, name)
            ordered = sorted(nodes, key=lambda one: one.unique_id)
            named = [[EVIL if name == "hostile" else f"column_{number}", "text"] for number in range(columns)]
            wanted = [one.unique_id for one in ordered if columns and len(one.unique_id) < MAX_ID]
            found = storable(*({"unique_id": one, "status": "exact", "columns": named, "edges": []} for one in wanted))
            lineage = Lineage("shop", "1.11.16", "duckdb", "v12", tuple(ordered))
            if name == "hub":
                await save_lineage(store, connection.id, SHAS[2], lineage)
            await save_lineage(store, connection.id, SHAS[1], lineage, found if wanted else None)
            paths[name] = f"/connections/{connection.id}/lineage"
        await db.execute("UPDATE check_runs SET sent = revision")
        directory = tmp_path_factory.mktemp("odd")
        async with serving(github, directory / "data", with_client=False, DATABASE_URL=dsn, **NO_ENGINE) as service:
            yield Odd(service.url, github.server_url, paths, store)


@pytest_asyncio.fixture
async def visits(browser: Browser, odd: Odd) -> AsyncIterator[Visits]:
    async with AsyncExitStack() as stack:
        made = Visits(browser, odd.url, odd.github_url, stack)
        yield made
        assert made.findings == []


async def test_nothing_and_a_single_node(visits: Visits, odd: Odd) -> None:
    for name, nodes in (("empty", "0 nodes"), ("single", "1 node")):
        explorer = Explorer(await visits.begin("phone"), odd.paths[name])
        await explorer.open()
        assert nodes in await explorer.visit.text()
        await explorer.page.locator("#drawing").focus()
        await explorer.press("ArrowLeft", "+", "-", "0")
    await explorer.open({"node": "only"})
    await explorer.page.locator("#drawing a[tabindex='0']").focus()
    await explorer.press("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "c")
    await explorer.on("only")


@pytest.mark.parametrize("look", ["light", "phone-dark", "plain"])
async def test_hostile_names_are_only_names(visits: Visits, odd: Odd, look: str) -> None:
    explorer = Explorer(await visits.begin(look), odd.paths["hostile"])
    dialogs: list[str] = []
    explorer.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    await explorer.open()
    await explorer.open({"node": "victim"})
    assert await explorer.page.locator("main img, main script").count() == 0
    assert "\u202e" not in await explorer.page.inner_text("body")
    if look != "plain":
        await explorer.page.locator("#drawing a[tabindex='0']").focus()
        await explorer.press("ArrowLeft", "c")
        await expect(explorer.page.locator("#drawing .node-columns button")).to_have_count(1, timeout=PATIENCE_MS)
        await explorer.page.locator("#drawing .node-columns button").click()
        await explorer.drawn()
        await explorer.visit.examine()
    assert dialogs == []


async def test_a_node_with_thousands_of_neighbours(visits: Visits, odd: Odd) -> None:
    explorer = Explorer(await visits.begin(), odd.paths["hub"])
    await explorer.open()
    await explorer.open({"node": "hub"})
    assert await explorer.page.locator("#drawing .node").count() == 300
    assert "There are more nodes than are drawn" in await explorer.visit.text()
    await explorer.node("hub").get_by_role("button", name="Show 4701 more downstream").click()
    await explorer.said("No more nodes can be drawn")


async def test_the_longest_names_can_be_expanded(visits: Visits, odd: Odd) -> None:
    explorer = Explorer(await visits.begin(), odd.paths["long"])
    await explorer.open({"node": "hub", "depth": "1"})
    for name in LONGEST:
        await explorer.node(name).get_by_role("button", name="Show 1 more downstream").dispatch_event("click")
        await explorer.drawn()
        await expect(explorer.node(f"below_{name[:2]}")).to_be_attached(timeout=PATIENCE_MS)
    assert "below_00" not in await explorer.names(), "the first expansions gave way: an address has an end"
    await explorer.open({"node": f"model.shop.{LONGEST[0]}"})
    response = await explorer.page.goto(explorer.path.replace("lineage", f"nodes/{quote(f'model.shop.{LONGEST[0]}')}"))
    assert response is not None
    assert response.status == 200
    await explorer.visit.examine()


async def test_a_commit_that_is_deleted_while_somebody_looks(visits: Visits, odd: Odd) -> None:
    explorer = Explorer(await visits.begin(), odd.paths["hub"])
    connection_id = odd.paths["hub"].split("/")[2]
    await explorer.open({"node": "reader_0001", "sha": SHAS[2]})
    await odd.store._db.execute("DELETE FROM lineages WHERE connection_id = $1 AND sha = $2", UUID(connection_id), SHAS[2])
    await explorer.node("hub").locator("a").dispatch_event("dblclick")
    warning = explorer.page.locator("#drawing .warning")
    await expect(warning).to_contain_text("it was deleted because of its age", timeout=PATIENCE_MS)
    await explorer.page.locator("#drawing").get_by_role("link", name=SHAS[1]).click()
    await explorer.titled("hub")
    findings = explorer.visit.watch.findings
    findings[:] = [one for one in findings if not one.startswith("status: 404")]


async def test_hundreds_of_nodes_with_hundreds_of_columns(visits: Visits, odd: Odd) -> None:
    explorer = Explorer(await visits.begin(), odd.paths["wide"])
    await explorer.open({"node": "hub"})
    await explorer.page.evaluate("() => { for (const one of document.querySelectorAll('#drawing button.columns')) one.click(); }")
    rows = explorer.page.locator("#drawing .node-columns li")
    await expect(rows).to_have_count(OPENED * 40, timeout=PATIENCE_MS)
    # What gets the focus without arrow keys, from a screen reader or by Tab, is shown too, in its place.
    last = explorer.page.locator("#drawing .node > a").last
    name = await last.locator(".name").inner_text()
    await last.evaluate("e => e.focus()")
    await explorer.on(name)
    await expect(explorer.page.locator("#drawing")).to_have_js_property("scrollTop", 0)

    # So is what the keyboard leads to, if the page was scrolled meanwhile.
    await explorer.page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
    await explorer.press("Home")
    await explorer.on("hub")
