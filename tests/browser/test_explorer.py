"""The explorer, as people use it: by mouse, keyboard and in words. Each window's `Watch` is a part of every test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.chromium import LOOKS
from tests.browser.explorer_steps import PATIENCE_MS, Explorer
from tests.browser.seeds import Seeds
from tests.browser.visits import Visits

FOCUS = "int_rentals_priced"
AROUND = ["bike_models", "bikes", "rentals", "stg_bikes", "stg_rentals", "tariffs"]
SCALE = "() => new DOMMatrix(document.querySelector('#drawing .stage').style.transform).a"
DRAWN = "() => Number(document.getElementById('drawing').dataset.drawn) > 0"


@pytest_asyncio.fixture
async def path(seeds: Seeds) -> str:
    [connection] = await seeds.store.connections.for_repository(seeds.bikes.id)
    return f"/connections/{connection.id}/lineage"


@pytest_asyncio.fixture
async def explorer(visits: Visits, path: str) -> Explorer:
    return Explorer(await visits.begin(), path)


@pytest.mark.parametrize("look", LOOKS)
async def test_all_states_in_all_looks(visits: Visits, path: str, seeds: Seeds, look: str) -> None:
    explorer = Explorer(await visits.begin(look), path)
    await explorer.open(name="explorer")
    await explorer.open({"node": FOCUS}, name="explorer-focus")
    await explorer.open({"node": "stg_rentals", "column": "started_at"}, name="explorer-column")
    await explorer.open({"node": "bike_profitability", "column": "profit_eur"}, name="explorer-column-up")
    await explorer.open({"base": seeds.commits["first"]}, name="explorer-base")
    await explorer.open({"node": "station_balance", "base": seeds.commits["first"]}, name="explorer-focus-base")
    await explorer.open({"node": "int_rental_priced"}, status=404, name="explorer-candidates")
    assert FOCUS in await explorer.visit.text()


async def test_from_everything_to_a_node_and_back(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open()
    await page.wait_for_function(DRAWN)
    drawing = page.locator("#drawing")
    box = await drawing.bounding_box()
    assert box is not None
    for x in range(int(box["x"]) + 20, int(box["x"] + box["width"]), 40):
        await page.mouse.move(x, box["y"] + box["height"] / 2)
        if await page.locator(".tip:visible").count():
            break
    name = (await page.locator(".tip").inner_text()).partition(" (")[0]
    await page.mouse.down()
    await page.mouse.up()
    await explorer.titled(name)
    assert name in await explorer.names()
    assert await page.locator("#drawing a:focus .name").inner_text() == name
    await explorer.visit.examine()
    await page.go_back()
    await explorer.titled("Lineage")
    assert await page.locator("#drawing .tiles").count() == 1
    await page.go_forward()
    await explorer.titled(name)


async def test_drags_move_the_drawing_and_click_nothing(explorer: Explorer) -> None:
    await explorer.open({"node": FOCUS})
    page, node = explorer.page, explorer.node("fct_rentals")
    before = await node.bounding_box()
    assert before is not None
    await page.mouse.move(before["x"] + 60, before["y"] + 10)
    await page.mouse.down()
    await page.mouse.move(before["x"] + 20, before["y"] + 50, steps=4)
    await page.mouse.up()
    after = await node.bounding_box()
    assert after is not None
    assert (round(after["x"] - before["x"]), round(after["y"] - before["y"])) == (-40, 40)
    assert "selected" not in str(await node.get_attribute("class"))
    assert page.url.endswith(f"node={FOCUS}")


async def test_more_neighbours_on_demand(explorer: Explorer) -> None:
    await explorer.open({"node": FOCUS})
    before = await explorer.names()
    assert "dim_bikes" not in before
    await explorer.node("stg_bikes").get_by_role("button", name="Show 2 more downstream").click()
    await expect(explorer.node("dim_bikes")).to_be_attached(timeout=PATIENCE_MS)
    await explorer.drawn()
    await explorer.on("stg_bikes")
    assert {*before} < {*await explorer.names()}
    assert "expand=model.kingfisher.stg_bikes%2B" in explorer.page.url
    await explorer.visit.examine()
    await explorer.page.reload()
    await explorer.drawn()
    assert "dim_bikes" in await explorer.names()
    await explorer.page.go_back()
    await expect(explorer.node("dim_bikes")).to_have_count(0, timeout=PATIENCE_MS)
    assert await explorer.names() == before


async def test_columns_open_by_button_and_key(explorer: Explorer) -> None:
    await explorer.open({"node": FOCUS})
    node = explorer.node("stg_rentals")
    await node.get_by_role("button", name="Show the columns of stg_rentals").click()
    await expect(node.locator(".node-columns button")).to_have_count(8, timeout=PATIENCE_MS)
    await explorer.on("stg_rentals")
    await explorer.visit.examine()
    await explorer.press("c")
    await expect(node.locator(".node-columns")).to_have_count(0)
    await explorer.on("stg_rentals")
    await explorer.press("c")
    await explorer.said("8 columns of stg_rentals")
    await explorer.press("ArrowRight")
    await explorer.on(FOCUS)


async def test_a_column_is_lit_from_its_source_to_exposures(explorer: Explorer) -> None:
    await explorer.open({"node": "stg_rentals", "depth": "1"})
    assert "morning_round" not in await explorer.names()
    await explorer.page.locator("#panel").get_by_role("button", name="started_at", exact=True).click()
    await explorer.said("started_at of stg_rentals:")
    await explorer.drawn()
    lit = await explorer.page.locator("#drawing .node:not(.dim) .name").all_inner_texts()
    assert {"rentals", "stg_rentals", FOCUS, "fct_rentals", "station_balance", "morning_round"} <= {*lit}
    assert await explorer.page.locator("#drawing .column-wire").count() >= 4
    pressed = explorer.page.locator("#panel button[aria-pressed=true]")
    await expect(pressed).to_have_text(["started_at"])
    await expect(pressed).to_be_focused()
    await explorer.visit.examine("explorer-lit")
    await explorer.page.reload()
    await explorer.drawn()
    assert {*lit} == {*await explorer.page.locator("#drawing .node:not(.dim) .name").all_inner_texts()}
    await pressed.click()
    await expect(explorer.page.locator("#drawing .node.dim")).to_have_count(0, timeout=PATIENCE_MS)


async def test_a_column_that_is_not_there_leaves_the_drawing(visits: Visits, path: str) -> None:
    explorer = Explorer(await visits.begin(), path)
    await explorer.open({"node": FOCUS, "column": "price"})
    assert FOCUS in await explorer.names()
    await explorer.page.locator("#panel .warning").get_by_role("link", name="price_eur").click()
    await explorer.said("price_eur of int_rentals_priced")
    forget(explorer, "columns?node")


async def test_arrow_keys_follow_edges_and_enter_draws_around(explorer: Explorer) -> None:
    await explorer.open({"node": FOCUS})
    await explorer.page.locator("#drawing a[tabindex='0']").focus()
    await explorer.on(FOCUS)
    await explorer.press("ArrowLeft")
    await explorer.on("stg_bikes")
    await explorer.said("stg_bikes, model, 1 upstream, 3 downstream")
    await explorer.press("ArrowLeft")
    await explorer.on("bikes")
    await explorer.press("ArrowDown")
    await explorer.on("rentals")
    await explorer.press("Home", "ArrowRight")
    await explorer.on("fct_rentals")
    await explorer.press("Home", "ArrowLeft", "Enter")
    await explorer.titled("stg_bikes")
    await explorer.on("stg_bikes")
    assert "node=model.kingfisher.stg_bikes" in explorer.page.url
    await explorer.press("0", "+", "-")
    await explorer.visit.examine()
    await explorer.page.go_back()
    await explorer.titled(FOCUS)
    await explorer.page.locator("#tools [type=search]").fill("fct_ren")
    await expect(explorer.page.get_by_role("option").first).to_contain_text("fct_rentals", timeout=PATIENCE_MS)


async def test_the_tree_by_keyboard(explorer: Explorer) -> None:
    await explorer.open({"node": FOCUS})
    page = explorer.page
    tree = page.get_by_role("tree")
    first = tree.get_by_role("treeitem").first
    assert await first.get_attribute("aria-level") == "1"
    await first.focus()
    await explorer.press("ArrowDown")
    item = page.locator("[role=treeitem]:focus")
    assert await item.get_attribute("aria-label") == "stg_bikes, model, 2 more downstream"
    levels = [await item.get_attribute(f"aria-{name}") for name in ("level", "posinset", "setsize", "expanded")]
    assert levels == ["2", "1", "4", "true"]
    await explorer.press("ArrowLeft")
    assert await item.get_attribute("aria-expanded") == "false"
    await explorer.press("ArrowDown")
    assert str(await item.get_attribute("aria-label")).startswith("stg_rentals, model")
    await explorer.press("ArrowUp", "ArrowRight", "ArrowRight")
    assert await item.get_attribute("aria-label") == "bikes, source"
    await explorer.visit.examine()
    await explorer.press("Enter")
    await explorer.titled("bikes")
    await explorer.press("End")


async def test_two_commits(explorer: Explorer, seeds: Seeds) -> None:
    await explorer.open({"base": seeds.commits["first"], "node": "station_balance"})
    await expect(explorer.node("station_balance")).to_have_class(re.compile("added"))
    await expect(explorer.node("morning_round")).to_have_class(re.compile("changed"))
    assert "1 added" in await explorer.visit.text()
    await explorer.open({"base": seeds.commits["first"]})
    rows = {(await row.inner_text()).split("\t")[0] for row in await explorer.page.locator(".list tbody tr").all()}
    assert {"station_balance added", "station_daily removed", "morning_round changed"} <= rows
    await explorer.page.get_by_role("link", name="station_daily").click()
    await explorer.titled("station_daily")
    await expect(explorer.node("station_daily")).to_have_class(re.compile("removed"))


async def test_descriptions_in_the_panel_have_code(explorer: Explorer) -> None:
    await explorer.open({"node": "dim_bikes"})
    columns = explorer.page.locator("#panel .column-list")
    await expect(columns.locator("code").first).to_be_attached(timeout=PATIENCE_MS)
    assert "`" not in await columns.inner_text()


async def test_filters_by_form(explorer: Explorer) -> None:
    await explorer.open()
    page = explorer.page
    await page.get_by_text("Kinds of nodes").click()
    await explorer.visit.examine()
    await page.get_by_role("checkbox", name="sources").check()
    await page.get_by_role("checkbox", name="seeds").check()
    await page.get_by_role("button", name="Apply").click()
    await page.wait_for_url("**resource_type=**")
    await explorer.drawn()
    await expect(page.locator("ul.legend li:not(.note)")).to_have_text(["3 seeds", "6 sources"])
    await page.locator("#tools [type=search]").fill("stg_bikes")
    await explorer.press("Enter")
    await explorer.titled("stg_bikes")
    assert await explorer.names() == ["bikes", "stg_bikes"]
    await page.get_by_label("Hops").fill("0")
    await page.get_by_role("button", name="Apply").click()
    await page.wait_for_url("**depth=0**")
    await explorer.drawn()
    assert await explorer.names() == ["stg_bikes"]


async def test_a_folder_is_emphasised(explorer: Explorer) -> None:
    await explorer.open()
    await explorer.page.wait_for_function(DRAWN)
    before = await explorer.page.locator("#drawing").get_attribute("data-drawn")
    await explorer.page.get_by_label("Folder or package").select_option(label="models/staging")
    await explorer.page.wait_for_function(f"() => document.getElementById('drawing').dataset.drawn > {before}")


async def test_pictures(explorer: Explorer, tmp_path: Path) -> None:
    await explorer.open({"node": f"1+{FOCUS}"})
    for action, first in ((("link", "SVG"), b"<svg"), (("button", "PNG"), b"\x89PNG")):
        async with explorer.page.expect_download() as caught:
            await explorer.page.get_by_role(action[0], name=action[1]).click()  # type: ignore[arg-type]
        download = await caught.value
        assert download.suggested_filename == f"lineage.{action[1].lower()}"
        await download.save_as(tmp_path / "picture")
        content = (tmp_path / "picture").read_bytes()
        assert content.startswith(first)
        assert action[1] == "PNG" or (b"stg_bikes" in content and b"fct_rentals" not in content)


async def test_graph_operators_set_the_hops(explorer: Explorer) -> None:
    await explorer.open({"node": f"2+{FOCUS}"})
    assert await explorer.names() == sorted([*AROUND, FOCUS])
    assert await explorer.page.get_by_label("Hops").count() == 0
    assert await explorer.page.locator("#tools [type=search]").input_value() == f"2+{FOCUS}"
    await explorer.open({"node": f"{FOCUS}+1", "depth": "4"})
    assert "depth" not in explorer.page.url
    assert await explorer.names() == ["dim_customers", "fct_rentals", "int_bike_usage", FOCUS, "station_balance"]
    await explorer.open("node=stg_rentals+1")
    assert await explorer.names() == [FOCUS, "stg_rentals"]


async def test_what_does_not_exist_leads_to_what_does(explorer: Explorer) -> None:
    await explorer.open({"node": "station_balanse"}, status=404)
    await explorer.page.get_by_role("link", name="model.kingfisher.station_balance").click()
    await explorer.titled("station_balance")
    await explorer.open({"node": "rentals", "resource_type": "metric"}, status=400)
    assert "Several nodes have this name" in await explorer.visit.text()
    await explorer.open({"node": "@fct_rentals"}, status=400)
    assert "has the operator @" in await explorer.visit.text()
    await explorer.open({"sha": "f" * 40}, status=404)
    assert "No lineage of" in await explorer.visit.text()


async def test_an_ended_session_is_said(explorer: Explorer, seeds: Seeds) -> None:
    await explorer.open({"node": FOCUS})
    await explorer.page.locator("#drawing a[tabindex='0']").focus()
    await explorer.page.context.clear_cookies()
    await explorer.press("ArrowLeft", "Enter")
    warning = explorer.page.locator("#drawing .warning")
    await expect(warning).to_contain_text("Sign in", timeout=PATIENCE_MS)
    await expect(warning).to_be_focused()
    forget(explorer, "/api/metadata/")
    await warning.get_by_role("link").click()
    await explorer.titled("stg_bikes")


async def test_only_the_last_of_quick_clicks_counts(explorer: Explorer) -> None:
    await explorer.open({"node": FOCUS})
    for name in ("stg_bikes", "fct_rentals", "stg_rentals", "int_bike_usage"):
        await explorer.node(name).locator("a").dispatch_event("dblclick")
    await explorer.titled("int_bike_usage")
    await explorer.page.wait_for_load_state("networkidle")
    assert await explorer.page.locator("#drawing .node.focus .name").inner_text() == "int_bike_usage"
    assert await explorer.page.locator("#panel h2").inner_text() == "int_bike_usage"
    assert "Page of int_bike_usage" in await explorer.visit.text()


async def test_the_wheel_scrolls_the_page_where_the_drawing_has_nothing_more(explorer: Explorer) -> None:
    await explorer.open({"node": FOCUS, "depth": "0"})
    page = explorer.page
    box = await page.locator("#drawing").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + 100, box["y"] + 100)
    await page.mouse.wheel(0, 300)
    await page.wait_for_function("() => scrollY > 0")


async def test_without_javascript_everything_is_there_in_words(visits: Visits, path: str) -> None:
    explorer = Explorer(await visits.begin("plain"), path)
    await explorer.open({"node": FOCUS})
    assert not await explorer.page.get_by_role("button", name="PNG").is_visible(), "it does nothing without JavaScript"
    text = await explorer.visit.text()
    assert "4 upstream" in text
    assert "stg_bikes, model, 2 more downstream" in text
    await explorer.page.get_by_role("link", name="stg_bikes").first.click()
    assert await explorer.page.locator("h1").inner_text() == "stg_bikes"
    await explorer.page.locator("#tools [type=search]").fill("tariffs")
    await explorer.press("Enter")
    await expect(explorer.page.locator("h1")).to_have_text("tariffs")


async def test_two_fingers_scale_the_drawing(explorer: Explorer) -> None:
    await explorer.open({"node": FOCUS})
    page = explorer.page
    devtools = await page.context.new_cdp_session(page)
    box = await page.locator("#drawing").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + 60

    async def touch(kind: str, *away: int) -> None:
        points = [{"x": x + one, "y": y, "id": number} for number, one in enumerate(away)]
        await devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    before = await page.evaluate(SCALE)
    await touch("touchStart", -20)
    await touch("touchStart", -20, 20)
    for away in (30, 45, 60):
        await touch("touchMove", -away, away)
    await touch("touchEnd")
    assert await page.evaluate(SCALE) > 1.5 * before


async def test_text_of_twice_the_size(visits: Visits, path: str) -> None:
    explorer = Explorer(await visits.begin(), path)
    await explorer.open({"node": FOCUS})
    await explorer.page.evaluate("() => { document.documentElement.style.fontSize = '200%'; }")
    await explorer.visit.examine("explorer-large-text")


def forget(explorer: Explorer, what: str) -> None:
    """Answers with an error status that a test is about."""
    findings = explorer.visit.watch.findings
    findings[:] = [one for one in findings if not (one.startswith("status: 4") and what in one)]


async def test_projects_beside_this_one_are_in_the_panel(explorer: Explorer) -> None:
    far = {"connection_id": "c2", "repository": "acme/bi", "unique_id": "source.bi.raw.rentals", "name": "rentals", "certain": False}
    await explorer.page.route("**/joins", lambda route: route.fulfill(json={"made_by": [], "read_by": [far], "projects": 1, "cut": False}))
    await explorer.open({"node": FOCUS})
    joins = explorer.page.locator("#panel .joins")
    await expect(joins).to_contain_text("Read by 1 project", timeout=PATIENCE_MS)
    await expect(joins).to_contain_text("rentals in acme/bi, perhaps")
    link = await joins.locator("a").get_attribute("href")
    assert link == "/connections/c2/lineage?node=source.bi.raw.rentals"
