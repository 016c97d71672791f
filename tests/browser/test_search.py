"""Search in the header of every page, by keyboard and as one types."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.visits import Visit, Visits
from tests.patience import HANGS_S

SOON_MS = 1000 * HANGS_S


async def test_results_without_javascript(visits: Visits) -> None:
    visit = await visits.begin("plain")
    await visit.open("/search")
    assert "Type words of names" in await visit.text()
    await visit.open("/search?q=station+type%3Amodel", name="search")
    links = visit.page.locator(".results h2 a")
    assert await links.count() > 1
    assert "/nodes/model." in (await links.first.get_attribute("href") or "")
    await visit.page.locator("#site-search").fill("rentals")
    await visit.page.keyboard.press("Enter")
    await visit.page.wait_for_url("**/search?q=rentals")
    await expect(visit.page.locator("#site-search")).to_have_value("rentals")
    await visit.open("/search?q=xylophone")
    assert "Nothing that you may see" in await visit.text()
    await visit.open("/search?q=kind%3Amodel", status=400)
    assert "unknown filter" in await visit.text()


async def test_every_result_is_on_some_page(visits: Visits) -> None:
    visit = await visits.begin("plain")
    await visit.open("/search?q=path%3Amodels&limit=3")
    found = await _addresses(visit)
    while await visit.page.get_by_role("link", name="More results").count():
        await visit.page.get_by_role("link", name="More results").click()
        found += await _addresses(visit)
    assert len(found) == len(set(found)) > 3


async def _addresses(visit: Visit) -> list[str]:
    return [await link.get_attribute("href") or "" for link in await visit.page.locator(".results h2 a").all()]


async def test_the_keyboard_finds_and_opens_a_node(visits: Visits) -> None:
    for look in ("light", "phone-dark"):
        visit = await visits.begin(look)
        await visit.open("/search")
        await visit.open("/docs" if look == "light" else "/")
        await visit.page.keyboard.press("/")
        field = visit.page.get_by_role("combobox", name="Search nodes and columns")
        await expect(field).to_be_focused()
        await visit.page.keyboard.type("stat rent")
        results = visit.page.get_by_role("listbox", name="Results")
        await expect(results.get_by_role("option").first).to_be_visible(timeout=SOON_MS)
        await visit.examine("search-as-you-type")
        await visit.page.keyboard.press("ArrowDown")
        option = results.get_by_role("option", selected=True)
        await expect(option).to_have_id(await field.get_attribute("aria-activedescendant") or "")
        address = await option.get_attribute("data-address")
        assert address is not None
        assert "/nodes/" in address
        await visit.page.keyboard.press("ArrowUp")
        await expect(option).to_have_count(0)
        await visit.page.keyboard.press("Escape")
        await expect(results).to_be_hidden()
        await expect(field).to_have_attribute("aria-expanded", "false")
        await visit.page.keyboard.press("Enter")
        await visit.page.wait_for_url("**/search?q=stat+rent")
        await visit.examine()


async def test_the_explorer_is_led_to_the_node(visits: Visits) -> None:
    visit = await visits.begin()
    await visit.open("/search?q=fct_rentals")
    connection = (await _addresses(visit))[0].partition("/nodes/")[0]
    await visit.open(f"{connection}/lineage?node=fct_rentals")
    await visit.page.get_by_label("Node", exact=True).fill("stations")
    results = visit.page.get_by_role("listbox", name="Results")
    await expect(results.get_by_role("option").first).to_be_visible(timeout=SOON_MS)
    await visit.page.keyboard.press("ArrowDown")
    await visit.page.keyboard.press("Enter")
    await visit.page.wait_for_url(f"**{connection}/lineage?node=*stations*")


async def test_a_slash_in_a_field_is_a_slash(visits: Visits) -> None:
    visit = await visits.begin()
    await visit.open("/search")
    field = visit.page.locator("#site-search")
    await field.focus()
    await visit.page.keyboard.type("a/b")
    await expect(field).to_have_value("a/b")


async def test_before_signing_in_nothing_is_asked(visits: Visits) -> None:
    visit = await visits.begin()
    await visit.open("/docs")
    await visit.page.keyboard.press("/")
    await expect(visit.page.locator("#site-search")).to_be_focused()
    await visit.page.keyboard.type("rentals")
    await visit.page.keyboard.press("Enter")
    await visit.page.wait_for_url("**/search?q=rentals")
    assert await visit.page.locator(".results h2").count()
