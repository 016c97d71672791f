"""What dbt's own runs add to the document of one node: its last result, and those of its tests."""

from __future__ import annotations

from typing import Any

from app.core.models.connections import Connection
from app.lineage.graph import Graph
from app.lineage.run_results import Verdict, verdict
from app.store import Store
from app.store.node_results import StoredResult
from app.web.api.schemas.results import NodeResultView

TESTS = frozenset({"test", "unit_test"})
MAX_TESTS = 100
READ_TESTS = 1_000
"""Tests of a node whose results are read."""
_ORDER: dict[Verdict, int] = {"failed": 0, "warned": 1, "skipped": 2, "passed": 3}


async def results_at(store: Store, connection: Connection, graph: Graph, position: int) -> dict[str, Any]:
    """The fields about results."""
    node = graph.nodes[position].unique_id
    tests = [graph.nodes[one].unique_id for one in graph.children(position) if graph.nodes[one].resource_type in TESTS][:READ_TESTS]
    found = await store.node_results.of_nodes(connection.id, [node, *tests])
    of_tests = sorted((found[one] for one in tests if one in found), key=_place)
    return {
        "last_result": NodeResultView.of(found[node]).model_dump() if node in found else None,
        "test_results": [NodeResultView.of(one).model_dump() for one in of_tests[:MAX_TESTS]],
    }


def _place(result: StoredResult) -> tuple[int, str]:
    return _ORDER[verdict(result.status)], result.unique_id
