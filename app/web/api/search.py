"""Search over the nodes and columns of all connections that the caller may see."""

from __future__ import annotations

from app.lineage.search import queries, tiers
from app.lineage.search.matches import match
from app.lineage.search.queries import QueryError, SearchQuery
from app.store.search import FoundNode, SearchPlace
from app.web.api.call import Call
from app.web.api.operation import API, Operation
from app.web.api.schemas.common import MAX_DIGITS
from app.web.api.schemas.search import SearchPage, SearchParameters, SearchResult
from app.web.auth.visits import EVERYBODY
from app.web.http import requests
from app.web.http.problems import not_found

MAX_TAGS = 20


async def search(call: Call[SearchParameters, None]) -> SearchPage:
    """One page of results. Those of repositories that the caller turns out not to see are left out."""
    asked = call.query
    try:
        query = queries.parse(asked.q)
    except QueryError as error:
        raise requests.invalid("q", str(error)) from error
    after = _place(asked.cursor)
    connection_id = None if asked.connection is None else str(asked.connection)
    if connection_id is not None:
        connection = await call.store.connections.get(connection_id)
        if connection is None:
            raise not_found("connection")
        await call.require("read", connection.repository, "connection")
    listed = None if connection_id is not None else await call.caller.listed()
    if connection_id is None and listed is None and not call.caller.everything and call.caller is not EVERYBODY:
        # Places in results, and where they end, would tell which words there are in repositories that the caller may not read.
        listed = ()
    results = await call.store.search.find(
        tiers.tiers_of(query), listed=listed, connection_id=connection_id, after=after, limit=asked.limit
    )
    readable = await call.readable(one.repository for one in results.found)
    items = [_result(query, one) for one in results.found if one.repository.id in readable]
    following = None if results.after is None else requests.next_cursor(str(results.after.tier), str(results.after.hit + 1))
    return SearchPage(items=items, next_cursor=following, cut=results.cut)


def _place(cursor: str | None) -> SearchPlace:
    """The place in a cursor; hits are numbered from -1. Raises HttpProblem 400."""
    parts = requests.cursor(cursor, 2)
    if parts is None:
        return SearchPlace()
    if not all(part.isascii() and part.isdigit() and len(part) <= MAX_DIGITS for part in parts):
        raise requests.invalid("cursor", "must be the `next_cursor` of a response")
    return SearchPlace(int(parts[0]), int(parts[1]) - 1)


def _result(query: SearchQuery, one: FoundNode) -> SearchResult:
    node, found = one.node, match(query, one.tier, one.node, one.traced)
    return SearchResult(
        connection_id=one.connection_id,
        repository=one.repository.full_name,
        project_dir=one.project_dir,
        project_name=one.project_name,
        sha=one.sha,
        unique_id=node.unique_id,
        resource_type=node.resource_type,
        name=node.name,
        column=found.column,
        description=found.snippet,
        tags=list(node.tags[:MAX_TAGS]),
        owner=node.owner,
        original_file_path=node.original_file_path,
        matched=found.field,
    )


OPERATIONS = (
    Operation(
        id="search_nodes",
        method="GET",
        path=f"{API}/search",
        handler=search,
        summary="Search nodes and columns of all connections that the token may read, the best results first",
        tag="lineage",
        query=SearchParameters,
        response=SearchPage,
        problems={404: "There is no such `connection`, or the token may not see it"},
    ),
)
