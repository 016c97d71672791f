"""Every page, as different people see it. Each window's `Watch` is most of the test."""

from __future__ import annotations

import pytest

from tests.browser.chromium import LOOKS
from tests.browser.seeds import Seeds
from tests.browser.visits import Visits

NOBODY = "/extractions/00000000-0000-0000-0000-000000000000"
EXTRACTIONS = ("first", "changed", "carried", "breaking", "failed", "cancelled", "superseded", "running", "queued")
WORDS = {
    "first": "this is the first lineage of the project",
    "changed": "station_balance",
    "carried": "reused its lineage and dbt did not run",
    "breaking": "What breaks int_rentals_priced",
    "failed": "depends on a node named 'places' which was not found",
}


@pytest.mark.parametrize("look", LOOKS)
async def test_all_pages(visits: Visits, seeds: Seeds, look: str) -> None:
    visit = await visits.begin(look)
    await visit.open("/", name="signed-out")
    await visit.open("/docs", name="docs")
    for repository in ("bikes", "parking"):
        await visit.open(seeds.connection(repository), name=f"connection-{repository}")
    await visit.open("/", name="repositories")
    await visit.open("/?q=nothing-like-it", name="repositories-none")
    await visit.open("/setup", name="app-status")
    await visit.open("/nothing", status=404, name="not-found")
    await visit.open(NOBODY, status=404)
    for name in EXTRACTIONS:
        await visit.open(seeds.page(name), name=f"extraction-{name}")


async def test_pages_are_readable_without_javascript(visits: Visits, seeds: Seeds) -> None:
    visit = await visits.begin("plain")
    for name, words in WORDS.items():
        await visit.open(seeds.page(name))
        assert words in await visit.text()


async def test_nothing_moves_for_who_wants_it_still(visits: Visits, seeds: Seeds) -> None:
    visit = await visits.begin("still")
    for path in ("/", seeds.page("running"), seeds.page("breaking")):
        await visit.open(path)
        assert await visit.page.evaluate("() => document.getAnimations().length") == 0
