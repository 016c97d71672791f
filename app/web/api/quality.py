"""The quality of a commit: read from its nodes, without keeping them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from app.core.errors import UnavailableError
from app.core.models.connections import Connection
from app.lineage import quality
from app.lineage.quality import GroupedBy, NodeQuality
from app.store.lineages import CommitQuality, LineageHead
from app.web.api.call import Call
from app.web.api.lineage import TRIES, stored
from app.web.api.operation import API, Operation
from app.web.api.schemas.quality import (
    CommitScore,
    GroupQuality,
    QualityChanges,
    QualityChangeView,
    QualityQuery,
    QualityView,
    counts_view,
)

TREND = 60
"""Commits."""
GROUPS = 100
CHANGES = 50


async def get_quality(call: Call[QualityQuery, None]) -> QualityView:
    """The quality of the connection's lineage, or of that of `sha`."""
    for _ in range(TRIES):
        connection = await call.connection()
        head = await stored(call.store, connection, call.query.sha)
        trend = await call.store.lineages.quality(connection.id, head.branch, TREND)
        base = await _base(call, connection, head, trend)
        nodes = await call.store.lineage_cache.quality(head)
        before = None if base is None else await call.store.lineage_cache.quality(base)
        if nodes is not None and (base is None or before is not None):
            return await call.store.lineage_cache.compute(lambda: _view(connection, head, nodes, trend, base, before))  # noqa: B023
    raise UnavailableError("reading the quality of a commit", "it keeps being extracted again", "Try again in a moment.")


async def _base(
    call: Call[QualityQuery, None], connection: Connection, head: LineageHead, trend: Sequence[CommitQuality]
) -> LineageHead | None:
    if call.query.base is not None:
        return await stored(call.store, connection, call.query.base, "base")
    older = next((one.sha for one in trend if one.extracted_at < head.extracted_at), None)
    return None if older is None else await call.store.lineages.head(connection.id, older)


def _view(
    connection: Connection,
    head: LineageHead,
    nodes: Sequence[NodeQuality],
    trend: Sequence[CommitQuality],
    base: LineageHead | None,
    before: Sequence[NodeQuality] | None,
) -> QualityView:
    own = quality.own(nodes, head.project_name)
    counts = quality.total(own)
    return QualityView(
        connection_id=connection.id,
        sha=head.sha,
        branch=head.branch,
        extracted_at=head.extracted_at,
        score=quality.score(counts),
        counts=counts_view(counts),
        packages=_groups(nodes, "package"),
        folders=_groups(own, "folder"),
        groups=_groups(own, "group"),
        owners=_groups(own, "owner"),
        trend=[CommitScore(sha=one.sha, extracted_at=one.extracted_at, score=quality.score(one.counts)) for one in reversed(trend)],
        changes=None if base is None or before is None else _changes(base, quality.own(before, base.project_name), own),
    )


def _groups(nodes: Sequence[NodeQuality], by: GroupedBy) -> list[GroupQuality]:
    return [GroupQuality.of(name, members) for name, members in islice(quality.grouped(nodes, by).items(), GROUPS)]


def _changes(base: LineageHead, before: Sequence[NodeQuality], after: Sequence[NodeQuality]) -> QualityChanges:
    found = quality.changes(before, after)
    listed = [QualityChangeView(unique_id=one.unique_id, dimension=one.dimension, missing=one.missing) for one in found[:CHANGES]]
    return QualityChanges(base=base.sha, score=quality.score(quality.total(before)), items=listed, more=len(found) - len(listed))


OPERATIONS = (
    Operation(
        method="GET",
        path=f"{API}/connections/{{id}}/quality",
        id="get_quality",
        handler=get_quality,
        summary="Get the quality of a commit: descriptions, tests, keys, owners, freshness checks and contracts, a score, its trend",
        tag="lineage",
        query=QualityQuery,
        response=QualityView,
        problems={404: "It does not exist, the token may not see it, or the lineage of `sha` or `base` is not stored (see `field`)"},
        right="read",
    ),
)
