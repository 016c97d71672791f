"""The quality of a commit, as it is stored with its lineage; what changed since another one is read from the nodes that differ."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from app.core.errors import UnavailableError
from app.core.models.connections import Connection
from app.core.models.quality import QualitySettings
from app.lineage.quality import differences
from app.lineage.quality.counts import score
from app.lineage.quality.differences import WEIGHED
from app.lineage.quality.tallies import QualityTally, tally
from app.store import Store
from app.store.lineages import LineageHead
from app.store.quality import CommitQuality, StoredQuality
from app.web.api.call import Call
from app.web.api.lineage import TRIES, is_known, stored, validators
from app.web.api.operation import API, NOT_MODIFIED, Operation
from app.web.api.schemas.quality import (
    CommitScore,
    GroupQuality,
    QualityChanges,
    QualityChangeView,
    QualityQuery,
    QualityView,
    counts_view,
    findings_view,
)

TREND = 60
"""Commits."""
VERSION = 1
"""Of the response. Changing it makes all that clients keep outdated."""


async def get_quality(call: Call[QualityQuery, None]) -> web.Response:
    """The quality of the connection's lineage, or of that of `sha`; or 304."""
    for _ in range(TRIES):
        connection = await call.connection()
        head = await stored(call.store, connection, call.query.sha)
        trend = await call.store.quality.trend(connection.id, head.branch, TREND)
        base = await _base(call, connection, head, trend)
        headers = validators(VERSION, connection.id, head, base, [(one.sha, one.extracted_at) for one in trend])
        if is_known(call.request, headers["ETag"]):
            return web.Response(status=304, headers=headers)
        view = await _view(call.store, connection, head, trend, base)
        if view is not None:
            return web.Response(text=view.model_dump_json(), headers=headers, content_type="application/json")
    raise UnavailableError("reading the quality of a commit", "it keeps being extracted again", "Try again in a moment.")


async def _base(
    call: Call[QualityQuery, None], connection: Connection, head: LineageHead, trend: Sequence[CommitQuality]
) -> LineageHead | None:
    if call.query.base is not None:
        return await stored(call.store, connection, call.query.base, "base")
    older = next((one.sha for one in trend if one.extracted_at < head.extracted_at), None)
    return None if older is None else await call.store.lineages.head(connection.id, older)


async def _view(
    store: Store, connection: Connection, head: LineageHead, trend: Sequence[CommitQuality], base: LineageHead | None
) -> QualityView | None:
    """None if a lineage was replaced or removed meanwhile."""
    kept = await store.quality.get(head)
    counted = None if kept is None else await _counted(store, head, kept)
    if kept is None or counted is None:
        return None
    findings = kept.findings or await store.lineage_cache.findings(head, kept.settings)
    if findings is None:
        return None
    changes = None
    if base is not None and (changes := await _changes(store, base, head, kept.settings)) is None:
        return None
    groups = {by: [GroupQuality.of(one, kept.settings) for one in found] for by, found in counted.groups.items()}
    return QualityView(
        connection_id=connection.id,
        sha=head.sha,
        branch=head.branch,
        extracted_at=head.extracted_at,
        score=score(counted.counts, kept.settings),
        counts=counts_view(counted.counts, kept.settings),
        packages=groups.get("package", []),
        folders=groups.get("folder", []),
        groups=groups.get("group", []),
        owners=groups.get("owner", []),
        trend=[CommitScore(sha=one.sha, extracted_at=one.extracted_at, score=score(one.counts, kept.settings)) for one in reversed(trend)],
        changes=changes,
        findings=findings_view(findings),
        relationships=findings.relationships,
        inherited_descriptions=findings.inherited_descriptions,
    )


async def _counted(store: Store, head: LineageHead, kept: StoredQuality) -> QualityTally | None:
    """What is stored. Of a commit of an earlier release, all nodes are counted now."""
    if kept.counts is not None and kept.groups is not None:
        return QualityTally(dict(kept.counts), kept.groups)
    nodes = await store.lineage_cache.quality(head)
    return None if nodes is None else await store.lineage_cache.compute(lambda: tally(nodes, head.project_name, kept.settings))


async def _changes(store: Store, base: LineageHead, head: LineageHead, settings: QualitySettings) -> QualityChanges | None:
    found = await store.lineage_cache.quality_changes(base, head, settings)
    graph = await store.lineage_cache.get(head)
    before = await store.quality.get(base)
    if found is None or graph is None or before is None:
        return None
    counted = await _counted(store, base, before)
    if counted is None:
        return None
    listed = (await store.lineage_cache.compute(lambda: differences.weighed(found, graph)))[:WEIGHED]
    items = [QualityChangeView.of(one) for one in listed]
    return QualityChanges(base=base.sha, score=score(counted.counts, settings), items=items, more=len(found) - len(items))


OPERATIONS = (
    Operation(
        method="GET",
        path=f"{API}/connections/{{id}}/quality",
        id="get_quality",
        handler=get_quality,
        summary="Get the quality of a commit: what is described, tested and owned, a score, its trend, and what could be built better",
        tag="lineage",
        query=QualityQuery,
        response=QualityView,
        empty={304: NOT_MODIFIED},
        problems={404: "It does not exist, the token may not see it, or the lineage of `sha` or `base` is not stored (see `field`)"},
        right="read",
    ),
)
