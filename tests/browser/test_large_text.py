"""Text of twice the size, in a window and on a phone: nothing is wider than the window."""

from __future__ import annotations

import pytest

from tests.browser.seeds import Seeds
from tests.browser.test_operations import LISTS, operator
from tests.browser.visits import Visit, Visits

LARGE = "() => { document.documentElement.style.fontSize = '200%'; }"
NODE = "nodes/model.kingfisher.station_balance"


async def opened_large(visit: Visit, path: str, name: str) -> None:
    """Open a page, and examine it with large text."""
    await visit.page.goto(path)
    await visit.page.evaluate(LARGE)
    await visit.examine(f"{name}-large")


@pytest.mark.parametrize("look", ["light", "phone"])
async def test_pages_with_text_of_twice_the_size(visits: Visits, seeds: Seeds, look: str) -> None:
    visit = await visits.begin(look)
    connection = seeds.connection("bikes")
    pages = {
        "repositories": "/",
        "docs": "/docs",
        "app-status": "/setup",
        "not-found": "/nothing",
        "search": "/search?q=rentals",
        "connection": connection,
        "lineage": f"{connection}/lineage",
        "explorer": f"{connection}/lineage?node=station_balance",
        "missing": f"{connection}/lineage?node=station_balanse",
        "node": f"{connection}/{NODE}",
        "extraction": seeds.page("breaking"),
        "failed": seeds.page("failed"),
    }
    for name, path in pages.items():
        await opened_large(visit, path, name)


@pytest.mark.parametrize("look", ["light", "phone"])
async def test_operations_with_text_of_twice_the_size(visits: Visits, look: str) -> None:
    visit = await operator(visits, look)
    for path in (
        "/operations",
        *(f"/operations/extractions?{one}" for one in LISTS),
        "/operations/deliveries",
        "/operations/check-runs",
        "/operations/sessions",
    ):
        await opened_large(visit, path, "operations")
