"""The page of a node in a browser: every kind of node, as different people see it."""

from __future__ import annotations

import pytest

from tests.browser.chromium import LOOKS
from tests.browser.seeds import Seeds
from tests.browser.visits import Visit, Visits

SHOWN = ("fct_rentals", "dim_bikes")


async def pages(visit: Visit, seeds: Seeds) -> dict[str, str]:
    """One node of each type that the project has, by type."""
    [connection] = await seeds.store.connections.for_repository(seeds.bikes.id)
    head = await seeds.store.lineages.head(connection.id)
    assert head is not None
    graph = await seeds.store.lineage_cache.get(head)
    assert graph is not None
    found = {node.resource_type: f"/connections/{connection.id}/nodes/{node.unique_id}" for node in graph.nodes}
    return {**found, **{node.name: f"/connections/{connection.id}/nodes/{node.unique_id}" for node in graph.nodes if node.name in SHOWN}}


@pytest.mark.parametrize("look", LOOKS)
async def test_nodes_of_every_type(visits: Visits, seeds: Seeds, look: str) -> None:
    visit = await visits.begin(look)
    for name, path in (await pages(visit, seeds)).items():
        await visit.open(path, name=f"node-{name}")


async def test_what_is_shown_can_be_copied(visits: Visits, seeds: Seeds) -> None:
    visit = await visits.begin()
    await visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await visit.open((await pages(visit, seeds))["fct_rentals"])
    await visit.page.get_by_role("button", name="Copy link as Markdown").click()
    await visit.shows("Copied")
    copied = await visit.page.evaluate("() => navigator.clipboard.readText()")
    assert copied.startswith("[fct_rentals](http")
    await visit.page.get_by_role("button", name="Copy code").click()
    assert "ref(" in await visit.page.evaluate("() => navigator.clipboard.readText()")


async def test_a_node_leads_to_its_neighbours_by_its_code(visits: Visits, seeds: Seeds) -> None:
    visit = await visits.begin("plain")
    await visit.open((await pages(visit, seeds))["fct_rentals"])
    link = visit.page.locator("pre.code a").first
    target = (await link.inner_text()).split("'")[1]
    await link.click()
    await visit.examine()
    assert target in await visit.page.title()
