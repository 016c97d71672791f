"""The lineage explorer, as a drawing and in words."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.chromium import LOOKS
from tests.browser.seeds import Seeds
from tests.browser.visits import Visits

VIEWS = {
    "everything": "",
    "compared": "?sha={changed}&base={first}",
    "node": "?node=fct_rentals",
    "column": "?node=bike_profitability&column=profit_eur",
    "edited": "?node=station_balance&sha={changed}&base={first}",
    "nowhere": "?node=nothing_like_it",
}
STATUSES = {"nowhere": 404}


@pytest.mark.parametrize("look", LOOKS)
async def test_all_views(visits: Visits, seeds: Seeds, look: str) -> None:
    visit = await visits.begin(look)
    for name, query in VIEWS.items():
        path = seeds.connection(rest=f"/lineage{query.format(**seeds.commits)}")
        await visit.open(path, status=STATUSES.get(name, 200), name=f"explorer-{name}")


async def test_arrow_keys_follow_edges_and_enter_draws_around_a_node(visits: Visits, seeds: Seeds) -> None:
    visit = await visits.begin()
    await visit.open(seeds.connection(rest="/lineage?node=fct_rentals"))
    page, spoken = visit.page, visit.page.locator("#spoken")
    await page.locator("#drawing .node.selected a").focus()
    await page.keyboard.press("ArrowLeft")
    name = (await visit.focused()).partition("\n")[0]
    assert name != "fct_rentals"
    await expect(spoken).to_contain_text(f"{name}, ")
    await page.keyboard.press("Home")
    await page.keyboard.press("ArrowRight")
    chosen = (await page.locator("#panel h2").inner_text()).strip()
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text(chosen)
    assert "node=" in page.url
    await visit.examine()
    await page.go_back()
    await expect(page.locator("h1")).to_have_text("fct_rentals")


async def test_a_column_is_lit_to_its_sources_and_its_address_can_be_sent(visits: Visits, seeds: Seeds) -> None:
    visit, other = await visits.begin("dark"), await visits.begin("phone")
    await visit.open(seeds.connection(rest="/lineage?node=bike_profitability"))
    await visit.page.locator("#panel").get_by_role("button", name="profit_eur").click()
    await expect(visit.page.locator("#spoken")).to_contain_text("profit_eur of bike_profitability")
    await visit.examine("explorer-followed")
    assert "column=profit_eur" in visit.page.url
    await other.open(visit.page.url)
    await expect(other.page.locator(".node-columns .followed")).to_have_text("profit_eur")
    lit = await other.page.locator(".node:not(.dim) .name").all_inner_texts()
    assert {"bike_profitability", "int_repair_costs", "stg_repairs", "repairs"} <= {*lit}


async def test_the_tree_is_a_single_stop_with_arrow_keys_within(visits: Visits, seeds: Seeds) -> None:
    visit = await visits.begin()
    await visit.open(seeds.connection(rest="/lineage?node=fct_rentals"))
    await visit.page.locator("[role=tree] [tabindex='0']").focus()
    for key in ("ArrowDown", "ArrowRight"):
        await visit.page.keyboard.press(key)
    assert await visit.focused()
    below = await visit.page.evaluate("() => document.activeElement.querySelector(':scope > a').textContent.match(/\\w+/)[0]")
    await visit.page.keyboard.press("Enter")
    await expect(visit.page.locator("h1")).to_have_text(below)


async def test_more_neighbours_come_one_by_one(visits: Visits, seeds: Seeds) -> None:
    visit = await visits.begin()
    await visit.open(seeds.connection(rest="/lineage?node=fct_rentals&depth=1"))
    before = await visit.page.locator(".node").count()
    await visit.page.locator("button.more").first.click()
    await expect(visit.page.locator(".node")).not_to_have_count(before)
    await visit.examine()
    assert "expand=" in visit.page.url


async def test_a_name_that_no_node_has_leads_to_similar_ones(visits: Visits, seeds: Seeds) -> None:
    visit = await visits.begin("plain")
    await visit.open(seeds.connection(rest="/lineage?node=fct_rental"), status=404, name="explorer-missing")
    await visit.page.get_by_role("link", name="model.kingfisher.fct_rentals").click()
    await expect(visit.page.locator("h1")).to_have_text("fct_rentals")
    assert not await visit.page.get_by_role("button", name="PNG").is_visible(), "it does nothing without JavaScript"
    await visit.open(seeds.connection(rest="/lineage?node=rentals&sha={changed}".format(**seeds.commits)), status=400)
    assert "Several nodes have this name" in await visit.text()
