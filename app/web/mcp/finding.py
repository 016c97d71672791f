"""Tools that find things: nodes by words, and projects with how current they are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from app.core.models.connections import Connection
from app.web.api.call import Call
from app.web.api.schemas.connections import ConnectionsQuery
from app.web.api.schemas.search import SearchPage, SearchParameters, SearchResult
from app.web.api.search import search
from app.web.api.stats import freshness_of
from app.web.mcp import projects
from app.web.mcp.answers import Contents, Json, answered, state_of, without_nothing
from app.web.mcp.budget import Item, cut
from app.web.mcp.inputs import FreshnessInput, SearchInput

RESULT = ("connection_id", "unique_id", "resource_type", "column", "description", "owner", "original_file_path", "matched")
PROJECTS = 50
SPARE = 100
"""Tokens of a page that its heading may have."""
MORE = "`next_cursor` is the place where these results end: send it as `cursor` for the next ones."
SOME = "So much begins with these words that some of it was not looked at: add letters or words."


async def search_nodes(call: Call[SearchInput, None]) -> bytes:
    """Nodes and columns by words. A page that would be too long is asked for again with fewer results."""
    connection = await projects.connection_of(call) if call.query.connection is not None else None
    found, by_id = await _search(call, connection, call.query.limit)
    page = cut(_results(found, by_id), {}, used=SPARE)
    if page.next is not None:
        found, by_id = await _search(call, connection, max(1, len(page.lists["results"])))
    notes = [*([MORE] if found.next_cursor else []), *([SOME] if found.cut else [])]
    heading = {"next_cursor": found.next_cursor}
    total = {"result": len(found.items), "connection": len(by_id)}
    contents = Contents(heading={}, lists=("results", "connections"), items=_results(found, by_id), total=total, notes=notes)
    return await answered(call, lambda: contents, fixed=heading)


async def _search(call: Call[SearchInput, None], connection: Connection | None, limit: int) -> tuple[SearchPage, dict[str, Connection]]:
    values = {"q": call.query.q, "connection": connection and connection.id, "limit": limit, "cursor": call.query.cursor}
    found = await search(Call(call.request, call.caller, SearchParameters.model_validate(values), None))
    ids = list(dict.fromkeys(one.connection_id for one in found.items))
    return found, {one.id: one for one in await call.store.connections.some(ids)}


def _results(found: SearchPage, by_id: dict[str, Connection]) -> Iterator[Item]:
    """The results, each project before its first one."""
    said = set()
    for one in found.items:
        if one.connection_id in by_id and one.connection_id not in said:
            said.add(one.connection_id)
            yield Item("connections", "connection", lambda one=one: state_of(by_id[one.connection_id]))  # type: ignore[misc]
        yield Item("results", "result", lambda one=one: _result(one))  # type: ignore[misc]


def _result(one: SearchResult) -> Json:
    return without_nothing({name: getattr(one, name) for name in RESULT})


async def get_freshness(call: Call[FreshnessInput, None]) -> bytes:
    """How far a project is behind GitHub, or all projects with their states."""
    if call.query.connection is None:
        return await _projects(call)
    connection = await projects.connection_of(call)
    view = without_nothing((await freshness_of(call, connection)).model_dump(mode="json", exclude={"connection_id", "branch"}))
    one = [Item("connections", "connection", lambda: state_of(connection))]
    return await answered(call, lambda: Contents(heading=view, lists=("connections",), items=one, total={"connection": 1}))


async def _projects(call: Call[FreshnessInput, None]) -> bytes:
    limit = PROJECTS
    while True:
        page = await projects.listed(call, ConnectionsQuery(limit=limit, cursor=call.query.cursor))
        views = [one.model_dump() for one in page.items]
        items = [Item("connections", "connection", lambda one=one: _view(one)) for one in views]  # type: ignore[misc]
        fits = len(cut(items, {}, used=SPARE).lists.get("connections", []))
        if fits == len(items):
            break
        limit = max(1, fits)
    notes = ["There are more projects: send `next_cursor` as `cursor`."] if page.next_cursor else []
    contents = Contents(heading={}, lists=("connections",), items=items, total={"connection": len(items)}, notes=notes)
    return await answered(call, lambda: contents, fixed={"next_cursor": page.next_cursor})


def _view(view: dict[str, Any]) -> Json:
    names = ("repository", "project_dir", "project_name", "branch", "head_sha", "state", "stale", "stale_reason")
    extracted_at = view["extracted_at"]
    age = None if extracted_at is None else max(0, int((datetime.now(UTC) - extracted_at).total_seconds()))
    fields = {"connection_id": view["id"], **{name: view[name] for name in names}, "sha": view["lineage_sha"], "age_seconds": age}
    return without_nothing(fields)
