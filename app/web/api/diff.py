"""What is other at one commit than at another, told from the nodes that differ."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from app.diff import Diff
from app.errors import UnavailableError
from app.formats.pieces import PIECE_BYTES
from app.jobs import Connection
from app.records import LineageHead
from app.web.api.lineage import TRIES, is_known, validators
from app.web.call import Call
from app.web.models.lineages import DiffDocument, DiffQuery
from app.web.operations import API, Operation
from app.web.problems import Problem
from app.web.streaming import Turns


class Difference:
    """The address, and the turns that its readers take."""

    def __init__(self) -> None:
        self._turns = Turns()

    async def show(self, call: Call[DiffQuery, None]) -> web.StreamResponse:
        """Show the difference of the lineages of two commits."""
        graphs = call.store.graphs
        for _ in range(TRIES):
            connection = await call.connection()
            base, head = await _side(call, connection, "base"), await _side(call, connection, "head")
            headers = {**validators(connection.id, base, head), "Content-Type": "application/json"}
            if is_known(call.request, headers["ETag"]):
                return web.Response(status=304, headers=headers)
            found = await graphs.diff(base, head)
            if found is not None:
                body = await graphs.compute(partial(_body, connection.id, base, head, found))
                return await self._turns.send(call.request, headers, _pieces(body))
        raise UnavailableError("comparing two commits", "one of them is extracted again and again", "Try again in a while.")


async def _side(call: Call[DiffQuery, None], connection: Connection, name: str) -> LineageHead:
    sha = getattr(call.query, name)
    head = await call.store.lineages.head(connection.id, sha)
    if head is None:
        what = f"`{name}`: no lineage of the commit {sha} is stored. It was never extracted, or is too old."
        raise Problem(404, "There is no lineage", what, field=name)
    return head


def _body(connection_id: str, base: LineageHead, head: LineageHead, found: Diff) -> bytes:
    return msgspec.json.encode(
        {
            "connection_id": connection_id,
            "base": _shown(base),
            "head": _shown(head),
            "counts": found.counts(),
            "nodes_added": found.nodes_added,
            "nodes_removed": found.nodes_removed,
            "nodes_changed": found.nodes_changed,
            "edges_added": found.edges_added,
            "edges_removed": found.edges_removed,
        }
    )


def _shown(head: LineageHead) -> dict[str, Any]:
    return {"sha": head.sha, "branch": head.branch, "extracted_at": head.extracted_at}


def _pieces(body: bytes) -> Iterator[bytes]:
    return (body[start : start + PIECE_BYTES] for start in range(0, len(body), PIECE_BYTES))


def operations() -> tuple[Operation, ...]:
    """Return the operations, with turns of their own."""
    return (
        Operation(
            method="GET",
            path=f"{API}/connections/{{id}}/diff",
            handler=Difference().show,
            summary="What is other at one commit than at another: nodes and edges added, removed and changed",
            tag="lineage",
            query=DiffQuery,
            answer=DiffDocument,
            empty={304: "`If-None-Match` names what there is"},
            problems={404: "There is none, this token may not see it, or no lineage of `base` or of `head` is stored: `field` says which"},
            right="read",
        ),
    )
