"""Connections: the dbt projects that Freshet follows."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

from aiohttp import web

from app.core.errors import GoneError
from app.core.models.connections import Connection
from app.pipeline import connections
from app.pipeline.connections import ConnectedError, ConnectionRequest, NoBranchError
from app.web.api.call import Call
from app.web.api.operation import API, NoQuery, Operation, json_response
from app.web.api.schemas.common import Page
from app.web.api.schemas.connections import (
    ChangeRequest,
    ConnectionDetail,
    ConnectionPage,
    ConnectionsQuery,
    ConnectionView,
    ConnectRequest,
)
from app.web.api.schemas.extractions import ExtractionView
from app.web.api.visible import cursor_seal, visible_page
from app.web.http import requests
from app.web.http.middleware import problem_of
from app.web.http.problems import HttpProblem
from app.web.keys import GITHUB, PREFIX

CONFLICT = "The project is already followed on that branch (by `connection_id`), or the repository has too many connections"


async def list_connections(call: Call[ConnectionsQuery, None]) -> Page[ConnectionView]:
    """Connections that the caller may read, in order of their repositories' names."""
    query, seal = call.query, await cursor_seal(call)
    after = requests.sealed_cursor(query.cursor, seal, 2)
    place = None if after is None else (after[0], requests.uuid(after[1], "cursor"))

    async def load(seen_by: Sequence[int] | None, last: Connection | None, limit: int) -> list[Connection]:
        behind = place if last is None else (last.repository.full_name, last.id)
        filters = {"owner": query.owner, "repository": query.repository, "q": query.q}
        return await call.store.connections.page(**filters, seen_by=seen_by, after=behind, limit=limit)

    found, last = await visible_page(call, query.limit, load)
    items = [ConnectionView(**ConnectionView.fields_of(connection)) for connection in found]
    following = None if last is None else requests.next_sealed_cursor(seal, last.repository.full_name, last.id)
    unmatched = query.repository is not None and not items and following is None and after is None
    if unmatched:
        return ConnectionPage(items=[], next_cursor=None, notes=[f"`repository`: this token may read no connection of {query.repository}"])
    return Page[ConnectionView](items=items, next_cursor=following)


async def get_connection(call: Call[NoQuery, None]) -> ConnectionDetail:
    """One connection with its newest extraction."""
    return await _detail(call, await call.connection())


async def connect(call: Call[NoQuery, ConnectRequest]) -> web.Response:
    """Follow a project of a repository that the App is installed on."""
    body = call.body
    repository = await call.store.installations.repository_by_name(body.repository)
    visible = await call.sees(repository)
    if repository is None or not visible:
        raise _repository_not_found(body.repository)
    await call.require("push", repository, "repository")
    request = ConnectionRequest(body.project_dir, body.branch)
    try:
        connection = await _or_problem(connections.connect(call.store, call.request.app[GITHUB], repository, request))
    except GoneError as error:
        raise _repository_not_found(body.repository) from error
    response = json_response(await _detail(call, connection), 201)
    response.headers["Location"] = f"{call.request.app.get(PREFIX, '')}{API}/connections/{connection.id}"
    return response


async def change(call: Call[NoQuery, ChangeRequest]) -> ConnectionDetail:
    """Change the settings that the body contains."""
    connection = await call.connection("push")
    given = call.body.model_fields_set
    project_dir = call.body.project_dir if "project_dir" in given else connection.project_dir
    branch = call.body.branch if "branch" in given else connection.branch
    changing = connections.change(call.store, call.request.app[GITHUB], connection, ConnectionRequest(project_dir, branch))
    return await _detail(call, await _or_problem(changing))


async def disconnect(call: Call[NoQuery, None]) -> web.Response:
    """Remove a connection."""
    await connections.disconnect(call.store, await call.connection("push"))
    return web.Response(status=204)


async def _detail(call: Call[Any, Any], connection: Connection) -> ConnectionDetail:
    last = await call.store.extractions.for_connection(connection.id, limit=1)
    return ConnectionDetail(**ConnectionView.fields_of(connection), last_extraction=ExtractionView.of(last[0]) if last else None)


async def _or_problem(change: Awaitable[Connection]) -> Connection:
    """Await a change. Raises HttpProblem with the field to blame, or with the conflicting connection."""
    try:
        return await change
    except NoBranchError as error:
        raise requests.invalid("branch", error.reason) from error
    except ConnectedError as error:
        found = problem_of(error)
        raise HttpProblem(found.status, found.title, found.detail, connection_id=error.connection_id) from error


def _repository_not_found(name: str) -> HttpProblem:
    detail = f"The App is not installed on a repository {name}, or you may not see it."
    return HttpProblem(404, "Repository not found", detail, field="repository")


OPERATIONS = (
    Operation(
        method="GET",
        path=f"{API}/connections",
        id="list_connections",
        handler=list_connections,
        summary="List the connections that the token may read, in order of their repositories' names",
        tag="connections",
        query=ConnectionsQuery,
        response=ConnectionPage,
    ),
    Operation(
        method="POST",
        path=f"{API}/connections",
        id="create_connection",
        handler=connect,
        summary="Follow a dbt project of a repository that the App is installed on, and extract it",
        tag="connections",
        body=ConnectRequest,
        response=ConnectionDetail,
        status=201,
        problems={
            403: "On GitHub, the token may read the repository, but not push to it",
            404: "The App is not installed on this repository, or the token may not see it",
            409: CONFLICT,
        },
    ),
    Operation(
        method="GET",
        path=f"{API}/connections/{{id}}",
        id="get_connection",
        handler=get_connection,
        summary="Get one connection: its state, its settings and its newest extraction",
        tag="connections",
        response=ConnectionDetail,
        right="read",
    ),
    Operation(
        method="PATCH",
        path=f"{API}/connections/{{id}}",
        id="update_connection",
        handler=change,
        summary="Change the branch or the directory of a connection, and extract the new branch's head",
        tag="connections",
        body=ChangeRequest,
        response=ConnectionDetail,
        problems={409: CONFLICT},
        right="push",
    ),
    Operation(
        method="DELETE",
        path=f"{API}/connections/{{id}}",
        id="delete_connection",
        handler=disconnect,
        summary="Remove a connection: it is hidden at once and deleted after the grace period; only `POST` brings it back",
        tag="connections",
        status=204,
        right="push",
    ),
)
