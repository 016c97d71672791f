"""What people do on pages: from a check run to its page, by keyboard, and while something happens."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

from playwright.async_api import expect

from app.core.models.extractions import Problem, StageTime
from tests.browser.conftest import PERSON
from tests.browser.seeds import CLAIM, Seeds
from tests.browser.visits import Visits


async def test_a_check_run_leads_to_its_page(visits: Visits, seeds: Seeds) -> None:
    run = await seeds.github.wait_for_check_run(seeds.bikes, seeds.commits["breaking"])
    visit = await visits.begin()
    await visit.open(str(run.details_url))
    assert run.title
    assert run.title in await visit.text()


async def test_the_keyboard_reaches_everything_and_shows_where_it_is(visits: Visits, seeds: Seeds) -> None:
    visit = await visits.begin()
    await visit.open(seeds.page("breaking"))
    await visit.page.keyboard.press("Tab")
    assert await visit.focused() == "Skip to the content"
    await visit.page.keyboard.press("Enter")
    assert await visit.page.evaluate("() => document.activeElement.localName") == "main"
    await visit.page.goto("/docs")
    links = await visit.page.locator("a[href]:visible, button:visible, summary:visible, input:visible").count()
    reached = [""]
    for _ in range(min(links, 25)):
        await visit.page.keyboard.press("Tab")
        reached.append(await visit.focused())
    assert all(one != other for one, other in pairwise(reached)), "each press goes on"


async def test_a_page_follows_its_extraction(visits: Visits, seeds: Seeds) -> None:
    visit, extractions, claim = await visits.begin(), seeds.store.extractions, f"{CLAIM}/live"
    await visit.open(seeds.page("live"))
    await visit.page.get_by_role("button", name="Cancel").focus()
    began = StageTime("cloning", datetime.now(UTC))
    assert await extractions.enter_stage(seeds.extractions["live"], claim, "cloning", [began])
    await visit.shows("Fetch the commit")
    assert await visit.page.evaluate("() => document.activeElement.textContent") == "Cancel", "an update takes no focus away"
    await visit.examine("extraction-live")
    assert await extractions.finish(seeds.extractions["live"], claim, "failed", [began], problem=Problem("It broke", "Nobody knows why."))
    await visit.shows("Nobody knows why.")
    await visit.examine()


async def test_somebody_signs_in_and_out_with_buttons(visits: Visits, seeds: Seeds) -> None:
    visit, other = await visits.begin(), await visits.begin("phone-dark")
    await visit.open("/", name="signed-out")
    await visit.page.get_by_role("link", name="Sign in with GitHub").click()
    await visit.shows(f"Sign out {PERSON}")
    await other.open(seeds.page("failed"))
    await visit.open("/sign-out", name="sign-out")
    await visit.page.get_by_role("button", name="Sign out everywhere").click()
    await visit.shows("Sign in with GitHub")
    assert await visit.page.context.cookies() == []
    assert await seeds.store._db.value("SELECT count(*) FROM sessions WHERE login = $1", PERSON) == 0
    seeds.github.state.denies.add(PERSON)
    try:
        await other.open(seeds.page("failed"), status=403, name="sign-in-denied")
    finally:
        seeds.github.state.denies.clear()
    await other.page.get_by_role("link", name="Sign in with GitHub").last.click()
    await other.shows("which was not found")


async def test_a_page_of_what_one_may_not_see_is_the_page_of_what_does_not_exist(visits: Visits, seeds: Seeds) -> None:
    before = seeds.github.state.person
    seeds.github.sign_in("stranger", {})
    try:
        visit = await visits.begin()
        await visit.open(seeds.page("failed"), status=404, name="hidden")
        assert "acme" not in await visit.text()
    finally:
        seeds.github.state.person = before


async def test_repositories_are_found_while_one_types(visits: Visits, seeds: Seeds) -> None:
    visit = await visits.begin()
    await visit.open(seeds.connection())
    await visit.open("/")
    await visit.page.get_by_label("Name or project").press_sequentially("park")
    await expect(visit.page.locator("#results tbody tr")).to_have_count(1)
    await visit.examine()
    await visit.page.get_by_role("link", name="acme/parking").first.click()
    await visit.shows("ref() points to a model that does not exist")
    await visit.examine()


async def test_who_may_push_has_buttons_that_work(visits: Visits, seeds: Seeds) -> None:
    visit = await visits.begin("phone")
    await visit.open(seeds.page("cancel"))
    await visit.page.get_by_role("button", name="Cancel").click()
    await visit.shows("cancelled")
    await visit.page.get_by_role("button", name="Extract again").click()
    await visit.shows("queued")
    await visit.examine()
    assert seeds.extractions["cancel"] not in visit.page.url
