"""Two tabs of one person: what is done in one shows in the other, or is said there."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.browser.seeds import Seeds
from tests.browser.visits import Visits
from tests.patience import HANGS_S

PATIENCE_MS = 1000 * HANGS_S


async def queued(seeds: Seeds, sha: str) -> str:
    """The path of an extraction that nobody begins."""
    [connection] = await seeds.store.connections.for_repository(seeds.parking.id)
    made = await seeds.store.extractions.enqueue(connection.id, f"two-{sha[0]}", sha, "push")
    await seeds.store._db.execute("UPDATE extractions SET due_at = now() + interval '12 hours' WHERE status = 'queued'")
    return f"/extractions/{made}"


async def press(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name).click()


async def test_what_one_tab_does_the_other_shows(visits: Visits, seeds: Seeds) -> None:
    visit, path = await visits.begin(), await queued(seeds, "7" * 40)
    await visit.open(path)
    other = await visit.page.context.new_page()
    await other.goto(path)
    await press(visit.page, "Cancel")
    await expect(other.locator("h1")).to_have_text("Cancelled", timeout=PATIENCE_MS)
    await press(other, "Extract again")
    await expect(other.locator("h1")).to_have_text("Queued", timeout=PATIENCE_MS)
    await press(visit.page, "Extract again")
    await expect(visit.page.locator("h1")).to_have_text("Queued", timeout=PATIENCE_MS)
    assert visit.page.url == other.url, "twice the same is done once"
    await press(other, "Cancel")
    await expect(visit.page.locator("h1")).to_have_text("Cancelled", timeout=PATIENCE_MS)


@pytest.mark.parametrize("look", ["light", "phone"])
async def test_a_button_after_signing_out_in_the_other_tab_leads_through_sign_in_and_back(visits: Visits, seeds: Seeds, look: str) -> None:
    visit, path = await visits.begin(look), await queued(seeds, "8" * 40)
    await visit.open(path)
    other = await visit.page.context.new_page()
    await other.goto("/sign-out")
    await other.get_by_role("button", name="Sign out", exact=True).click()
    await expect(other.get_by_role("link", name="Sign in with GitHub")).to_be_visible(timeout=PATIENCE_MS)
    await press(visit.page, "Cancel")
    await visit.shows("Sign-in required")
    await visit.examine()
    await visit.page.get_by_role("link", name="Sign in with GitHub").click()
    await expect(visit.page.locator("h1")).to_have_text("Queued", timeout=PATIENCE_MS)
    assert visit.page.url.endswith(path)
    await press(visit.page, "Cancel")
    await expect(visit.page.locator("h1")).to_have_text("Cancelled", timeout=PATIENCE_MS)
