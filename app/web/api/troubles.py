"""Where dbt's own runs failed or warned: in a few words for each node of a lineage, for drawings and lists."""

from __future__ import annotations

from collections import Counter

from app.lineage.graph import Graph
from app.lineage.run_results import verdict
from app.reports.result_words import trouble, trouble_of_tests
from app.store import Store
from app.web.api.node_results import TESTS

MAX_TROUBLES = 2_000
"""Results that failed or warned; more are not marked."""


async def troubles(store: Store, connection_id: str, graph: Graph) -> dict[str, str]:
    """What went wrong last at nodes of the connection, by unique_id: in their own run, and in the tests on them."""
    found = await store.node_results.failed(connection_id, MAX_TROUBLES)
    of_tests: dict[int, Counter[str]] = {}
    words: dict[str, list[str]] = {}
    for unique_id, status in found:
        if (position := graph.position(unique_id)) is None:
            continue
        if said := trouble(unique_id, status):
            words[unique_id] = [said]
        for parent in graph.parents[position] if graph.nodes[position].resource_type in TESTS else ():
            of_tests.setdefault(parent, Counter())[verdict(status)] += 1
    for parent, counts in of_tests.items():
        if said := trouble_of_tests(counts["failed"], counts["warned"]):
            words.setdefault(graph.nodes[parent].unique_id, []).append(said)
    return {unique_id: ", ".join(parts) for unique_id, parts in words.items()}
