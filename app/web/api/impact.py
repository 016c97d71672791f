"""What the changes between two commits do; only the nodes that differ are read."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from app.core.errors import UnavailableError
from app.core.models.connections import Connection
from app.lineage.formats.chunks import PIECE_BYTES
from app.lineage.impact.elsewhere import with_elsewhere
from app.lineage.impact.model import Impact
from app.reports import stale_sources
from app.store import Store
from app.store.lineages import LineageHead
from app.web.api.call import Call
from app.web.api.comparisons import COMPARISONS
from app.web.api.lineage import TRIES, is_known, stored, validators
from app.web.api.operation import API, NOT_MODIFIED, Operation
from app.web.api.schemas.impacts import ImpactDocument, ImpactQuery, LeftOut
from app.web.http import requests
from app.web.http.streaming import FairWriter


class ImpactHandler:
    """`GET …/impact`; its responses share one `FairWriter`."""

    def __init__(self) -> None:
        self._writer = FairWriter()

    async def show(self, call: Call[ImpactQuery, None]) -> web.StreamResponse:
        """The impact as JSON, or 304."""
        graphs = call.store.lineage_cache
        for _ in range(TRIES):
            connection = await call.connection()
            base, head = await sides(call.store, connection, call.query)
            found = await between(call, connection, base, head)
            if found is not None:
                late = await late_sources(call, connection, head, found)
                # What breaks elsewhere follows from other lineages and from the caller's rights, too.
                foreign = [one for one in found.breaks if one.connection_id], found.counts.get("elsewhere")
                headers = {**validators(connection.id, base, head, foreign, late), "Content-Type": "application/json"}
                if is_known(call.request, headers["ETag"]):
                    return web.Response(status=304, headers=headers)
                body = await graphs.compute(partial(_body, connection.id, base, head, found, late))
                pieces = (body[start : start + PIECE_BYTES] for start in range(0, len(body), PIECE_BYTES))
                return await self._writer.send(call.request, headers, pieces)
        raise UnavailableError("comparing two commits", "one of them keeps being extracted again", "Try again in a moment.")


async def sides(store: Store, connection: Connection, query: ImpactQuery) -> tuple[LineageHead, LineageHead]:
    """What is compared: base and head. Raises HttpProblem 404, or 400 if there is no default for `base`."""
    head = await stored(store, connection, query.head, "head")
    return await stored(store, connection, query.base or await _compared_with(store, connection, head), "base"), head


async def between(call: Call[Any, Any], connection: Connection, base: LineageHead, head: LineageHead) -> Impact | None:
    """What the changes do, also in other connections of the owner, with the names of those that the caller may read.

    None if one of the lineages was replaced or removed since.
    """
    found = await call.request.app[COMPARISONS].impact(call.store.lineage_cache, base, head)
    if found is None:
        return None
    elsewhere = await call.store.readers.elsewhere(connection.id, base, head, found.changes)
    readable = await call.readable(elsewhere.repositories) if elsewhere.projects else ()
    return with_elsewhere(found, elsewhere, readable)


async def _compared_with(store: Store, connection: Connection, head: LineageHead) -> str:
    """The commit that the check run of `head` was compared with. Raises HttpProblem 400 if there is none."""
    base = await store.bases.of_commit(connection.id, head.branch, head.sha)
    if base is None or base.sha is None:
        raise requests.invalid("base", f"is required: there is no commit that {head.sha[:7]} was compared with")
    return base.sha


async def late_sources(call: Call[Any, Any], connection: Connection, head: LineageHead, found: Impact) -> list[str]:
    """Sources that the changes read, and whose freshness failed within the last day."""
    failed = await call.store.node_results.stale_sources(connection.id)
    graph = await call.store.lineage_cache.get(head) if failed else None
    if graph is None:
        return []
    return await call.store.lineage_cache.compute(partial(stale_sources.read_by, found.changes, graph, failed))


def _body(connection_id: str, base: LineageHead, head: LineageHead, found: Impact, late: list[str]) -> bytes:
    return msgspec.json.encode(
        {
            "base": _side_json(base),
            "head": _side_json(head),
            "changes": found.changes,
            "reached": found.reached,
            "breaks": found.breaks,
            "counts": found.counts,
            "connection_id": connection_id,
            "left_out": {name: found.left_out.get(name, 0) for name in LeftOut.model_fields},
            "without_columns": found.without_columns,
            "stale_sources": late,
        }
    )


def _side_json(head: LineageHead) -> dict[str, Any]:
    return {"sha": head.sha, "branch": head.branch, "extracted_at": head.extracted_at, "columns_state": head.columns_state}


def operations() -> tuple[Operation, ...]:
    """Operations with their own handler."""
    return (
        Operation(
            method="GET",
            path=f"{API}/connections/{{id}}/impact",
            id="get_impact",
            handler=ImpactHandler().show,
            summary="Get what the changes between two commits do: by class, whom they reach, and what they break",
            tag="lineage",
            query=ImpactQuery,
            response=ImpactDocument,
            empty={304: NOT_MODIFIED},
            problems={404: "It does not exist, the token may not see it, or the lineage of `base` or `head` is not stored (see `field`)"},
            right="read",
        ),
    )
