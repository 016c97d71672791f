"""The quality of a connection in a browser: what was found opens, and leads to the nodes."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.seeds import Seeds
from tests.browser.visits import Visits


@pytest.mark.parametrize("look", ["light", "phone-dark"])
async def test_findings_open_and_lead_to_their_nodes(visits: Visits, seeds: Seeds, look: str) -> None:
    visit = await visits.begin(look)
    await visit.open(seeds.connection("parking"))
    for summary in await visit.page.locator("section:has(#quality) summary").all():
        await summary.click()
    await visit.examine("connection-findings")
    link = visit.page.locator("section:has(#quality) details a").first
    await expect(link).to_be_visible()
    name = await link.inner_text()
    await link.click()
    await visit.examine()
    assert name in await visit.page.title()
