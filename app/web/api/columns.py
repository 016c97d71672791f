"""The columns of a lineage and what they depend on, whole or around one node or column, in three formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal

from aiohttp import web

from app.core.errors import UnavailableError
from app.core.models.connections import Connection
from app.lineage import column_reach
from app.lineage.column_graph import ColumnGraph, ColumnSelection
from app.lineage.column_reach import find_columns, similar_columns
from app.lineage.formats import columns_csv, columns_json
from app.lineage.formats.chunks import pieces
from app.lineage.graph import Graph, Selection
from app.store.lineages import LineageHead
from app.web.api import openlineage
from app.web.api.call import Call
from app.web.api.lineage import (
    CANDIDATES,
    TRIES,
    find_node,
    heading_of,
    is_known,
    negotiated,
    reference_of,
    stored,
    validators,
)
from app.web.api.openlineage import OpenLineagePart
from app.web.api.operation import API, NOT_MODIFIED, Operation
from app.web.api.schemas.columns import ColumnsDocumentOut, ColumnsFormat, ColumnsQuery
from app.web.http import requests
from app.web.http.problems import HttpProblem
from app.web.http.streaming import FairWriter, send_pieces

MEDIA_TYPES: dict[str, ColumnsFormat] = {
    "application/json": "json",
    "text/csv": "csv",
    "application/vnd.openlineage+json": "openlineage",
}
CONTENT_TYPES: dict[ColumnsFormat, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8; header=present",
    "openlineage": "application/vnd.openlineage+json",
}


class ColumnsHandler:
    """`GET …/columns`; its responses share one `FairWriter`."""

    def __init__(self) -> None:
        self._writer = FairWriter()

    async def show(self, call: Call[ColumnsQuery, None]) -> web.StreamResponse:
        """The columns of the connection's lineage or of `sha`, or 304."""
        check(call.query)
        name = format_of(call)
        graphs = call.store.lineage_cache
        for _ in range(TRIES):
            connection = await call.connection()
            head = await stored(call.store, connection, call.query.sha)
            headers = {**validators(connection.id, connection.repository, connection.head_sha, head, call.query, name), "Vary": "Accept"}
            if is_known(call.request, headers["ETag"]):
                return web.Response(status=304, headers=headers)
            graph = await graphs.get(head)
            columns = await graphs.columns(head) if head.columns_state == "ready" else None
            if graph is None or (columns is None and head.columns_state == "ready"):
                continue
            chosen = await graphs.compute(partial(select, graph, columns, call.query))
            headers["Content-Type"] = CONTENT_TYPES[name]
            if name != "openlineage":
                return await self._writer.send(call.request, headers, pieces(_texts(connection, head, chosen, name)))
            links = openlineage.links_of(call.request, connection.repository, openlineage.names_of(call.query))
            # Datasets are also named where only a column of theirs is chosen, so events need no more than the chosen nodes.
            selection = Selection(graph, chosen.nodes if chosen else ())
            parts = [OpenLineagePart(head, heading_of(connection, head), selection, links, chosen)]
            return await send_pieces(call.request, headers, openlineage.pieces(call.store, self._writer, parts))
        raise UnavailableError("reading columns", "the commit keeps being extracted again", "Try again in a moment.")


def check(query: ColumnsQuery) -> None:
    """Raise HttpProblem 400 for a parameter that has no meaning without another one."""
    for name, value in (("column", query.column), ("direction", query.direction), ("depth", query.depth)):
        if query.node is None and value is not None:
            raise requests.invalid(name, "requires `node`")


def format_of(call: Call[ColumnsQuery, None]) -> ColumnsFormat:
    """The requested format. Raises HttpProblem: 406 for an unknown one, 400 for a parameter that does not apply to it."""
    name = call.query.format or negotiated(call.request, MEDIA_TYPES)
    openlineage.check(call.query, name)
    return name


def select(graph: Graph, columns: ColumnGraph | None, query: ColumnsQuery) -> ColumnSelection | None:
    """Select the part of the columns; None if there are none. Raises HttpProblem with candidates if `node` or `column` is not there."""
    if query.node is None:
        return columns.whole() if columns else None
    reference = reference_of(graph, query.node, "node", alone=query.depth is None and query.direction is None)
    found = find_node(graph, reference.node, "node")
    if columns is None:
        return None
    start = None if query.column is None else _columns(columns, found, query.column)
    if reference.has_operators:
        return column_reach.reach(columns, found, start, reference)
    return column_reach.around(columns, found, start, query.direction or "both", query.depth)


def _columns(columns: ColumnGraph, positions: Sequence[int], name: str) -> list[int]:
    """The numbers of the columns with a name. Raises HttpProblem if there are none, or several in one node."""
    found = [find_columns(columns, position, name) for position in positions]
    if several := next((one for one in found if len(one) > 1), None):
        detail = "`column`: several columns of this node differ from it in case only; put the one that you mean in double quotes."
        raise HttpProblem(400, "Column is ambiguous", detail, field="column", candidates=[columns.name(one) for one in several])
    if not any(found):
        similar = similar_columns(columns, positions, name)[:CANDIDATES]
        raise HttpProblem(404, "Column not found", _not_found(columns, positions, similar), field="column", candidates=similar)
    return [number for one in found for number in one]


def _not_found(columns: ColumnGraph, positions: Sequence[int], similar: Sequence[str]) -> str:
    nodes = [columns.nodes[position] for position in positions if position in columns.nodes]
    detail = "`column`: this node has no column of this name."
    if any(node.open for node in nodes):
        detail = "`column`: no column of this name is known of this node, which may have more columns than are known."
    return detail + (" `candidates` lists similar ones." if similar else "")


def _texts(connection: Connection, head: LineageHead, chosen: ColumnSelection | None, name: Literal["csv", "json"]) -> Iterator[bytes]:
    return columns_csv.render(chosen) if name == "csv" else columns_json.render(_above(connection, head), chosen)


def _above(connection: Connection, head: LineageHead) -> dict[str, Any]:
    return {
        "connection_id": connection.id,
        "repository": connection.repository.full_name,
        "branch": head.branch,
        "project_dir": connection.project_dir,
        "sha": head.sha,
        "head_sha": connection.head_sha,
        "extracted_at": head.extracted_at,
        "columns_state": head.columns_state,
        "columns_reason": head.columns_reason,
    }


def operations() -> tuple[Operation, ...]:
    """Operations with their own handler."""
    return (
        Operation(
            method="GET",
            path=f"{API}/connections/{{id}}/columns",
            id="get_columns",
            handler=ColumnsHandler().show,
            summary="Get columns and what they depend on: all of them, or those around a node or a column",
            tag="lineage",
            query=ColumnsQuery,
            response=ColumnsDocumentOut,
            media={
                "text/csv": "The edges, one per line",
                "application/vnd.openlineage+json": "A list of OpenLineage events with the `columnLineage` facet",
            },
            empty={304: NOT_MODIFIED},
            problems={
                404: "There is no lineage, the token may not see it, or `node` or `column` is not in it (`candidates` lists similar ones)",
                406: "`Accept` allows none of the formats (`candidates` lists the media types)",
            },
            right="read",
        ),
    )
