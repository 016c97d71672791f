"""The differences between two lineages; only the nodes that differ are read."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from app.core.errors import UnavailableError
from app.lineage.diff import Diff
from app.lineage.formats.chunks import parts
from app.store.lineages import LineageHead
from app.web.api.call import Call
from app.web.api.comparisons import COMPARISONS
from app.web.api.lineage import TRIES, is_known, stored, validators
from app.web.api.operation import API, NOT_MODIFIED, Operation
from app.web.api.schemas.diffs import DiffDocument, DiffQuery
from app.web.http.streaming import FairWriter


class DiffHandler:
    """`GET …/diff`; its responses share one `FairWriter`."""

    def __init__(self) -> None:
        self._writer = FairWriter()

    async def show(self, call: Call[DiffQuery, None]) -> web.StreamResponse:
        """The differences as JSON, or 304."""
        graphs = call.store.lineage_cache
        for _ in range(TRIES):
            connection = await call.connection()
            base = await stored(call.store, connection, call.query.base, "base")
            head = await stored(call.store, connection, call.query.head, "head")
            headers = {**validators(connection.id, base, head), "Content-Type": "application/json"}
            if is_known(call.request, headers["ETag"]):
                return web.Response(status=304, headers=headers)
            found = await call.request.app[COMPARISONS].diff(graphs, base, head)
            if found is not None:
                body = await graphs.compute(partial(_body, connection.id, base, head, found))
                return await self._writer.send(call.request, headers, parts(body))
        raise UnavailableError("comparing two commits", "one of them keeps being extracted again", "Try again in a moment.")


def _body(connection_id: str, base: LineageHead, head: LineageHead, found: Diff) -> bytes:
    return msgspec.json.encode(
        {
            "connection_id": connection_id,
            "base": _side_json(base),
            "head": _side_json(head),
            "counts": found.counts(),
            "nodes_added": found.nodes_added,
            "nodes_removed": found.nodes_removed,
            "nodes_changed": found.nodes_changed,
            "edges_added": found.edges_added,
            "edges_removed": found.edges_removed,
        }
    )


def _side_json(head: LineageHead) -> dict[str, Any]:
    return {"sha": head.sha, "branch": head.branch, "extracted_at": head.extracted_at}


def operations() -> tuple[Operation, ...]:
    """Operations with their own handler."""
    return (
        Operation(
            method="GET",
            path=f"{API}/connections/{{id}}/diff",
            id="get_diff",
            handler=DiffHandler().show,
            summary="Compare the lineages of two commits: nodes and edges added, removed and changed",
            tag="lineage",
            query=DiffQuery,
            response=DiffDocument,
            empty={304: NOT_MODIFIED},
            problems={404: "It does not exist, the token may not see it, or the lineage of `base` or `head` is not stored (see `field`)"},
            right="read",
        ),
    )
