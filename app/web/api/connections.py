"""Connections: the dbt projects that are followed."""

from __future__ import annotations

from app.web import requests
from app.web.call import Call
from app.web.models.common import Page
from app.web.models.connections import ConnectionDetail, ConnectionsQuery, ConnectionView
from app.web.models.extractions import ExtractionView
from app.web.operations import API, NoQuery, Operation


async def list_connections(call: Call[ConnectionsQuery, None]) -> Page[ConnectionView]:
    """List the connections that the caller may see, by the names of their repositories."""
    asked, after = call.query, requests.cursor(call.query.cursor, 2)
    found = await call.store.connections.page(
        owner=asked.owner,
        repository=asked.repository,
        q=asked.q,
        seen_by=await call.caller.listed(),
        after=None if after is None else (after[0], requests.uuid(after[1], "cursor")),
        limit=asked.limit + 1,
    )
    read, more = found[: asked.limit], len(found) > asked.limit
    seen = await call.readable(connection.repository for connection in read)
    items = [ConnectionView(**ConnectionView.fields_of(connection)) for connection in read if connection.repository.id in seen]
    return Page[ConnectionView](items=items, next_cursor=requests.next_cursor(read[-1].repository.full_name, read[-1].id) if more else None)


async def get_connection(call: Call[NoQuery, None]) -> ConnectionDetail:
    """Show one connection with its last extraction."""
    connection = await call.connection()
    last = await call.store.extractions.of_connection(connection.id, limit=1)
    return ConnectionDetail(**ConnectionView.fields_of(connection), last_extraction=ExtractionView.of(last[0]) if last else None)


OPERATIONS = (
    Operation(
        method="GET",
        path=f"{API}/connections",
        handler=list_connections,
        summary="The connections that the caller may see",
        tag="connections",
        query=ConnectionsQuery,
        answer=Page[ConnectionView],
    ),
    Operation(
        method="GET",
        path=f"{API}/connections/{{id}}",
        handler=get_connection,
        summary="One connection, its last extraction, and how stale it is",
        tag="connections",
        answer=ConnectionDetail,
        right="read",
    ),
)
