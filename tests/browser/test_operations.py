"""An operator looks at the whole service: numbers, what they count, and that they stay current."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.chromium import LOOKS
from tests.browser.conftest import OPERATOR
from tests.browser.seeds import Seeds
from tests.browser.visits import Visit, Visits
from tests.patience import HANGS_S

LISTS = ("status=queued", "status=running", "status=failed&days=1", "")


async def operator(visits: Visits, look: str = "light") -> Visit:
    """A window of somebody who runs the service."""
    visit = await visits.begin(look)
    await visit.page.context.add_cookies([{"name": "user", "value": OPERATOR, "url": visits.github_url}])
    return visit


@pytest.mark.parametrize("look", LOOKS)
async def test_the_service_at_a_glance(visits: Visits, look: str) -> None:
    visit = await operator(visits, look)
    await visit.open("/operations", name="operations")
    assert "Queued" in await visit.text()
    for number, parameters in enumerate(LISTS):
        await visit.open(f"/operations/extractions?{parameters}", name=f"operations-extractions-{number}")
    for name in ("deliveries", "check-runs", "sessions"):
        await visit.open(f"/operations/{name}", name=f"operations-{name}")


async def test_from_a_number_to_a_failure(visits: Visits, seeds: Seeds) -> None:
    visit = await operator(visits)
    await visit.open("/operations")
    await visit.open("/")
    await visit.page.get_by_role("link", name="Operations").click()
    row = visit.page.get_by_role("row", name="does not exist")
    await row.get_by_role("link").first.click()
    await visit.shows("Extractions: failed in the last day")
    await visit.examine()
    commit = seeds.commits["failed"][:7]
    assert commit in await visit.text()
    await visit.page.get_by_role("link", name="Operations", exact=True).last.click()
    await visit.shows("Read at")


async def test_from_a_number_to_its_parts_on_the_page(visits: Visits) -> None:
    visit = await operator(visits, "phone")
    await visit.open("/operations")
    for name, part in (("Warm containers", "#containers"), ("Free on the work disk", "#disk"), ("Database", "#database")):
        figure = visit.page.locator(".figure").filter(has=visit.page.get_by_text(name, exact=True))
        await figure.get_by_role("link").click()
        await expect(visit.page.locator(part)).to_be_in_viewport(timeout=1000 * HANGS_S)


async def test_figures_stay_current_and_keep_the_focus(visits: Visits, seeds: Seeds) -> None:
    visit = await operator(visits)
    await visit.page.clock.install()
    await visit.open("/operations")
    await visit.page.locator("#figures a").first.focus()
    name = await visit.focused()
    [connection] = await seeds.store.connections.for_repository(seeds.parking.id)
    before = await visit.page.locator("#figures time").last.inner_text()
    found = await seeds.store.extractions.enqueue(connection.id, "try-figures", "e" * 40, "push")
    await seeds.store.extractions.cancel(found)
    figures = visit.page.locator("#figures time").last
    while await figures.inner_text() == before:
        async with visit.page.expect_response("**/operations/figures"):
            await visit.page.clock.run_for(6000)
    assert await visit.focused() == name
    await visit.page.get_by_role("button", name="Pause updates").click()
    await expect(visit.page.get_by_role("button", name="Resume updates")).to_be_visible(timeout=1000 * HANGS_S)


async def test_figures_that_are_not_current_say_so(visits: Visits) -> None:
    visit = await operator(visits)
    await visit.page.clock.install()
    await visit.open("/operations")
    await visit.page.route("**/operations/figures", lambda route: route.abort())
    await visit.page.clock.run_for(6000)
    await visit.shows("This is not current")
    await visit.page.unroute_all()
    await visit.page.clock.run_for(6000)
    await expect(visit.page.locator("#state")).to_have_text("", timeout=1000 * HANGS_S)


async def test_for_others_the_page_does_not_exist(visits: Visits) -> None:
    visit = await visits.begin()
    await visit.open("/operations", status=404)
    await visit.open("/")
    assert "Operations" not in await visit.text()
