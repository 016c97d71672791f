"""Every operation of the API: the routes and `/openapi.json` are two views of this table."""

from __future__ import annotations

from aiohttp.typedefs import Handler

from app.web.api import (
    badge,
    columns,
    connections,
    costs,
    diff,
    extractions,
    impact,
    layout,
    lineage,
    manifests,
    node_joins,
    nodes,
    notifications,
    organisation,
    quality,
    results,
    search,
    service,
    stats,
)
from app.web.api.operation import Operation


def operations(webhook: Handler) -> tuple[Operation, ...]:
    """All operations, including `webhook`, which receives GitHub's deliveries."""
    return (
        *service.operations(webhook),
        *connections.OPERATIONS,
        *lineage.operations(),
        *columns.operations(),
        *organisation.operations(),
        *search.OPERATIONS,
        *node_joins.OPERATIONS,
        *nodes.OPERATIONS,
        *manifests.operations(),
        *diff.operations(),
        *impact.operations(),
        *quality.OPERATIONS,
        *results.operations(),
        *layout.operations(),
        *extractions.OPERATIONS,
        *notifications.OPERATIONS,
        *stats.OPERATIONS,
        *costs.OPERATIONS,
        *badge.OPERATIONS,
    )
